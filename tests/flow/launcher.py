"""Commands of the program in processes that are forked from one which has loaded the program's modules already.

`cptdn up` loads for several seconds before it forks its parts. Tests start it dozens of times, so here one process (the
fork server of `multiprocessing`, without threads, one for each process of pytest) has done that before.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

from node.runtime.local_installation import MODULES, MODULES_OF_PAGES

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([*MODULES, *MODULES_OF_PAGES, "node.cli.up", "tests.flow.launcher"])


class Launched:
    """A command that runs, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._process = _CONTEXT.Process(target=_run, args=(arguments, log))
        self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(["cptdn"], timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def launch(*arguments: str, log: Path) -> Launched:
    """Run `cptdn ARGUMENTS` in a session of its own; what it prints is added to `log`."""
    return Launched(list(arguments), log)


def _run(arguments: list[str], log: Path) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    sys.argv = ["cptdn", *arguments]
    from node.cli.app import main

    main()
