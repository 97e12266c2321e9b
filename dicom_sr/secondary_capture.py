"""The page as an ordinary image: it opens in every viewer, planning systems included, which read SR poorly."""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from dicom_sr.header import MANUFACTURER, local_time, series_number, stamp
from dicom_sr.identity import series_uid_of, uid_for
from dicom_sr.materials import ReportOptions, SourceStudy
from dicom_sr.treatment_report import TreatmentReport

BODY_PART = "HEADNECK"  # without it dciodvfy asks for Laterality
MODALITY = "OT"  # opens sharp in viewers that treat SC of modality OT as a document


def build_sc(
    pixels_rgb: NDArray[np.uint8], report: TreatmentReport, sources: SourceStudy, options: ReportOptions
) -> Dataset:
    """Secondary Capture of the page.

    pixels_rgb : (rows, columns, 3), 0..255.
    """
    sop_instance_uid = uid_for(report.report_identity, f"sc/{options.language}")
    made = SCImage(
        pixel_array=pixels_rgb,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=report.study_instance_uid,
        series_instance_uid=series_uid_of(sop_instance_uid),
        series_number=series_number("sc", report.revision),
        sop_instance_uid=sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    stamp(made, "sc", report, sources, options)
    finish_capture(made, report, options)
    return made


def finish_capture(made: Any, report: TreatmentReport, options: ReportOptions) -> None:
    """What a picture of a page is: no patient orientation, burned-in annotation, our own capture time."""
    now = local_time(report, options)
    made.PatientOrientation = None
    made.BodyPartExamined = BODY_PART
    made.BurnedInAnnotation = "YES"
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = DA(now.date()), TM(now.time())
    made.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    made.ImageComments = "Computed result, not verified by a person"
