"""Child processes that are restarted when they end, with growing delays.

The children are the commands that run alone in production (`cptdn node`, `cptdn worker`), started as commands or forked
(`forked_parts`). A child is stopped by SIGTERM and, when it has not ended after `STOP_WAIT_S`, by SIGKILL; the ledger
survives both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

STOP_WAIT_S = 10.0
RESTART_FIRST_S, RESTART_LONGEST_S = 0.5, 30.0
STEADY_AFTER_S = 60.0  # a child that ran for this long is restarted without delay
STDIN = 0
LIFELINE = "CPTDN_LIFELINE"  # name of the part, in a child whose standard input is a pipe from its supervisor


class Process(Protocol):
    """What a supervisor needs of a child process; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """The process id."""

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """Send SIGKILL."""


class WaitingProcess(Process, Protocol):
    """A process that has been started already and waits for `run`."""

    def run(self, environment: Mapping[str, str]) -> None:
        """Let it run with these further variables."""


def stop_with_supervisor() -> None:
    """Send SIGTERM to this process when its supervisor ends; no effect in a process without supervisor.

    The supervisor is the only writer of a pipe to the standard input of its children, and the kernel closes that pipe
    even when the supervisor is ended by SIGKILL. The process also gets the name of its part, as `ps` and `pgrep` show.
    """
    name = os.environ.pop(LIFELINE, None)
    if name is None:
        return
    set_process_name(name)

    def wait_for_end() -> None:
        while os.read(STDIN, 4096):  # sys.stdin has a lock, which would block the end of the interpreter
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_for_end, name="lifeline", daemon=True).start()


def set_process_name(part: str) -> None:
    """Name this process `cptdn-PART` in the lists of processes (`ps -e`, `top`, `pgrep`), where the system can."""
    with suppress(OSError):  # Linux only
        Path("/proc/self/comm").write_text(f"cptdn-{part}", encoding="utf-8")


@dataclass
class Child:
    """One child process.

    Attributes
    ----------
    name : str
        Name of the part.
    words : sequence of str
        What follows `cptdn` in its command.
    process : Process or None
        The process; None while a restart is delayed.
    started, start_at : float
        Monotonic time of the last start and of the next one, in seconds.
    failures : int
        Number of ends in a row within `STEADY_AFTER_S`.
    """

    name: str
    words: Sequence[str]
    process: Process | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = field(default=0.0)


class Supervisor:
    """Starts children, restarts those that end, and stops all.

    Parameters
    ----------
    parts : mapping of str to sequence of str
        Name and words after `cptdn` of each child.
    environment : mapping of str to str
        Variables of the children beside those of this process.
    say : callable
        Gets a sentence for the operator when a child ends.
    log : text file, optional
        Takes what the started commands print; None: it goes where the output of this process goes.
    waiting : mapping of str to WaitingProcess, optional
        Processes for the first start of these children; later starts, and other children, run the command.
    """

    def __init__(
        self,
        parts: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        log: IO[str] | None = None,
        waiting: Mapping[str, WaitingProcess] | None = None,
    ) -> None:
        self._children = [Child(name, words) for name, words in parts.items()]
        self._environment = dict(environment)
        self._waiting = dict(waiting or {})
        self._say = say
        self._log = log
        self._stopping = False

    def start(self) -> None:
        """Start all children, in the order in which they were given."""
        for child in self._children:
            self._start(child)

    def check(self) -> None:
        """Restart the children that have ended and whose delay is over; called periodically."""
        now = time.monotonic()
        for child in self._children:
            # An end after a long run is no reason to wait; repeated ends double the delay.
            if child.process is not None and (code := child.process.poll()) is not None:
                child.failures = 0 if now - child.started > STEADY_AFTER_S else child.failures + 1
                wait = min(RESTART_LONGEST_S, RESTART_FIRST_S * 2**child.failures) if child.failures else 0.0
                self._say(f"{child.name} ended with code {code}; it is restarted in {wait:.0f} s")
                child.process, child.start_at = None, now + wait
            if child.process is None and not self._stopping and now >= child.start_at:
                self._start(child)

    def stop(self) -> None:
        """Stop all children, the last started first, and wait until they have ended."""
        self._stopping = True
        running = [child.process for child in reversed(self._children) if child.process is not None]
        for process in running:
            if process.poll() is None:
                # To all of them first: they end at the same time, and the limit is one for all.
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self) -> dict[str, int]:
        """Return the process id of each running child, by name."""
        return {child.name: child.process.pid for child in self._children if child.process is not None}

    def _start(self, child: Child) -> None:
        waiting = self._waiting.pop(child.name, None)
        if waiting is not None:
            waiting.run(self._environment)
            child.process = waiting
        else:
            # A session of its own keeps the terminal's Ctrl-C away from the child: `stop` ends the children in order.
            child.process = subprocess.Popen(
                cptdn_command(*child.words), env={**os.environ, **self._environment, LIFELINE: child.name},
                stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True,
            )  # fmt: skip
        child.started = time.monotonic()


def cptdn_command(*arguments: str) -> list[str]:
    """Return the command that starts a `cptdn` command with the Python of this process.

    Parameters
    ----------
    *arguments : str
        The words after `cptdn`.

    Returns
    -------
    list of str
        Program and arguments.
    """
    return [sys.executable, "-m", "node", *arguments]
