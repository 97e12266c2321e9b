"""Compare the pixels of two images by their values: what is decoded counts, not how it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian

from config.arrays import PixelArray
from node.dicom.content.codecs import decoder_of

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# With one value of each, the same bytes are the same pixels.
_LAYOUT = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation",
)  # fmt: skip


def differing_pixels(stored: Dataset, arrived: Dataset) -> tuple[str, ...]:
    """Compare the stored values of all frames of two images.

    Parameters
    ----------
    stored, arrived : Dataset
        With file meta information that names the transfer syntax. Bits beyond Bits Stored are no part of a value; an
        object without pixels has none to compare.

    Returns
    -------
    tuple of str
        Keyword of the pixel element that differs; empty where all values are equal.

    Raises
    ------
    Exception
        What pydicom and the codecs raise for pixels that cannot be decoded. Pixels of equal bytes are not decoded.

    References
    ----------
    PS3.5 section 8 and Annex A; PS3.3 C.7.6.3.
    """
    keywords = [next((keyword for keyword in PIXEL_KEYWORDS if keyword in ds), "") for ds in (stored, arrived)]
    if keywords == ["", ""]:
        return ()
    if keywords[0] != keywords[1]:
        return (keywords[0] or keywords[1],)
    if _has_equal_bytes(stored, arrived, keywords[0]):
        return ()
    pairs = zip_longest(_frames(stored), _frames(arrived))
    is_equal = all(
        first is not None and second is not None and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
        for first, second in pairs
    )
    return () if is_equal else (keywords[0],)


def _has_equal_bytes(stored: Dataset, arrived: Dataset, keyword: str) -> bool:
    """Return whether both have the same encoded pixels: then they need no codec, which may not exist here."""
    if any(stored.get(name) != arrived.get(name) for name in _LAYOUT):
        return False
    syntaxes = [ds.file_meta.TransferSyntaxUID for ds in (stored, arrived)]
    if not any(syntax.is_encapsulated for syntax in syntaxes):
        # Implicit, explicit and deflated little endian have the same pixels; zeros at the end are padding.
        is_same_order = (syntaxes[0] == ExplicitVRBigEndian) == (syntaxes[1] == ExplicitVRBigEndian)
        return is_same_order and stored[keyword].value.rstrip(b"\0") == arrived[keyword].value.rstrip(b"\0")
    if syntaxes[0] != syntaxes[1]:
        return False
    # Frame by frame: offset tables and fragments may be others.
    frames = [
        generate_frames(ds[keyword].value, number_of_frames=int(ds.get("NumberOfFrames") or 1))
        for ds in (stored, arrived)
    ]
    return all(
        first is not None and second is not None and first.rstrip(b"\0") == second.rstrip(b"\0")
        for first, second in zip_longest(*frames)
    )


def _frames(ds: Dataset) -> Iterator[PixelArray]:
    """Yield the values of each frame as int64, or as the floats that they are."""
    syntax = ds.file_meta.TransferSyntaxUID
    is_float = "PixelData" not in ds
    stored_bits = int(ds.get("BitsStored") or ds.get("BitsAllocated") or 0)
    # A codec gives values from bit 0 on; native ones are where High Bit says.
    lowest_bit = 0 if syntax.is_encapsulated else int(ds.get("HighBit") or stored_bits - 1) + 1 - stored_bits
    is_signed = bool(ds.get("PixelRepresentation"))
    # pydicom's own correction takes the lowest bits, wherever High Bit says that the value is.
    for frame, _ in decoder_of(ds, syntax).iter_array(ds, correct_unused_bits=False):
        yield frame if is_float else _stored_values(frame, stored_bits, max(lowest_bit, 0), is_signed)


def _stored_values(frame: PixelArray, stored_bits: int, lowest_bit: int, is_signed: bool) -> PixelArray:
    values = (frame.astype(np.int64) >> lowest_bit) & ((1 << stored_bits) - 1)
    sign = 1 << (stored_bits - 1)
    return (values ^ sign) - sign if is_signed else values
