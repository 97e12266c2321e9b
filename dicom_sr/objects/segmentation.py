"""SEG of the contour on the grid of each series: the pixels that the model used as tumour."""

from __future__ import annotations

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.uid import UID

from config.arrays import LabelArray
from dicom_sr.coding import codes
from dicom_sr.content.measurements import SEGMENT_NUMBER
from dicom_sr.header.attributes import (
    MANUFACTURER,
    MODEL_NAME,
    one_line,
    series_number,
    set_common_attributes,
)
from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.header.uids import uid_for
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

# What a SEG needs of its source images. Nothing that contains text: highdicom would copy its encoding into the SEG.
GEOMETRY = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "Rows", "Columns", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "DimensionOrganizationSequence", "DimensionIndexSequence",
)  # fmt: skip
GEOMETRY_GROUPS = (
    "PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence", "FrameContentSequence",
)  # fmt: skip


def seg_uid(report: TreatmentReport, mask: SeriesMask) -> str:
    """Return the SOP Instance UID of the SEG on one series."""
    return uid_for(report.report_identity, f"seg/{mask.role.value}")


def build_seg(mask: SeriesMask, report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> Dataset:
    """Build the SEG of one series: binary, one segment, empty frames left out.

    Parameters
    ----------
    mask : SeriesMask
        The contour on the grid of the series.
    report : TreatmentReport
        The report that it belongs to.
    sources : SourceStudy
        Contains the MR instances that the mask names.
    options : ReportOptions
        Time zone and institution.

    Returns
    -------
    Dataset
        Complete, with file meta information; each frame refers to the MR image or frame that it was drawn on.

    Raises
    ------
    InvalidReportError
        The mask is empty, or names instances that are not among the sources.

    References
    ----------
    PS3.3 A.51 (Segmentation IOD).
    """
    images, pixels = _on_source_grid(mask, sources)
    segmentation = Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(report, mask)],
        series_instance_uid=uid_for(report.report_identity, "seg/series"),
        series_number=series_number("seg", report.revision),
        sop_instance_uid=seg_uid(report, mask),
        # From the role and not from the order of the masks: the same series has the same number in every report.
        instance_number=1 + list(codes.SERIES_ROLES).index(mask.role),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=one_line(report.software_version),
        device_serial_number="none",  # set below, like the other equipment attributes; highdicom requires a value
        content_label="GTVP",
        content_description=f"Contour used on {mask.role.value}",
        # A SEG with all slices of a series would be mostly empty; frames refer to their source image by UID anyway.
        omit_empty_frames=True,
    )
    set_common_attributes(segmentation, "seg", report, sources, options)
    segmentation.BodyPartExamined = "HEADNECK"  # without it dciodvfy asks for Laterality
    _set_dimension_uids(segmentation, uid_for(report.report_identity, f"seg/{mask.role.value}/dimensions"))
    return segmentation


def _on_source_grid(mask: SeriesMask, sources: SourceStudy) -> tuple[list[Dataset], LabelArray]:
    """Return source images without text, and the mask in their order: Enhanced MR frames, or one image per slice."""
    binary = (np.asarray(mask.mask_zyx) != 0).astype(np.uint8)
    if len(binary) != len(mask.slices) or not binary.any():
        raise InvalidReportError(
            f"{mask.role.value}: expected a contour on {len(mask.slices)} slices, "
            f"found {len(binary)} with {int(binary.sum())} pixels inside"
        )
    by_uid = {str(ds.SOPInstanceUID): ds for ds in sources.mr}
    missing = [uid for uid, _ in mask.slices if uid not in by_uid]
    if missing:
        raise InvalidReportError(f"{mask.role.value}: the contour names {missing[0]}, which is not among the sources")
    patient = patient_and_study(sources)
    if mask.slices[0][1] is None:
        return [_geometry(by_uid[uid], patient) for uid, _ in mask.slices], binary
    enhanced = _geometry(by_uid[mask.slices[0][0]], patient)
    # Every frame of the Enhanced MR needs a plane, also those that were not used; empty planes are left out of the SEG.
    frames = np.zeros((int(enhanced.NumberOfFrames), *binary.shape[1:]), np.uint8)
    for plane, (_, frame) in zip(binary, mask.slices, strict=True):
        # Frame numbers count from 1 (PS3.3 C.7.6.6), planes of the array from 0.
        frames[(frame or 1) - 1] = plane
    return [enhanced], frames


def _geometry(source: Dataset, patient: Dataset) -> Dataset:
    geometry = Dataset()
    for element in patient:
        geometry.add(element)
    for keyword in GEOMETRY:
        if keyword in source:
            geometry.add(source[keyword])
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in source:
            setattr(geometry, keyword, [_geometry_group(item) for item in source[keyword].value])
    return geometry


def _geometry_group(item: Dataset) -> Dataset:
    group = Dataset()
    for keyword in GEOMETRY_GROUPS:
        if keyword in item:
            group.add(item[keyword])
    return group


def _segment(report: TreatmentReport, mask: SeriesMask) -> SegmentDescription:
    algorithm = AlgorithmIdentificationSequence(
        name="Contour rasterised on the series grid",
        family=codes.CONTOUR_TO_MASK.code,
        version=one_line(report.software_version),
    )
    return SegmentDescription(
        SEGMENT_NUMBER,
        f"Primary tumour on {mask.role.value}",
        codes.MORPHOLOGICALLY_ABNORMAL.code,
        codes.PRIMARY_NEOPLASM.code,
        SegmentAlgorithmTypeValues.SEMIAUTOMATIC,  # drawn by a physician, filled on the grid by a program
        algorithm_identification=algorithm,
        tracking_uid=uid_for(report.report_identity, f"track/segment/{mask.role.value}"),
        tracking_id=f"Primary tumour on {mask.role.value}",
        anatomic_regions=[codes.NASOPHARYNX.code],
    )


def _set_dimension_uids(segmentation: Dataset, uid: str) -> None:
    # highdicom generates a random Dimension Organization UID; the same report must give the same bytes.
    for item in segmentation.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = UID(uid)
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = UID(uid)
