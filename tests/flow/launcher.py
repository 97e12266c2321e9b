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
from tempfile import TemporaryDirectory

from node.runtime.forked_parts import ForkedProcess
from node.runtime.local_installation import MODULES, MODULES_OF_PAGES

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([*MODULES, *MODULES_OF_PAGES, "node.cli.up", "tests.flow.launcher"])


class Launched(ForkedProcess):
    """A command that runs, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: list[str], log: Path, errors: Path, folder: Path | None) -> None:
        process = _CONTEXT.Process(target=_run, args=(arguments, log, errors, folder, dict(os.environ)))
        process.start()
        super().__init__(process)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def launch(*arguments: str, log: Path, errors: Path | None = None, cwd: Path | None = None) -> Launched:
    """Run `cptdn ARGUMENTS` in a session of its own; what it prints is added to `log`, stderr to `errors` if given."""
    return Launched(list(arguments), log, errors or log, cwd)


def run_forked(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call a command in a process of its own, as `run_cptdn`, without the seconds in which that loads its modules."""
    with TemporaryDirectory() as folder:
        printed, complaints = Path(folder, "stdout"), Path(folder, "stderr")
        code = launch(*arguments, log=printed, errors=complaints, cwd=cwd).wait(280)
        return subprocess.CompletedProcess(
            ["cptdn", *arguments], code, printed.read_text(encoding="utf-8"), complaints.read_text(encoding="utf-8")
        )


def _run(arguments: list[str], log: Path, errors: Path, folder: Path | None, environment: dict[str, str]) -> None:
    os.setsid()
    # The fork server has the environment of its own start; a test may have changed it since.
    os.environ.clear()
    os.environ.update(environment)
    for file, descriptor in ((log, 1), (errors, 2)):
        output = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, descriptor)
        os.close(output)
    os.chdir(folder or Path.cwd())
    sys.argv = ["cptdn", *arguments]
    from node.cli.app import main

    main()
