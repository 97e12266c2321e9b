"""The table of refusals in node/cases/README.md, row by row, through the running program.

Each row: what is sent, what a user sees, and that doing what the table says lets the case go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.dicom.small_pacs import SmallPacs
from node.dicom.store_scu import send_folder
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, running_program, wait_for
from tests.flow.test_main_job import route
from tests.flow.variants import CONTOUR, Variant, change, save, small_study, variant
from tests.peers import PROJECT
from workers.training.phantom_dicom import WrittenStudy

IMAGES = ("T1w", "T2w", "CE-T1w")
SETTINGS = ALLOW_DEMONSTRATION + '[case]\nstable_after_s = 1\n[eligibility]\nebv_unknown = "hold"\n'
DRIVEN: set[str] = set()  # codes that a test of this module has seen


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    return small_study(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, pacs: SmallPacs) -> Iterator[Program]:
    with running_program(tmp_path_factory.mktemp("program"), pacs.port, SETTINGS) as running:
        yield running


@pytest.fixture
def make(small: WrittenStudy, tmp_path: Path, program: Program) -> Callable[..., Variant]:
    """A variant of the small study; its patient has stage and EBV DNA unless the test says otherwise."""

    def made(
        patient_id: str, *edits: Any, facts: tuple[str, ...] = ("--ebv-dna", "500", "--stage", "T3N1M0")
    ) -> Variant:
        def edit(role: str, ds: Dataset) -> Dataset | None:
            for one in edits:
                if ds is not None:
                    ds = one(role, ds)
            return ds

        if facts:
            program.cptdn("clinical", "set", patient_id, *facts)
        return variant(small, tmp_path / patient_id, patient_id, edit)

    return made


def seen(program: Program, study_uid: str, state: str, code: str) -> str:
    """Wait for the state with this reason; returns its sentence. The human form says the same."""

    def found() -> dict[str, Any] | None:
        study = program.study(study_uid)
        codes = [reason["code"] for reason in study["reasons"]] if study else []
        return study if study and study["state"] == state and code in codes else None

    study = wait_for(found, 120, lambda: f"expected {state} with {code}, found {program.study(study_uid)}")
    DRIVEN.add(code)
    return str(next(reason["text"] for reason in study["reasons"] if reason["code"] == code))


def goes_on(program: Program, study_uid: str) -> None:
    """The case has all it needs: it is computed. What the coarse pictures are to the model is another matter."""
    program.wait_for_state(study_uid, "queued", "running", "reported", "refused", timeout_s=120)
    codes = {reason["code"] for reason in program.study(study_uid)["reasons"]}  # type: ignore[index]
    assert codes <= {"out_of_distribution"}


def test_missing_series(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-SERIES")
    route(study.without("T2w"), program)
    text = seen(program, study.study_instance_uid, "incomplete", "missing_series")
    assert "T2w" in text
    route(study.paths["T2w"], program)
    goes_on(program, study.study_instance_uid)


def test_ambiguous_series_is_settled_by_an_administrator(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-AMBIGUOUS", change(["T1w"], ContrastBolusAgent="Gadovist", SeriesDescription="t1 pre"))
    route(study.files, program)
    text = seen(program, study.study_instance_uid, "held", "ambiguous_series")
    assert "t1 pre" in text
    series = study.series("T1w")
    program.cptdn("studies", "assign", study.study_instance_uid, "--role", f"T1w={series}", "--by", "Dr A")
    goes_on(program, study.study_instance_uid)
    explained = program.json("studies", "explain", study.study_instance_uid)
    assert any("decided by Dr A" in line["text"] for line in explained["history"])


def test_missing_contour(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-CONTOUR")
    route(study.without(CONTOUR), program)
    seen(program, study.study_instance_uid, "incomplete", "missing_contour")
    route(study.paths[CONTOUR], program)
    goes_on(program, study.study_instance_uid)


def rois(rename: dict[str, str]) -> Any:
    def edit(role: str, ds: Dataset) -> Dataset:
        for item in ds.get("StructureSetROISequence") or ():
            item.ROIName = rename.get(item.ROIName, item.ROIName)
        for item in ds.get("RTROIObservationsSequence") or () if "GTVnd" in rename else ():
            item.RTROIInterpretedType = "GTV"
        return ds

    return edit


def test_no_matching_roi(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-ROI", rois({"GTVp": "tumour"}))
    route(study.files, program)
    text = seen(program, study.study_instance_uid, "held", "no_matching_roi")
    assert "'tumour'" in text
    assert "GTVp" in text  # what was expected


def test_ambiguous_roi(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-ROIS", rois({"GTVnd": "GTVnx"}))
    route(study.files, program)
    text = seen(program, study.study_instance_uid, "held", "ambiguous_roi")
    assert "'GTVp'" in text
    assert "'GTVnx'" in text


def in_frame(uid: str) -> Any:
    def edit(role: str, ds: Dataset) -> Dataset:
        if role == CONTOUR:
            for item in ds.StructureSetROISequence:
                item.ReferencedFrameOfReferenceUID = uid
            for item in ds.get("ReferencedFrameOfReferenceSequence") or ():
                item.FrameOfReferenceUID = uid
            ds.FrameOfReferenceUID = uid
        return ds

    return edit


def test_frame_of_reference_mismatch(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-FRAME", in_frame("1.2.826.0.1.3680043.8.498.77"))
    route(study.files, program)
    seen(program, study.study_instance_uid, "held", "frame_of_reference_mismatch")


def test_contour_not_covered(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-COVER")
    contoured = dcmread(study.paths[CONTOUR][0])
    number = next(i.ROINumber for i in contoured.StructureSetROISequence if i.ROIName == "GTVp")
    drawn = next(i for i in contoured.ROIContourSequence if i.ReferencedROINumber == number)
    heights = [float(c.ContourData[2]) for c in drawn.ContourSequence]
    slices = study.paths["T2w"]
    kept = [p for p in slices if float(dcmread(p).ImagePositionPatient[2]) < max(heights) - 6.0]
    assert 8 <= len(kept) < len(slices)
    route([*study.without("T2w"), *kept], program)
    seen(program, study.study_instance_uid, "held", "contour_not_covered")
    route(slices, program)
    goes_on(program, study.study_instance_uid)


def test_identity_mismatch_of_the_contour(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-IDENTITY", change([CONTOUR], PatientID="SOMEBODY-ELSE"))
    route(study.files, program)
    text = seen(program, study.study_instance_uid, "held", "identity_mismatch")
    assert "Patient ID" in text


def test_identity_mismatch_among_the_images_of_a_merged_patient(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-MERGED", change(["CE-T1w"], PatientBirthDate="19711111"))
    route(study.files, program)
    text = seen(program, study.study_instance_uid, "held", "identity_mismatch")
    assert "birth date" in text
    assert "19711111" not in text


def test_missing_slice(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-SLICE")
    gap = study.paths["T1w"][5]
    route([path for path in study.files if path != gap], program)
    text = seen(program, study.study_instance_uid, "incomplete", "missing_slice")
    assert "1 slice is missing between" in text
    route([gap], program)
    goes_on(program, study.study_instance_uid)


def test_inconsistent_geometry(program: Program, make: Callable[..., Variant]) -> None:
    def turn_one(role: str, ds: Dataset) -> Dataset:
        if role == "T1w" and ds.InstanceNumber == 3:
            ds.ImageOrientationPatient = [1, 0, 0, 0, 0.8, 0.6]
        return ds

    study = make("R-GEOMETRY", turn_one)
    route(study.files, program)
    text = seen(program, study.study_instance_uid, "held", "inconsistent_geometry")
    assert "1 of 12 instances lie in another plane" in text


def test_conflicting_instance(program: Program, make: Callable[..., Variant], tmp_path: Path) -> None:
    study = make("R-CONFLICT")
    ds = dcmread(study.paths["T1w"][0])
    ds.PixelData = bytes(len(ds.PixelData))
    other = save(ds, tmp_path / "other.dcm")
    route(study.files, program)
    (outcome,) = send_folder([other], "127.0.0.1", program.port, "PACS", "CPTDN")
    assert outcome.status == 0xC001
    text = seen(program, study.study_instance_uid, "held", "conflicting_instance")
    assert str(ds.SOPInstanceUID) in text
    dismissed(program, study.study_instance_uid)
    program.wait_for_state(study.study_instance_uid, "reported", "queued", "running", "refused")


def dismissed(program: Program, study_uid: str) -> None:
    """An administrator decides that the file kept aside does not matter."""
    (entry,) = [one for one in program.json("quarantine", "list") if one["study_instance_uid"] == study_uid]
    program.cptdn("quarantine", "dismiss", str(entry["number"]), "--because", "the first one is right")


def test_unreadable_instance_until_it_is_sent_again(
    program: Program, make: Callable[..., Variant], tmp_path: Path
) -> None:
    study = make("R-UNREADABLE")
    whole = study.paths["T1w"][0]
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole.read_bytes()[:-1000])
    route([path for path in study.files if path != whole], program)
    (outcome,) = send_folder([cut], "127.0.0.1", program.port, "PACS", "CPTDN")
    assert outcome.status == 0xC000
    text = seen(program, study.study_instance_uid, "held", "unreadable_instance")
    assert "cut off" in text
    route([whole], program)
    goes_on(program, study.study_instance_uid)


def test_administrator_hold(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-HOLD")
    route(study.without("T2w"), program)
    seen(program, study.study_instance_uid, "incomplete", "missing_series")
    program.cptdn("studies", "hold", study.study_instance_uid, "--because", "contour under review")
    route(study.paths["T2w"], program)
    text = seen(program, study.study_instance_uid, "held", "administrator_hold")
    assert "contour under review" in text
    program.cptdn("studies", "release", study.study_instance_uid)
    goes_on(program, study.study_instance_uid)


@pytest.mark.parametrize(
    ("patient_id", "facts", "state", "code", "words"),
    [
        ("R-NOSTAGE", ("--ebv-dna", "500"), "held", "stage_unknown", "The stage is not known"),
        ("R-EDITION", ("--ebv-dna", "500", "--stage", "T3N1M0", "--ajcc", "7"), "held", "stage_unknown", "edition 7"),
        ("R-STAGE", ("--ebv-dna", "500", "--stage", "T4N1M0"), "refused", "stage_not_eligible", "T4N1M0"),
        ("R-NOEBV", ("--stage", "T3N1M0"), "held", "ebv_dna_unknown", "not known"),
        ("R-EBV", ("--stage", "T3N1M0", "--ebv-dna", "<5000"), "held", "ebv_dna_unusable", "5000"),
        ("R-OLD", ("--stage", "T3N1M0", "--ebv-dna", "500", "--treatment-start", "2026-04-20"), "refused",
         "mr_too_old", "42 days older"),
        ("R-PRIOR", ("--stage", "T3N1M0", "--ebv-dna", "500", "--treatment-start", "2026-03-01"), "refused",
         "prior_treatment", "after the treatment began"),
        ("R-YSTAGE", ("--stage", "yT3N1M0", "--ebv-dna", "500"), "refused", "prior_treatment", "after treatment"),
    ],
)  # fmt: skip
def test_facts_that_stand_against_it(
    program: Program, make: Callable[..., Variant], patient_id: str, facts: tuple[str, ...], state: str, code: str,
    words: str,
) -> None:  # fmt: skip
    study = make(patient_id, facts=facts)
    route(study.files, program)
    assert words in seen(program, study.study_instance_uid, state, code)
    if state == "held":
        program.cptdn("clinical", "set", patient_id, "--stage", "T3N1M0", "--ajcc", "8", "--ebv-dna", "500")
        goes_on(program, study.study_instance_uid)


def test_age_unknown(program: Program, make: Callable[..., Variant]) -> None:
    study = make("R-AGE", change([*IMAGES, CONTOUR], PatientBirthDate="", PatientAge=""))
    route(study.files, program)
    seen(program, study.study_instance_uid, "held", "age_unknown")
    program.cptdn("clinical", "set", "R-AGE", "--birth-date", "1980-02-03")
    goes_on(program, study.study_instance_uid)


def test_out_of_distribution(program: Program, make: Callable[..., Variant]) -> None:
    """Pictures whose grey values are turned upside down are unlike anything that the model was trained on."""

    def inverted(role: str, ds: Dataset) -> Dataset:
        if role in IMAGES:
            pixels = np.frombuffer(ds.PixelData, dtype="<u2")
            ds.PixelData = (pixels.max() - pixels).astype("<u2").tobytes()
        return ds

    study = make("R-STRANGE", inverted)
    route(study.files, program)
    seen(program, study.study_instance_uid, "refused", "out_of_distribution")


def test_model_not_permitted(pacs: SmallPacs, small: WrittenStudy, tmp_path: Path) -> None:
    with running_program(tmp_path / "program", pacs.port, "[case]\nstable_after_s = 1\n") as program:
        study = variant(small, tmp_path / "study", "R-MODEL")
        program.cptdn("clinical", "set", "R-MODEL", "--ebv-dna", "500", "--stage", "T3N1M0")
        route(study.files, program)
        text = seen(program, study.study_instance_uid, "refused", "model_not_permitted")
        assert "allow_demonstration" in text


def test_every_row_of_the_table_was_driven() -> None:
    table = (PROJECT / "node" / "cases" / "README.md").read_text(encoding="utf-8").partition("## Refusals")[2]
    codes = set(re.findall(r"^\| ([a-z_]+) \|", table, re.MULTILINE)) - {"code"}
    assert len(codes) >= 22
    assert codes - DRIVEN == set()
