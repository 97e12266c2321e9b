"""Reports and synthetic sources that the tests of this room share."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import MRImageStorage, RTStructureSetStorage

from config.indication.vocabulary import (
    Answer,
    AnswerGround,
    AnswerRule,
    Condition,
    ConditionState,
    EbvCategory,
    SeriesRole,
    TreatmentArm,
)
from dicom_sr.objects.build import build_objects
from dicom_sr.report.report_inputs import (
    DfsCurves,
    ModelPerformance,
    PagePictures,
    ReportOptions,
    SequencePicture,
    SeriesMask,
    SourceStudy,
)
from dicom_sr.report.report_status import ReplacedReport, Withdrawal
from dicom_sr.report.treatment_report import (
    ArmResult,
    ConditionOfUse,
    ContourUsed,
    DfsEstimate,
    EbvDna,
    Fact,
    ModelIdentity,
    Reason,
    Scenario,
    Scores,
    SeriesUsed,
    Stage,
    TreatmentReport,
)

EXCLUDES = AnswerGround.INTERVAL_EXCLUDES_THRESHOLD
STUDY = "1.2.826.0.1.3680043.8.498.1"
ROLES = (SeriesRole.T1W, SeriesRole.T2W, SeriesRole.CE_T1W)
N_SLICES = 6
ROWS, COLUMNS = 40, 48
CONTOUR, ROI_NUMBER = f"{STUDY}.77.5.1", 7
CHINESE_NAME = "Wang^XiaoDong=王^小东"


def series_uid(role: SeriesRole) -> str:
    return f"{STUDY}.{ROLES.index(role) + 1}"


def instance_uid(role: SeriesRole, z: int) -> str:
    return f"{series_uid(role)}.{z + 1}"


def mr_dataset(role: SeriesRole, z: int, **changes: Any) -> Dataset:
    """One classic MR instance without pixels."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, instance_uid(role, z)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, series_uid(role)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{STUDY}.9", ""
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = CHINESE_NAME, "PID-0042", "HOSPITAL"
    ds.PatientBirthDate, ds.PatientSex = "19810203", "M"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240311", "101500", "S1", "ACC77"
    ds.ReferringPhysicianName, ds.StudyDescription = "Li^Wei=李^伟", "MRI nasopharynx 鼻咽"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", ROLES.index(role) + 1, z + 1
    ds.SeriesDescription = f"{role.value} axial"
    ds.Manufacturer = "SYNTHETIC"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.PixelSpacing, ds.SliceThickness = [0.9, 0.9], 4.0
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-20, -20, 4.0 * z]
    request = Dataset()
    request.RequestedProcedureID, request.RequestedProcedureDescription = "RP5", "鼻咽 MRI"
    request.ScheduledProcedureStepID = "SPS5"
    ds.RequestAttributesSequence = [request]
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def rtstruct(study: str = f"{STUDY}.77") -> Dataset:
    """The identity of an RTSTRUCT in another study of the same patient, and its only ROI."""
    ds, roi = Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = ROI_NUMBER, "GTVp", ""
    ds.StructureSetROISequence = [roi]
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, f"{study}.5.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.5"
    return ds


def sources(**changes: Any) -> SourceStudy:
    """Three series of six slices and a contour of an ellipse on four of them."""
    mask = np.zeros((N_SLICES, ROWS, COLUMNS), np.uint8)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    for z in range(1, 5):
        mask[z, ((y - 18 - z) / (5 + z)) ** 2 + ((x - 24) / 6) ** 2 <= 1] = 1
    masks = tuple(
        SeriesMask(role, mask, tuple((instance_uid(role, z), None) for z in range(N_SLICES)), (CONTOUR, ROI_NUMBER))
        for role in ROLES
    )
    mr = tuple(mr_dataset(role, z, **changes) for role in ROLES for z in range(N_SLICES))
    return SourceStudy(mr, (rtstruct(),), masks)


def arm(which: TreatmentArm, three_years: float, five_years: float, total: float) -> ArmResult:
    points = {"age": 23.5, "ebv_dna": 15.5, "prognostic_score": 55.1, "predictive_score": round(total - 94.1, 1)}
    return ArmResult(
        which,
        points,
        total,
        {
            36: DfsEstimate.rounded(three_years, three_years - 0.052, min(1.0, three_years + 0.043)),
            60: DfsEstimate.rounded(five_years, five_years - 0.0712, min(1.0, five_years + 0.0643)),
        },
    )


