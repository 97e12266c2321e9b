"""Asking the decoding process, and living on when it dies.

A few processes are kept, since starting one takes as long as decoding a hundred slices. One that crashed, hung or
answered nonsense is ended; the next request gets another.
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
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.volumes.decoder_process import Request

COMMAND = (sys.executable, "-m", "workers.volumes.decoder_process")
MOST_SECONDS, MOST_SECONDS_A_FRAME = 60.0, 5.0
MOST_KEPT = 4
LONGEST_LINE = 10_000


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

    def frames(self, request: Request, most_seconds: float | None = None) -> list[npt.NDArray[Any]]:
        """The frames asked for, (rows, columns) each. Raises DecodingError."""
        seconds = most_seconds or MOST_SECONDS + MOST_SECONDS_A_FRAME * len(request.indices)
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(seconds, expire)
        timer.start()
        found: list[npt.NDArray[Any]] = []
        try:
            self._send(request)
            while len(found) < len(request.indices):
                found.append(self._frame(request))
        except _EndedError as error:
            self.close()
            where = f"frame {request.indices[len(found)] + 1}"
            if expired.is_set():
                raise DecodingError(f"the decoder did not come to an end within {seconds:.0f} s in {where}") from error
            code = self._process.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            raise DecodingError(f"the decoder {how} in {where}: {error}") from error
        finally:
            timer.cancel()
        return found

    def close(self) -> None:
        """End the process; safe to call again."""
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
            raise _EndedError("it takes no request") from error

    def _frame(self, request: Request) -> npt.NDArray[Any]:
        answers = self._process.stdout
        assert answers is not None  # noqa: S101 - a pipe was asked for
        line = answers.readline(LONGEST_LINE)
        try:
            head = json.loads(line)
            if "error" in head:
                raise DecodingError(str(head["error"]))
            kind = np.dtype(head["dtype"])
            whole = tuple(head["shape"]) == (request.rows, request.columns) and kind.kind in "iuf"
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, DecodingError):
                raise
            raise _EndedError("no answer came" if not line else "its answer makes no sense") from error
        if not whole:
            raise _EndedError("its answer is of another size")
        data = answers.read(request.rows * request.columns * kind.itemsize)
        if len(data) != request.rows * request.columns * kind.itemsize:
            raise _EndedError("its answer is cut off")
        return np.frombuffer(data, dtype=kind).reshape(request.rows, request.columns)


class _EndedError(Exception):
    """The process is gone, or cannot be trusted any more."""


class _Kept:
    """Idle decoders of this process; a forked child starts its own."""

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
            if decoder.usable and len(self._idle) < MOST_KEPT:
                self._idle.append(decoder)
                return
        decoder.close()

    def close(self) -> None:
        with self._lock:
            for decoder in self._idle if self._owner == os.getpid() else ():
                decoder.close()
            self._idle = []


_kept = _Kept()


def decode_frames(request: Request) -> list[npt.NDArray[Any]]:
    """Frames of a compressed file, decoded in a process of their own. Raises DecodingError."""
    decoder = _kept.take()
    try:
        return decoder.frames(request)
    finally:
        _kept.give_back(decoder)
