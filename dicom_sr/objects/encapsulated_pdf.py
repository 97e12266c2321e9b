"""Encapsulated PDF (PS3.3 A.45.1); highdicom has no class for it."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from dicom_sr.coding import codes
from dicom_sr.content.structured_report import all_evidence
from dicom_sr.header.attributes import series_number, stamp
from dicom_sr.header.uids import series_uid_of, uid_for
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

TITLE = "CPTDN treatment decision report"


def build_pdf(pdf: bytes, report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> Dataset:
    """The PDF of the page as a DICOM object."""
    made = Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = uid_for(report.report_identity, f"pdf/{options.language}")
    made.SeriesInstanceUID = series_uid_of(made.SOPInstanceUID)
    made.SeriesNumber = series_number("pdf", report.revision)
    made.InstanceNumber = 1
    made.Modality = "DOC"  # PS3.3 C.24.1
    made.ConversionType = "SD"
    stamp(made, "pdf", report, sources, options)
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "YES"
    made.DocumentTitle = TITLE
    made.ConceptNameCodeSequence = [codes.REPORT_TITLE.code]
    made.VerificationFlag = "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.SourceInstanceSequence = [
        _reference(each.sop_class_uid, each.sop_instance_uid) for each in all_evidence(report, sources)
    ]
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return made


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