def scenario(category: EbvCategory = EbvCategory.ABOVE, shift: float = 0.0) -> Scenario:
    ict = arm(TreatmentArm.ICT_CCRT, 0.8642 + shift, 0.7915 + shift, 138.7)
    ccrt = arm(TreatmentArm.CCRT, 0.7731 + shift, 0.6648 + shift, 164.1)
    return Scenario(category, ict, ccrt, Answer.ICT_CCRT, {36: (0.012, 0.17), 60: (0.021, 0.232)}, EXCLUDES)


def model(demonstration: bool = False) -> ModelIdentity:
    return ModelIdentity(
        name="demonstration" if demonstration else "site-2026",
        version="1.2",
        digest="sha256:" + "ab" * 32,
        network_digest="sha256:" + "cd" * 32,
        nomogram_digest="sha256:" + "ef" * 32,
        intended_use="Shows the software; trained on synthetic phantoms."
        if demonstration
        else "Decision support for T3N1M0 nasopharyngeal carcinoma; the physician decides.",
        training_population="684 patients, T3N1M0 (AJCC 8), one centre, 2009-2015, ICT+CCRT or CCRT, 1:1 matched.",
        demonstration=demonstration,
        nomogram_citation="Zhong L, Dong D, Fang X, et al. EBioMedicine 2021;70:103522.",
        rule=AnswerRule.INTERVAL,
    )


def scored(**changes: Any) -> TreatmentReport:
    """A computed report with a known EBV DNA."""
    series = tuple(
        SeriesUsed(
            role,
            series_uid(role),
            MRImageStorage,
            f"{role.value} axial",
            4,
            instance_uid(role, 2),
            reason="Echo time 12 ms, repetition time 620 ms",
        )
        for role in ROLES
    )
    used = rtstruct()
    contour = ContourUsed(
        used.SOPInstanceUID,
        RTStructureSetStorage,
        used.SeriesInstanceUID,
        used.StudyInstanceUID,
        "GTVp",
        ROI_NUMBER,
        23.41,
        4,
        "Name matches GTVp; the only such ROI",
    )
    values: dict[str, Any] = {
        "patient_id": "PID-0042",
        "study_instance_uid": STUDY,
        "report_identity": "1f" * 32,
        "revision": 1,
        "created": datetime(2024, 3, 12, 8, 30, 15, 250000, tzinfo=UTC),
        "software_version": "0.1.0",
        "model": model(),
        "age_years": 43.1,
        "age_source": "birth date and study date of the MR",
        "ebv_dna": EbvDna(
            EbvCategory.ABOVE, 5000.0, "5000", provenance=Fact("LIS, HL7 ORU", date(2024, 3, 10), "interface")
        ),
        "stage": Stage("T3", "N1", "M0", "8", True, Fact("tumour board", date(2024, 3, 11), "dr.chen")),
        "series": series,
        "contours": (contour,),
        "scores": Scores(0.1234, -0.4321),
        "scenarios": (scenario(),),
        "warnings": (Reason("ebv_dna_near_threshold", "EBV DNA 5000 copies/mL is near 4000 copies/mL."),),
        "conditions": conditions(),
    }
    return TreatmentReport(**{**values, **changes})


def conditions() -> tuple[ConditionOfUse, ...]:
    """One condition in each state; the others are met."""
    unmet = {
        Condition.CONTOUR_DATE: (ConditionState.NOT_MET, "The contour is of 2024-03-20, the MR of 2024-03-11."),
        Condition.PRIOR_MALIGNANCY: (ConditionState.NOT_CHECKED, "Earlier malignancies are not recorded."),
        Condition.EBV_DNA_ASSAY: (
            ConditionState.NOT_CHECKED,
            "Whether the assay agrees with the cohort's is not known.",
        ),
    }
    return tuple(
        ConditionOfUse(condition, *unmet.get(condition, (ConditionState.MET, f"Checked: {condition.value}.")))
        for condition in Condition
    )


