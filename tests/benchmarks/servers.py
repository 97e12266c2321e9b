"""The servers that receive in turns: ours, and peers of others. Each is a process of its own; its CPU time is read.

dcmtk's storescp and Orthanc listen on every address, so the whole benchmark runs in a network namespace of its own
(`unshare -n`) where that can be made.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measuring import PROJECT

START_WITHIN_S = 60.0
PDU = 131_072
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running receiver. `folder` gets what it receives."""

    name: str
    port: int
    pid: int
    folder: Path

    def cpu_seconds(self) -> float:
        """User and system time so far, of its ended children too."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return sum(map(int, fields[11:15])) / TICKS

    def peak_bytes(self) -> int:
        """The largest resident size since the last `forget_peak`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def clear(self) -> None:
        """Empty the files that came in, so that they are not written to the disk during the next one's turn.

        They are removed with the folder, at the end: for minutes after a removal ext4 does not give the inode again,
        but looks at all of those for each new file, which then takes a third of a millisecond.
        """
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name != "run"]
            for name in names:
                if not name.startswith(("ledger", "index")):  # databases, ours and Orthanc's
                    os.truncate(Path(place, name), 0)


def in_own_network(arguments: Sequence[str]) -> int | None:
    """Run this benchmark again in a network namespace with nothing but loopback; None where that cannot be done or is
    done already."""
    if os.environ.get("CPTDN_BENCH_OWN_NETWORK") or shutil.which("unshare") is None or shutil.which("ip") is None:
        return None
    alone = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        return None
    script = 'ip link set lo up && exec "$@"'
    command = [*alone, "sh", "-c", script, "sh", sys.executable, "-m", "tests.benchmarks", *arguments]
    environment = {**os.environ, "CPTDN_BENCH_OWN_NETWORK": "1"}
    quiet = subprocess.DEVNULL if "--json" in arguments else None  # the caller prints the documents
    return subprocess.run(command, env=environment, cwd=PROJECT, stdout=quiet, check=False).returncode


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(name: str, command: Sequence[str], port: int, folder: Path) -> Iterator[Server]:
    """A process that listens on `port`, ended by its pid. Raises RuntimeError with its last words."""
    log = folder.with_suffix(".log")
    with log.open("w") as out:
        process = subprocess.Popen(
            list(command), stdout=out, stderr=subprocess.STDOUT, cwd=PROJECT,
            env={**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_WITHIN_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not listen: {log.read_text()[-500:]}")
            time.sleep(0.02)
        yield Server(name, port, process.pid, folder)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ours(folder: Path, *flags: str) -> tuple[list[str], int]:
    port = free_port()
    return [sys.executable, "-m", "tests.benchmarks.receivers", "ours", str(folder), str(port), *flags], port


def bare(kind: str, folder: Path) -> tuple[list[str], int]:
    """`raw` (a pynetdicom handler that writes the encoded bytes) or `floor` (socket to file, no DICOM)."""
    port = free_port()
    return [sys.executable, "-m", "tests.benchmarks.receivers", kind, str(folder), str(port)], port


def storescp(folder: Path, *flags: str) -> tuple[list[str], int]:
    port = free_port()
    return ["storescp", *flags, "+B", "-pdu", str(PDU), "-od", str(folder), str(port)], port


def orthanc(folder: Path) -> tuple[list[str], int]:
    port = free_port()
    configuration = {
        "Name": "PACS", "DicomAet": "CPTDN", "DicomPort": port, "HttpServerEnabled": False, "Plugins": [],
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "StableAge": 60, "SaveJobs": False,
        "DicomAlwaysAllowStore": True,
    }  # fmt: skip
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(configuration))
    return ["Orthanc", str(path)], port
