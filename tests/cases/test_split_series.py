"""One acquisition in two series: joined where nothing speaks against it, else a question that can be answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from node.cases.case_inputs import StoredInstance
from tests.cases.case_headers import CE_T1W, STUDY, T1W, T2W, roi, series, structure_set
from tests.cases.test_series_volumes import assessed, role_of

SPACED = {**T2W, "SliceThickness": 3.0, "SpacingBetweenSlices": 3.0}
WHOLE = roi(4, "GTVp", "GTV", extent_mm=[[-20.0, -20.0, 10.0], [20.0, 20.0, 50.0]])
BOTH = f"{STUDY}.2+{STUDY}.4"


def parts(physics: dict[str, Any], first: Sequence[int], second: Sequence[int], **more: Any) -> list[StoredInstance]:
    """One acquisition of 20 slices in two series; `first` and `second` are its slices."""
    whole = range(20)
    return [
        *series(2, physics, skip=[n for n in whole if n not in first]),
        *series(4, {**physics, **more}, skip=[n for n in whole if n not in second]),
    ]


EVEN, ODD = range(0, 20, 2), range(1, 20, 2)
LOWER, UPPER = range(9), range(9, 20)


@pytest.mark.parametrize(
    ("first", "second", "physics"),
    [
        (EVEN, ODD, SPACED),
        (EVEN, ODD, T2W),
        (ODD, EVEN, SPACED),
        (LOWER, UPPER, SPACED),
        (LOWER, UPPER, {**T2W, "ImagesInAcquisition": 20}),
    ],
)
def test_parts_of_one_acquisition_are_joined_and_named(
    first: Sequence[int], second: Sequence[int], physics: dict[str, Any]
) -> None:
    images = parts(physics, first, second)
    found = assessed(series(1, T1W), images, series(3, CE_T1W), related=[structure_set([WHOLE])])
    assert found.state == "ready"
    assert [one["key"] for one in found.series if one["role"] == "T2w"] == [BOTH]
    assert found.request is not None
    used = found.request.series["T2w"]
    assert {uid for uid, _ in used["instances"]} == {one.sop_instance_uid for one in images}
    assert used["other_series"] == {
        one.sop_instance_uid: f"{STUDY}.4" for one in images if one.header["SeriesInstanceUID"] == f"{STUDY}.4"
    }
    assert any(BOTH.replace("+", " and ") in finding["text"] for finding in found.quality)


def test_halves_that_may_be_two_acquisitions_are_a_question_that_leads_to_the_whole() -> None:
    images = parts(SPACED, LOWER, UPPER, AcquisitionNumber=2)
    groups = series(1, T1W), images, series(3, CE_T1W)
    drawn = [structure_set([WHOLE])]
    asked = assessed(*groups, related=drawn)
    assert asked.state == "held"
    assert [reason["code"] for reason in asked.reasons] == ["ambiguous_series"]
    assert BOTH in asked.reasons[0]["text"]
    assert {one.get("other_part") for one in asked.series if one["role"] == "ambiguous"} == {BOTH}
    for both in (BOTH, "+".join(reversed(BOTH.split("+")))):
        answered = assessed(*groups, related=drawn, assignments={"T2w": both})
        assert answered.state == "ready"
        assert role_of(answered)["2"] == "T2w"
    # One of them alone: the contour reaches beyond it, which is said.
    alone = assessed(*groups, related=drawn, assignments={"T2w": f"{STUDY}.4"})
    assert [reason["code"] for reason in alone.reasons] == ["contour_not_covered"]


@pytest.mark.parametrize(
    "change",
    [
        {"EchoTime": 91},
        {"RepetitionTime": 4100},
        {"ContrastBolusAgent": "Gadovist"},
        {"FrameOfReferenceUID": "1.2.3"},
        {"PixelSpacing": [1.0, 1.01]},
        {"ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 0.995, 0.0998749]},
    ],
)
def test_series_of_other_parameters_or_another_place_are_never_joined(change: dict[str, Any]) -> None:
    found = assessed(series(1, T1W), parts(SPACED, EVEN, ODD, **change), series(3, CE_T1W))
    assert found.state != "ready"
    assert all("+" not in one["key"] for one in found.series)


def test_two_whole_series_shifted_by_half_a_step_are_not_one() -> None:
    shifted = series(4, SPACED)
    for one in shifted:
        x, y, z = one.header["ImagePositionPatient"]
        one.header["ImagePositionPatient"] = [x, y, z + 1.5]  # type: ignore[index]
    found = assessed(series(1, T1W), series(2, SPACED), shifted, series(3, CE_T1W))
    assert found.state == "held"
    assert all("+" not in one["key"] for one in found.series)


def test_joining_what_does_not_fit_is_held_by_its_geometry() -> None:
    found = assessed(series(1, T1W), series(2, SPACED), series(4, SPACED), series(3, CE_T1W), assignments={"T2w": BOTH})
    assert found.state == "held"
    assert "more than once" in found.reasons[0]["text"]


def test_an_assignment_to_a_part_is_one_to_the_whole_that_was_joined() -> None:
    images = parts(SPACED, EVEN, ODD)
    found = assessed(series(1, T1W), images, series(3, CE_T1W), assignments={"T2w": f"{STUDY}.4"})
    assert found.state == "ready"
    assert role_of(found)["2"] == "T2w"
