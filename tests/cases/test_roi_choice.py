"""ROI names of the primary tumour, and of what is not."""

from __future__ import annotations

import pytest

from config.errors import IneligibleStudyError
from config.settings import CaseSettings
from node.cases.roi_choice import choose_roi, matches
from tests.cases.case_headers import roi

NAMES = CaseSettings().roi_names


@pytest.mark.parametrize(
    "name",
    ["GTVp", "gtvp", "GTV_p", "GTV-P", "GTVnx", "GTV_nx", "GTV-NX", "gtv nx", "GTVp_MR", "GTV-T", "GTV70", "P-GTV",
     "鼻咽", "GTV", "ＧＴＶｐ"],
)  # fmt: skip
def test_names_of_the_primary_tumour(name: str) -> None:
    assert matches(name, NAMES)


@pytest.mark.parametrize(
    "name",
    ["PGTV", "PGTVnx", "pGTV_nx", "PTV", "PTV70", "CTV1", "GTVn", "GTVnd", "GTV_nd", "GTV-LN", "GTVln", "GTV n",
     "nd", "n", "ln", "GTVp_ring", "BrainStem", "Brain_Stem", "GTV node", "GTV_N1", "GTVnd_L", "SpinalCord", ""],
)  # fmt: skip
def test_names_of_nodes_margins_and_organs(name: str) -> None:
    assert not matches(name, (*NAMES, "*"))


def test_a_site_may_use_wildcards() -> None:
    assert matches("GTVnx_7000", ("GTVnx*",))
    assert not matches("PTVnx_7000", ("*nx*",))


def test_the_number_is_the_rois_own_not_its_position() -> None:
    chosen = choose_roi([roi(7, "PTV"), roi(3, "GTV_nx"), roi(1, "GTVnd")], NAMES)
    assert (chosen.number, chosen.name) == (3, "GTV_nx")
    assert "'GTV_nx'" in chosen.reason


def test_a_number_that_two_rois_share_is_a_question_naming_both() -> None:
    with pytest.raises(IneligibleStudyError, match=r"number 5 is shared by 'GTVnd' and 'GTVp'") as question:
        choose_roi([roi(5, "GTVnd"), roi(5, "GTVp")], NAMES)
    assert question.value.code == "ambiguous_roi"


def test_two_that_fit_are_a_question_naming_both() -> None:
    with pytest.raises(IneligibleStudyError, match=r"'GTVp' \(ROI 1\) and 'GTV_nx' \(ROI 2\)") as caught:
        choose_roi([roi(1, "GTVp"), roi(2, "GTV_nx")], NAMES)
    assert caught.value.code == "ambiguous_roi"


def test_the_type_and_a_specific_name_are_preferred() -> None:
    assert choose_roi([roi(1, "GTVp", "AVOIDANCE"), roi(2, "GTV_nx", "GTV")], NAMES).number == 2
    assert choose_roi([roi(1, "GTV"), roi(2, "GTVp")], NAMES).number == 2


def test_empty_rois_and_points_are_no_contours() -> None:
    empty = roi(1, "GTVp", n_contours=0, geometric_types=[])
    assert choose_roi([empty, roi(2, "GTVnx")], NAMES).number == 2
    with pytest.raises(IneligibleStudyError, match="no closed contour") as caught:
        choose_roi([roi(1, "GTVp", geometric_types=["POINT"])], NAMES)
    assert caught.value.code == "no_matching_roi"


def test_what_was_found_is_named() -> None:
    with pytest.raises(IneligibleStudyError, match="found 'PTV', 'Larynx'") as caught:
        choose_roi([roi(1, "PTV"), roi(2, "Larynx")], NAMES)
    assert caught.value.code == "no_matching_roi"
    with pytest.raises(IneligibleStudyError, match="no ROI at all"):
        choose_roi([], NAMES)
