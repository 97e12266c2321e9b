"""`cptdn up`: every part on one machine, as child processes that are started again when they die.

The parts are the same commands that run alone in production (`cptdn node`, `cptdn worker`), so what works here works
there. A child is ended by SIGTERM and, when it does not listen, by SIGKILL; the ledger survives both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

STOP_WAIT_S = 10.0
RESTART_FIRST_S, RESTART_LONGEST_S = 0.5, 30.0
STEADY_AFTER_S = 60.0  # a child that lived so long starts again without delay
STDIN = 0
LIFELINE = "CPTDN_LIFELINE"  # set in a child whose standard input is a pipe that only its supervisor holds


def stop_with_supervisor() -> None:
    """In a supervised child: end when the supervisor is gone, however it went (a pipe closes even after SIGKILL)."""
    if os.environ.pop(LIFELINE, None) is None:
        return

    def wait_for_end() -> None:
        while os.read(STDIN, 4096):  # not sys.stdin: its lock would be held while the interpreter ends
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_for_end, name="lifeline", daemon=True).start()


@dataclass
class Child:
    """One part and what has become of it."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = field(default=0.0)


class Supervisor:
    """Starts the children, keeps them running, stops them all."""

    def __init__(
        self,
        parts: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        log: IO[str] | None = None,
    ) -> None:
        """log : takes what the children print; None: it goes where ours goes."""
        self._children = [Child(name, command) for name, command in parts.items()]
        self._environment = {**os.environ, **environment, LIFELINE: "1"}
        self._say = say
        self._log = log
        self._stopping = False

    def start(self) -> None:
        for child in self._children:
            self._start(child)

    def tend(self) -> None:
        """One round: start again what has died."""
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and (code := child.process.poll()) is not None:
                child.failures = 0 if now - child.started > STEADY_AFTER_S else child.failures + 1
                wait = min(RESTART_LONGEST_S, RESTART_FIRST_S * 2**child.failures) if child.failures else 0.0
                self._say(f"{child.name} ended with code {code}; it starts again in {wait:.0f} s")
                child.process, child.start_at = None, now + wait
            if child.process is None and not self._stopping and now >= child.start_at:
                self._start(child)

    def stop(self) -> None:
        """End all children, in the opposite order of their start."""
        self._stopping = True
        running = [child.process for child in reversed(self._children) if child.process is not None]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self) -> dict[str, int]:
        return {child.name: child.process.pid for child in self._children if child.process is not None}

    def _start(self, child: Child) -> None:
        # A session of its own: Ctrl-C reaches the supervisor alone, which then stops the parts in order.
        child.process = subprocess.Popen(
            list(child.command), env=self._environment, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log,
            start_new_session=True,
        )  # fmt: skip
        child.started = time.monotonic()


def cptdn_command(*arguments: str) -> list[str]:
    """How this very program is started again as a part."""
    return [sys.executable, "-m", "node", *arguments]
