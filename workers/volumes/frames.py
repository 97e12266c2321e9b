"""Frames: every stored slice as header facts plus the place of its pixels, classic and Enhanced alike.

A classic instance is one frame; an Enhanced one has as many as its per-frame functional groups say (PS3.3 C.7.6.16).
Nothing is decoded here, and what a file claims is compared with its size before anything is allocated.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement, convert_raw_data_element
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
_PLAIN_VRS = frozenset({"CS", "DS", "FD", "IS", "UI", "US"})  # whose values depend on nothing else in the data set
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


def _pixel_source(path: Path, dataset: Dataset, file: BinaryIO) -> PixelSource:
    """Describe the pixels and hold the claims against the file; `file` stands where the header ended."""
    value = partial(_first, [dataset])
    rows, columns = int(value("Rows") or 0), int(value("Columns") or 0)
    if not (0 < rows <= MAX_SIDE_PIXELS and 0 < columns <= MAX_SIDE_PIXELS):
        raise unreadable(path, f"expected 1 to {MAX_SIDE_PIXELS} rows and columns, found {rows} x {columns}")
    if int(value("SamplesPerPixel") or 1) != 1:
        raise unreadable(path, f"expected grey values, found {value('SamplesPerPixel')} samples per pixel")
    bits = int(value("BitsAllocated"))
    if bits not in (8, 16, 32):
        raise unreadable(path, f"expected 8, 16 or 32 bits allocated, found {bits}")
    stored = int(value("BitsStored") or bits)
    high = int(value("HighBit") or stored - 1)
    if not 0 < stored <= high + 1 <= bits:
        raise unreadable(path, f"expected stored bits within the {bits} allocated, found {stored} up to bit {high}")
    implicit, little = dataset.original_encoding
    syntax = dataset.file_meta.get("TransferSyntaxUID") or UID(
        "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    )
    padding = dataset.get("PixelPaddingValue")
    source = PixelSource(
        path, syntax, None, rows, columns, bits, stored, high,
        bool(value("PixelRepresentation")), bool(little),
        value("PhotometricInterpretation") == "MONOCHROME1", padding if isinstance(padding, int) else None,
    )  # fmt: skip
    if syntax not in NATIVE:
        return source
    return _native(source, int(value("NumberOfFrames") or 1), bool(implicit), file)


def _native(source: PixelSource, n_frames: int, implicit: bool, file: BinaryIO) -> PixelSource:
    """The same source with the place of its first pixel."""
    claimed = source.frame_bytes * n_frames
    offset = native_pixels_offset(file, source.path, implicit, source.little_endian, claimed)
    return replace(source, offset=offset)


def native_pixels_offset(file: BinaryIO, path: Path, implicit_vr: bool, little_endian: bool, claimed_bytes: int) -> int:
    """Find the first byte of uncompressed pixel data, and check that the file contains all that the header claims.

    Parameters
    ----------
    file : binary file
        At the tag of Pixel Data, where pydicom stops with ``stop_before_pixels``.
    path : Path
        Its name, for messages.
    implicit_vr, little_endian : bool
        Encoding of the data set.
    claimed_bytes : int
        Size of all frames by the header.

    Returns
    -------
    int
        Offset of the first frame in the file, in bytes.

    Raises
    ------
    IneligibleStudyError
        ``unreadable_instance``: no pixel data at this place, encapsulated data, or fewer bytes than claimed.

    References
    ----------
    PS3.5 7.1.2 (explicit VR: OB and OW have a 12-byte header), 7.1.3 (implicit VR: 8 bytes), A.4 (undefined length).
    """
    order = "<" if little_endian else ">"
    size = 8 if implicit_vr else 12
    header = file.read(size)
    if len(header) < size:
        raise unreadable(path, "expected pixel data, found the end of the file")
    group, element = struct.unpack(order + "HH", header[:4])
    if (group << 16) + element != PIXEL_DATA:
        raise unreadable(path, f"expected pixel data (7FE0,0010), found ({group:04X},{element:04X})")
    (length,) = struct.unpack(order + "I", header[-4:])
    offset = file.tell()
    available = file.seek(0, os.SEEK_END) - offset
    if length == UNDEFINED_LENGTH or min(length, available) < claimed_bytes:
        found = "encapsulated data" if length == UNDEFINED_LENGTH else f"{min(length, available)} bytes"
        raise unreadable(path, f"expected {claimed_bytes} bytes of pixels, found {found}")
    return offset


def _frames_of(dataset: Dataset, source: PixelSource) -> list[Frame]:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    n_frames = int(_first([dataset], "NumberOfFrames") or 1)
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
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=str(_first([dataset], "FrameOfReferenceUID") or ""),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        instance_number=str(_first([dataset], "InstanceNumber") or "unknown"),
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


def _uid(dataset: Dataset, keyword: str) -> str:
    value = _first([dataset], keyword)
    if value is None:
        raise AttributeError(f"expected {keyword}, found none")
    return str(value)


def _first(levels: Sequence[Dataset], keyword: str) -> Any:
    tag = _tag(keyword)
    for level in levels:
        element: Any = level.get_item(tag)  # as it was read: RawDataElement until somebody asks for its value
        if element is None:
            continue
        if isinstance(element, RawDataElement) and element.VR in _PLAIN_VRS and isinstance(element.value, bytes):
            return _decoded(int(tag), element.VR, element.value, element.is_little_endian)
        return level[tag].value
    return None


@lru_cache(maxsize=4096)
def _decoded(tag: int, vr: str, value: bytes, little_endian: bool) -> Any:
    """The value of an encoded element. Most are the same in all slices of a series, and pydicom takes its time."""
    raw = RawDataElement(Tag(tag), vr, len(value), value, 0, False, little_endian)
    return convert_raw_data_element(raw).value


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
