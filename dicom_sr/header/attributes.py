"""What all our objects have in common: patient, study, series, equipment, times, character set.

Patient, study, accession number, issuers and the request are copied from the MR, so that a PACS files our objects where
the study stands. All times are the report's own, so the same report gives the same bytes.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from highdicom import ContributingEquipment
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from dicom_sr.coding import codes
from dicom_sr.coding.items import date_time
from dicom_sr.header.characters import UTF8, transcoded
from dicom_sr.header.uids import device_uid
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ObjectKind, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

MANUFACTURER = "cptdn-node"
MODEL_NAME = "CPTDN node"
IMPLEMENTATION_CLASS_UID = "2.25.202796337823403205391208411563263434115"
IMPLEMENTATION_VERSION = "CPTDN_NODE"

# PS3.3 C.7.1.1, C.7.2.1 type 1 and 2 attributes: present in every object, empty where the MR has none
REQUIRED_FROM_MR = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
COPIED_FROM_MR = (
    "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID", "OtherPatientIDsSequence",
    "PatientBirthTime", "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence", "StudyDescription",
    "IssuerOfAccessionNumberSequence", "ClinicalTrialSponsorName", "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)  # fmt: skip
FROM_OTHER_REQUEST = ("RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence")

SERIES_NUMBERS: dict[ObjectKind, int] = {"sr": 1, "sc": 2, "pdf": 3, "seg": 4, "attribution": 5}
SERIES_WORDS: dict[ObjectKind, str] = {
    "sr": "result", "sc": "page", "pdf": "PDF", "seg": "contour", "attribution": "Grad-CAM"
}  # fmt: skip


def series_number(kind: ObjectKind, revision: int) -> int:
    """Far above the scanner's own numbers, each kind and revision its own."""
    return 9000 + 10 * revision + SERIES_NUMBERS[kind]


def series_description(report: TreatmentReport, kind: ObjectKind) -> str:
    """Begins with what differs: viewers show about 20 characters."""
    demonstration = " DEMONSTRATION ONLY" if report.model.demonstration else ""
    return f"CPTDN {SERIES_WORDS[kind]} r{report.revision}{demonstration}"


def local_time(report: TreatmentReport, options: ReportOptions) -> datetime:
    """When the report was made, in the site's time zone.

    Raises InvalidReportError when the report has no time zone or the option is none.
    """
    if report.created.utcoffset() is None:
        raise InvalidReportError(f"expected a creation time with its time zone, found {report.created.isoformat()}")
    if options.timezone is None:
        return report.created
    try:
        zone = datetime.strptime(options.timezone, "%z").utcoffset()
    except ValueError as error:
        raise InvalidReportError(f"expected a time zone such as +0800, found {options.timezone!r}") from error
    return report.created.astimezone(timezone(zone or timedelta(0)))


def offset_text(moment: datetime) -> str:
    """Offset from UTC as (0008,0201) wants it: whole minutes."""
    minutes = int((moment.utcoffset() or timedelta(0)).total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def one_line(text: str) -> str:
    """Text as VR LO takes it: one value of at most 64 characters."""
    return " ".join(text.replace("\\", "/").split())[:64].strip() or "unknown"


def patient_and_study(sources: SourceStudy) -> Dataset:
    """Patient and study attributes of the first MR instance, as str, with those of type 2 present."""
    first = sources.mr[0]
    made = Dataset()
    made.SpecificCharacterSet = UTF8
    for keyword in (*REQUIRED_FROM_MR, *COPIED_FROM_MR):
        element = transcoded(first, keyword, sources.character_set)
        if element is not None and (keyword in REQUIRED_FROM_MR or not element.is_empty):
            made.add(element)
        elif keyword in REQUIRED_FROM_MR:
            setattr(made, keyword, None)
    if made.PatientSex not in ("M", "F", "O"):
        made.PatientSex = None
    return made


def referenced_request(sources: SourceStudy) -> list[Dataset]:
    """Items of the Referenced Request Sequence (PS3.3 C.17.2.2) from the MR's own request attributes."""
    first = sources.mr[0]
    requests = transcoded(first, "RequestAttributesSequence", sources.character_set)
    study = patient_and_study(sources)
    items = []
    for asked in requests.value if requests is not None else ():
        item = Dataset()
        item.StudyInstanceUID = asked.get("StudyInstanceUID") or study.StudyInstanceUID
        item.ReferencedStudySequence = []
        item.AccessionNumber = asked.get("AccessionNumber") or study.AccessionNumber
        item.PlacerOrderNumberImagingServiceRequest = asked.get("PlacerOrderNumberImagingServiceRequest")
        item.FillerOrderNumberImagingServiceRequest = asked.get("FillerOrderNumberImagingServiceRequest")
        item.RequestedProcedureID = asked.get("RequestedProcedureID")
        item.RequestedProcedureDescription = asked.get("RequestedProcedureDescription")
        item.RequestedProcedureCodeSequence = asked.get("RequestedProcedureCodeSequence", [])
        items.append(item)
    return items


def stamp(
    dataset: Dataset, kind: ObjectKind, report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> None:
    """Write the common modules into an object, over whatever its builder put there."""
    for element in patient_and_study(sources):
        dataset.add(DataElement(element.tag, element.VR, element.value))
    now = local_time(report, options)
    today, time = DA(now.date()), TM(now.time())
    dataset.TimezoneOffsetFromUTC = offset_text(now)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = today, time
    dataset.SeriesDate, dataset.SeriesTime = today, time
    dataset.ContentDate, dataset.ContentTime = today, time
    dataset.SeriesNumber = series_number(kind, report.revision)
    dataset.SeriesDescription = series_description(report, kind)
    _stamp_equipment(dataset, report, options, now)
    dataset.CodingSchemeIdentificationSequence = codes.coding_schemes()
    _stamp_file_meta(dataset)


def _stamp_equipment(dataset: Dataset, report: TreatmentReport, options: ReportOptions, now: datetime) -> None:
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    model = one_line(f"{report.model.name} {report.model.version}")
    dataset.DeviceSerialNumber = report.model.digest.removeprefix("sha256:")[:16] or "none"
    dataset.DeviceUID = device_uid(report.model.digest)
    dataset.SoftwareVersions = [one_line(report.software_version), model]
    if options.institution:
        dataset.InstitutionName = options.institution
    equipment = ContributingEquipment(
        MANUFACTURER,
        codes.PROCESSING_EQUIPMENT.code,
        manufacturer_model_name=MODEL_NAME,
        device_serial_number=dataset.DeviceSerialNumber,
        software_versions=one_line(report.software_version),
        contribution_datetime=date_time(now),
        contribution_description=f"CPTDN result, bundle {model}",
    )
    dataset.ContributingEquipmentSequence = [equipment]


def _stamp_file_meta(dataset: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
