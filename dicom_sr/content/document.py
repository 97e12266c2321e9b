"""The root container and its context."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    ContainerContentItem,
    ContentItem,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    ObservationContext,
    ObserverContext,
)

from dicom_sr.coding import codes
from dicom_sr.coding.items import CONCEPT_MOD, code, container, keep_separate
from dicom_sr.content.details import details
from dicom_sr.content.evaluations import qualitative_evaluations
from dicom_sr.content.library import image_library
from dicom_sr.content.measurements import SegmentReference, imaging_measurements
from dicom_sr.header.attributes import MODEL_NAME, local_time
from dicom_sr.header.uids import device_uid
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport


def document(
    report: TreatmentReport, sources: SourceStudy, options: ReportOptions, segments: Sequence[SegmentReference]
) -> ContainerContentItem:
    """(126001, DCM, "Oncology Measurement Report"), TID 1500: title 126000 opens black in some viewers."""
    children: list[ContentItem] = [
        *LanguageOfContentItemAndDescendants(codes.LANGUAGES[options.language].code),
        *observation_context(report),
        code(codes.PROCEDURE_REPORTED, codes.MR_IMAGING, CONCEPT_MOD),
        qualitative_evaluations(report, options),
    ]
    if report.series:
        children.append(image_library(report, sources))
    children += [imaging_measurements(report, segments), details(report, local_time(report, options))]
    made = container(codes.ONCOLOGY_MEASUREMENT_REPORT, children, template="1500", relation=None)
    keep_separate(made)
    return made


def observation_context(report: TreatmentReport) -> ObservationContext:
    """TID 1001: observed by a device; the rest of the device stands in the Contributing Equipment Sequence."""
    device = DeviceObserverIdentifyingAttributes(device_uid(report.model.digest), name=MODEL_NAME)
    return ObservationContext(observer_device_context=ObserverContext(codes.DEVICE.code, device))
