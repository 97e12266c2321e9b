"""The page as an ordinary image: it opens in every viewer, planning systems included, which read SR poorly.

Its modality is OT (as highdicom writes it), which opens sharp in viewers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from dicom_sr.header.attributes import MANUFACTURER, local_time, series_number, stamp
from dicom_sr.header.uids import series_uid_of, uid_for
from dicom_sr.page.layout import page_pixels, render_slice
from dicom_sr.report.report_inputs import ObjectKind, PagePictures, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

BODY_PART = "HEADNECK"  # without it dciodvfy asks for Laterality


def build_sc(
    pixels_rgb: NDArray[np.uint8], report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> Dataset:
    """Secondary Capture of the page.

    pixels_rgb : (rows, columns, 3), 0..255.
    """
    sop_instance_uid = uid_for(report.report_identity, f"sc/{options.language}")
    made = _capture(pixels_rgb, report, sop_instance_uid, series_uid_of(sop_instance_uid), "sc", 1)
    stamp(made, "sc", report, sources, options)
    finish_capture(made, report, options)
    return made


def _capture(
    pixels_rgb: NDArray[np.uint8],
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


def finish_capture(made: Any, report: TreatmentReport, options: ReportOptions) -> None:
    """What a picture of a page is: no patient orientation, burned-in annotation, our own capture time."""
    now = local_time(report, options)
    made.PatientOrientation = None
    made.BodyPartExamined = BODY_PART
    made.BurnedInAnnotation = "YES"
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = DA(now.date()), TM(now.time())
    made.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    made.ImageComments = "Computed result, not verified by a person"


def build_attributions(
    pictures: PagePictures, report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> list[Dataset]:
    """One Secondary Capture per sequence that has an attribution map: the slice, the contour, what drove the scores."""
    shown = [picture for picture in pictures.sequences if picture.attribution_yx is not None]
    made: list[Dataset] = []
    for number, picture in enumerate(shown, start=1):
        capture = _capture(
            page_pixels(render_slice(picture, report, options.language)),
            report,
            sop_instance_uid=uid_for(report.report_identity, f"attribution/{options.language}/{picture.role.value}"),
            series_instance_uid=uid_for(report.report_identity, f"attribution/{options.language}/series"),
            kind="attribution",
            instance_number=number,
        )
        stamp(capture, "attribution", report, sources, options)
        finish_capture(capture, report, options)
        made.append(capture)
    return made
