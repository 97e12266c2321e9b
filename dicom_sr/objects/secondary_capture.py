"""The pages as ordinary images: every viewer shows it, also planning systems, many of which cannot show an SR.

Its modality is OT, as highdicom writes it; viewers show such pictures sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from config.arrays import RgbArray
from dicom_sr.header.attributes import MANUFACTURER, local_time, series_number, set_common_attributes
from dicom_sr.header.uids import content_uid, series_uid_of
from dicom_sr.page.heading import PatientCaption
from dicom_sr.page.layout import page_pixels, render_slice
from dicom_sr.report.report_inputs import ObjectKind, PagePictures, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

BODY_PART = "HEADNECK"  # without it dciodvfy asks for Laterality, which General Series requires of paired body parts


def build_sc(
    pages_rgb: Sequence[RgbArray], report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> list[Dataset]:
    """Build the Secondary Captures of the pages, one series.

    Parameters
    ----------
    pages_rgb : sequence of array of uint8, shape (rows, columns, 3)
        The pages in RGB, 0 to 255.
    report : TreatmentReport
        The report that is shown.
    sources : SourceStudy
        For patient and study attributes.
    options : ReportOptions
        Language (it is part of the UID) and time zone.

    Returns
    -------
    list of Dataset
        One per page, complete, with file meta information.

    References
    ----------
    PS3.3 A.8.1.
    """
    names = [f"sc/{options.language}/{n}" for n in range(1, len(pages_rgb) + 1)]
    uids = [
        content_uid(report, name, page.tobytes()) for name, page in zip(names, pages_rgb, strict=True)
    ]  # fmt: skip
    captures: list[Dataset] = []
    for number, (uid, page) in enumerate(zip(uids, pages_rgb, strict=True), start=1):
        capture = _capture(page, report, uid, series_uid_of(uids[0]), "sc", number)
        set_common_attributes(capture, "sc", report, sources, options)
        _set_capture_attributes(capture, report, options)
        captures.append(capture)
    return captures


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
    pictures: PagePictures,
    report: TreatmentReport,
    sources: SourceStudy,
    options: ReportOptions,
    patient: PatientCaption | None = None,
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
    patient : PatientCaption or None
        Named on each of them.

    Returns
    -------
    list of Dataset
        All in one series; empty where no sequence has an attribution map.
    """
    shown = [picture for picture in pictures.sequences if picture.attribution_yx is not None]
    drawn = [page_pixels(render_slice(picture, report, options.language, patient)) for picture in shown]
    names = [f"attribution/{options.language}/{picture.role.value}" for picture in shown]
    uids = [content_uid(report, name, pixels.tobytes()) for name, pixels in zip(names, drawn, strict=True)]
    captures: list[Dataset] = []
    for number, (uid, pixels) in enumerate(zip(uids, drawn, strict=True), start=1):
        capture = _capture(pixels, report, uid, series_uid_of(uids[0]), "attribution", number)
        set_common_attributes(capture, "attribution", report, sources, options)
        _set_capture_attributes(capture, report, options)
        captures.append(capture)
    return captures
