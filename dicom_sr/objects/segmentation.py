"""SEG of the contour as it was used, on the grid of each series: it shows what the model saw."""

from __future__ import annotations

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID

from dicom_sr.coding import codes
from dicom_sr.content.measurements import SEGMENT_NUMBER
from dicom_sr.header.attributes import MANUFACTURER, MODEL_NAME, one_line, patient_and_study, series_number, stamp
from dicom_sr.header.uids import uid_for
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

# What a SEG needs to know of its source images; nothing that holds text, whose encoding would come along
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
    return uid_for(report.report_identity, f"seg/{mask.role.value}")


def build_seg(mask: SeriesMask, report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> Dataset:
    """The contour of one series as a binary SEG with one segment.

    Raises InvalidReportError when the mask is empty, or names instances that are not among the sources.
    """
    images, pixels = _on_source_grid(mask, sources)
    made = Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(report, mask)],
        series_instance_uid=uid_for(report.report_identity, "seg/series"),
        series_number=series_number("seg", report.revision),
        sop_instance_uid=seg_uid(report, mask),
        instance_number=1 + list(codes.SERIES_ROLES).index(mask.role),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=one_line(report.software_version),
        device_serial_number="none",
        content_label="GTVP",
        content_description=f"Contour used on {mask.role.value}",
        omit_empty_frames=True,
    )
    stamp(made, "seg", report, sources, options)
    made.BodyPartExamined = "HEADNECK"
    _settle_dimension_uids(made, uid_for(report.report_identity, f"seg/{mask.role.value}/dimensions"))
    return made


def _on_source_grid(mask: SeriesMask, sources: SourceStudy) -> tuple[list[Dataset], NDArray[np.uint8]]:
    """Source images without text, and the mask in their order (frames of an Enhanced MR, or one image a slice)."""
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
    frames = np.zeros((int(enhanced.NumberOfFrames), *binary.shape[1:]), np.uint8)
    for plane, (_, frame) in zip(binary, mask.slices, strict=True):
        frames[(frame or 1) - 1] = plane
    return [enhanced], frames


def _geometry(source: Dataset, patient: Dataset) -> Dataset:
    made = Dataset()
    for element in patient:
        made.add(element)
    for keyword in GEOMETRY:
        if keyword in source:
            made.add(source[keyword])
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in source:
            setattr(made, keyword, [_geometry_group(item) for item in source[keyword].value])
    return made


def _geometry_group(item: Dataset) -> Dataset:
    made = Dataset()
    for keyword in GEOMETRY_GROUPS:
        if keyword in item:
            made.add(item[keyword])
    return made


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
        SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=uid_for(report.report_identity, f"track/segment/{mask.role.value}"),
        tracking_id=f"Primary tumour on {mask.role.value}",
        anatomic_regions=[codes.NASOPHARYNX.code],
    )


def _settle_dimension_uids(segmentation: Dataset, uid: str) -> None:
    """highdicom draws the Dimension Organization UID at random; ours follows from the report."""
    for item in segmentation.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = UID(uid)
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = UID(uid)
