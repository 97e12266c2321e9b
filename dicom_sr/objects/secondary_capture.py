"""The page as an ordinary image: every viewer shows it, also planning systems, many of which cannot show an SR.

Its modality is OT, as highdicom writes it; viewers show such pictures sharp.
"""

from __future__ import annotations

from typing import Any

from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from config.arrays import RgbArray
from dicom_sr.header.attributes import MANUFACTURER, local_time, series_number, set_common_attributes
from dicom_sr.header.uids import series_uid_of, uid_for
from dicom_sr.page.layout import page_pixels, render_slice
from dicom_sr.report.report_inputs import ObjectKind, PagePictures, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

BODY_PART = "HEADNECK"  # without it dciodvfy asks for Laterality, which General Series requires of paired body parts


def build_sc(pixels_rgb: RgbArray, report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> Dataset:
    """Build the Secondary Capture of the page.

    Parameters
    ----------
    pixels_rgb : array of uint8, shape (rows, columns, 3)
        The page in RGB, 0 to 255.
    report : TreatmentReport
        The report that is shown.
    sources : SourceStudy
        For patient and study attributes.
    options : ReportOptions
        Language (it is part of the UID) and time zone.

    Returns
    -------
    Dataset
        Complete, with file meta information.

    References
    ----------
    PS3.3 A.8.1.
    """
    sop_instance_uid = uid_for(report.report_identity, f"sc/{options.language}")
    capture = _capture(pixels_rgb, report, sop_instance_uid, series_uid_of(sop_instance_uid), "sc", 1)
    set_common_attributes(capture, "sc", report, sources, options)
    _set_capture_attributes(capture, report, options)
    return capture


def _capture(
    pixels_rgb: RgbArray,
    report: TreatmentReport,
    sop_instance_uid: str,
    series_instance_uid: str,
    kind: ObjectKind,
    instance_number: int,
) -> SCImage:
    return SCImage(
        pixel_array=pixels_rgb,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=report.study_instance_uid,
        series_instance_uid=series_instance_uid,
        series_number=series_number(kind, report.revision),
        sop_instance_uid=sop_instance_uid,
        instance_number=instance_number,
        manufacturer=MANUFACTURER,
    )


def _set_capture_attributes(capture: Any, report: TreatmentReport, options: ReportOptions) -> None:
    now = local_time(report, options)
    # SCImage requires a patient orientation and writes the present time; a page has no orientation, and the same report
    # must give the same bytes.
    capture.PatientOrientation = None
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = DA(now.date()), TM(now.time())
    capture.BodyPartExamined = BODY_PART
    # The page contains name and date of birth: anonymisers must treat the pixels, too (PS3.3 C.7.6.1).
    capture.BurnedInAnnotation = "YES"
    capture.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    capture.ImageComments = "Computed result, not verified by a person"


def build_attributions(
    pictures: PagePictures, report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> list[Dataset]:
    """Build one Secondary Capture per sequence that has an attribution map.

    Parameters
    ----------
    pictures : PagePictures
        Slices, contours and attribution maps.
    report : TreatmentReport
        The report that they belong to.
    sources : SourceStudy
        For patient and study attributes.
    options : ReportOptions
        Language (it is part of the UIDs) and time zone.

    Returns
    -------
    list of Dataset
        All in one series; empty where no sequence has an attribution map.
    """
    shown = [picture for picture in pictures.sequences if picture.attribution_yx is not None]
    captures: list[Dataset] = []
    for number, picture in enumerate(shown, start=1):
        capture = _capture(
            page_pixels(render_slice(picture, report, options.language)),
            report,
            sop_instance_uid=uid_for(report.report_identity, f"attribution/{options.language}/{picture.role.value}"),
            series_instance_uid=uid_for(report.report_identity, f"attribution/{options.language}/series"),
            kind="attribution",
            instance_number=number,
        )
        set_common_attributes(capture, "attribution", report, sources, options)
        _set_capture_attributes(capture, report, options)
        captures.append(capture)
    return captures
