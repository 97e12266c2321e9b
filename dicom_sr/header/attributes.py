"""Attributes that all objects of a report have in common: patient, study, series, equipment, times, character set.

Patient and study are copied from the MR (`copied_values`). All times are the report's own: the same report gives the
same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from highdicom import ContributingEquipment
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from dicom_sr.coding import codes
from dicom_sr.coding.concept import coding_schemes
from dicom_sr.coding.items import date_time
from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.header.uids import device_uid
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ObjectKind, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

MANUFACTURER = "cptdn-node"
MODEL_NAME = "CPTDN node"
# In the file meta information of every object (PS3.10 7.1): it identifies this program as the one that wrote the file.
IMPLEMENTATION_CLASS_UID = "2.25.202796337823403205391208411563263434115"
IMPLEMENTATION_VERSION = "CPTDN_NODE"

# One series per kind and revision: in a series with two SRs, OHIF 3.13.2 shows the older one.
SERIES_NUMBERS: dict[ObjectKind, int] = {
    "sr": 1, "sc": 2, "pdf": 3, "seg": 4, "attribution": 5, "rtstruct": 6, "ko": 7
}  # fmt: skip
SERIES_NAMES: dict[ObjectKind, str] = {
    "sr": "result", "sc": "page", "pdf": "PDF", "seg": "contour", "attribution": "Grad-CAM",
    "rtstruct": "contour copy", "ko": "rejection note",
}  # fmt: skip


def series_number(kind: ObjectKind, revision: int) -> int:
    """Return the Series Number of one kind of object: above those of a scanner, another one for each revision.

    Parameters
    ----------
    kind : ObjectKind
        The kind of object.
    revision : int
        Revision of the report, from 1.

    Returns
    -------
    int
        9011 for the SR of the first revision, 9021 for that of the second.
    """
    return 9000 + 10 * revision + SERIES_NUMBERS[kind]


def series_description(report: TreatmentReport, kind: ObjectKind) -> str:
    """Return the Series Description; kind and revision are first, since viewers show about 20 characters."""
    demonstration = " DEMONSTRATION ONLY" if report.model.demonstration else ""
    if report.withdrawal is not None:
        return f"WITHDRAWN r{report.revision} CPTDN {SERIES_NAMES[kind]}{demonstration}"
    return f"CPTDN {SERIES_NAMES[kind]} r{report.revision}{demonstration}"


def in_zone_of_site(report: TreatmentReport, options: ReportOptions) -> TreatmentReport:
    """Return the report with all its times in the site's zone, so that page, header and content show one clock.

    Raises
    ------
    InvalidReportError
        As of `local_time`; also for a withdrawal or a replaced report whose time has no zone.
    """
    withdrawal, replaced = report.withdrawal, report.replaced
    if withdrawal is not None:
        withdrawal = replace(withdrawal, since=_in_zone(withdrawal.since, options))
    if replaced is not None:
        replaced = replace(replaced, created=_in_zone(replaced.created, options))
    return replace(report, created=local_time(report, options), withdrawal=withdrawal, replaced=replaced)


def local_time(report: TreatmentReport, options: ReportOptions) -> datetime:
    """Return the creation time of a report in the site's time zone.

    Parameters
    ----------
    report : TreatmentReport
        With a creation time that has a time zone.
    options : ReportOptions
        `timezone` is the site's, or None.

    Returns
    -------
    datetime
        The same moment, in the zone of the options where they name one.

    Raises
    ------
    InvalidReportError
        The creation time has no time zone, or the option is not an offset such as "+0800".
    """
    return _in_zone(report.created, options)


def _in_zone(moment: datetime, options: ReportOptions) -> datetime:
    if moment.utcoffset() is None:
        raise InvalidReportError(f"expected a creation time with its time zone, found {moment.isoformat()}")
    if options.timezone is None:
        return moment
    try:
        zone = datetime.strptime(options.timezone, "%z").utcoffset()
    except ValueError as error:
        raise InvalidReportError(f"expected a time zone such as +0800, found {options.timezone!r}") from error
    return moment.astimezone(timezone(zone or timedelta(0)))


def offset_text(moment: datetime) -> str:
    """Write the offset of a time from UTC as Timezone Offset From UTC (0008,0201) requires it.

    Parameters
    ----------
    moment : datetime
        With a time zone.

    Returns
    -------
    str
        Sign, hours and minutes, for example "+0800" or "-0330"; "+0000" for UTC.
    """
    minutes = int((moment.utcoffset() or timedelta(0)).total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def one_line(text: str) -> str:
    """Convert a text to one value of VR LO.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        A single line of 1 to 64 characters without a backslash, which would separate two values (PS3.5 6.2).
    """
    return " ".join(text.replace("\\", "/").split())[:64].strip() or "unknown"


def set_common_attributes(
    dataset: Dataset, kind: ObjectKind, report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> None:
    """Set the attributes that all objects have in common, also those that highdicom has set already.

    Parameters
    ----------
    dataset : Dataset
        Is changed; SOP Class and SOP Instance UID are set already.
    kind : ObjectKind
        Decides Series Number and Series Description.
    report : TreatmentReport
        Gives time, revision, model and software version.
    sources : SourceStudy
        Gives patient and study.
    options : ReportOptions
        Gives time zone and institution.
    """
    for element in patient_and_study(sources):
        dataset.add(DataElement(element.tag, element.VR, element.value))
    # highdicom has set dates and times to the present; the same report must give the same bytes.
    now = local_time(report, options)
    today, time = DA(now.date()), TM(now.time())
    dataset.TimezoneOffsetFromUTC = offset_text(now)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = today, time
    dataset.SeriesDate, dataset.SeriesTime = today, time
    dataset.ContentDate, dataset.ContentTime = today, time
    dataset.SeriesNumber = series_number(kind, report.revision)
    dataset.SeriesDescription = series_description(report, kind)
    _set_equipment(dataset, report, options, now)
    dataset.CodingSchemeIdentificationSequence = coding_schemes()
    _set_file_meta(dataset)


def device_serial_number(report: TreatmentReport, options: ReportOptions) -> str:
    """Return the serial number of the device, the same in every place that names one.

    Parameters
    ----------
    report : TreatmentReport
        Gives the digest of the bundle.
    options : ReportOptions
        The serial number that the site has given, where there is one.

    Returns
    -------
    str
        At most 64 characters. Without one of the site, the first 16 digits of the bundle's digest: it tells
        installations with other models apart and is the same for every report of one model.
    """
    if options.device_serial_number:
        return one_line(options.device_serial_number)
    return report.model.digest.removeprefix("sha256:")[:16] or "none"


def _udi(identifier: str) -> Dataset:
    item = Dataset()
    item.UniqueDeviceIdentifier = identifier
    return item


def _set_equipment(dataset: Dataset, report: TreatmentReport, options: ReportOptions, now: datetime) -> None:
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    model = one_line(f"{report.model.name} {report.model.version}")
    dataset.DeviceSerialNumber = device_serial_number(report, options)
    dataset.DeviceUID = device_uid(report.model.digest, report.software_version)
    if options.device_udi:
        dataset.UDISequence = [_udi(options.device_udi)]
    dataset.SoftwareVersions = [one_line(report.software_version), model]
    if options.institution:
        dataset.InstitutionName = options.institution
    equipment = ContributingEquipment(
        MANUFACTURER,
        codes.PROCESSING_EQUIPMENT.code,
        manufacturer_model_name=MODEL_NAME,
        device_serial_number=dataset.DeviceSerialNumber,
        software_versions=[one_line(report.software_version), model],
        contribution_datetime=date_time(now),
        contribution_description=f"CPTDN result, bundle {model}",
    )
    # IHE AIR asks for the Device UID here, too; highdicom has no parameter for it, and dciodvfy does not know it here.
    equipment.DeviceUID = dataset.DeviceUID
    dataset.ContributingEquipmentSequence = [equipment]


def _set_file_meta(dataset: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
