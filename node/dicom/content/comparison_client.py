"""Client of the comparison process: send two paths, wait for the answer, and survive the end of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from config.messages.message import message

COMMAND = (sys.executable, "-m", "node.dicom.content.comparison_process")
MAX_SECONDS = 120.0  # for one pair; a structure set of 25 MB takes a tenth of it on a free core
MAX_PROCESSES = 2  # at once, so that what all of them use together is limited, too
MAX_ANSWER_BYTES = 100_000


class ComparisonFailedError(Exception):
    """Two objects could not be compared; the message says why, without values of the objects."""


class ContentComparison:
    """Compares stored and arrived files. Threads share it; call `close` at the end.

    A process is started with the first comparison, reused, and ends by itself a minute after the last one.

    Parameters
    ----------
    command : sequence of str
        Starts the process.
    max_seconds : float
        For one comparison; then its process is killed.
    """

    def __init__(self, command: Sequence[str] = COMMAND, max_seconds: float = MAX_SECONDS) -> None:
        self._command, self._max_seconds = list(command), max_seconds
        self._slots = threading.BoundedSemaphore(MAX_PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []

    def differences(self, stored: Path, arrived: Path) -> tuple[str, ...]:
        """Compare two files.

        Parameters
        ----------
        stored, arrived : Path
            Part-10 files.

        Returns
        -------
        tuple of str
            As from `differences_between`.

        Raises
        ------
        ComparisonFailedError
            A file cannot be decoded, or the process crashed or took too long.
        """
        request = json.dumps([str(stored), str(arrived)]).encode() + b"\n"
        with self._slots:
            line, code = self._answer(request)
            # A process that ended because it was idle may do so at this very moment.
            if not line and code == 0:
                line, code = self._answer(request)
        try:
            document = json.loads(line)
            if "error" in document:
                raise ComparisonFailedError(message("comparison.decoding", kind=document["error"]))
            return tuple(str(keyword) for keyword in document["differences"])
        except (ValueError, TypeError, KeyError) as error:
            how = message("comparison.code", n=code)
            if code is not None and code < 0:
                how = message("comparison.signal", n=-code)
            text = message("comparison.crashed", seconds=self._max_seconds, how=how)
            raise ComparisonFailedError(text) from error

    def close(self) -> None:
        """End the processes that are idle; safe to call twice."""
        with self._lock:
            processes, self._idle = self._idle, []
        for process in processes:
            _end(process)

    def _answer(self, request: bytes) -> tuple[bytes, int | None]:
        """Return the answer of a process, and with which code that has ended; None for one that has not."""
        with self._process() as process:
            return self._ask(process, request), process.poll()

    @contextmanager
    def _process(self) -> Iterator[subprocess.Popen[bytes]]:
        """Give a process; it is idle again afterwards unless it has ended."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        # One that has been idle for long has ended by itself.
        if process is not None and process.poll() is not None:
            _end(process)
            process = None
        process = process or self._start()
        try:
            yield process
        finally:
            if process.poll() is None:
                with self._lock:
                    self._idle.append(process)
            else:
                _end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # One thread each: idle threads of numerical libraries take address space.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def _ask(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        """Return the answer; empty, and the process has ended, where there is none."""
        # Reads from a pipe cannot be interrupted portably; killing the process ends them.
        timer = threading.Timer(self._max_seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(request)  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            line = process.stdout.readline(MAX_ANSWER_BYTES)  # type: ignore[union-attr]
        except OSError:  # it ended before it read the request
            line = b""
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            process.kill()
            process.wait()
        return line


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        process.stdin.close()  # type: ignore[union-attr]
    process.stdout.close()  # type: ignore[union-attr]
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
