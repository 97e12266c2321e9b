"""Decode compressed pixels in a process of its own: `python -m workers.volumes.decoder_process`.

Codecs are C code that reads files from outside: a damaged stream can crash them, make them loop, or make them ask for
gigabytes. Here that ends this process only; `decoder_client.py`, which started it, names the file and starts another.

GDCM decodes JPEG (12-bit and lossless too), JPEG-LS, JPEG 2000 and HTJ2K; pydicom itself RLE. 12-bit JPEG is read by
GDCM's own file reader, since pydicom does not let GDCM decode single frames of that kind.

Protocol on the pipes: one request a line, as JSON. For each frame the answer is a line {"dtype", "shape"} and the
array's bytes, or {"error"}.

References
----------
PS3.5 A.4 (encapsulated transfer syntaxes).
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.uid import UID, JPEGExtended12Bit

from config.arrays import PixelArray
from node.dicom.content.codecs import decoder_of
from node.dicom.headers.conforming import read_conforming

MAX_MEMORY_BYTES = 4 * 2**30
STDOUT = 1


@dataclass(frozen=True)
class Request:
    """Frames of one file that are to be decoded.

    Attributes
    ----------
    path : str
        The file; both processes see it.
    syntax : str
        Transfer Syntax UID.
    rows, columns : int
        Expected size; a stream that contains another size is refused.
    bits_stored : int
        Decides how 12-bit JPEG is read.
    signed : bool
        Pixel Representation 1.
    indices : tuple of int
        Frames, from 0, in the order in which they are answered.
    """

    path: str
    syntax: str
    rows: int
    columns: int
    bits_stored: int
    signed: bool
    indices: tuple[int, ...]

    def to_line(self) -> bytes:
        """Return the request as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Request:
        """Read the request that `to_line` wrote."""
        values = json.loads(line)
        return cls(**{**values, "indices": tuple(values["indices"])})


def decode(request: Request) -> Iterator[PixelArray]:
    """Decode the frames of a request one after the other.

    Parameters
    ----------
    request : Request
        Which frames of which file.

    Yields
    ------
    array, shape (rows, columns)
        Stored values, not rescaled, in the type that the codec gives.

    Raises
    ------
    ValueError
        A frame has another size than the header says. pydicom and the codecs raise further errors of any kind.
    """
    syntax = UID(request.syntax)
    if syntax == JPEGExtended12Bit and request.bits_stored > 8:
        frames = _jpeg_12_bit(request)
    else:
        dataset = read_conforming(Path(request.path))
        decoder = decoder_of(dataset, syntax)
        frames = (decoder.as_array(dataset, index=index)[0] for index in request.indices)
    for frame in frames:
        if frame.shape != (request.rows, request.columns):
            raise ValueError(f"expected {request.rows} x {request.columns} pixels, found {frame.shape}")
        yield frame


def _jpeg_12_bit(request: Request) -> Iterator[PixelArray]:
    import gdcm

    # The Python binding gives the buffer as text with surrogates for bytes that are no UTF-8.
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
    """Answer each line of `requests` on `answers` until the end of the file; an error of a codec is an answer, too."""
    for line in requests:
        try:
            for frame in decode(Request.of_line(line)):
                header = {"dtype": frame.dtype.str, "shape": frame.shape}
                answers.write(json.dumps(header).encode() + b"\n")
                answers.write(np.ascontiguousarray(frame).tobytes())
        except Exception as error:  # the kind of error depends on the damage
            text = f"{type(error).__name__}: {error}"[:500]
            answers.write(json.dumps({"error": text}).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Serve standard input with a limit on memory."""
    # GDCM and the codecs print warnings on standard output, which is the pipe of the answers: it is moved elsewhere.
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(STDOUT), "wb") as answers, open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), STDOUT)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
