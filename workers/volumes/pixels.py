"""Grey values of chosen frames: native pixels read at their place, compressed ones decoded in another process.

The order of the steps is that of PS3.3 C.7.6.3 and C.11.1: stored bits, padding, photometric interpretation, rescale.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from config.arrays import Float32Array, PixelArray
from workers.volumes.decoder_client import DecodingError, decode_frames
from workers.volumes.decoder_process import Request
from workers.volumes.frames import Frame
from workers.volumes.parsing import unreadable
from workers.volumes.pixel_source import PixelSource


def decode(frames: Sequence[Frame]) -> Float32Array:
    """Read the grey values of frames of one size.

    Parameters
    ----------
    frames : sequence of Frame, not empty
        In any order, of one or several files; all of the size of the first.

    Returns
    -------
    float32, shape (n, rows, columns)
        Rescaled; bright means much signal, also where MONOCHROME1 is stored.

    Raises
    ------
    IneligibleStudyError
        ``unreadable_instance`` with the name of the file whose pixels cannot be decoded.
    """
    first = frames[0].source
    pixels = np.empty((len(frames), first.rows, first.columns), dtype=np.float32)
    position = 0
    for source, of_one_file in itertools.groupby(frames, key=lambda frame: frame.source):
        group = list(of_one_file)
        stored = _read_native(source, group) if source.offset is not None else _decode_compressed(source, group)
        for frame, values in zip(group, stored, strict=True):
            pixels[position] = _bright_is_signal(values, source)
            if (frame.slope, frame.intercept) != (1.0, 0.0):
                pixels[position] *= frame.slope
                pixels[position] += frame.intercept
            position += 1
    return pixels


def _read_native(source: PixelSource, frames: Sequence[Frame]) -> list[PixelArray]:
    dtype = f"{'<' if source.little_endian else '>'}{'i' if source.signed else 'u'}{source.bits_allocated // 8}"
    stored = []
    with source.path.open("rb") as file:
        for frame in frames:
            file.seek((source.offset or 0) + source.frame_bytes * ((frame.frame_number or 1) - 1))
            raw = file.read(source.frame_bytes)
            if len(raw) != source.frame_bytes:
                raise unreadable(source.path, f"expected {source.frame_bytes} bytes of pixels, found {len(raw)}")
            values = np.frombuffer(raw, dtype=dtype).reshape(source.rows, source.columns)
            stored.append(_used_bits(values.astype(values.dtype.newbyteorder("=")), source))
    return stored


def _used_bits(values: PixelArray, source: PixelSource) -> PixelArray:
    """Only the stored bits, sign extended."""
    # The bits above may contain an overlay (a retired form, still found in archives) or random values. Shifting to the
    # left end and back also extends the sign of signed values.
    if source.bits_stored == source.bits_allocated:
        return values
    return (values << (source.bits_allocated - 1 - source.high_bit)) >> (source.bits_allocated - source.bits_stored)


def _decode_compressed(source: PixelSource, frames: Sequence[Frame]) -> list[PixelArray]:
    request = Request(
        str(source.path), str(source.transfer_syntax), source.rows, source.columns, source.bits_stored, source.signed,
        tuple((frame.frame_number or 1) - 1 for frame in frames),
    )  # fmt: skip
    try:
        return decode_frames(request)
    except DecodingError as error:
        raise unreadable(source.path, f"{source.transfer_syntax.name}: {error}") from error


def _bright_is_signal(values: PixelArray, source: PixelSource) -> PixelArray:
    """Values where bright means much signal; padding becomes as dark as the darkest pixel of its slice."""
    if source.padding is not None:
        values = _dark_padding(values, source.padding, source)
    if not source.inverted:
        return values
    return _highest(source) - values.astype(np.int64)


def _dark_padding(values: PixelArray, padding: tuple[int, int], source: PixelSource) -> PixelArray:
    """Replace padding by the darkest stored value: the least one, of MONOCHROME1 the greatest (PS3.3 C.7.5.1.1.2)."""
    # Padding (65535, -2000) would otherwise be an end of the histogram from which the intensity landmarks come.
    padded = (values >= padding[0]) & (values <= padding[1])
    if not padded.any():
        return values
    if padded.all():
        return np.full_like(values, _highest(source) if source.inverted else 0)  # no signal at all
    darkest = values[~padded].max() if source.inverted else values[~padded].min()
    # 0 is "no signal" in MR and stays darker than the darkest pixel.
    if padding == (0, 0) and not source.inverted and darkest >= 0:
        return values
    return np.where(padded, darkest, values)


def _highest(source: PixelSource) -> int:
    """Return the stored value whose inverse is 0; of signed values the inverse is -1 - v, which keeps the range."""
    return -1 if source.signed else 2**source.bits_stored - 1
