"""Decoding compressed pixels in a process of its own: `python -m workers.volumes.decoder_process`.

Codecs are C code that is fed with strangers' bytes: they crash, hang, or want gigabytes for kilobytes. Here they may;
the process that asked sees that it ended, names the file, and goes on. See `guarded.py` for the other side.

GDCM decodes JPEG (12-bit and lossless too), JPEG-LS and JPEG 2000; pydicom itself RLE. 12-bit JPEG goes to GDCM's own
file reader, since pydicom does not let it decode single frames of that kind.

In: one request a line, as JSON. Out: for each frame a line {"dtype", "shape"} and the array's bytes, or {"error"}.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

MOST_MEMORY_BYTES = 4 * 2**30
STDOUT = 1


@dataclass(frozen=True)
class Request:
    """Frames of one file. indices : from 0; syntax : the transfer syntax UID."""

    path: str
    syntax: str
    rows: int
    columns: int
    bits_stored: int
    signed: bool
    indices: tuple[int, ...]

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Request:
        values = json.loads(line)
        return cls(**{**values, "indices": tuple(values["indices"])})


def decode(request: Request) -> Iterator[npt.NDArray[Any]]:
    """The frames, (rows, columns) each, in the stored grey scale. Raises whatever pydicom and the codecs raise."""
    syntax = UID(request.syntax)
    if syntax == JPEGExtended12Bit and request.bits_stored > 8:
        frames = _jpeg_12_bit(request)
    else:
        dataset, decoder = dcmread(request.path), get_decoder(syntax)
        frames = (decoder.as_array(dataset, index=index)[0] for index in request.indices)
    for frame in frames:
        if frame.shape != (request.rows, request.columns):
            raise ValueError(f"expected {request.rows} x {request.columns} pixels, found {frame.shape}")
        yield frame


def _jpeg_12_bit(request: Request) -> Iterator[npt.NDArray[Any]]:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(request.path)
    buffer = reader.GetImage().GetBuffer() if reader.Read() else ""
    values = np.frombuffer(buffer.encode("utf-8", "surrogateescape"), dtype="<i2" if request.signed else "<u2")
    pixels = request.rows * request.columns
    last = max(request.indices) + 1
    if values.size < last * pixels:
        raise ValueError(f"expected {last} frames of 12-bit JPEG, found {values.size // pixels}")
    volume = values[: values.size // pixels * pixels].reshape(-1, request.rows, request.columns)
    return (volume[index] for index in request.indices)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        try:
            for frame in decode(Request.of_line(line)):
                head = {"dtype": frame.dtype.str, "shape": frame.shape}
                answers.write(json.dumps(head).encode() + b"\n")
                answers.write(np.ascontiguousarray(frame).tobytes())
        except Exception as error:  # pydicom and the codecs raise whatever the damage leads to
            text = f"{type(error).__name__}: {error}"[:500]
            answers.write(json.dumps({"error": text}).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Serve standard input with a limit on memory; what codecs print goes nowhere."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(STDOUT), "wb") as answers, open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), STDOUT)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