def unknown_ebv(**changes: Any) -> TreatmentReport:
    """EBV DNA unknown: both categories are reported."""
    values: dict[str, Any] = {
        "report_identity": "2f" * 32,
        "ebv_dna": EbvDna(EbvCategory.UNKNOWN),
        "scenarios": (scenario(EbvCategory.NOT_ABOVE, 0.06), scenario(EbvCategory.ABOVE)),
        "warnings": (Reason("ebv_dna_unknown", "EBV DNA is unknown: both categories are reported."),),
    }
    return scored(**{**values, **changes})


def refused(**changes: Any) -> TreatmentReport:
    """Nothing was computed, and the report says why."""
    values: dict[str, Any] = {
        "report_identity": "3f" * 32,
        "scores": None,
        "scenarios": (),
        "contours": (),
        "series": (),
        "warnings": (),
        "refusals": (
            Reason("missing_series", "No T2w series was found among the 2 series of the study."),
            Reason("stage_unknown", "The stage is not recorded for this patient."),
        ),
        "stage": Stage(),
        "age_years": None,
        "age_source": "",
    }
    return scored(**{**values, **changes})


def demonstration(**changes: Any) -> TreatmentReport:
    return scored(**{"report_identity": "4f" * 32, "model": model(demonstration=True), **changes})


def reprocessed(**changes: Any) -> TreatmentReport:
    """A second result that names the first as its predecessor."""
    return scored(
        **{
            "report_identity": "5f" * 32,
            "revision": 2,
            "predecessors": ("2.25.12345", "2.25.678"),
            "replaced": ReplacedReport(1, datetime(2024, 3, 11, 16, 5, 2, tzinfo=UTC)),
            **changes,
        }
    )


def withdrawn(**changes: Any) -> TreatmentReport:
    """The result of a study is withdrawn, since its stage was corrected."""
    earlier = ReplacedReport(2, scored().created)
    values: dict[str, Any] = {
        "report_identity": "8f" * 32,
        "withdrawal": Withdrawal(
            datetime(2024, 3, 13, 9, 12, 3, tzinfo=UTC), "dr.chen", "The stage was corrected from T3N1M0 to T4N2M0."
        ),
        "scenarios": (),
        "scores": None,
        "warnings": (),
        "refusals": (Reason("stage_not_eligible", "The model is for T3N1M0; the stage of this patient is T4N2M0."),),
        "stage": replace(scored().stage, t="T4", n="N2"),
        "conditions": (),
    }
    return reprocessed(
        **{
            **values,
            "revision": 3,
            "replaced": earlier,
            "created": datetime(2024, 3, 13, 9, 12, 5, tzinfo=UTC),
            **changes,
        }
    )


CASES = {
    "scored": scored,
    "unknown_ebv": unknown_ebv,
    "refused": refused,
    "demonstration": demonstration,
    "reprocessed": reprocessed,
    "withdrawn": withdrawn,
}


def pictures() -> PagePictures:
    """Smooth synthetic slices with a bright ellipse, exponential curves, and a nomogram stand-in."""
    y, x = np.mgrid[:160, :160]
    mask = (((y - 78) / 22) ** 2 + ((x - 84) / 17) ** 2 <= 1).astype(np.uint8)
    head = np.clip(1.2 - np.hypot((y - 80) / 70, (x - 80) / 60), 0, 1) ** 0.5
    sequences = []
    for role, gain in zip(ROLES, (0.5, 0.7, 0.9), strict=True):
        image = np.clip(head * (0.45 + 0.1 * np.sin(x / 9) * np.cos(y / 7)) + 0.3 * gain * mask, 0, 1)
        heat = np.exp(-(((y - 72) / 14) ** 2 + ((x - 90) / 12) ** 2))
        sequences.append(SequencePicture(role, image, mask, (0.9, 0.9), heat, "14"))
    largest = tuple(replace(each, attribution_yx=None, number="12") for each in sequences)
    months = np.arange(0.0, 61.0)
    curves = tuple(
        DfsCurves(
            each.ebv_category,
            months,
            {arm.arm: arm.dfs[60].value ** (months / 60) for arm in (each.ict_ccrt, each.ccrt)},
        )
        for each in (scenario(EbvCategory.NOT_ABOVE, 0.06), scenario())
    )
    performance = ModelPerformance("out of fold", 684, 0.712, (0.67, 0.75), 0.95, (0.81, 1.09))
    return PagePictures(draw_nomogram_stand_in, tuple(sequences), largest, curves, performance)


