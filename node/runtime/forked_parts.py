"""Child processes of `cptdn up` that are forked from it, so that what they import is loaded once and shared.

Each part of the program loads some hundred modules; started one by one as commands, five parts load most of them five
times. `cptdn up` loads them once, before it opens anything, and forks the parts from that state. A part that ends later
is restarted by its command: the supervisor has threads by then, and a fork copies their locks in whatever state they
are.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from node.runtime.supervisor import LIFELINE, STDIN


class _Process(Protocol):
    """What this module uses of a process of `multiprocessing`."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    def join(self, timeout: float | None = None) -> None: ...


class ForkedProcess:
    """A process of `multiprocessing` with the methods of `subprocess.Popen`.

    Parameters
    ----------
    process : multiprocessing.Process
        Started.
    """

    def __init__(self, process: _Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid or 0

    def poll(self) -> int | None:
        """Return the exit code, the negative number of a signal, or None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; raises subprocess.TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(["cptdn"], timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""
        self.send_signal(signal.SIGKILL)


class ForkedPart(ForkedProcess):
    """A forked process that waits for `run`.

    Parameters
    ----------
    process : multiprocessing.Process
        Started.
    start_pipe : int
        Descriptor of the write end of a pipe to its standard input; it ends when that is closed.
    """

    def __init__(self, process: _Process, start_pipe: int) -> None:
        super().__init__(process)
        self._start_pipe = start_pipe

    def run(self, environment: Mapping[str, str]) -> None:
        """Let the process run its command with these further variables."""
        os.write(self._start_pipe, json.dumps(dict(environment)).encode() + b"\n")

    def close(self) -> None:
        """Close the pipe: a process that has not been told to run ends, another one stops as by SIGTERM."""
        os.close(self._start_pipe)


@contextmanager
def forked_parts(parts: Mapping[str, Sequence[str]], modules: Collection[str]) -> Iterator[dict[str, ForkedPart]]:
    """Load modules and fork a process for each part; all have ended after the block.

    Parameters
    ----------
    parts : mapping of str to sequence of str
        Name and words after `cptdn` of each part.
    modules : collection of str
        Loaded before the fork. What cannot be loaded is left out: the part that needs it says why when it starts.

    Yields
    ------
    dict of str to ForkedPart
        By name of the part. Empty when this process has threads already.
    """
    for module in modules:
        # A missing module or library: the part imports it as well and says so. Any other error is one of this program.
        with suppress(ImportError, OSError):
            importlib.import_module(module)
    if threading.active_count() > 1:
        yield {}
        return
    # The collector writes into every object that it visits, which would copy the shared memory page by page.
    gc.collect()
    gc.freeze()
    pipes = {name: os.pipe() for name in parts}
    write_ends = [write_end for _, write_end in pipes.values()]
    context = multiprocessing.get_context("fork")
    forked = {}
    for name, words in parts.items():
        process = context.Process(target=_run_part, args=(name, words, pipes[name][0], write_ends), name=name)
        process.start()
        forked[name] = ForkedPart(process, pipes[name][1])
    for read_end, _ in pipes.values():
        os.close(read_end)
    try:
        yield forked
    finally:
        for part in forked.values():
            part.close()
        for part in forked.values():
            part.wait()


def _run_part(name: str, words: Sequence[str], start_pipe: int, write_ends: Sequence[int]) -> None:
    """Wait in a forked process for its start, then be the command `cptdn WORDS`."""
    # The end of `cptdn up` must close the pipes, so no other process keeps an end for writing.
    for write_end in write_ends:
        os.close(write_end)
    os.setsid()  # keeps the terminal's Ctrl-C away, as `Supervisor` does for commands
    os.dup2(start_pipe, STDIN)
    os.close(start_pipe)
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(STDIN, 1)
        if not byte:
            return
        line += byte
    os.environ.update(json.loads(line), **{LIFELINE: name})
    sys.argv = ["cptdn", *words]
    runpy.run_module("node", run_name="__main__", alter_sys=True)
