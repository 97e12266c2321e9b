"""Rejection notes: Key Object Selection Documents that tell a PACS which objects are not to be used any more.

IHE Radiology, Imaging Object Change Management (IOCM): the title says why the listed objects are rejected; a PACS that
follows the profile hides them from queries and retrievals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import Dataset

from dicom_sr.coding import codes
from dicom_sr.header.attributes import MANUFACTURER, MODEL_NAME, set_common_attributes
from dicom_sr.header.copied_values import patient_and_study, referenced_request
from dicom_sr.header.uids import device_uid, seal, series_uid_of, uid_for
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

IMAGE_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.66.4"})  # Secondary Capture, SEG


@dataclass(frozen=True)
class RejectedObject:
    """An object of an earlier report that is in the PACS."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


def build_rejection_note(
    title: str,
    rejected: Sequence[RejectedObject],
    report: TreatmentReport,
    sources: SourceStudy,
    options: ReportOptions,
) -> Dataset:
    """Build the rejection note of a report for one PACS; the same arguments give the same bytes.

    Parameters
    ----------
    title : str
        Code value of the document title: one of `codes.REJECTIONS`.
    rejected : sequence of RejectedObject
        At least one; what the PACS has of earlier reports of the study.
    report : TreatmentReport
        The report that takes their place; its time is that of the note.
    sources : SourceStudy
        For patient and study.
    options : ReportOptions
        Time zone and institution.

    Returns
    -------
    Dataset
        Complete, with file meta information.

    References
    ----------
    IHE RAD TF-3, 4.66 and IOCM; PS3.3 A.35.4; PS3.16 TID 2010, CID 7011.
    """
    uid = uid_for(report.report_identity, f"ko/{title}")
    references = [_reference(each, report) for each in rejected]
    # highdicom copies patient and study from the first evidence.
    for element in patient_and_study(sources):
        references[0].add(element)
    device = DeviceObserverIdentifyingAttributes(
        device_uid(report.model.digest, report.software_version), name=MODEL_NAME
    )
    content = KeyObjectSelection(
        document_title=codes.REJECTIONS[title].code,
        referenced_objects=references,
        observer_device_context=ObserverContext(codes.DEVICE.code, device),
        description=_description(report),
    )
    note = KeyObjectSelectionDocument(
        evidence=references,
        content=content,
        series_instance_uid=series_uid_of(uid),
        series_number=1,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        requested_procedures=referenced_request(sources) or None,
    )
    set_common_attributes(note, "ko", report, sources, options)
    seal([note], report.report_identity, "ko")
    return note


def _reference(rejected: RejectedObject, report: TreatmentReport) -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = report.study_instance_uid, rejected.series_instance_uid
    dataset.SOPClassUID, dataset.SOPInstanceUID = rejected.sop_class_uid, rejected.sop_instance_uid
    if rejected.sop_class_uid in IMAGE_CLASSES:  # by these highdicom writes an IMAGE item instead of a COMPOSITE one
        dataset.Rows = dataset.Columns = 1
    return dataset


def _description(report: TreatmentReport) -> str:
    if report.withdrawal is not None:
        return f"The result is withdrawn: {report.withdrawal.because}"
    return f"Superseded by the result of revision {report.revision}."
