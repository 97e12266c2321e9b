"""Many senders at once: nothing lost or doubled, memory flat, echoes answered. Figures are printed, never asserted."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import func, select

from node.ledger.tables import Instance
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.dicom.scenes import encoded, mr_slice
from tests.faults.site import Site, echoes, site
from tests.flow.program import wait_for
from tests.peers import PROJECT

ROWS = 64  # 8 kB an object: the node's own work counts here, not the network
PATIENCE_S = 120.0


@dataclass
class Load:
    """One round after the other of `n_associations` senders, each with a study of `n_instances` objects."""

    here: Site
    n_associations: int
    n_instances: int
    accepted: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def round(self) -> None:
        threads = [threading.Thread(target=self._send_study) for _ in range(self.n_associations)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send_study(self) -> None:
        ds = mr_slice(rows=ROWS, PatientID=f"LOAD-{generate_uid()[-12:]}")
        data, template = encoded(ds), str(ds.SOPInstanceUID)
        with RawSender(self.here.ports[0], [(MR, [EXPLICIT])], timeout_s=PATIENCE_S, max_pdu=131072) as sender:
            (context,) = sender.accepted
            for n in range(self.n_instances):
                uid = f"{template[:-4]}{n:04d}"
                answer = sender.store(context, MR, uid, data.replace(template.encode(), uid.encode()))
                if answer is None or answer.status != 0:
                    self.failures.append(f"{uid}: {answer}")
                else:
                    self.accepted.append(uid)
            sender.release()


class Echoes:
    """Asks all the time from a process of its own, so that the senders' work does not slow the questions."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "tests.faults.echo_probe", str(port), str(PATIENCE_S)]
        self._probe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        self.answers: dict[str, Any] = {}

    def __enter__(self) -> Echoes:
        return self

    def __exit__(self, *_error: object) -> None:
        said, _ = self._probe.communicate(timeout=PATIENCE_S)
        self.answers = json.loads(said)


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no VmRSS")


def distribution(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return (
        f"n {len(times)}, median {statistics.median(times):.1f}, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f}, "
        f"max {max(times):.1f} ms"
    )


def put_under_load(folder: Path, n_associations: int, n_instances: int, seconds: float) -> None:
    with site(folder, f"{n_associations} associations of {n_instances} instances for {seconds:.0f} s") as here:
        here.start("node", "node")
        wait_for(lambda: echoes(here.ports[0]), PATIENCE_S, here.logs)
        pid = here.processes["node"].pid
        load, memory = Load(here, n_associations, n_instances), [rss_mb(pid)]
        begun = time.monotonic()
        with Echoes(here.ports[0]) as asked:
            while time.monotonic() - begun < seconds or len(memory) < 3:
                load.round()
                memory.append(rss_mb(pid))
        took = time.monotonic() - begun
        here.diary.write(f"{len(load.accepted)} objects in {took:.0f} s: {len(load.accepted) / took:.0f} a second")
        here.diary.write(f"resident memory after each round: {', '.join(f'{one:.0f}' for one in memory)} MB")
        here.diary.write(f"echo on a standing association: {distribution(asked.answers['standing_ms'])}")
        here.diary.write(f"association, echo, release: {distribution(asked.answers['new_ms'])}")
        assert load.failures == []
        assert asked.answers["unanswered"] == 0
        check_that_nothing_is_lost_or_doubled(here, load.accepted)
        check_that_memory_is_flat(memory)


def check_that_nothing_is_lost_or_doubled(here: Site, accepted: list[str]) -> None:
    assert len(set(accepted)) == len(accepted)
    with here.ledger.begin() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == len(accepted)
        paths = set(session.scalars(select(Instance.path)))
    root = here.settings.storage.root
    assert {str(path.relative_to(root)) for path in (root / "studies").rglob("*.dcm")} == paths


def check_that_memory_is_flat(memory: list[float]) -> None:
    """After the first round everything is loaded; from then on the middle of the later half is that of the first."""
    steady = memory[1:]
    half = len(steady) // 2
    growth = statistics.median(steady[half:]) - statistics.median(steady[: half or 1])
    assert growth < 0.25 * steady[0], f"resident memory grew by {growth:.0f} MB: {memory}"


def test_senders_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    put_under_load(tmp_path, n_associations=8, n_instances=25, seconds=3)


@pytest.mark.long
def test_thirty_two_senders_for_minutes_lose_and_double_nothing(tmp_path: Path) -> None:
    put_under_load(tmp_path, n_associations=32, n_instances=120, seconds=240)
