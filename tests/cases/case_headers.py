"""Hand-made headers of a plausible study: what `header_of` would give for three axial series and a structure set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from node.cases.case_inputs import CaseInputs, StoredInstance
from node.cases.clinical_facts import (
    ClinicalFacts,
    DateFact,
    DiagnosisFact,
    EbvResult,
    Provenance,
    StageFact,
    parse_stage,
)
from node.cases.diagnosis import read_diagnosis

STUDY = "1.2.826.0.1.1"
FRAME = "1.2.826.0.1.99"
NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
BY_HAND = Provenance("test", "a tester")

T1W = {
    "SeriesDescription": "t1_tse_tra", "ScanningSequence": ["SE"], "RepetitionTime": 600, "EchoTime": 11,
    "EchoTrainLength": 3, "FlipAngle": 150, "ContrastBolusAgent": "", "AcquisitionTime": "100000",
}  # fmt: skip
T2W = {
    "SeriesDescription": "t2_tse_tra", "ScanningSequence": ["SE"], "RepetitionTime": 4000, "EchoTime": 90,
    "EchoTrainLength": 15, "FlipAngle": 150, "AcquisitionTime": "100500",
}  # fmt: skip
CE_T1W = {
    "SeriesDescription": "t1_tse_tra_fs +C", "ScanningSequence": ["SE"], "RepetitionTime": 650, "EchoTime": 11,
    "EchoTrainLength": 3, "ScanOptions": ["FS"], "ContrastBolusAgent": "Gadovist", "AcquisitionTime": "102000",
}  # fmt: skip


def series(
    number: int,
    physics: Mapping[str, Any],
    n_slices: int = 20,
    *,
    study: str = STUDY,
    frame: str = FRAME,
    step_mm: float = 3.0,
    skip: Sequence[int] = (),
    received_at: datetime = NOW,
    **more: Any,
) -> list[StoredInstance]:
    """One axial series of 256 x 256 pixels of 1 mm; `skip` leaves slices out."""
    uid = f"{study}.{number}"
    return [
        StoredInstance(
            sop_instance_uid=f"{uid}.{index + 1}",
            digest=f"{number:032d}{index:032d}",
            received_at=received_at,
            header={
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
                "SOPInstanceUID": f"{uid}.{index + 1}",
                "StudyInstanceUID": study,
                "SeriesInstanceUID": uid,
                "SeriesNumber": number,
                "InstanceNumber": index + 1,
                "Modality": "MR",
                "PatientID": "P1",
                "PatientBirthDate": "19800615",
                "StudyDate": "20260501",
                "FrameOfReferenceUID": frame,
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
                "MRAcquisitionType": "2D",
                "Rows": 256,
                "Columns": 256,
                "PixelSpacing": [1.0, 1.0],
                "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                "ImagePositionPatient": [-128.0, -128.0, step_mm * index],
                **physics,
                **more,
            },
        )
        for index in range(n_slices)
        if index not in skip
    ]


def roi(number: int, name: str, kind: str = "", frame: str = FRAME, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "name": name,
        "type": kind,
        "n_contours": 6,
        "geometric_types": ["CLOSED_PLANAR"],
        "extent_mm": [[-20.0, -20.0, 15.0], [20.0, 20.0, 33.0]],
        "frame_of_reference_uid": frame,
        **more,
    }


def structure_set(
    rois: Sequence[Mapping[str, Any]] | None = None,
    *,
    uid: str = "1.2.826.0.1.7.1",
    study: str = "1.2.826.0.1.7",
    frame: str = FRAME,
    references: Sequence[str] = (),
    received_at: datetime = NOW,
    **more: Any,
) -> StoredInstance:
    """An RTSTRUCT in a study of its own; `references` are Series Instance UIDs."""
    header = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3",
        "SOPInstanceUID": uid,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        "Modality": "RTSTRUCT",
        "PatientID": "P1",
        "PatientBirthDate": "19800615",
        "StructureSetLabel": "MR contours",
        "StructureSetDate": "20260502",
        "ApprovalStatus": "APPROVED",
        "FrameOfReferenceUID": frame,
        "ContourReferences": {
            "frame_of_reference_uids": [frame] if frame else [],
            "series_instance_uids": list(references),
            "study_instance_uids": [],
            "sop_instance_uids": [],
        },
        "Rois": [dict(one) for one in (rois or [roi(4, "GTVp", "GTV", frame), roi(2, "PTV", "PTV", frame)])],
        **more,
    }
    return StoredInstance(uid, uid.replace(".", "").ljust(64, "0"), received_at, header)


def facts(ebv_dna: str | None = "12000", stage: str | None = "T3N1M0", edition: str | None = "8") -> ClinicalFacts:
    return ClinicalFacts(
        ebv_dna=(EbvResult(ebv_dna, BY_HAND),) if ebv_dna else (),
        stage=StageFact(parse_stage(stage, edition), BY_HAND) if stage else None,
        diagnoses=(DiagnosisFact(read_diagnosis("C11.9"), BY_HAND),),
        treatment_start=DateFact(date(2026, 5, 11), BY_HAND),
    )


def whole_study() -> list[StoredInstance]:
    return [*series(1, T1W), *series(2, T2W), *series(3, CE_T1W)]


def case(
    images: Sequence[StoredInstance] | None = None,
    related: Sequence[StoredInstance] | None = None,
    **more: Any,
) -> CaseInputs:
    """A case that is ready unless something is changed."""
    return CaseInputs(
        **{
            "study_instance_uid": STUDY,
            "images": tuple(whole_study() if images is None else images),
            "patient_id": "P1",
            "related": tuple([structure_set()] if related is None else related),
            "facts": facts(),
            "last_instance_at": NOW,
            **more,
        }
    )
