"""A command on a pseudo-terminal, as a person has it: it sees a terminal, and is typed to."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

WITHIN_S = 120.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command with a terminal of 100 columns as its input, output and error."""

    def __init__(self, command: Sequence[str], cwd: Path | None = None, environment: dict[str, str] | None = None):
        own, theirs = pty.openpty()
        self._own = own
        self._shown = ""
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **(environment or {})}
        env.pop("NO_COLOR", None)
        self._process = subprocess.Popen(
            list(command), stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env, start_new_session=True
        )
        os.close(theirs)

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def raw(self) -> str:
        return self._shown

    @property
    def shown(self) -> str:
        """What stands on the screen, without colours and cursor movements."""
        return ESCAPES.sub("", self._shown)

    def until(self, text: str) -> None:
        """Read until this text has appeared; fails with what appeared instead."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.shown:
            if not self._read(1.0) and (self._process.poll() is not None or time.monotonic() > deadline):
                raise AssertionError(f"expected {text!r} on the terminal, found {self.shown!r}")

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, then type a line; what was shown before is read no more."""
        self.until(question)
        self.type(f"{line}\n")

    def type(self, keys: str) -> None:
        """Press keys; what was shown before is forgotten."""
        self._shown = ""
        os.write(self._own, keys.encode())

    def until_end(self) -> str:
        """Everything that is shown until the command ends."""
        deadline = time.monotonic() + WITHIN_S
        while self._read(0.5) or self._process.poll() is None:
            assert time.monotonic() < deadline, self.shown
        self._process.wait(10)
        return self.shown

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self._own], [], [], wait_s)
        if not ready:
            return False
        try:
            data = os.read(self._own, 65536)
        except OSError:  # the other side is closed
            self._process.wait(10)
            return False
        self._shown += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._own)
