"""Frames: every stored slice as header facts plus the place of its pixels, classic and Enhanced objects alike.

A classic instance (MR Image, PS3.3 A.4) is one frame, its position and spacing are attributes of the object. An
Enhanced instance (A.36) has many frames: each attribute is in the functional groups of its frame, in the shared groups,
or in the object itself (C.7.6.16). `Frame` gives both the same fields.

1. `read_pixel_source` (pixel_source.py) reads how the pixels are written and, for native ones, where they begin; what
   the header claims is compared with the size of the file before any memory is allocated.
2. `_frames_of` makes one `Frame` for each item of the Per-frame Functional Groups Sequence, or one for the object.
3. `first_value` (parsing.py) looks each attribute up, nearest level first.

No pixel is decoded here; see `pixels.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from config.errors import IneligibleStudyError
from config.messages.message import message
from node.cases.slice_rules import MAGNITUDE, complex_component
from node.dicom.headers.conforming import ConformingFile, open_conforming
from workers.volumes.parsing import PARSE_ERRORS, first_value, unreadable, why_unreadable
from workers.volumes.pixel_source import PixelSource, read_pixel_source

MAX_FRAMES = 20_000
# Legacy Converted Enhanced MR: attributes of the classic images for which there is no macro (PS3.3 A.71).
UNASSIGNED = frozenset({"UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence"})
# Facts that distinguish one volume from another where several share their positions.
VOLUME_FACTS = (
    "EchoTime", "EffectiveEchoTime", "EchoNumbers", "InversionTime", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "AcquisitionNumber", "TriggerTime", "DiffusionBValue", "ImageType", "FrameType",
    "ComplexImageComponent", "StackID",
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One stored slice: its header facts and where its pixels are.

    Attributes
    ----------
    dataset : pydicom Dataset
        Header of its instance, without pixels.
    source : PixelSource
        Where its pixels are.
    series_instance_uid, frame_of_reference_uid, sop_instance_uid : str
        The frame of reference is empty where none is named.
    instance_number : str
        For messages; ``unknown`` where it is missing.
    frame_number : int or None
        From 1 in a multi-frame object, else None.
    position_lps_mm : (float, float, float)
        Centre of the first pixel (Image Position (Patient)).
    orientation : tuple of 6 float
        Direction cosines along a row, then along a column (Image Orientation (Patient)).
    spacing_yx_mm : (float, float)
        Distance of rows, distance of columns (the order of Pixel Spacing, PS3.3 10.7.1.3).
    thickness_mm : float or None
        Spacing Between Slices, else Slice Thickness; used only where a series has one slice.
    slope, intercept : float
        From stored values to the rescaled ones.
    magnitude : bool
        False for phase, real, imaginary and velocity images.
    levels : tuple of pydicom Dataset
        Where its attributes are looked up, nearest first.
    """

    dataset: Dataset
    source: PixelSource
    series_instance_uid: str
    frame_of_reference_uid: str
    sop_instance_uid: str
    instance_number: str
    frame_number: int | None
    position_lps_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_yx_mm: tuple[float, ...]
    thickness_mm: float | None
    slope: float
    intercept: float
    magnitude: bool
    levels: tuple[Dataset, ...]

    def facts(self) -> dict[str, str]:
        """Return what may distinguish this frame's volume from another at the same position.

        Returns
        -------
        dict
            Keyword -> value as text, only those of `VOLUME_FACTS` that the frame has.

        Raises
        ------
        IneligibleStudyError
            ``unreadable_instance`` when an attribute cannot be parsed.
        """
        try:
            values = {name: first_value(self.levels, name) for name in VOLUME_FACTS}
            return {name: str(value) for name, value in values.items() if value is not None}
        except PARSE_ERRORS as error:
            raise unreadable(self.source.path, why_unreadable(error)) from error


def read_frames(path: Path) -> list[Frame]:
    """Read all frames of one file, in stored order, without their pixels.

    Parameters
    ----------
    path : Path
        A classic or Enhanced image with grey values.

    Returns
    -------
    list of Frame
        One for a classic instance.

    Raises
    ------
    IneligibleStudyError
        ``unreadable_instance`` when the file is damaged, not an image, or claims more than it contains;
        ``inconsistent_geometry`` when a frame has no position, orientation or pixel spacing.
    """
    try:
        with open_conforming(path) as file:
            dataset = dcmread(file, stop_before_pixels=True)
            source = read_pixel_source(path, dataset, file)
            if isinstance(file, ConformingFile) and source.offset is not None:
                # Found in the file that was written anew; the pixels are read from the stored one.
                source = replace(source, offset=source.offset + file.pixel_shift)
        return _frames_of(dataset, source)
    except IneligibleStudyError:
        raise
    except PARSE_ERRORS as error:
        raise unreadable(path, why_unreadable(error)) from error


