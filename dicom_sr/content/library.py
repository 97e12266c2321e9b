"""Image Library: one representative image per series, few attributes; the rest stands in the evidence."""

from __future__ import annotations

from highdicom.sr import ContainerContentItem, ContentItem
from pydicom import Dataset

from dicom_sr.coding import codes
from dicom_sr.coding.items import ACQ_CONTEXT, code, container, image, uid
from dicom_sr.report.report_inputs import SourceStudy
from dicom_sr.report.treatment_report import SeriesUsed, TreatmentReport


def image_library(report: TreatmentReport, sources: SourceStudy) -> ContainerContentItem:
    """(111028, DCM, "Image Library"), TID 1600."""
    first_of = {ds.SeriesInstanceUID: ds for ds in reversed(sources.mr)}
    groups = [image_library_group(series, first_of.get(series.series_instance_uid)) for series in report.series]
    return container(codes.IMAGE_LIBRARY, groups, template="1600")


def image_library_group(series: SeriesUsed, instance: Dataset | None) -> ContainerContentItem:
    """(126200, DCM, "Image Library Group") of one series."""
    children: list[ContentItem] = [
        code(codes.MODALITY, codes.MAGNETIC_RESONANCE, ACQ_CONTEXT),
    ]
    if instance is not None and instance.get("FrameOfReferenceUID"):
        children.append(uid(codes.FRAME_OF_REFERENCE_UID, instance.FrameOfReferenceUID, ACQ_CONTEXT))
    children.append(image(codes.SOURCE_IMAGE, series.sop_class_uid, series.representative_sop_instance_uid))
    return container(codes.IMAGE_LIBRARY_GROUP, children)
