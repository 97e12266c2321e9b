"""Frames: every stored slice as header facts plus the place of its pixels, classic and Enhanced alike.

A classic instance is one frame; an Enhanced one has as many as its per-frame functional groups say (PS3.3 C.7.6.16).
Nothing is decoded here, and what a file claims is compared with its size before anything is allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from config.errors import IneligibleStudyError

# What pydicom raises on damaged files, nesting bombs (RecursionError) among them.
PARSE_ERRORS = (
    InvalidDicomError, BytesLengthException, OSError, EOFError, struct.error, ValueError, TypeError, LookupError,
    AttributeError, NotImplementedError, OverflowError, RecursionError, MemoryError,
)  # fmt: skip
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
PIXEL_DATA = 0x7FE00010
MAX_SIDE_PIXELS = 8192
MAX_FRAMES = 20_000
UNDEFINED_LENGTH = 0xFFFFFFFF
NOT_MAGNITUDE = frozenset(
    {"P", "PHASE", "PHASE MAP", "P_FFE", "R", "REAL", "REAL_FFE", "I", "IMAGINARY", "VELOCITY MAP"}
)
# Facts that tell one volume from another where several share their positions.
TELLING_APART = (
    "EchoTime", "EffectiveEchoTime", "EchoNumbers", "InversionTime", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "AcquisitionNumber", "TriggerTime", "DiffusionBValue", "ImageType", "FrameType",
    "ComplexImageComponent", "StackID",
)  # fmt: skip


@dataclass(frozen=True)
class PixelSource:
    """Where the pixels of one file lie and how they are written."""

    path: Path
    transfer_syntax: UID
    offset: int | None  # of the first pixel's byte, for native pixels; None: through a decoder
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    little_endian: bool
    inverted: bool  # MONOCHROME1
    padding: int | None

    @property
    def frame_bytes(self) -> int:
        """Size of one decoded frame."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True)
class Frame:
    """One stored slice.

    dataset : its instance's header without pixels; levels : where its attributes stand, nearest first.
    frame_number : from 1 in a multi-frame object, else None; position_lps_mm : centre of the first pixel.
    orientation : (6,) row then column cosines; spacing_yx_mm : of rows, of columns; slope, intercept : to the stored
    quantity's own scale.
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
        """What may tell this frame's volume from another at the same place; raises as `read_frames` does."""
        try:
            found = {name: _first(self.levels, name) for name in TELLING_APART}
            return {name: str(value) for name, value in found.items() if value is not None}
        except PARSE_ERRORS as error:
            raise unreadable(self.source.path, f"{type(error).__name__}: {error}") from error


def read_frames(path: Path) -> list[Frame]:
    """All frames of one file, in stored order.

    Raises IneligibleStudyError: unreadable_instance when the file is damaged, not an image, or claims more than it
    holds; inconsistent_geometry when a frame has no position, orientation or pixel spacing.
    """
    try:
        with path.open("rb") as file:
            dataset = dcmread(file, stop_before_pixels=True)
            source = _pixel_source(path, dataset, file)
        return _frames_of(dataset, source)
    except IneligibleStudyError:
        raise
    except PARSE_ERRORS as error:
        raise unreadable(path, f"{type(error).__name__}: {error}") from error


def unreadable(path: Path, why: str) -> IneligibleStudyError:
    """The refusal of one file."""
    return IneligibleStudyError("unreadable_instance", f"{path.name} cannot be read as an image: {why}")