def _frames_of(dataset: Dataset, source: PixelSource) -> list[Frame]:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    n_frames = int(first_value([dataset], "NumberOfFrames") or 1)
    if per_frame is None and n_frames == 1:
        return [_frame(dataset, source, None, [dataset])]
    if per_frame is None:
        raise IneligibleStudyError(
            "inconsistent_geometry",
            message("inconsistent_geometry.no_functional_groups", file=source.path.name, n=n_frames),
        )
    if len(per_frame) != n_frames or n_frames > MAX_FRAMES:
        raise unreadable(
            source.path, message("unreadable_instance.functional_groups", n=n_frames, found=len(per_frame))
        )
    common = dataset.get("SharedFunctionalGroupsSequence") or []
    shared, shared_rest = _macros(common[0]) if common else ([], [])
    frames = []
    for number, group in enumerate(per_frame, start=1):
        # The same macro may be in the frame's own groups or in the shared ones (C.7.6.16.1.1), and some writers leave
        # attributes in the object itself.
        own, own_rest = _macros(group)
        frames.append(_frame(dataset, source, number, [*own, *shared, *own_rest, *shared_rest, dataset]))
    return frames


def _macros(group: Dataset) -> tuple[list[Dataset], list[Dataset]]:
    """Functional group macros of one item, and the attributes of a converted object that are in none of them."""
    macros: list[Dataset] = []
    unassigned: list[Dataset] = []
    for element in group:
        if element.VR == "SQ" and element.value and not element.tag.is_private:
            (unassigned if element.keyword in UNASSIGNED else macros).append(element.value[0])
    return macros, unassigned


def _frame(dataset: Dataset, source: PixelSource, number: int | None, levels: Sequence[Dataset]) -> Frame:
    return Frame(
        dataset=dataset,
        source=source,
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=str(first_value([dataset], "FrameOfReferenceUID") or ""),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        instance_number=str(first_value([dataset], "InstanceNumber") or "unknown"),
        frame_number=number,
        position_lps_mm=_numbers(levels, "ImagePositionPatient", 3, source.path),
        orientation=_numbers(levels, "ImageOrientationPatient", 6, source.path),
        spacing_yx_mm=_numbers(levels, "PixelSpacing", 2, source.path),
        thickness_mm=_nominal_slice_distance(levels),
        # MR images often have no rescale; a slope of 0 would make every slice black and counts as absent.
        slope=float(first_value(levels, "RescaleSlope") or 1.0),
        intercept=float(first_value(levels, "RescaleIntercept") or 0.0),
        magnitude=_is_magnitude(levels),
        levels=tuple(levels),
    )


def _uid(dataset: Dataset, keyword: str) -> str:
    value = first_value([dataset], keyword)
    if value is None:
        raise AttributeError(f"expected {keyword}, found none")
    return str(value)


def _numbers(levels: Sequence[Dataset], keyword: str, count: int, path: Path) -> tuple[float, ...]:
    value = first_value(levels, keyword)
    numbers = tuple(float(v) for v in value) if value is not None else ()
    if len(numbers) != count or not np.all(np.isfinite(numbers)):
        raise IneligibleStudyError(
            "inconsistent_geometry",
            message("inconsistent_geometry.numbers", file=path.name, keyword=keyword, count=count, found=value),
        )
    return numbers


def _nominal_slice_distance(levels: Sequence[Dataset]) -> float | None:
    # Slice Thickness is the thickness of the slab and leaves out the gap (PS3.3 C.7.6.2); it is the second choice.
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = first_value(levels, keyword)
        if value and float(value) > 0:
            return float(value)
    return None


def _is_magnitude(levels: Sequence[Dataset]) -> bool:
    image_type = first_value(levels, "FrameType") or first_value(levels, "ImageType") or ()
    values = [image_type] if isinstance(image_type, str) else [str(value) for value in image_type]
    return complex_component(values, first_value(levels, "ComplexImageComponent")) == MAGNITUDE
