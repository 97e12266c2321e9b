"""The shooting range: a victim process, what is measured of it, and what must hold when the shooting is over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.dicom.raw_scu import IMPLICIT, RawSender
from tests.flow.program import wait_for
from tests.peers import PROJECT

ECHO = [("1.2.840.10008.1.1", [IMPLICIT])]


@dataclass
class Victim:
    """A running node in a folder of its own; only `root` is its to write in."""

    process: subprocess.Popen[str]
    folder: Path
    log: Path
    dicom: int
    hl7: int
    hung: bool = False

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def rss_mb(self) -> float:
        """Resident memory of the process."""
        return self._status("VmRSS") / 1024

    def threads(self) -> int:
        return self._status("Threads")

    def descriptors(self) -> int:
        """Open descriptors but those of the ledger: sockets, files, pipes."""
        return sum(not target.startswith(str(self.root / "ledger.db")) for target in self._open())

    def ledger_descriptors(self) -> int:
        """Of pooled connections to SQLite."""
        return sum(target.startswith(str(self.root / "ledger.db")) for target in self._open())

    def _open(self) -> list[str]:
        found = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed while we looked
                found.append(os.readlink(link))
        return found

    def _status(self, key: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])

    def beat(self) -> None:
        """Let it end what ended without an event, as the service's watchdog does."""
        assert self.process.stdin is not None
        self.process.stdin.write("beat\n")
        self.process.stdin.flush()

    def show_threads(self) -> None:
        """Have it write into its log where every thread stands."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(1)

    def check_alive(self) -> None:
        """It runs, and answers a C-ECHO."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.log.read_text()[-3000:]}"
        with RawSender(self.dicom, ECHO, timeout_s=60) as sender:
            answer = sender.echo(1)
            assert answer is not None
            assert answer.status == 0

    def check_unharmed(self, threads: int, descriptors: int) -> None:
        """No thread or descriptor is left behind, nothing was raised unhandled, and no file stands outside the root."""
        self.beat()
        wait_for(lambda: self.threads() <= threads + 2, 60, lambda: f"{self.threads()} threads, {threads} before")
        wait_for(lambda: self.descriptors() <= descriptors + 8, 60, lambda: f"{self._open()}, {descriptors} before")
        # SQLAlchemy keeps at most 5 connections that nobody uses, and the writer of instance rows keeps its own in use;
        # each to SQLite in WAL mode holds 3 descriptors: database, log, index of the log.
        pooled = 3 * (5 + 1)
        wait_for(lambda: self.ledger_descriptors() <= pooled, 60, lambda: f"{self.ledger_descriptors()} of the ledger")
        print(f"descriptors: {self.descriptors()} ({descriptors} before), {self.ledger_descriptors()} of the ledger")
        self.check_alive()
        said = self.log.read_text(errors="replace")
        for bad in ("Traceback", "Exception in thread", "connection_failed", "MemoryError"):
            assert bad not in said, said[said.index(bad) - 500 : said.index(bad) + 1500]
        assert {path.name for path in self.folder.iterdir()} == {"root", "work", "victim.log"}
        assert list((self.folder / "work").iterdir()) == []
        folders = {"studies", "quarantine", "reports", "artefacts", "incoming", "run", "audit", "trash"}
        for path in self.root.iterdir():
            assert path.name in folders or path.name.startswith("ledger.db"), path


@contextmanager
def victim(folder: Path, way: str = "fast") -> Iterator[Victim]:
    (folder / "work").mkdir(parents=True)
    log = folder / "victim.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.victim", str(folder / "root"), way], cwd=folder / "work", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline() or "{}")
        assert ports, log.read_text()
        running = Victim(process, folder, log, ports["dicom"], ports["hl7"])
        running.check_alive()
        yield running
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