def _pixel_source(path: Path, dataset: Dataset, file: Any) -> PixelSource:
    """Describe the pixels and hold the claims against the file; `file` stands where the header ended."""
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if not (0 < rows <= MAX_SIDE_PIXELS and 0 < columns <= MAX_SIDE_PIXELS):
        raise unreadable(path, f"expected 1 to {MAX_SIDE_PIXELS} rows and columns, found {rows} x {columns}")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise unreadable(path, f"expected grey values, found {dataset.SamplesPerPixel} samples per pixel")
    bits = int(dataset.BitsAllocated)
    if bits not in (8, 16, 32):
        raise unreadable(path, f"expected 8, 16 or 32 bits allocated, found {bits}")
    stored = int(dataset.get("BitsStored") or bits)
    high = int(dataset.get("HighBit") or stored - 1)
    if not 0 < stored <= high + 1 <= bits:
        raise unreadable(path, f"expected stored bits within the {bits} allocated, found {stored} up to bit {high}")
    implicit, little = dataset.original_encoding
    syntax = dataset.file_meta.get("TransferSyntaxUID") or UID(
        "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    )
    padding = dataset.get("PixelPaddingValue")
    source = PixelSource(
        path, syntax, None, rows, columns, bits, stored, high,
        bool(dataset.get("PixelRepresentation")), bool(little),
        dataset.get("PhotometricInterpretation") == "MONOCHROME1", padding if isinstance(padding, int) else None,
    )  # fmt: skip
    if syntax not in NATIVE:
        return source
    return _native(source, int(dataset.get("NumberOfFrames") or 1), bool(implicit), file)


def _native(source: PixelSource, n_frames: int, implicit: bool, file: Any) -> PixelSource:
    """The same source with the place of its first pixel, once the file is seen to hold all that it claims."""
    order = "<" if source.little_endian else ">"
    head = file.read(8 if implicit else 12)
    if len(head) < (8 if implicit else 12):
        raise unreadable(source.path, "expected pixel data, found the end of the file")
    group, element = struct.unpack(order + "HH", head[:4])
    if (group << 16) + element != PIXEL_DATA:
        raise unreadable(source.path, f"expected pixel data (7FE0,0010), found ({group:04X},{element:04X})")
    (length,) = struct.unpack(order + "I", head[-4:])
    offset = file.tell()
    held = file.seek(0, 2) - offset
    claimed = source.frame_bytes * n_frames
    if length == UNDEFINED_LENGTH or min(length, held) < claimed:
        found = "encapsulated data" if length == UNDEFINED_LENGTH else f"{min(length, held)} bytes"
        raise unreadable(source.path, f"expected {claimed} bytes of pixels, found {found}")
    return PixelSource(**{**source.__dict__, "offset": offset})


def _frames_of(dataset: Dataset, source: PixelSource) -> list[Frame]:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    if per_frame is None and n_frames == 1:
        return [_frame(dataset, source, None, [dataset])]
    if per_frame is None:
        raise IneligibleStudyError(
            "inconsistent_geometry",
            f"{source.path.name} has {n_frames} frames and no functional groups that say where each of them lies",
        )
    if len(per_frame) != n_frames or n_frames > MAX_FRAMES:
        raise unreadable(
            source.path, f"expected as many functional groups as the {n_frames} frames, found {len(per_frame)}"
        )
    shared = [macro for group in (dataset.get("SharedFunctionalGroupsSequence") or [])[:1] for macro in _macros(group)]
    # an attribute stands in the frame's own groups, in the shared ones, or in the object itself
    return [
        _frame(dataset, source, number, [*_macros(group), *shared, dataset])
        for number, group in enumerate(per_frame, start=1)
    ]


def _macros(group: Dataset) -> list[Dataset]:
    """The functional group macros of one item."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _frame(dataset: Dataset, source: PixelSource, number: int | None, levels: Sequence[Dataset]) -> Frame:
    return Frame(
        dataset=dataset,
        source=source,
        series_instance_uid=str(dataset.SeriesInstanceUID),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID") or ""),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        instance_number=str(dataset.get("InstanceNumber") or "unknown"),
        frame_number=number,
        position_lps_mm=_numbers(levels, "ImagePositionPatient", 3, source.path),
        orientation=_numbers(levels, "ImageOrientationPatient", 6, source.path),
        spacing_yx_mm=_numbers(levels, "PixelSpacing", 2, source.path),
        thickness_mm=_slice_distance(levels),
        slope=float(_first(levels, "RescaleSlope") or 1.0),
        intercept=float(_first(levels, "RescaleIntercept") or 0.0),
        magnitude=_is_magnitude(levels),
        levels=tuple(levels),
    )


def _first(levels: Sequence[Dataset], keyword: str) -> Any:
    tag = _tag(keyword)
    return next((level[tag].value for level in levels if tag in level), None)


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def _numbers(levels: Sequence[Dataset], keyword: str, count: int, path: Path) -> tuple[float, ...]:
    value = _first(levels, keyword)
    numbers = tuple(float(v) for v in value) if value is not None else ()
    if len(numbers) != count or not np.all(np.isfinite(numbers)):
        raise IneligibleStudyError(
            "inconsistent_geometry", f"{path.name}: expected {keyword} with {count} numbers, found {value}"
        )
    return numbers


def _slice_distance(levels: Sequence[Dataset]) -> float | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = _first(levels, keyword)
        if value and float(value) > 0:
            return float(value)
    return None


def _is_magnitude(levels: Sequence[Dataset]) -> bool:
    component = _first(levels, "ComplexImageComponent")
    if component:
        return str(component) == "MAGNITUDE"
    image_type = _first(levels, "ImageType") or ()
    values = [image_type] if isinstance(image_type, str) else list(image_type)
    return not NOT_MAGNITUDE & set(values[2:])
