"""Roles within a study: plane, slices, a second T1w, and which of several candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from config.settings import SeriesRules
from node.cases.case_inputs import StoredInstance
from node.cases.series_context import classify_series
from node.cases.series_summary import summarise_series
from tests.cases.case_headers import CE_T1W, STUDY, T1W, T2W, series

RULES = SeriesRules()
SAGITTAL = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]


def roles(*groups: Sequence[StoredInstance], **context: Any) -> dict[int, tuple[str, str]]:
    """Series Number -> (role, reason)."""
    summaries = summarise_series([one.header for group in groups for one in group])
    decisions = classify_series(summaries, RULES, **context)
    return {
        int(summary.header["SeriesNumber"]): (decision.role, decision.reason)
        for summary, decision in zip(summaries, decisions, strict=True)
    }


def only(found: Mapping[int, tuple[str, str]]) -> dict[int, str]:
    return {number: role for number, (role, _) in found.items()}


def test_a_plain_study() -> None:
    found = roles(series(1, T1W), series(2, T2W), series(3, CE_T1W))
    assert only(found) == {1: "T1w", 2: "T2w", 3: "CE-T1w"}


def test_a_sagittal_series_or_a_few_slices_are_no_candidates() -> None:
    sagittal = series(4, {**T1W, "ImageOrientationPatient": SAGITTAL, "ImagePositionPatient": [3.0, -128.0, 128.0]})
    found = roles(series(1, T1W), sagittal, series(5, T2W, n_slices=4), series(6, T2W))
    assert only(found) == {1: "T1w", 4: "other", 5: "other", 6: "T2w"}
    assert "4 slices" in found[5][1]


def test_an_oblique_axial_series_is_axial() -> None:
    tilted = [1.0, 0.0, 0.0, 0.0, 0.9, -0.43589]
    assert only(roles(series(1, {**T1W, "ImageOrientationPatient": tilted}))) == {1: "T1w"}


FAT_SUPPRESSED = {**T1W, "SeriesDescription": "t1_tse_tra_fs", "ScanOptions": ["FS"]}


def test_a_second_later_t1w_of_the_same_geometry_is_a_question_and_never_taken_for_after_contrast() -> None:
    late = {**FAT_SUPPRESSED, "AcquisitionTime": "103000"}
    found = roles(series(1, T1W), series(2, T2W), series(3, late))
    assert only(found) == {1: "T1w", 2: "T2w", 3: "ambiguous"}
    assert "acquired after 't1_tse_tra' (series 1)" in found[3][1]
    assert "assign CE-T1w" in found[3][1]
    earlier = {**late, "AcquisitionTime": "090000"}
    assert only(roles(series(1, T1W), series(3, earlier))) == {1: "ambiguous", 3: "T1w"}
    settled = roles(series(1, T1W), series(3, late), assigned={"CE-T1w": f"{STUDY}.3"})
    assert only(settled) == {1: "T1w", 3: "CE-T1w"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"AcquisitionTime": "93600"}, {"AcquisitionTime": "101500"}),
        ({"AcquisitionTime": "09:36:00"}, {"AcquisitionTime": "101500"}),
        ({"AcquisitionTime": "0936"}, {"AcquisitionTime": "93601.5"}),
        ({"AcquisitionTime": "235500", "AcquisitionDate": "20260501"},
         {"AcquisitionTime": "001000", "AcquisitionDate": "20260502"}),
        ({"AcquisitionTime": "235500"}, {"AcquisitionTime": "001000"}),  # the study began at 23:30
        ({"AcquisitionTime": "", "SeriesTime": "234000"}, {"AcquisitionDateTime": "20260502001000.00+0100"}),
    ],
)  # fmt: skip
def test_times_are_compared_as_times(first: dict[str, Any], second: dict[str, Any]) -> None:
    study = {"StudyDate": "20260501", "StudyTime": "233000" if "23" in str(first) else "93000"}
    for numbers in ((1, 3), (3, 1)):
        groups = (
            series(numbers[0], {**T1W, **first}, **study),
            series(numbers[1], {**FAT_SUPPRESSED, **second}, **study),
        )
        assert only(roles(*groups)) == {numbers[0]: "T1w", numbers[1]: "ambiguous"}


def test_series_of_unknown_time_are_in_no_order() -> None:
    unreadable = {**FAT_SUPPRESSED, "AcquisitionTime": "256199"}
    found = roles(series(1, T1W), series(3, unreadable))
    assert "CE-T1w" not in only(found).values()
    assert not any("acquired after" in reason for _, reason in found.values())


def test_an_agent_recorded_in_all_series_is_a_question_that_names_the_candidate() -> None:
    agent = {"ContrastBolusAgent": "Gadovist"}
    late = {**FAT_SUPPRESSED, **agent, "AcquisitionTime": "103000"}
    found = roles(series(1, {**T1W, **agent}), series(2, {**T2W, **agent}), series(3, late))
    assert only(found) == {1: "ambiguous", 2: "T2w", 3: "ambiguous"}
    assert "T1w to it if it was acquired before contrast" in found[1][1]
    assert "CE-T1w to it if it was acquired after contrast" in found[3][1]
    named = roles(series(1, {**T1W, **agent}), series(3, CE_T1W))
    assert only(named) == {1: "ambiguous", 3: "CE-T1w"}


def test_a_repeated_t1w_of_the_same_name_is_a_question() -> None:
    found = roles(series(1, T1W), series(3, {**T1W, "AcquisitionTime": "103000"}))
    assert only(found) == {1: "ambiguous", 3: "ambiguous"}
    assert "(series 1)" in found[1][1]
    assert "(series 3)" in found[1][1]


def test_two_equal_candidates_name_both_and_an_assignment_settles_it() -> None:
    twice = series(3, CE_T1W), series(4, {**CE_T1W, "AcquisitionTime": "103000"})
    found = roles(*twice)
    assert only(found) == {3: "ambiguous", 4: "ambiguous"}
    settled = roles(*twice, assigned={"CE-T1w": f"{STUDY}.4"})
    assert only(settled) == {3: "other", 4: "CE-T1w"}
    assert "administrator" in settled[4][1]


def test_the_contour_decides_before_the_number_of_slices() -> None:
    groups = series(3, CE_T1W, n_slices=12), series(4, CE_T1W, n_slices=40)
    assert only(roles(*groups)) == {3: "other", 4: "CE-T1w"}
    assert only(roles(*groups, referenced={f"{STUDY}.3"})) == {3: "CE-T1w", 4: "other"}
    beyond = [[-20.0, -20.0, 60.0], [20.0, 20.0, 90.0]]
    assert only(
        roles(series(3, CE_T1W, n_slices=40), series(4, CE_T1W, n_slices=41, step_mm=1.0), extent_mm=beyond)
    ) == {
        3: "CE-T1w",
        4: "other",
    }


def test_fat_suppression_is_preferred_after_contrast_only() -> None:
    plain = {**CE_T1W, "SeriesDescription": "t1_tse_tra +C", "ScanOptions": []}
    assert only(roles(series(3, CE_T1W), series(4, plain))) == {3: "CE-T1w", 4: "other"}
    fat_suppressed = {**T2W, "SeriesDescription": "t2_tse_tra_fs", "ScanOptions": ["FS"]}
    assert only(roles(series(3, T2W), series(4, fat_suppressed))) == {3: "ambiguous", 4: "ambiguous"}


def test_of_a_dixon_pair_the_usual_contrast_is_taken() -> None:
    pair = [series(n, {**T2W, "SeriesDescription": f"t2_tse_dixon_tra_{phase}"}) for n, phase in ((1, "in"), (2, "W"))]
    assert only(roles(*pair)) == {1: "T2w", 2: "other"}


def test_a_stir_is_no_question_beside_a_t2w() -> None:
    stir = {
        **T2W, "SeriesDescription": "t2_tirm_tra", "InversionTime": 160, "ScanningSequence": ["SE", "IR"],
    }  # fmt: skip
    assert only(roles(series(1, T2W), series(2, stir))) == {1: "T2w", 2: "other"}
    assert only(roles(series(2, stir))) == {2: "ambiguous"}


def test_echoes_that_share_no_position_are_a_question() -> None:
    first = series(1, {**T2W, "EchoTime": 70}, n_slices=10)
    second = [one for one in series(1, T2W) if one.header["InstanceNumber"] > 10]
    found = roles([*first, *second])
    assert only(found) == {1: "ambiguous"}
    assert "70, 90 ms" in found[1][1]


def test_another_body_part_is_left_out() -> None:
    assert only(roles(series(1, {**T1W, "BodyPartExamined": "KNEE"}))) == {1: "other"}
    assert only(roles(series(1, {**T1W, "BodyPartExamined": "HEADNECK"}))) == {1: "T1w"}


@pytest.mark.parametrize("time", ["103000", "256199", ""])
def test_two_t1w_without_an_order_of_time_are_a_question_that_names_both(time: str) -> None:
    found = roles(series(1, {**T1W, "AcquisitionTime": time}), series(2, T2W),
                  series(3, {**FAT_SUPPRESSED, "AcquisitionTime": time}))  # fmt: skip
    assert only(found) == {1: "ambiguous", 2: "T2w", 3: "ambiguous"}
    for number in (1, 3):
        assert "(series 1)" in found[number][1]
        assert "(series 3)" in found[number][1]
        assert "equal or without readable times" in found[number][1]
    settled = roles(series(1, {**T1W, "AcquisitionTime": time}), series(3, {**FAT_SUPPRESSED, "AcquisitionTime": time}),
                    assigned={"CE-T1w": f"{STUDY}.3", "T1w": f"{STUDY}.1"})  # fmt: skip
    assert only(settled) == {1: "T1w", 3: "CE-T1w"}
