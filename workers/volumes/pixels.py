"""Grey values of chosen frames. Native pixels are read in place, compressed ones decoded in a process of their own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.volumes.decoder_client import DecodingError, decode_frames
from workers.volumes.decoder_process import Request
from workers.volumes.frames import Frame, PixelSource, unreadable


def decode(frames: Sequence[Frame]) -> npt.NDArray[np.float32]:
    """Grey values of frames of one size, (n, rows, columns), rescaled, MONOCHROME1 turned upright.

    Raises IneligibleStudyError (unreadable_instance) naming the file whose pixels cannot be decoded.
    """
    first = frames[0].source
    pixels = np.empty((len(frames), first.rows, first.columns), dtype=np.float32)
    place = 0
    for source, of_one_file in itertools.groupby(frames, key=lambda frame: frame.source):
        group = list(of_one_file)
        stored = _native(source, group) if source.offset is not None else _compressed(source, group)
        for frame, values in zip(group, stored, strict=True):
            pixels[place] = _upright(values, source)
            if (frame.slope, frame.intercept) != (1.0, 0.0):
                pixels[place] *= frame.slope
                pixels[place] += frame.intercept
            place += 1
    return pixels


def _native(source: PixelSource, frames: Sequence[Frame]) -> list[npt.NDArray[Any]]:
    kind = f"{'<' if source.little_endian else '>'}{'i' if source.signed else 'u'}{source.bits_allocated // 8}"
    stored = []
    with source.path.open("rb") as file:
        for frame in frames:
            file.seek((source.offset or 0) + source.frame_bytes * ((frame.frame_number or 1) - 1))
            raw = file.read(source.frame_bytes)
            if len(raw) != source.frame_bytes:
                raise unreadable(source.path, f"expected {source.frame_bytes} bytes of pixels, found {len(raw)}")
            values = np.frombuffer(raw, dtype=kind).reshape(source.rows, source.columns)
            stored.append(_used_bits(values.astype(values.dtype.newbyteorder("=")), source))
    return stored


def _used_bits(values: npt.NDArray[Any], source: PixelSource) -> npt.NDArray[Any]:
    """Only the stored bits, sign extended: the others may hold overlays or rubbish."""
    if source.bits_stored == source.bits_allocated:
        return values
    return (values << (source.bits_allocated - 1 - source.high_bit)) >> (source.bits_allocated - source.bits_stored)


def _compressed(source: PixelSource, frames: Sequence[Frame]) -> list[npt.NDArray[Any]]:
    request = Request(
        str(source.path), str(source.transfer_syntax), source.rows, source.columns, source.bits_stored, source.signed,
        tuple((frame.frame_number or 1) - 1 for frame in frames),
    )  # fmt: skip
    try:
        return decode_frames(request)
    except DecodingError as error:
        raise unreadable(source.path, f"{source.transfer_syntax.name}: {error}") from error


def _upright(values: npt.NDArray[Any], source: PixelSource) -> npt.NDArray[Any]:
    """Bright means much signal; padding takes the darkest grey value that the slice has (zero stays: no signal)."""
    if source.padding:
        padded = values == source.padding
        if padded.any() and not padded.all():
            values = np.where(padded, values[~padded].min(), values)
    if not source.inverted:
        return values
    highest = -1 if source.signed else 2**source.bits_stored - 1
    return highest - values.astype(np.int64)
