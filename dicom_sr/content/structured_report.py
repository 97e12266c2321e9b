"""The Structured Report: content tree, evidence, predecessors, flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from highdicom.sr import Comprehensive3DSR, ComprehensiveSR, EnhancedSR
from pydicom import Dataset

from dicom_sr.content.document import document
from dicom_sr.content.measurements import SegmentReference
from dicom_sr.header.attributes import MANUFACTURER, patient_and_study, referenced_request, series_number, stamp
from dicom_sr.header.uids import series_uid_of, uid_for
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.sr_classes import SR_SOP_CLASS_UIDS, SrClass
from dicom_sr.report.treatment_report import TreatmentReport

SR_CONSTRUCTORS: dict[SrClass, type[Comprehensive3DSR | ComprehensiveSR | EnhancedSR]] = {
    "comprehensive_3d": Comprehensive3DSR,
    "comprehensive": ComprehensiveSR,
    "enhanced": EnhancedSR,
}


@dataclass(frozen=True)
class Evidence:
    """One instance that the report rests on."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str

    def as_dataset(self) -> Dataset:
        made = Dataset()
        made.StudyInstanceUID, made.SeriesInstanceUID = self.study_instance_uid, self.series_instance_uid
        made.SOPClassUID, made.SOPInstanceUID = self.sop_class_uid, self.sop_instance_uid
        return made


def sr_uid(report: TreatmentReport, sop_class: SrClass) -> str:
    """UID of the SR; a fallback class is another object and so has another UID."""
    return uid_for(report.report_identity, "sr" if sop_class == "comprehensive_3d" else f"sr/{sop_class}")


def build_sr(
    report: TreatmentReport, sources: SourceStudy, options: ReportOptions, segmentations: Sequence[Dataset] = ()
) -> Dataset:
    """The SR of one report, byte for byte the same whenever it is built again.

    segmentations : our SEG objects of this report; the tumour's measurement group points at the first.
    """
    references = [SegmentReference(seg.SOPInstanceUID, _source_series(seg)) for seg in segmentations]
    sop_instance_uid = sr_uid(report, options.sop_class)
    evidence = [each.as_dataset() for each in all_evidence(report, sources, segmentations)]
    patient = patient_and_study(sources)
    for element in patient:
        evidence[0].add(element)
    made = SR_CONSTRUCTORS[options.sop_class](
        evidence=evidence,
        content=document(report, sources, options, references),
        series_instance_uid=series_uid_of(sop_instance_uid),
        series_number=series_number("sr", report.revision),
        sop_instance_uid=sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=not options.preliminary,
        is_verified=False,
        previous_versions=_predecessors(report, options) or None,
        requested_procedures=referenced_request(sources) or None,
    )
    stamp(made, "sr", report, sources, options)
    return made


def all_evidence(
    report: TreatmentReport, sources: SourceStudy, segmentations: Sequence[Dataset] = ()
) -> list[Evidence]:
    """Every MR instance used, the contour objects and our SEGs, each once, the study's own MR first."""
    return list(dict.fromkeys(_evidence(report, sources, segmentations)))


def _evidence(report: TreatmentReport, sources: SourceStudy, segmentations: Sequence[Dataset]) -> Iterator[Evidence]:
    for ds in (*sources.mr, *sources.contours, *segmentations):
        yield Evidence(str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPClassUID), str(ds.SOPInstanceUID))
    for series in report.series:
        representative = series.representative_sop_instance_uid
        yield Evidence(report.study_instance_uid, series.series_instance_uid, series.sop_class_uid, representative)
    for used in report.contours:
        yield Evidence(used.study_instance_uid, used.series_instance_uid, used.sop_class_uid, used.sop_instance_uid)


def _source_series(segmentation: Dataset) -> str:
    return str(segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID)


def _predecessors(report: TreatmentReport, options: ReportOptions) -> list[Dataset]:
    """The SRs that this one replaces: same study, each in the series that follows from its UID."""
    return [
        Evidence(report.study_instance_uid, series_uid_of(uid), SR_SOP_CLASS_UIDS[options.sop_class], uid).as_dataset()
        for uid in report.predecessors
    ]
