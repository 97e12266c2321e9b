"""Client of the decoder process: send a request, wait for the frames, and survive the process's end.

Up to four idle processes are reused, since starting one takes as long as decoding a hundred slices. A process that
crashed, exceeded its time or sent an unreadable answer is ended; the next request starts another.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from config.arrays import PixelArray
from workers.volumes.decoder_process import Request

COMMAND = (sys.executable, "-m", "workers.volumes.decoder_process")
TIMEOUT_S, TIMEOUT_PER_FRAME_S = 60.0, 5.0
MAX_IDLE = 4
MAX_LINE_BYTES = 10_000


class DecodingError(ValueError):
    """The frames of a file cannot be decoded; the message says why."""


class Decoder:
    """One decoding process."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        # One thread each: the pictures are small, and idle threads of numerical libraries take address space.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self.usable = True

    def frames(self, request: Request, timeout_s: float | None = None) -> list[PixelArray]:
        """Decode the frames of a request.

        Parameters
        ----------
        request : Request
            Which frames of which file.
        timeout_s : float, optional
            Seconds for all frames; by default 60 and 5 more for each frame.

        Returns
        -------
        list of array, each (rows, columns)
            In the order of the request's indices.

        Raises
        ------
        DecodingError
            The process cannot decode a frame, ended, or exceeded its time; the message names the frame.
        """
        seconds = timeout_s or TIMEOUT_S + TIMEOUT_PER_FRAME_S * len(request.indices)
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        # Reads from a pipe cannot be interrupted portably; killing the process ends them.
        timer = threading.Timer(seconds, expire)
        timer.start()
        frames: list[PixelArray] = []
        try:
            self._send(request)
            while len(frames) < len(request.indices):
                frames.append(self._read_frame(request))
        except _DecoderEndedError as error:
            self.close()
            where = f"frame {request.indices[len(frames)] + 1}"
            if expired.is_set():
                raise DecodingError(f"the decoder did not finish {where} within {seconds:.0f} s") from error
            code = self._process.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            raise DecodingError(f"the decoder {how} in {where}: {error}") from error
        finally:
            timer.cancel()
        return frames

    def close(self) -> None:
        """End the process; a second call does nothing."""
        self.usable = False
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.stdout.close()  # type: ignore[union-attr]
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, request: Request) -> None:
        try:
            self._process.stdin.write(request.to_line())  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError as error:
            raise _DecoderEndedError("it does not accept the request") from error

    def _read_frame(self, request: Request) -> PixelArray:
        answers = self._process.stdout
        assert answers is not None  # noqa: S101 - opened as a pipe above
        line = answers.readline(MAX_LINE_BYTES)
        try:
            header = json.loads(line)
            if "error" in header:
                raise DecodingError(str(header["error"]))
            dtype = np.dtype(header["dtype"])
            fits = tuple(header["shape"]) == (request.rows, request.columns) and dtype.kind in "iuf"
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, DecodingError):
                raise
            raise _DecoderEndedError("it sent no answer" if not line else "its answer is unreadable") from error
        # A corrupted decoder may claim any size; only the expected number of bytes is ever read.
        if not fits:
            raise _DecoderEndedError("its answer has another size or type")
        data = answers.read(request.rows * request.columns * dtype.itemsize)
        if len(data) != request.rows * request.columns * dtype.itemsize:
            raise _DecoderEndedError("its answer is truncated")
        return np.frombuffer(data, dtype=dtype).reshape(request.rows, request.columns)


class _DecoderEndedError(Exception):
    """The process ended, or its state is unknown."""


class _IdleDecoders:
    """Idle decoders of this process; a forked child starts its own, since a pipe has one reader."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._owner = 0

    def take(self) -> Decoder:
        with self._lock:
            if self._owner != os.getpid():
                self._owner, self._idle = os.getpid(), []
                atexit.register(self.close)
            return self._idle.pop() if self._idle else Decoder()

    def give_back(self, decoder: Decoder) -> None:
        with self._lock:
            if decoder.usable and len(self._idle) < MAX_IDLE:
                self._idle.append(decoder)
                return
        decoder.close()

    def close(self) -> None:
        with self._lock:
            for decoder in self._idle if self._owner == os.getpid() else ():
                decoder.close()
            self._idle = []


_idle_decoders = _IdleDecoders()


def decode_frames(request: Request) -> list[PixelArray]:
    """Decode frames of a compressed file in another process.

    Parameters
    ----------
    request : Request
        Which frames of which file.

    Returns
    -------
    list of array, each (rows, columns)
        Stored values in the order of the request's indices.

    Raises
    ------
    DecodingError
        A frame cannot be decoded; the message says why.
    """
    decoder = _idle_decoders.take()
    try:
        return decoder.frames(request)
    finally:
        _idle_decoders.give_back(decoder)
