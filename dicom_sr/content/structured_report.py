"""The Structured Report: content tree, evidence, predecessors, flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from highdicom.sr import Comprehensive3DSR, ComprehensiveSR, EnhancedSR
from pydicom import Dataset

from dicom_sr.content.document import document
from dicom_sr.content.measurements import SegmentReference
from dicom_sr.header.attributes import MANUFACTURER, series_number, set_common_attributes
from dicom_sr.header.copied_values import patient_and_study, referenced_request
from dicom_sr.header.uids import seal, series_uid_of, uid_for
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
    """The UIDs of one instance that was used for the report."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str

    def as_dataset(self) -> Dataset:
        """Return the UIDs as a data set, the form in which highdicom takes evidence."""
        dataset = Dataset()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study_instance_uid, self.series_instance_uid
        dataset.SOPClassUID, dataset.SOPInstanceUID = self.sop_class_uid, self.sop_instance_uid
        return dataset


def build_sr(
    report: TreatmentReport, sources: SourceStudy, options: ReportOptions, segmentations: Sequence[Dataset] = ()
) -> Dataset:
    """Build the SR of one report; the same arguments give the same bytes.

    Parameters
    ----------
    report : TreatmentReport
        A report that `check_report` accepts.
    sources : SourceStudy
        The data sets that were used; they become the evidence.
    options : ReportOptions
        SOP class, language, flags.
    segmentations : sequence of Dataset
        The SEG objects of this report, one for each of `sources.masks` in their order, or none at all.

    Returns
    -------
    Dataset
        Complete, with file meta information.

    References
    ----------
    PS3.3 A.35.13 (Comprehensive 3D SR IOD); PS3.16 TID 1500.
    """
    references = [
        SegmentReference(str(seg.SOPInstanceUID), _source_series(seg), mask.contour, mask.drawn_here)
        for seg, mask in zip(segmentations, sources.masks if segmentations else (), strict=True)
    ]
    provisional_uid = uid_for(report.report_identity, "sr")
    evidence = [each.as_dataset() for each in all_evidence(report, sources, segmentations)]
    # highdicom copies patient and study from the first evidence.
    for element in patient_and_study(sources):
        evidence[0].add(element)
    dataset = SR_CONSTRUCTORS[options.sop_class](
        evidence=evidence,
        content=document(report, sources, options, references),
        series_instance_uid=series_uid_of(provisional_uid),
        series_number=series_number("sr", report.revision),
        sop_instance_uid=provisional_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=not options.preliminary,
        is_verified=False,
        # Whether it is preliminary is the site's choice; it is never verified, since no person has signed the result.
        previous_versions=_predecessors(report, options) or None,
        requested_procedures=referenced_request(sources) or None,
    )
    set_common_attributes(dataset, "sr", report, sources, options)
    seal([dataset], report.report_identity, "sr")
    return dataset


def all_evidence(
    report: TreatmentReport, sources: SourceStudy, segmentations: Sequence[Dataset] = ()
) -> list[Evidence]:
    """List the instances that a report was made from.

    Parameters
    ----------
    report : TreatmentReport
        Representative slices and contours are listed also where their data sets are not among the sources.
    sources : SourceStudy
        MR instances and contour objects.
    segmentations : sequence of Dataset
        The SEG objects of this report.

    Returns
    -------
    list of Evidence
        Each instance once: MR, contour objects, SEGs.
    """
    return list(dict.fromkeys(_evidence(report, sources, segmentations)))


def _evidence(report: TreatmentReport, sources: SourceStudy, segmentations: Sequence[Dataset]) -> Iterator[Evidence]:
    # highdicom sorts them into Current Requested Procedure Evidence (the study of the SR) and Pertinent Other Evidence
    # (an RTSTRUCT of another study of the patient).
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
    predecessors = options.predecessors
    if predecessors is None:
        predecessors = tuple((SR_SOP_CLASS_UIDS[options.sop_class], uid) for uid in report.predecessors)
    # The series of an SR follows from its UID, so a predecessor can be referenced without reading it again.
    return [
        Evidence(report.study_instance_uid, series_uid_of(uid), sop_class, uid).as_dataset()
        for sop_class, uid in predecessors
    ]
