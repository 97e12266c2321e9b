"""The assessment of a case: states, reasons, and the frozen inputs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from config.decision_policy import active_policy
from config.settings import Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.case_inputs import CaseInputs, ComputeRequest, QuarantinedFile, StoredInstance
from node.cases.clinical_facts import DateFact, EbvResult, PriorTreatment, Provenance
from node.cases.contour_choice import OWN_MODEL_NAME
from tests.cases.case_headers import (
    BY_HAND,
    CE_T1W,
    FRAME,
    NOW,
    STUDY,
    T1W,
    T2W,
    case,
    facts,
    roi,
    series,
    structure_set,
    whole_study,
)

LATER = NOW + timedelta(minutes=5)
SETTINGS = Settings()


def assessed(inputs: CaseInputs, *, now: datetime = LATER, open_associations: int = 0, **changed: Any) -> Assessment:
    settings = SETTINGS.model_copy(
        update={room: getattr(SETTINGS, room).model_copy(update=values) for room, values in changed.items()}
    )
    return assess_inputs(inputs, settings, active_policy(settings), now, open_associations)


def codes(assessment: Assessment) -> tuple[str, list[str]]:
    return assessment.state, [reason["code"] for reason in assessment.reasons]


def text_of(assessment: Assessment, code: str) -> str:
    return next(reason["text"] for reason in assessment.reasons if reason["code"] == code)


def test_a_whole_case_is_ready_with_its_inputs_frozen() -> None:
    assessment = assessed(case())
    assert codes(assessment) == ("ready", [])
    request = assessment.request
    assert request is not None
    assert {role: series["series_instance_uid"] for role, series in request.series.items()} == {
        "T1w": f"{STUDY}.1",
        "T2w": f"{STUDY}.2",
        "CE-T1w": f"{STUDY}.3",
    }
    assert len(request.series["T1w"]["instances"]) == 20
    assert (request.contour["roi_number"], request.contour["roi_name"]) == (4, "GTVp")
    assert request.age_years == 45
    assert (request.ebv["category"], request.ebv["copies_per_ml"]) == (">threshold", 12000.0)
    assert request.stage["verified"] is True
    read_back = ComputeRequest.from_json(json.loads(json.dumps(request.to_json())))
    assert read_back.to_json() == json.loads(json.dumps(request.to_json()))
    assert read_back.digest() == request.digest()


def test_the_digest_follows_what_influences_the_result_and_nothing_else() -> None:
    first = assessed(case()).request
    assert first is not None
    other_source = replace(facts(), ebv_dna=(EbvResult("12000", Provenance("laboratory", "someone else")),))
    same = [
        case(images=list(reversed(whole_study()))),
        case(facts=other_source),
        case(images=[*whole_study(), *series(9, {"SeriesDescription": "localizer"}, n_slices=3)]),
    ]
    different = [
        case(facts=facts(ebv_dna="13000")),
        case(related=[structure_set(uid="1.2.826.0.1.7.2")]),
        case(images=[replace(whole_study()[0], digest="f" * 64), *whole_study()[1:]]),
    ]
    for inputs in same:
        request = assessed(inputs).request
        assert request is not None
        assert request.digest() == first.digest()
    for inputs in different:
        request = assessed(inputs).request
        assert request is not None
        assert request.digest() != first.digest()
    raised = assessed(case(), decision={"threshold": 0.02}).request
    assert raised is not None
    assert raised.digest() != first.digest()


def test_receiving_while_an_association_is_open_or_the_content_may_still_come() -> None:
    assert assessed(case(), open_associations=1).state == "receiving"
    half = case(images=series(1, T1W))
    early = assessed(half, now=NOW + timedelta(seconds=10))
    assert early.state == "receiving"
    assert early.reassess_at == NOW + timedelta(seconds=60)
    late = assessed(half)
    assert late.state == "incomplete"
    assert codes(late)[1] == ["missing_series", "missing_series"]
    assert "T2w" in text_of(late, "missing_series")


def test_what_is_missing_is_named() -> None:
    assert codes(assessed(case(related=[]))) == ("incomplete", ["missing_contour"])
    gap = assessed(case(images=[*series(1, T1W, skip=(7,)), *series(2, T2W), *series(3, CE_T1W)]))
    assert codes(gap) == ("incomplete", ["missing_slice"])
    assert "between 18.0 and 24.0 mm" in text_of(gap, "missing_slice")


def test_slices_that_are_there_twice_or_turned_are_refused() -> None:
    copies = [replace(image, sop_instance_uid=f"{image.sop_instance_uid}.9") for image in series(1, T1W)]
    twice = assessed(case(images=[*whole_study(), *copies]))
    assert codes(twice) == ("held", ["inconsistent_geometry"])
    turned = series(1, T1W)
    turned[3] = replace(turned[3], header={**turned[3].header, "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]})
    assessment = assessed(case(images=[*turned, *series(2, T2W), *series(3, CE_T1W)]))
    assert "in another plane" in text_of(assessment, "inconsistent_geometry")


def test_the_contour_must_be_in_the_frame_of_the_images() -> None:
    elsewhere = structure_set(frame="9.9", references=[f"{STUDY}.3"])
    assert codes(assessed(case(related=[elsewhere]))) == ("held", ["frame_of_reference_mismatch"])
    planning_ct = structure_set(frame="9.9")
    assessment = assessed(case(related=[planning_ct]))
    assert codes(assessment) == ("incomplete", ["missing_contour"])
    assert "another frame of reference" in text_of(assessment, "missing_contour")


def registration(kind: str = "RIGID") -> StoredInstance:
    header = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.1", "Modality": "REG", "PatientID": "P1",
        "StudyInstanceUID": "1.2.826.0.1.7", "FrameOfReferenceUID": FRAME,
        "RegisteredFrames": [
            {"frame_of_reference_uid": FRAME, "matrix_types": ["RIGID"]},
            {"frame_of_reference_uid": "9.9", "matrix_types": [kind]},
        ],
    }  # fmt: skip
    return StoredInstance("1.2.826.0.1.8", "8" * 64, NOW, header)


def test_a_rigid_registration_joins_frames_and_is_part_of_the_inputs() -> None:
    assessment = assessed(case(related=[structure_set(frame="9.9"), registration()]))
    assert assessment.state == "ready"
    assert assessment.request is not None
    assert assessment.request.registrations["T1w"] == {
        "sop_instance_uid": "1.2.826.0.1.8",
        "digest": "8" * 64,
        "from_frame_of_reference_uid": "9.9",
        "to_frame_of_reference_uid": FRAME,
    }
    assert "contour_registered" in [warning["code"] for warning in assessment.request.warnings]
    affine = assessed(case(related=[structure_set(frame="9.9"), registration("AFFINE")]))
    assert affine.state == "incomplete"


def test_a_contour_that_leaves_the_slices_is_held() -> None:
    high = roi(4, "GTVp", extent_mm=[[-20.0, -20.0, 40.0], [20.0, 20.0, 90.0]])
    assert codes(assessed(case(related=[structure_set([high])])))[1] == ["contour_not_covered"] * 3


def test_roi_questions_hold_the_case() -> None:
    two = structure_set([roi(1, "GTVp"), roi(2, "GTVnx")])
    assert codes(assessed(case(related=[two]))) == ("held", ["ambiguous_roi"])
    none = structure_set([roi(1, "PTV"), roi(2, "Larynx")])
    assessment = assessed(case(related=[none]))
    assert codes(assessment) == ("held", ["no_matching_roi"])
    assert "'Larynx'" in text_of(assessment, "no_matching_roi")


def test_the_newest_approved_structure_set_counts() -> None:
    old = structure_set(uid="1.1", StructureSetDate="20260501")
    new = structure_set(uid="1.2", StructureSetDate="20260505")
    draft = structure_set(uid="1.3", StructureSetDate="20260509", ApprovalStatus="UNAPPROVED")
    rejected = structure_set(uid="1.4", StructureSetDate="20260509", ApprovalStatus="REJECTED")
    organs = structure_set([roi(1, "Larynx")], uid="1.5", StructureSetDate="20260510")
    assessment = assessed(case(related=[new, rejected, draft, old, organs]))
    assert assessment.contour["sop_instance_uid"] == "1.2"
    assert assessed(case(related=[old, draft])).contour["sop_instance_uid"] == "1.1"
    unclear = structure_set([roi(1, "GTVp"), roi(2, "GTVnx")], uid="1.6", StructureSetDate="20260510")
    assert codes(assessed(case(related=[new, unclear]))) == ("held", ["ambiguous_roi"])


def test_one_structure_set_per_sequence() -> None:
    own = [structure_set(uid=f"1.{n}", references=[f"{STUDY}.{n}"]) for n in (1, 2, 3)]
    request = assessed(case(related=own)).request
    assert request is not None
    assert {role: contour["sop_instance_uid"] for role, contour in request.contours.items()} == {
        "T1w": "1.1",
        "T2w": "1.2",
        "CE-T1w": "1.3",
    }
    corrected = structure_set(uid="1.9", references=[f"{STUDY}.1", f"{STUDY}.2", f"{STUDY}.3"],
                              StructureSetDate="20260509")  # fmt: skip
    request = assessed(case(related=[*own[:1], corrected])).request
    assert request is not None
    assert {contour["sop_instance_uid"] for contour in request.contours.values()} == {"1.9"}


def test_the_structure_set_may_be_in_the_same_study_and_without_a_frame() -> None:
    inside = structure_set(study=STUDY, frame="", references=[f"{STUDY}.{n}" for n in (1, 2, 3)])
    assert assessed(case(images=[*whole_study(), inside], related=[])).state == "ready"


def test_a_segmentation_is_a_second_source() -> None:
    seg = structure_set([roi(1, "GTVp", geometric_types=["SEGMENT"], extent_mm=None)], uid="1.8",
                        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")  # fmt: skip
    alone = assessed(case(related=[seg])).request
    assert alone is not None
    assert alone.contour["kind"] == "SEG"
    both = assessed(case(related=[seg, structure_set()])).request
    assert both is not None
    assert both.contour["kind"] == "RTSTRUCT"


def test_a_segmentation_of_our_own_that_comes_back_is_no_source() -> None:
    own = structure_set([roi(1, "GTVp")], uid="1.8", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG",
                        ManufacturerModelName=OWN_MODEL_NAME)  # fmt: skip
    assert codes(assessed(case(related=[own]))) == ("incomplete", ["missing_contour"])


def test_identities_must_agree() -> None:
    foreign = structure_set(PatientID="P2")
    assert codes(assessed(case(related=[foreign]))) == ("held", ["identity_mismatch"])
    born_otherwise = structure_set(PatientBirthDate="19810101")
    assert codes(assessed(case(related=[born_otherwise]))) == ("held", ["identity_mismatch"])
    merged = [*whole_study()[:-1], replace(whole_study()[-1], header={**whole_study()[-1].header, "PatientID": "P9"})]
    assert "identity_mismatch" in codes(assessed(case(images=merged)))[1]


def test_quarantined_files_hold_the_case() -> None:
    conflict = QuarantinedFile("conflicting_instance", "The same UID came with other bytes.", f"{STUDY}.1.1")
    assert codes(assessed(case(quarantined=(conflict,)))) == ("held", ["conflicting_instance"])
    broken = QuarantinedFile("unreadable_instance", "The file is cut short.", f"{STUDY}.1.99")
    assert codes(assessed(case(quarantined=(broken,)))) == ("held", ["unreadable_instance"])
    came_later = QuarantinedFile("unreadable_instance", "The file is cut short.", f"{STUDY}.1.1")
    assert assessed(case(quarantined=(came_later,))).state == "ready"


def test_unreadable_files_are_one_reason_that_names_the_first() -> None:
    files = tuple(QuarantinedFile("unreadable_instance", f"Damage {n}.", f"{STUDY}.1.9{n}") for n in range(3))
    [reason] = assessed(case(quarantined=files)).reasons
    assert "3 objects of this study cannot be read" in reason["text"]
    assert f"{STUDY}.1.90" in reason["text"]
    assert "Damage 0;" in reason["text"]


def test_a_file_that_may_belong_to_another_study_is_named_only_where_something_is_missing() -> None:
    file = QuarantinedFile("unreadable_instance", "No data set.", "1.2.99", is_of_study=False)
    assert assessed(case(quarantined=(file,))).state == "ready"
    images = [image for image in whole_study() if image.header["SeriesInstanceUID"] != f"{STUDY}.2"]
    state, found = codes(assessed(case(images=images, quarantined=(file,))))
    assert state == "incomplete"
    assert found == ["missing_series", "unreadable_instance"]


def test_an_administrator_may_hold_and_assign() -> None:
    assert codes(assessed(case(hold="waiting for the tumour board"))) == ("held", ["administrator_hold"])
    twice = [*whole_study(), *series(4, CE_T1W)]
    assert codes(assessed(case(images=twice))) == ("held", ["ambiguous_series"])
    assigned = assessed(case(images=twice, assignments={"CE-T1w": f"{STUDY}.4"}))
    assert assigned.state == "ready"
    assert assigned.request is not None
    assert "administrator" in assigned.request.series["CE-T1w"]["reason"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"stage": None}, ("held", ["stage_unknown"])),
        ({"stage": "T3N1"}, ("held", ["stage_unknown"])),
        ({"edition": "7"}, ("held", ["stage_unknown"])),
        ({"edition": None}, ("held", ["stage_unknown"])),
        ({"stage": "T2N1M0"}, ("refused", ["stage_not_eligible"])),
        ({"stage": "T3N1M1"}, ("refused", ["stage_not_eligible"])),
        ({"stage": "T4"}, ("refused", ["stage_not_eligible"])),
        # Named and not used: a restaging without a day says nothing about the time before this MR.
        ({"stage": "ycT3N1M0"}, ("held", ["stage_unknown"])),
        ({"ebv_dna": None}, ("ready", [])),
        ({"ebv_dna": ">400"}, ("held", ["ebv_dna_unusable"])),
        ({"ebv_dna": "<400"}, ("ready", [])),
    ],
)
def test_stage_and_laboratory(changed: dict[str, Any], expected: tuple[str, list[str]]) -> None:
    assert codes(assessed(case(facts=facts(**changed)))) == expected


def test_settings_decide_about_the_unknown() -> None:
    no_stage = assessed(case(facts=facts(stage=None)), eligibility={"stage_unknown": "report_unverified"})
    assert no_stage.request is not None
    assert no_stage.request.stage["verified"] is False
    assert "stage_unknown" in [warning["code"] for warning in no_stage.request.warnings]
    no_ebv = assessed(case(facts=facts(ebv_dna=None)), eligibility={"ebv_unknown": "hold"})
    assert codes(no_ebv) == ("held", ["ebv_dna_unknown"])
    both = assessed(case(facts=facts(ebv_dna=None))).request
    assert both is not None
    assert both.ebv["category"] == "unknown"


def test_the_age_of_the_mr() -> None:
    def start(day: date) -> Assessment:
        return assessed(case(facts=replace(facts(), treatment_start=DateFact(day, BY_HAND))))

    assert start(date(2026, 5, 15)).state == "ready"
    assert codes(start(date(2026, 5, 16))) == ("refused", ["mr_too_old"])
    assert codes(start(date(2026, 4, 30))) == ("refused", ["prior_treatment"])
    treated = replace(facts(), prior_treatment=PriorTreatment(True, BY_HAND, "chemotherapy"))
    assert codes(assessed(case(facts=treated))) == ("refused", ["prior_treatment"])


def test_the_age_of_the_patient() -> None:
    def aged(**header: Any) -> Assessment:
        images = [replace(image, header={**image.header, **header}) for image in whole_study()]
        return assessed(case(images=images))

    for header, years in (
        ({"PatientBirthDate": "19800501"}, 46),
        ({"PatientBirthDate": "19800502"}, 45),
        ({"PatientBirthDate": "", "PatientAge": "062Y"}, 62),
        ({"PatientBirthDate": "", "PatientAge": "018M"}, 1),
        ({"PatientBirthDate": "19800231", "PatientAge": "033Y"}, 33),
    ):
        assessment = aged(**header)
        assert assessment.clinical["age_years"] == years
    assert codes(aged(PatientBirthDate="", PatientAge=""))[1] == ["age_unknown"]
    for header in (
        {"PatientBirthDate": "", "PatientAge": "000Y"},
        {"PatientBirthDate": "", "PatientAge": "999Y"},
        {"PatientBirthDate": "", "PatientAge": "111Y"},
        {"PatientBirthDate": "19100101", "PatientAge": ""},
        {"PatientBirthDate": "19100101", "PatientAge": "046Y"},
        {"PatientBirthDate": "20300101", "PatientAge": ""},
        {"PatientBirthDate": "00/00/0000", "PatientAge": ""},
    ):
        assert (aged(**header).state, "age_unknown" in codes(aged(**header))[1]) == ("held", True)
    assert aged(PatientBirthDate="00/00/0000", PatientAge="046Y").clinical["age_years"] == 46
    oldest = aged(PatientBirthDate="19160501", PatientAge="110Y")
    assert (oldest.clinical["age_years"], "age_unknown" in codes(oldest)[1]) == (110, False)


@pytest.mark.parametrize(
    ("age", "warns"),
    [("046Y", False), ("047Y", False), ("048Y", True), ("044Y", True), ("000Y", True)],
)
def test_a_patient_age_that_contradicts_the_birth_date_is_a_warning(age: str, warns: bool) -> None:
    header = {"PatientBirthDate": "19800501", "PatientAge": age}
    assessment = assessed(case(images=[replace(image, header={**image.header, **header}) for image in whole_study()]))
    assert assessment.clinical["age_years"] == 46
    assert ("patient_age_differs" in [warning["code"] for warning in assessment.quality]) is warns


def drawn(*results: tuple[str, date | None], start: date = date(2026, 5, 11)) -> Assessment:
    """EBV DNA results of several days; the MR is of 2026-05-01."""
    values = tuple(EbvResult(text, Provenance("lab", None, day)) for text, day in results)
    return assessed(case(facts=replace(facts(), ebv_dna=values, treatment_start=DateFact(start, BY_HAND))))


def test_the_last_draw_before_treatment_counts() -> None:
    two = drawn(("9000", date(2026, 4, 20)), ("100", date(2026, 5, 5)))
    assert two.clinical["ebv_dna"]["copies_per_ml"] == 100
    after = drawn(("9000", date(2026, 4, 20)), ("100", date(2026, 6, 5)))
    assert after.clinical["ebv_dna"]["copies_per_ml"] == 9000
    close = drawn(("4100", date(2026, 5, 5)))
    assert "ebv_dna_near_threshold" in [warning["code"] for warning in close.quality]


def test_a_draw_on_the_day_on_which_treatment_starts_counts_and_one_of_the_next_day_does_not() -> None:
    """Only days are known, and blood is drawn before the first infusion or fraction of that day."""
    start = date(2026, 5, 11)
    on_the_day = drawn(("9000", date(2026, 4, 20)), ("100", start), start=start)
    assert on_the_day.clinical["ebv_dna"]["copies_per_ml"] == 100
    assert on_the_day.state == "ready"
    next_day = drawn(("9000", date(2026, 4, 20)), ("100", date(2026, 5, 12)), start=start)
    assert next_day.clinical["ebv_dna"]["copies_per_ml"] == 9000
    only_after = drawn(("100", date(2026, 5, 12)), start=start)
    assert codes(only_after) == ("held", ["ebv_dna_unusable"])
    assert "drawn on 2026-05-12, after the treatment began on 2026-05-11" in text_of(only_after, "ebv_dna_unusable")


def test_a_draw_counts_for_as_many_days_before_the_mr_as_the_site_says() -> None:
    days = timedelta(days=SETTINGS.clinical.ebv_window_days)
    assert drawn(("9000", date(2026, 5, 1) - days)).clinical["ebv_dna"]["copies_per_ml"] == 9000
    old = drawn(("9000", date(2026, 5, 1) - days - timedelta(days=1)))
    assert codes(old) == ("held", ["ebv_dna_unusable"])


def test_explanations_are_sentences_in_json() -> None:
    assessment = assessed(case(images=[*whole_study(), *series(9, {"SeriesDescription": "localizer"}, n_slices=3)]))
    document = json.loads(json.dumps(assessment.explain_json()))
    assert {series["role"] for series in document["series"]} == {"T1w", "T2w", "CE-T1w", "other"}
    assert all(series["reason"].endswith(".") for series in document["series"])
    assert all(text.endswith(".") for text in document["eligibility"].values())
    assert set(document) == {"series", "contour", "clinical", "eligibility", "quality", "conditions"}


def test_no_images_at_all_is_incomplete() -> None:
    assessment = assessed(case(images=[], related=[]))
    assert assessment.state == "incomplete"
    assert "missing_series" in codes(assessment)[1]


def test_cost_grows_linearly_with_instances() -> None:
    """Counted in calls of functions: time is a matter of the machine."""

    def calls(n_slices: int) -> int:
        inputs = case(images=[*series(1, T1W, n_slices), *series(2, T2W, n_slices), *series(3, CE_T1W, n_slices)])
        n_calls = 0

        def count(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal n_calls
            n_calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            assessed(inputs)
        finally:
            sys.setprofile(None)
        return n_calls

    assert calls(1000) < 12 * calls(100)


def test_a_newer_structure_set_that_is_not_approved_is_named() -> None:
    older = structure_set(uid="1.2.826.0.1.7.1", StructureSetDate="20260502", StructureSetLabel="first")
    newer = structure_set(
        uid="1.2.826.0.1.7.2", StructureSetDate="20260504", StructureSetLabel="corrected", ApprovalStatus="UNAPPROVED"
    )
    found = assessed(case(related=[older, newer]))
    assert found.state == "ready"
    assert found.contour["label"] == "RTSTRUCT 'first'"
    (finding,) = [finding["text"] for finding in found.quality if finding["code"] == "newer_contour"]
    assert "'first' of 2026-05-02 is used" in finding
    assert "'corrected' of 2026-05-04 is newer and not approved" in finding
    assert found.request is not None
    assert any(warning["code"] == "newer_contour" for warning in found.request.warnings)
    for other in (
        structure_set(uid="1.2.826.0.1.7.2", StructureSetDate="20260501", ApprovalStatus="UNAPPROVED"),
        structure_set(uid="1.2.826.0.1.7.2", StructureSetDate="20260504", ApprovalStatus="REJECTED"),
        structure_set([roi(1, "Brainstem")], uid="1.2.826.0.1.7.2", StructureSetDate="20260504", ApprovalStatus=""),
    ):
        assert not [f for f in assessed(case(related=[older, other])).quality if f["code"] == "newer_contour"]
