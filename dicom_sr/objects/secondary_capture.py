"""The pages as ordinary images: every viewer shows it, also planning systems, many of which cannot show an SR.

Its modality is OT, as highdicom writes it; viewers show such pictures sharp. All of a report are smaller than 1 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from config.arrays import RgbArray
from dicom_sr.coding import codes
from dicom_sr.header.attributes import MANUFACTURER, MODEL_NAME, local_time, series_number, set_common_attributes
from dicom_sr.header.uids import seal, series_uid_of, uid_for
from dicom_sr.objects.lossless import encode, set_pixels
from dicom_sr.page.heading import PatientCaption
from dicom_sr.page.layout import render_slice
from dicom_sr.page.output import page_pixels
from dicom_sr.report.report_inputs import ObjectKind, PagePictures, ReportOptions, SequencePicture, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

BODY_PART = "HEADNECK"  # without it dciodvfy asks for Laterality, which General Series requires of paired body parts


def build_sc(
    pages_rgb: Sequence[RgbArray],
    report: TreatmentReport,
    sources: SourceStudy,
    options: ReportOptions,
    pictures: Sequence[SequencePicture] = (),
) -> list[Dataset]:
    """Build the Secondary Captures of the pages, one series.

    Parameters
    ----------
    pages_rgb : sequence of array of uint8, shape (rows, columns, 3)
        The pages in RGB, 0 to 255.
    report : TreatmentReport
        The report that is shown.
    sources : SourceStudy
        For patient and study attributes, and the SOP classes of the slices.
    options : ReportOptions
        Time zone, institution and device.
    pictures : sequence of SequencePicture
        The slices that are drawn on the pages; they become the source images.

    Returns
    -------
    list of Dataset
        One per page, complete, with file meta information.

    References
    ----------
    PS3.3 A.8.1.
    """
    slices = [picture.source for picture in pictures if picture.source is not None]
    captures: list[Dataset] = []
    for number, page in enumerate(pages_rgb, start=1):
        capture = _capture(page, report, "sc", number)
        set_common_attributes(capture, "sc", report, sources, options)
        _set_capture_attributes(capture, report, options)
        _refer_to_slices(capture, slices, sources)
        capture.DerivationDescription = f"Page {number} of {len(pages_rgb)} of the report, with these slices on it"
        set_pixels(capture, encode(page))
        captures.append(capture)
    seal(captures, report.report_identity, "sc")
    return captures


def _capture(pixels_rgb: RgbArray, report: TreatmentReport, kind: ObjectKind, instance_number: int) -> SCImage:
    provisional_uid = uid_for(report.report_identity, f"{kind}/{instance_number}")
    return SCImage(
        pixel_array=np.zeros(pixels_rgb.shape[:2], np.uint8),  # its own follow when all other attributes are set
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=report.study_instance_uid,
        series_instance_uid=series_uid_of(provisional_uid),
        series_number=series_number(kind, report.revision),
        sop_instance_uid=provisional_uid,
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
    capture.ConversionType = "WSD"  # drawn by a workstation; highdicom writes "DI", a digital interface (C.8.6.1)
    capture.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    capture.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    capture.SecondaryCaptureDeviceSoftwareVersions = capture.SoftwareVersions
    capture.ImageComments = "Computer-generated, not verified by a person"


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
        For patient and study attributes, and the SOP classes of the slices.
    options : ReportOptions
        Language, time zone, institution and device.
    patient : PatientCaption or None
        Named on each of them.

    Returns
    -------
    list of Dataset
        All in one series; empty where no sequence has an attribution map.
    """
    shown = [picture for picture in pictures.sequences if picture.attribution_yx is not None]
    drawn = [page_pixels(render_slice(picture, report, options.language, patient)) for picture in shown]
    captures: list[Dataset] = []
    for number, (picture, pixels) in enumerate(zip(shown, drawn, strict=True), start=1):
        capture = _capture(pixels, report, "attribution", number)
        set_common_attributes(capture, "attribution", report, sources, options)
        _set_capture_attributes(capture, report, options)
        _refer_to_slices(capture, [picture.source] if picture.source else [], sources)
        capture.DerivationDescription = f"Grad-CAM of the network of {picture.role.value}, drawn over its slice"
        capture.DerivationCodeSequence = [codes.GRADIENT_WEIGHTED_CLASS_ACTIVATION.code]
        set_pixels(capture, encode(pixels))
        captures.append(capture)
    if captures:
        seal(captures, report.report_identity, "attribution")
    return captures


def _refer_to_slices(capture: Dataset, slices: Sequence[tuple[str, int | None]], sources: SourceStudy) -> None:
    """Name the MR slices that are drawn as source images (PS3.3 C.12.4), each once."""
    classes = {str(ds.SOPInstanceUID): ds.SOPClassUID for ds in sources.mr}
    references = []
    for uid, frame in dict.fromkeys(slices):
        if uid in classes:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = classes[uid], UID(uid)
            if frame is not None:
                item.ReferencedFrameNumber = frame
            item.PurposeOfReferenceCodeSequence = [codes.SOURCE_FOR_PROCESSING.code]
            references.append(item)
    if references:
        capture.SourceImageSequence = references
