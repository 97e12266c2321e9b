"""The running program as tests see it: `cptdn up` in a folder of its own, spoken to by commands and sockets only."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.cli.app import main
from node.small_pacs.pacs import Destination, SmallPacs
from tests.flow.launcher import Launched, launch

READY_WITHIN_S = 120.0


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Program:
    """One running `cptdn up` and its configuration."""

    config: Path
    port: int
    process: subprocess.Popen[str] | Launched
    log: Path
    web_port: int = 0

    def cptdn(self, *arguments: str, check: bool = True, as_user: bool = False) -> subprocess.CompletedProcess[str]:
        """Call a command on this program's configuration; `as_user`: the installed one, in its own process."""
        run = run_cptdn if as_user else run_in_process
        done = run(*arguments, "--config", str(self.config))
        if check and done.returncode != 0:
            raise AssertionError(f"cptdn {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done

    def json(self, *arguments: str, as_user: bool = False) -> Any:
        """Call a command with --json and read its answer."""
        return json.loads(self.cptdn(*arguments, "--json", as_user=as_user).stdout)

    def study(self, study_uid: str) -> dict[str, Any] | None:
        return next((s for s in self.json("studies", "list") if s["study_instance_uid"] == study_uid), None)

    def wait_for_state(self, study_uid: str, *states: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The study once it is in one of these states; fails naming the state it is in instead."""

        def found() -> dict[str, Any] | None:
            study = self.study(study_uid)
            return study if study is not None and study["state"] in states else None

        return wait_for(found, timeout_s, lambda: f"expected {states}, found {self.study(study_uid)}")


def run_cptdn(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call the installed command as a user does."""
    program = Path(sys.executable).with_name("cptdn")
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=280, cwd=cwd, check=False)


def run_in_process(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call a command in this process: milliseconds, where the start of an interpreter takes a second of two cores."""
    printed, complaints = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(printed), redirect_stderr(complaints), chdir(cwd or Path.cwd()):
        try:
            main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(["cptdn", *arguments], code, printed.getvalue(), complaints.getvalue())


def wait_for(look: Callable[[], Any], timeout_s: float, explain: Callable[[], str]) -> Any:
    """Look again until there is an answer; fails with the explanation when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing after {timeout_s:.0f} s: {explain()}")
        time.sleep(0.25)


def know_each_other(pacs: SmallPacs, program: Program) -> None:
    """Where our association ends before a commitment is there, the PACS brings it on one of its own, as any does."""
    pacs.destinations["CPTDN"] = Destination("CPTDN", "127.0.0.1", program.port)


@contextmanager
def running_program(
    folder: Path, pacs_port: int, extra: str = "", pacs: str = "", *, pages: bool = False, installed: bool = False
) -> Iterator[Program]:
    """`cptdn up` on free ports with its data in `folder`; `extra` is more TOML, `pacs` more keys of the one PACS.

    `installed`: the installed command, as users start it; otherwise a fork of a process with its modules (`launcher`).
    """
    port, web_port = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "cptdn.toml"
    config.write_text(
        f'[node]\nae_title = "CPTDN"\nport = {port}\n'
        f'[[pacs]]\nname = "main"\nae_title = "PACS"\nport = {pacs_port}\nretry_first_s = 1\n{pacs}\n'
        f'[storage]\nroot = "./data"\nmin_free_gb = 0.1\n[web]\nport = {web_port}\n{extra}\n',
        encoding="utf-8",
    )
    log = folder / "up.log"
    command = ["up", "--pages" if pages else "--no-pages", "--config", str(config)]
    log.touch()
    process: subprocess.Popen[str] | Launched
    if installed:
        with log.open("w") as out:
            words = [str(Path(sys.executable).with_name("cptdn")), *command]
            process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, text=True)
    else:
        process = launch(*command, log=log)
    program = Program(config, port, process, log, web_port)
    try:
        wait_for(lambda: "Ready:" in log.read_text(), READY_WITHIN_S, log.read_text)
        yield program
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
