"""Where the pixels of a stored image are and how they are written (PS3.3 C.7.6.3); nothing is decoded here."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.uid import UID

from node.cases.slice_rules import BITS_ALLOCATED, MAX_SIDE_PIXELS
from workers.volumes.parsing import first_value, unreadable

NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
PIXEL_DATA = 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True)
class PixelSource:
    """Where the pixels of one file are and how they are written (PS3.3 C.7.6.3).

    Attributes
    ----------
    path : Path
        The stored file.
    transfer_syntax : UID
        Its encoding; compressed pixels go through the decoder process.
    offset : int or None
        Byte of the first native pixel; None for compressed pixels.
    rows, columns : int
        Size of every frame.
    bits_allocated, bits_stored, high_bit : int
        Layout of one pixel; the other bits are no part of the value.
    signed, little_endian : bool
        Encoding of one pixel.
    inverted : bool
        MONOCHROME1: low values are bright.
    padding : (int, int) or None
        Least and greatest stored value of the padding, both inclusive; None where there is none.
    """

    path: Path
    transfer_syntax: UID
    offset: int | None
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    little_endian: bool
    inverted: bool
    padding: tuple[int, int] | None

    @property
    def frame_bytes(self) -> int:
        """Size of one native frame in bytes."""
        return self.rows * self.columns * self.bits_allocated // 8


def read_pixel_source(path: Path, dataset: Dataset, file: BinaryIO) -> PixelSource:
    """Read how the pixels of a file are written, and compare what the header claims with the file's size.

    Parameters
    ----------
    path : Path
        The file, for messages.
    dataset : pydicom Dataset
        Its header, read with ``stop_before_pixels``.
    file : binary file
        At the end of that header.

    Returns
    -------
    PixelSource
        With the offset of the first pixel when the pixels are native.

    Raises
    ------
    IneligibleStudyError
        ``unreadable_instance``: no grey values, an impossible size or bit layout, or fewer bytes than claimed.
    """
    value = partial(first_value, [dataset])
    rows, columns = int(value("Rows") or 0), int(value("Columns") or 0)
    if not (0 < rows <= MAX_SIDE_PIXELS and 0 < columns <= MAX_SIDE_PIXELS):
        raise unreadable(path, f"expected 1 to {MAX_SIDE_PIXELS} rows and columns, found {rows} x {columns}")
    if int(value("SamplesPerPixel") or 1) != 1:
        raise unreadable(path, f"expected grey values, found {value('SamplesPerPixel')} samples per pixel")
    bits = int(value("BitsAllocated"))
    if bits not in BITS_ALLOCATED:
        raise unreadable(path, f"expected 8, 16 or 32 bits allocated, found {bits}")
    stored = int(value("BitsStored") or bits)
    high = int(value("HighBit") or stored - 1)
    if not 0 < stored <= high + 1 <= bits:
        raise unreadable(path, f"expected stored bits within the {bits} allocated, found {stored} up to bit {high}")
    implicit, little = dataset.original_encoding
    # A meta header without transfer syntax: pydicom has told the encoding from the first element.
    syntax = dataset.file_meta.get("TransferSyntaxUID") or UID(
        "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    )
    source = PixelSource(
        path, syntax, None, rows, columns, bits, stored, high,
        bool(value("PixelRepresentation")), bool(little),
        value("PhotometricInterpretation") == "MONOCHROME1", None,
    )  # fmt: skip
    source = replace(source, padding=_padding(dataset, source))
    if syntax not in NATIVE:
        return source
    return _native(source, int(value("NumberOfFrames") or 1), bool(implicit), file)


def _padding(dataset: Dataset, source: PixelSource) -> tuple[int, int] | None:
    """Return the stored values that are padding: one, or a range with both ends (PS3.3 C.7.5.1.1.2)."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return None
    ends = [_as_stored(end, source) for end in (value, limit) if isinstance(end, int)]
    return min(ends), max(ends)  # of MONOCHROME1 the padding value is the greater one


def _as_stored(value: int, source: PixelSource) -> int:
    """Return a value of VR US or SS as the pixels have it; writers choose the wrong one of both."""
    value %= 1 << source.bits_allocated
    if source.signed:
        for bits in (source.bits_allocated, source.bits_stored):
            if 1 << (bits - 1) <= value < 1 << bits:
                return value - (1 << bits)
    return value


def _native(source: PixelSource, n_frames: int, implicit: bool, file: BinaryIO) -> PixelSource:
    """Return the same source with the place of its first pixel."""
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
    # The claimed size is compared with the file's before memory is allocated: a damaged header can claim terabytes.
    available = file.seek(0, os.SEEK_END) - offset
    if length == UNDEFINED_LENGTH or min(length, available) < claimed_bytes:
        found = "encapsulated data" if length == UNDEFINED_LENGTH else f"{min(length, available)} bytes"
        raise unreadable(path, f"expected {claimed_bytes} bytes of pixels, found {found}")
    return offset
