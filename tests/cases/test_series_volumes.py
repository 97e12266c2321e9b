"""Several volumes in one series: what tells them apart, which is used, and what stays a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from config.decision_policy import DecisionPolicy
from config.indication.nasopharynx import NASOPHARYNX
from config.settings import Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.case_inputs import StoredInstance
from node.cases.series_volumes import volumes_of
from tests.cases.case_headers import CE_T1W, NOW, STUDY, T1W, T2W, case, series, structure_set

LATER = NOW + timedelta(hours=1)
POLICY = DecisionPolicy.of(NASOPHARYNX)
DIXON = {"SeriesDescription": "mDIXON_T1_TSE +C", "ScanOptions": []}


def several(number: int, physics: dict[str, Any], each: Sequence[dict[str, Any]], **more: Any) -> list[StoredInstance]:
    """One series of a volume for each of `each`, which has what differs; new instance numbers and UIDs."""
    images: list[StoredInstance] = []
    for change in each:
        for one in series(number, {**physics, **change}, **more):
            at = len(images) + 1
            uid = f"{STUDY}.{number}.{at}"
            header = {**one.header, "SOPInstanceUID": uid, "InstanceNumber": change.get("InstanceNumber", 0) or at}
            images.append(StoredInstance(uid, f"{number:032d}{at:032d}", one.received_at, header))
    return images


def names(images: Sequence[StoredInstance], pixels: dict[str, str] | None = None) -> dict[str, int]:
    """Name of each volume -> number of its instances."""
    digest_of = (lambda uid: pixels.get(uid, "")) if pixels is not None else None
    return {volume.name: len(volume.headers) for volume in volumes_of([one.header for one in images], digest_of)}


def assessed(*groups: Sequence[StoredInstance], **more: Any) -> Assessment:
    settings = more.pop("settings", Settings())
    return assess_inputs(case(images=[one for group in groups for one in group], **more), settings, POLICY, LATER)


def role_of(assessment: Assessment) -> dict[str, str]:
    """Number of the series and name of the volume -> role."""
    return {f"{one['series_number']}{one['volume'] and ':'}{one['volume']}": one["role"] for one in assessment.series}


def image_type(*values: str) -> dict[str, Any]:
    return {"ImageType": ["ORIGINAL", "PRIMARY", *values]}


FOUR = [image_type("W", "W", "DERIVED"), image_type("IP", "IP"), image_type("OP", "OP"), image_type("F", "F")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (FOUR, {"W-DERIVED": 20, "IP": 20, "OP": 20, "F": 20}),
        ([{"EchoTime": 2.461}, {"EchoTime": 4.92}], {"te-2.5": 20, "te-4.9": 20}),
        ([{"EchoNumbers": 1}, {"EchoNumbers": 2}], {"echo-1": 20, "echo-2": 20}),
        ([{"DiffusionBValue": 0}, {"DiffusionBValue": 1000}], {"b-0": 20, "b-1000": 20}),
        ([{"TemporalPositionIdentifier": n} for n in (1, 2, 3)], {"time-1": 20, "time-2": 20, "time-3": 20}),
        ([{"TriggerTime": 0}, {"TriggerTime": 12500.5}], {"trigger-0": 20, "trigger-12500.5": 20}),
        ([{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}], {"acquisition-1": 20, "acquisition-2": 20}),
        ([{"AcquisitionTime": "100000"}, {"AcquisitionTime": "101500"}],
         {"acquired-100000": 20, "acquired-101500": 20}),
        ([image_type("M", "FFE"), image_type("P", "FFE")], {"magnitude": 20, "phase": 20}),
        ([image_type("M_FFE"), image_type("R_FFE"), image_type("I_FFE")],
         {"magnitude": 20, "real": 20, "imaginary": 20}),
        ([{**image_type("M"), "EchoTime": 3}, {**image_type("M"), "EchoTime": 6}, {**image_type("P"), "EchoTime": 3},
          {**image_type("P"), "EchoTime": 6}],
         {"magnitude,te-3": 20, "magnitude,te-6": 20, "phase,te-3": 20, "phase,te-6": 20}),
        ([{}, {}], {"instances-1-20": 20, "instances-21-40": 20}),
    ],
)  # fmt: skip
def test_volumes_are_named_by_what_tells_them_apart(changes: list[dict[str, Any]], expected: dict[str, int]) -> None:
    assert names(several(1, T1W, changes)) == expected
    # In any order of arrival.
    assert names(several(1, T1W, changes)[::-1]) == expected


def test_a_time_of_every_slice_tells_volumes_apart_by_its_order() -> None:
    images = several(1, T1W, [{}, {}])
    # Each slice has a trigger time of its own, as in acquisitions slice by slice.
    timed = [
        replace(one, header={**one.header, "TriggerTime": (at // 20) * 30_000 + (at % 20) * 700})
        for at, one in enumerate(images)
    ]
    assert names(timed) == {"trigger-0": 20, "trigger-30000": 20}


@pytest.mark.parametrize(
    "varying",
    [
        [{"AcquisitionNumber": n} for n in (1, 2)],
        [{"EchoTime": 11}, {"EchoTime": 11.04}],
        [{"AcquisitionTime": f"1000{n:02d}"} for n in range(20)],
        [{"ImageType": ["ORIGINAL", "PRIMARY", "M"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}],
    ],
)
def test_a_series_whose_positions_do_not_repeat_is_one_volume(varying: list[dict[str, Any]]) -> None:
    images = [
        replace(one, header={**one.header, **varying[at % len(varying)]}) for at, one in enumerate(series(1, T1W))
    ]
    assert names(images) == {"": 20}


def test_stacks_of_another_plane_are_volumes_and_one_turned_slice_is_a_defect() -> None:
    sagittal = {"ImageOrientationPatient": [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]}
    turned = several(1, T1W, [{}, sagittal])
    for at, one in enumerate(turned[20:]):
        one.header["ImagePositionPatient"] = [3.0 * at, -128.0, 128.0]  # type: ignore[index]
    assert names(turned) == {"stack-1": 20, "stack-2": 20}
    assert role_of(assessed(turned, series(2, T2W), series(3, CE_T1W)))["1:stack-1"] == "T1w"
    assert names([*turned[:20], turned[20]]) == {"": 21}


# --- roles ---


def test_of_a_dixon_series_after_contrast_the_water_image_is_used_and_named() -> None:
    dixon = several(3, {**CE_T1W, **DIXON}, FOUR)
    found = assessed(series(1, T1W), series(2, T2W), dixon)
    assert found.state == "ready"
    assert role_of(found) == {
        "1": "T1w", "2": "T2w", "3:W-DERIVED": "CE-T1w", "3:IP": "other", "3:OP": "other", "3:F": "other",
    }  # fmt: skip
    assert found.request is not None
    used = found.request.series["CE-T1w"]
    assert [uid for uid, _ in used["instances"]] == sorted(one.sop_instance_uid for one in dixon[:20])
    assert used["volume"] == "W-DERIVED"
    assert "water" in used["reason"]
    (finding,) = [text for code, text in ((f["code"], f["text"]) for f in found.quality) if code == "volume_of_series"]
    assert "4 volumes" in finding
    assert "the water image" in finding


def test_of_a_dixon_series_before_contrast_the_in_phase_image_is_used() -> None:
    dixon = several(1, {**T1W, "SeriesDescription": "t1_tse_dixon_tra"}, FOUR)
    found = assessed(dixon, series(2, T2W), series(3, CE_T1W))
    assert found.state == "ready"
    assert role_of(found)["1:IP"] == "T1w"


def test_the_images_of_one_dixon_acquisition_are_not_two_series_with_an_agent() -> None:
    # Recorded but not named: in two series of their own it would tell nothing.
    dixon = several(3, {**CE_T1W, **DIXON, "SeriesDescription": "mDIXON_T1_TSE"}, FOUR)
    found = assessed(series(2, T2W), dixon)
    assert role_of(found)["3:W-DERIVED"] == "CE-T1w"
    assert [reason["code"] for reason in found.reasons] == ["missing_series"]


def test_a_series_of_one_volume_keeps_the_form_and_digest_of_its_inputs() -> None:
    found = assessed(series(1, T1W), series(2, T2W), series(3, CE_T1W))
    assert found.request is not None
    assert {key for used in found.request.series.values() for key in used} == {
        "series_instance_uid", "instances", "reason",
    }  # fmt: skip


def test_of_two_echoes_the_one_with_the_weighting_is_used() -> None:
    found = assessed(series(1, T1W), several(2, T2W, [{"EchoTime": 20}, {"EchoTime": 90}]), series(3, CE_T1W))
    assert found.state == "ready"
    assert role_of(found)["2:te-90"] == "T2w"


def test_phase_images_beside_magnitude_are_left_out_by_name() -> None:
    found = assessed(several(1, T1W, [image_type("M"), image_type("P")]), series(2, T2W), series(3, CE_T1W))
    assert found.state == "ready"
    assert role_of(found)["1:magnitude"] == "T1w"
    assert any("magnitude, phase" in finding["text"] for finding in found.quality)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ([{"TemporalPositionIdentifier": n, "NumberOfTemporalPositions": 5} for n in range(1, 6)], 5),
        ([{"AcquisitionNumber": n} for n in (1, 2)], 2),
        ([{"AcquisitionTime": "102000"}, {"AcquisitionTime": "102500"}], 2),
        ([{}, {}], 2),
    ],
)
def test_what_no_rule_may_choose_is_a_question_that_names_the_volumes_and_can_be_answered(
    changes: list[dict[str, Any]], number: int
) -> None:
    several_volumes = several(3, CE_T1W, changes)
    groups = series(1, T1W), series(2, T2W), several_volumes
    asked = assessed(*groups)
    assert asked.state == "held"
    assert [reason["code"] for reason in asked.reasons] == ["ambiguous_series"]
    keys = [one["key"] for one in asked.series if one["volume"]]
    assert len(keys) == number
    assert all(key in asked.reasons[0]["text"] for key in keys)
    for at, key in enumerate(keys):
        answered = assessed(*groups, assignments={"CE-T1w": key})
        assert answered.state == "ready"
        assert answered.request is not None
        used = {uid for uid, _ in answered.request.series["CE-T1w"]["instances"]}
        assert used == {one.sop_instance_uid for one in several_volumes[20 * at : 20 * at + 20]}


def test_an_assigned_series_of_several_volumes_is_chosen_among_by_the_rules() -> None:
    dixon = several(4, {**T1W, "SeriesDescription": "dixon"}, FOUR)
    found = assessed(series(1, T1W), series(2, T2W), dixon, assignments={"CE-T1w": f"{STUDY}.4"})
    assert role_of(found)["4:W-DERIVED"] == "CE-T1w"


def test_volumes_that_are_equally_good_are_named_both() -> None:
    norm = several(1, T1W, [image_type("M", "ND"), image_type("M", "NORM")])
    found = assessed(norm, series(2, T2W), series(3, CE_T1W))
    assert found.state == "held"
    assert "volume ND" in found.reasons[0]["text"]
    assert "volume NORM" in found.reasons[0]["text"]


def test_the_volume_that_the_contour_names_is_preferred() -> None:
    dixon = several(3, {**CE_T1W, **DIXON}, FOUR)
    drawn = structure_set(references=[f"{STUDY}.3"])
    drawn.header["ContourReferences"]["sop_instance_uids"] = [one.sop_instance_uid for one in dixon[20:30]]
    found = assessed(series(1, T1W), series(2, T2W), dixon, related=[drawn])
    assert role_of(found)["3:IP"] == "CE-T1w"


def test_a_series_of_many_volumes_without_a_role_is_explained_in_one_entry() -> None:
    functional = several(7, {**T2W, "SeriesDescription": "bold rest"},
                         [{"TemporalPositionIdentifier": n} for n in range(1, 41)], n_slices=9)  # fmt: skip
    found = assessed(series(1, T1W), series(2, T2W), series(3, CE_T1W), functional)
    assert found.state == "ready"
    assert len(found.series) == 4
    assert "The same for 39 more volumes" in found.series[-1]["reason"]


# --- repetitions ---


def same_pixels(images: Sequence[StoredInstance], n: int = 20) -> dict[str, str]:
    return {one.sop_instance_uid: f"pixels {at % n}" for at, one in enumerate(images)}


def test_identical_images_under_new_uids_are_used_once_with_a_finding() -> None:
    images = several(1, T1W, [{}, {}])
    pixels = same_pixels(images)
    found = assessed(images, series(2, T2W), series(3, CE_T1W), pixel_digest_of=lambda uid: pixels.get(uid, ""))
    assert found.state == "ready"
    assert found.request is not None
    used = [uid for uid, _ in found.request.series["T1w"]["instances"]]
    assert used == sorted(one.sop_instance_uid for one in images[:20])
    assert any("20 images of the T1w repeat others" in finding["text"] for finding in found.quality)


def test_a_repetition_that_arrives_later_does_not_change_the_inputs() -> None:
    first = series(1, T1W)
    before = assessed(first, series(2, T2W), series(3, CE_T1W))
    again = [
        replace(
            one,
            sop_instance_uid=f"0{one.sop_instance_uid}",
            received_at=LATER,
            header={**one.header, "SOPInstanceUID": f"0{one.sop_instance_uid}"},
        )
        for one in first
    ]
    pixels = same_pixels([*first, *again])
    after = assessed(again, first, series(2, T2W), series(3, CE_T1W), pixel_digest_of=lambda uid: pixels.get(uid, ""))
    assert before.request is not None
    assert after.request is not None
    assert after.request.digest() == before.request.digest()


def test_images_that_were_written_again_at_another_time_are_repetitions_all_the_same() -> None:
    images = several(1, T1W, [{"ContentTime": "100100"}, {"ContentTime": "153000"}])
    assert names(images, same_pixels(images)) == {"": 20}
    assert names(images, {}) == {"created-100100": 20, "created-153000": 20}


def test_pixels_are_compared_only_where_nothing_else_tells_images_apart() -> None:
    def read(uid: str) -> str:
        raise AssertionError(f"the pixels of {uid} were read")

    for change in (
        [{"EchoTime": 11}, {"EchoTime": 22}],
        [{"AcquisitionTime": "100000"}, {"AcquisitionTime": "101500"}],
    ):
        headers = [one.header for one in several(1, T1W, change)]
        assert len(volumes_of(headers, read)) == 2
    assert len(volumes_of([one.header for one in series(1, T1W)], read)) == 1


def test_one_repeated_slice_with_other_pixels_is_held() -> None:
    images = several(1, T1W, [{}, {}])[:21]
    found = assessed(images, series(2, T2W), series(3, CE_T1W), pixel_digest_of=lambda uid: uid)
    assert found.state == "held"
    assert "more than once" in found.reasons[0]["text"]


# --- counts ---


def test_images_in_acquisition_counts_all_volumes_of_a_series() -> None:
    dixon = several(3, {**CE_T1W, **DIXON, "ImagesInAcquisition": 80}, FOUR)
    assert assessed(series(1, T1W), series(2, T2W), dixon).state == "ready"
    fewer = [one for one in dixon if one.header["InstanceNumber"] not in (5, 25, 45, 65)]
    found = assessed(series(1, T1W), series(2, T2W), fewer)
    assert {reason["code"] for reason in found.reasons} == {"missing_slice"}


def test_a_slice_that_is_missing_in_another_volume_does_not_matter_where_the_distance_is_stated() -> None:
    stated = {"ImagesInAcquisition": 80, "SliceThickness": 3.0, "SpacingBetweenSlices": 3.0}
    dixon = several(3, {**CE_T1W, **DIXON, **stated}, FOUR)
    # The last image is of the fat image.
    assert assessed(series(1, T1W), series(2, T2W), dixon[:-1]).state == "ready"


def test_a_site_may_switch_the_count_of_images_off() -> None:
    more = series(2, {**T2W, "ImagesInAcquisition": 30})
    rules = Settings().case.series_rules.model_copy(update={"check_image_count": False})
    lenient = Settings().model_copy(update={"case": Settings().case.model_copy(update={"series_rules": rules})})
    assert assessed(series(1, T1W), more, series(3, CE_T1W)).state == "incomplete"
    assert assessed(series(1, T1W), more, series(3, CE_T1W), settings=lenient).state == "ready"


def test_volumes_that_are_shifted_by_less_than_rounding_share_their_places() -> None:
    images = several(1, T1W, [{"EchoTime": 11}, {"EchoTime": 22}])
    for one in images[20:]:
        x, y, z = one.header["ImagePositionPatient"]
        one.header["ImagePositionPatient"] = [x, y, z + 0.06]  # type: ignore[index]
    assert names(images) == {"te-11": 20, "te-22": 20}
