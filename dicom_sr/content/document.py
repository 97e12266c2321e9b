"""The root container of the document and its observation context."""

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
    """Build the content tree (TID 1500).

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    sources : SourceStudy
        The data sets that were used.
    options : ReportOptions
        Language and time zone.
    segments : sequence of SegmentReference
        The segments of this report's SEG objects; the group of the n-th contour refers to the n-th segment.

    Returns
    -------
    ContainerContentItem
        (126001, DCM, "Oncology Measurement Report"), every container below SEPARATE.
    """
    children: list[ContentItem] = [
        *LanguageOfContentItemAndDescendants(codes.LANGUAGES[options.language].code),
        *observation_context(report),
        # The imaging procedure (CID 100), not the algorithm that computed the result.
        code(codes.PROCEDURE_REPORTED, codes.MR_IMAGING, CONCEPT_MOD),
        qualitative_evaluations(report, options),
    ]
    if report.series:
        children.append(image_library(report, sources))
    children += [imaging_measurements(report, segments), details(report, local_time(report, options))]
    # TID 1500 also allows the title 126000 "Imaging Measurement Report": OHIF 3.13.2 then expects geometry and shows a
    # black viewport without a message.
    root = container(codes.ONCOLOGY_MEASUREMENT_REPORT, children, template="1500", relation=None)
    keep_separate(root)
    return root


def observation_context(report: TreatmentReport) -> ObservationContext:
    """Build the observation context (TID 1001): a device whose UID follows from the model bundle.

    Its other attributes are in the Contributing Equipment Sequence.
    """
    device = DeviceObserverIdentifyingAttributes(device_uid(report.model.digest), name=MODEL_NAME)
    return ObservationContext(observer_device_context=ObserverContext(codes.DEVICE.code, device))
