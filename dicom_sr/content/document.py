"""The root container of the document and its observation context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from highdicom.sr import (
    ContainerContentItem,
    ContentItem,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    ObservationContext,
    ObserverContext,
)

from dicom_sr.coding import codes
from dicom_sr.coding.items import CONCEPT_MOD, OBS_CONTEXT, code, container, keep_separate, text
from dicom_sr.content.details import details
from dicom_sr.content.evaluations import qualitative_evaluations
from dicom_sr.content.library import image_library
from dicom_sr.content.measurements import SegmentReference, imaging_measurements
from dicom_sr.content.patient_characteristics import patient_characteristics
from dicom_sr.header.attributes import MANUFACTURER, MODEL_NAME, device_serial_number, local_time
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
        *observation_context(report, options),
        # The imaging procedure (CID 100), not the algorithm that computed the result.
        code(codes.PROCEDURE_REPORTED, codes.MR_IMAGING, CONCEPT_MOD),
        qualitative_evaluations(report, options),
    ]
    if report.series:
        children.append(image_library(report, sources))
    children += [
        patient_characteristics(report),
        imaging_measurements(report, segments),
        details(report, local_time(report, options)),
    ]
    # TID 1500 also allows the title 126000 "Imaging Measurement Report": OHIF 3.13.2 then expects geometry and shows a
    # black viewport without a message.
    root = container(codes.ONCOLOGY_MEASUREMENT_REPORT, children, template="1500", relation=None)
    keep_separate(root)
    return root


def observation_context(report: TreatmentReport, options: ReportOptions) -> list[ContentItem]:
    """Build the observation context (TID 1001): the device that computed the result.

    Parameters
    ----------
    report : TreatmentReport
        Gives bundle and software version.
    options : ReportOptions
        Serial number and Unique Device Identifier of the site, where it has them.

    Returns
    -------
    list of ContentItem
        TID 1004, with the same values as General Equipment and Contributing Equipment; then the software version, for
        which the (extensible) template has no row.
    """
    device = DeviceObserverIdentifyingAttributes(
        device_uid(report.model.digest, report.software_version),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=device_serial_number(report, options),
    )
    items: list[Any] = list(ObservationContext(observer_device_context=ObserverContext(codes.DEVICE.code, device)))
    if options.device_udi:
        # TID 1004 has it in a container of the context; dcmtk 3.6.7 refuses a document with that relationship.
        items.append(text(codes.UNIQUE_DEVICE_IDENTIFIER, options.device_udi, OBS_CONTEXT))
    if report.software_version:
        items.append(text(codes.SOFTWARE_VERSION, report.software_version, OBS_CONTEXT))
    return items
