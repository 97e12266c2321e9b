"""Many senders at once: nothing lost or doubled, memory flat, echoes answered. Figures are printed, never asserted."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import func, select

from node.ledger.tables import Instance
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.dicom.scenes import encoded, mr_slice
from tests.faults.site import Site, echoes, site
from tests.flow.program import wait_for

VERIFICATION = "1.2.840.10008.1.1"
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
    """Asks all the time: on one association that stays open, and with a new association for each question."""

    def __init__(self, port: int) -> None:
        self.standing_ms: list[float] = []
        self.new_ms: list[float] = []
        self.unanswered = 0
        self._port, self._stopped = port, threading.Event()
        self._threads = [threading.Thread(target=self._standing), threading.Thread(target=self._new)]

    def __enter__(self) -> Echoes:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _standing(self) -> None:
        with RawSender(self._port, [(VERIFICATION, [EXPLICIT])], timeout_s=PATIENCE_S) as sender:
            while not self._stopped.wait(0.05):
                self._ask(sender, self.standing_ms, time.perf_counter())
            sender.release()

    def _new(self) -> None:
        while not self._stopped.wait(0.2):
            begun = time.perf_counter()
            with RawSender(self._port, [(VERIFICATION, [EXPLICIT])], timeout_s=PATIENCE_S) as sender:
                self._ask(sender, self.new_ms, begun)
                sender.release()

    def _ask(self, sender: RawSender, times: list[float], begun: float) -> None:
        (context,) = sender.accepted
        answer = sender.echo(context)
        if answer is None or answer.status != 0:
            self.unanswered += 1
        times.append(1000 * (time.perf_counter() - begun))


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
        here.diary.write(f"echo on a standing association: {distribution(asked.standing_ms)}")
        here.diary.write(f"association, echo, release: {distribution(asked.new_ms)}")
        assert load.failures == []
        assert asked.unanswered == 0
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
