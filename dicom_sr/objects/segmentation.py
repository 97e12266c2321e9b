"""SEG of the contour on the grid of each series: the pixels that the model used as tumour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset
from pydicom.uid import UID, MRImageStorage
from pydicom.valuerep import DSfloat

from config.arrays import LabelArray
from config.indication.vocabulary import SeriesRole
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
from dicom_sr.header.uids import seal, uid_for
from dicom_sr.objects.drawn_contour import DrawnContour, drawn_contour, refer_to_contour
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

# What a SEG needs of its source images. Nothing that contains text: highdicom would copy its encoding into the SEG.
GEOMETRY = (
    "SeriesInstanceUID", "Modality", "FrameOfReferenceUID", "PositionReferenceIndicator", "Rows", "Columns",
)  # fmt: skip
# Of an Enhanced MR these are in a functional group of the frame, else in the shared one (PS3.3 C.7.6.16.2.1 to 4).
MACRO_OF = {
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
}
REQUIRED_OF_A_PLANE = ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")


def build_segmentations(report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> list[Dataset]:
    """Build the SEG of each series, one series of objects with final UIDs; parameters as of `build_seg`."""
    segmentations = [build_seg(mask, report, sources, options) for mask in sources.masks]
    seal(segmentations, report.report_identity, "seg")
    return segmentations


def ordered_as_masks(segmentations: Sequence[Dataset], sources: SourceStudy) -> list[Dataset]:
    """Return the SEGs of a report in the order of the masks that they were built from; none where one is missing."""
    by_number = {int(each.InstanceNumber): each for each in segmentations}
    numbers = [instance_number(mask.role) for mask in sources.masks]
    return [by_number[number] for number in numbers] if set(numbers) <= set(by_number) else []


def instance_number(role: SeriesRole) -> int:
    """Return the Instance Number of the SEG on a series: the same series has the same number in every report."""
    return 1 + list(codes.SERIES_ROLES).index(role)


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
        Complete, with file meta information; each frame refers to the MR image or frame that it was drawn on. Its UIDs
        are provisional until `build_segmentations` has all SEGs of the report.

    Raises
    ------
    InvalidReportError
        The mask is empty, or names instances that are not among the sources.

    References
    ----------
    PS3.3 A.51 (Segmentation IOD).
    """
    binary, drawn = _checked(mask), drawn_contour(mask, report, sources)
    planes = _source_planes(mask, report, sources)
    segmentation = Segmentation(
        source_images=planes,
        pixel_array=binary,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(report, mask, drawn)],
        series_instance_uid=uid_for(report.report_identity, "seg/series"),
        series_number=series_number("seg", report.revision),
        sop_instance_uid=uid_for(report.report_identity, f"seg/{mask.role.value}"),
        instance_number=instance_number(mask.role),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=one_line(report.software_version),
        device_serial_number="none",  # set below, like the other equipment attributes; highdicom requires a value
        content_label="GTVP",
        content_description=f"Contour used on {mask.role.value}",
        # A SEG with all slices of a series would be mostly empty; frames refer to their source image by UID anyway.
        omit_empty_frames=True,
    )
    _refer_to_stored_slices(segmentation, mask, sources)
    refer_to_contour(segmentation, drawn)
    segmentation.SegmentSequence[0].pop("SegmentationAlgorithmIdentificationSequence", None)
    set_common_attributes(segmentation, "seg", report, sources, options)
    segmentation.BodyPartExamined = "HEADNECK"  # without it dciodvfy asks for Laterality
    _set_dimension_uids(segmentation, uid_for(report.report_identity, f"seg/{mask.role.value}/dimensions"))
    return segmentation


def _checked(mask: SeriesMask) -> LabelArray:
    binary = (np.asarray(mask.mask_zyx) != 0).astype(np.uint8)
    if len(binary) != len(mask.slices) or not binary.any():
        raise InvalidReportError(
            f"{mask.role.value}: expected a contour on {len(mask.slices)} slices, "
            f"found {len(binary)} with {int(binary.sum())} pixels inside"
        )
    return binary


def _source_planes(mask: SeriesMask, report: TreatmentReport, sources: SourceStudy) -> list[Dataset]:
    """Return one image without pixels and text for each slice of the mask, whatever objects the slices are stored in.

    highdicom takes several images or one multi-frame object, but not several multi-frame objects. Each slice is
    therefore an image with a UID of its own, which `_refer_to_stored_slices` replaces afterwards.
    """
    by_uid = {str(ds.SOPInstanceUID): ds for ds in sources.mr}
    missing = [uid for uid, _ in mask.slices if uid not in by_uid]
    if missing:
        raise InvalidReportError(f"{mask.role.value}: the contour names {missing[0]}, which is not among the sources")
    patient = patient_and_study(sources)
    planes = [_plane(by_uid[uid], frame, mask, patient) for uid, frame in mask.slices]
    if not planes[0].SliceThickness:
        planes[0].SliceThickness = planes[0].SpacingBetweenSlices or _slice_distance_mm(planes)
    for index, plane in enumerate(planes):
        plane.SOPClassUID, plane.SOPInstanceUID = MRImageStorage, _plane_uid(index)
        # One acquisition may be stored in two series; highdicom takes the images of one.
        plane.SeriesInstanceUID = planes[0].SeriesInstanceUID
        # Type 1 (PS3.3 C.7.4.1). Images without a frame of reference share one with their SEG and with nothing else.
        if not plane.get("FrameOfReferenceUID"):
            plane.FrameOfReferenceUID = uid_for(report.report_identity, f"seg/{mask.role.value}/frame-of-reference")
        # A SEG has one orientation and spacing. Those of its slices may differ by the rounding of their writer.
        for keyword in MACRO_OF.keys() - {"ImagePositionPatient"}:
            setattr(plane, keyword, planes[0].get(keyword))
    return planes


