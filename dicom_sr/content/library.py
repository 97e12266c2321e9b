"""Image Library: one representative image per series; the other images are listed as evidence."""

from __future__ import annotations

from highdicom.sr import ContainerContentItem, ContentItem
from pydicom import Dataset

from dicom_sr.coding import codes
from dicom_sr.coding.items import ACQ_CONTEXT, code, container, image, uid
from dicom_sr.report.report_inputs import SourceStudy
from dicom_sr.report.treatment_report import SeriesUsed, TreatmentReport


def image_library(report: TreatmentReport, sources: SourceStudy) -> ContainerContentItem:
    """Build the container (111028, DCM, "Image Library"), TID 1600.

    Parameters
    ----------
    report : TreatmentReport
        A report with at least one series.
    sources : SourceStudy
        The MR instances, for the frame of reference of each series.

    Returns
    -------
    ContainerContentItem
        One Image Library Group per series of the report.
    """
    first_of = {ds.SeriesInstanceUID: ds for ds in reversed(sources.mr)}
    groups = [image_library_group(series, first_of.get(series.series_instance_uid)) for series in report.series]
    return container(codes.IMAGE_LIBRARY, groups, template="1600")


def image_library_group(series: SeriesUsed, instance: Dataset | None) -> ContainerContentItem:
    """Build the container (126200, DCM, "Image Library Group") of one series.

    Parameters
    ----------
    series : SeriesUsed
        The series and its representative slice.
    instance : Dataset or None
        Any instance of the series; None leaves the frame of reference out.

    Returns
    -------
    ContainerContentItem
        Modality, role and frame of reference, then the image.
    """
    # Few attributes: each is one more line between the result and the measurements in a viewer.
    children: list[ContentItem] = [
        code(codes.MODALITY, codes.MAGNETIC_RESONANCE, ACQ_CONTEXT),
        code(codes.SERIES_ROLE, codes.SERIES_ROLES[series.role], ACQ_CONTEXT),
    ]
    if instance is not None and instance.get("FrameOfReferenceUID"):
        children.append(uid(codes.FRAME_OF_REFERENCE_UID, instance.FrameOfReferenceUID, ACQ_CONTEXT))
    children.append(image(codes.SOURCE_IMAGE, series.sop_class_uid, series.representative_sop_instance_uid))
    return container(codes.IMAGE_LIBRARY_GROUP, children)