def draw_nomogram_stand_in(ax: Any, style: str) -> None:
    """Four axes with a line each, in the place of the real drawing."""
    ink = "white" if style == "dark" else "black"
    for row, name in enumerate(("Points", "Age", "EBV DNA", "Prognostic-score", "Predictive-score", "Total points")):
        ax.hlines(row, 0, 100, color=ink, lw=0.8)
        ax.text(-3, row, name, ha="right", va="center", color=ink, fontsize=7)
        ax.plot([30 + 8 * row], [row], "o", color="#56B4E9", ms=4)
    ax.set_xlim(-30, 102)
    ax.invert_yaxis()
    ax.set_axis_off()


def crowded(**changes: Any) -> TreatmentReport:
    """Long names, long sentences and many warnings: nothing may run out of its box."""
    sentence = (
        "The series was acquired with a repetition time of 1234 ms, which lies outside the range of the training data"
    )
    values: dict[str, Any] = {
        "report_identity": "6f" * 32,
        "revision": 12,
        "predecessors": ("2.25.99",),
        "warnings": tuple(Reason(f"warning_{i}", f"{i}: {sentence}, and the score is extrapolated.") for i in range(9)),
        "quality": (Reason("noise", "Noise in T2w is twice that of the training data 噪声较大."),),
        "stage": Stage("T3", "N1", "M0", "8", False, Fact("multidisciplinary tumour board of the head and neck centre, "
                                                         "imported from the hospital information system")),
        "model": ModelIdentity(
            "nasopharynx-three-centre-network-with-a-long-name", "2026.11.23-rc4+build.77", "sha256:" + "ab" * 32,
            "sha256:" + "cd" * 32, "sha256:" + "ef" * 32,
            "Decision support for adults with stage T3N1M0 nasopharyngeal carcinoma (AJCC 8) before treatment, next to "
            "the judgement of the multidisciplinary team; not for recurrence, not after chemotherapy, not in children.",
            "1,872 patients with T3N1M0 nasopharyngeal carcinoma from three centres in southern China, 2009 to 2015, "
            "treated with ICT+CCRT or CCRT, matched 1:1 on the propensity score; MR at 1.5 and 3 tesla; age 14 to 72.",
            demonstration=True, nomogram_citation="Zhong L, Dong D, Fang X, et al. A deep learning-based radiomic "
            "nomogram for prognosis and treatment decision in advanced nasopharyngeal carcinoma: a multicentre study. "
            "EBioMedicine 2021;70:103522. doi:10.1016/j.ebiom.2021.103522", threshold=0.02,
            rule=AnswerRule.INTERVAL,
        ),
    }  # fmt: skip
    return unknown_ebv(**{**values, **changes})


def differing(**changes: Any) -> TreatmentReport:
    """EBV DNA unknown, and the two categories lead to different regimens."""
    low = scenario(EbvCategory.NOT_ABOVE, 0.06)
    swapped = Scenario(
        EbvCategory.NOT_ABOVE,
        ArmResult(TreatmentArm.ICT_CCRT, low.ccrt.points, low.ccrt.total_points, low.ccrt.dfs),
        ArmResult(TreatmentArm.CCRT, low.ict_ccrt.points, low.ict_ccrt.total_points, low.ict_ccrt.dfs),
        Answer.CCRT,
        {36: (-0.17, -0.012), 60: (-0.232, -0.021)},
        EXCLUDES,
    )
    return unknown_ebv(**{"report_identity": "7f" * 32, "scenarios": (swapped, scenario()), **changes})


def digests_of_objects() -> list[str]:
    """UID and digest of the bytes of each object of the fullest report."""
    options = ReportOptions(kinds=("sr", "sc", "pdf", "seg", "attribution"), language="zh")
    digests = []
    for each in build_objects(crowded(), sources(), pictures(), options):
        written = io.BytesIO()
        each.dataset.save_as(written, enforce_file_format=True)
        digests.append(f"{each.sop_instance_uid} {hashlib.sha256(written.getvalue()).hexdigest()}")
    return digests