def _slice_distance_mm(planes: Sequence[Dataset]) -> DSfloat:
    """Return what the slices are apart, which the pixel measures of a SEG require where the MR has no thickness."""
    positions = np.array([plane.ImagePositionPatient for plane in planes], dtype=float)
    distances = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return DSfloat(float(distances.min()) if distances.size else 1.0, auto_format=True)


def _plane(source: Dataset, frame: int | None, mask: SeriesMask, patient: Dataset) -> Dataset:
    plane = Dataset()
    for element in patient:
        plane.add(element)
    for keyword in GEOMETRY:
        if keyword in source:
            plane.add(source[keyword])
    groups = _functional_groups(source, frame, mask)
    for keyword, macro in MACRO_OF.items():
        items = [item for group in groups for item in (group.get(macro) or ())[:1]]
        values = (item.get(keyword) for item in (*items, source))
        value = next((value for value in values if value not in (None, "")), None)
        if value is None and keyword in REQUIRED_OF_A_PLANE:
            raise InvalidReportError(
                f"{mask.role.value}: expected {keyword} of {source.SOPInstanceUID}, frame {frame}, found none"
            )
        setattr(plane, keyword, value)
    return plane


def _functional_groups(source: Dataset, frame: int | None, mask: SeriesMask) -> list[Dataset]:
    """Return the functional groups of a frame, its own before the shared ones; none of a single-frame image."""
    if frame is None:
        return []
    own = source.get("PerFrameFunctionalGroupsSequence") or ()
    # Frame numbers count from 1 (PS3.3 C.7.6.16).
    if not 1 <= frame <= len(own):
        raise InvalidReportError(
            f"{mask.role.value}: the contour names frame {frame} of {source.SOPInstanceUID}, which has {len(own)}"
        )
    return [own[frame - 1], *(source.get("SharedFunctionalGroupsSequence") or ())[:1]]


def _plane_uid(index: int) -> str:
    return f"1.{index + 1}"


def _refer_to_stored_slices(segmentation: Dataset, mask: SeriesMask, sources: SourceStudy) -> None:
    """Let the references name the stored instances, each once, and the references of a frame also its source frame."""
    stored = {_plane_uid(index): each for index, each in enumerate(mask.slices)}
    classes = {str(ds.SOPInstanceUID): ds.SOPClassUID for ds in sources.mr}
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for item in group.DerivationImageSequence[0].SourceImageSequence:
            uid, frame = stored[item.ReferencedSOPInstanceUID]
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = classes[uid], UID(uid)
            if frame is not None:
                item.ReferencedFrameNumber = frame
    series_of = {str(ds.SOPInstanceUID): str(ds.SeriesInstanceUID) for ds in sources.mr}
    instances: dict[str, list[Dataset]] = {}
    for uid in dict.fromkeys(uid for uid, _ in mask.slices):
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = classes[uid], UID(uid)
        instances.setdefault(series_of[uid], []).append(instance)
    segmentation.SourceImageSequence = [instance for of_series in instances.values() for instance in of_series]
    segmentation.ReferencedSeriesSequence = []
    for series_uid, of_series in instances.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = UID(series_uid), of_series
        segmentation.ReferencedSeriesSequence.append(series)


def _segment(report: TreatmentReport, mask: SeriesMask, drawn: DrawnContour) -> SegmentDescription:
    tracking = f"Primary tumour on {mask.role.value}"
    algorithm = None
    if drawn.algorithm_type is not SegmentAlgorithmTypeValues.MANUAL:
        # highdicom requires it and takes the name from it; its family is not known, so it is removed afterwards.
        algorithm = AlgorithmIdentificationSequence(drawn.algorithm_name, codes.CONTOUR_TO_MASK.code, "unknown")
    return SegmentDescription(
        SEGMENT_NUMBER,
        one_line(drawn.name) if drawn.name else tracking,
        codes.MORPHOLOGICALLY_ABNORMAL.code,
        codes.PRIMARY_NEOPLASM.code,
        # Who or what drew the contour: filling it on the grid is no segmentation of its own.
        drawn.algorithm_type,
        algorithm_identification=algorithm,
        tracking_uid=uid_for(report.report_identity, f"track/segment/{mask.role.value}"),
        tracking_id=tracking,
        anatomic_regions=[codes.NASOPHARYNX.code],
    )


def _set_dimension_uids(segmentation: Dataset, uid: str) -> None:
    # highdicom generates a random Dimension Organization UID; the same report must give the same bytes.
    for item in segmentation.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = UID(uid)
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = UID(uid)
