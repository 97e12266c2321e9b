"""The pages as Encapsulated PDF (PS3.3 A.45.1); highdicom has no class for this IOD."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from dicom_sr.coding import codes
from dicom_sr.content.structured_report import all_evidence
from dicom_sr.header.attributes import series_number, set_common_attributes
from dicom_sr.header.uids import seal, series_uid_of, uid_for
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

TITLE = "CPTDN treatment decision report"


def build_pdf(pdf: bytes, report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> Dataset:
    """Build the Encapsulated PDF of the page.

    Parameters
    ----------
    pdf : bytes
        The PDF file.
    report : TreatmentReport
        The report that it shows.
    sources : SourceStudy
        The instances that are listed as its sources.
    options : ReportOptions
        Time zone, institution and device.

    Returns
    -------
    Dataset
        Complete, with file meta information.

    References
    ----------
    PS3.3 C.24.2 (Encapsulated Document module).
    """
    document = Dataset()
    document.SOPClassUID = EncapsulatedPDFStorage
    document.SOPInstanceUID = uid_for(report.report_identity, "pdf")
    document.SeriesInstanceUID = series_uid_of(document.SOPInstanceUID)
    document.SeriesNumber = series_number("pdf", report.revision)
    document.InstanceNumber = 1
    document.Modality = "DOC"  # PS3.3 C.24.1
    document.ConversionType = "WSD"  # made by a workstation and not scanned (PS3.3 C.8.6.1)
    set_common_attributes(document, "pdf", report, sources, options)
    document.AcquisitionDateTime = None
    document.BurnedInAnnotation = "YES"
    document.DocumentTitle = TITLE
    document.ConceptNameCodeSequence = [codes.REPORT_TITLE.code]
    document.VerificationFlag = "UNVERIFIED"
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.SourceInstanceSequence = [
        _reference(evidence.sop_class_uid, evidence.sop_instance_uid) for evidence in all_evidence(report, sources)
    ]
    # The value of an element has an even length (PS3.5 7.1.1); the length without the padding byte is told here.
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    seal([document], report.report_identity, "pdf")
    return document


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
