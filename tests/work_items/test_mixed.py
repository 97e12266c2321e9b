"""Many work items at once, pushed and pulled, while the process that performs them is killed at random.

The sockets, the protocol, the ledger and kill -9 are real. The case machine is played: studies go through their states
in the ledger, as assessment and workers would write them.
"""

from __future__ import annotations

import gc
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import update

from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.work_item_tables import WorkItem
from node.ledger.work_items import list_items
from node.store.study_store import StudyStore
from tests.work_items.manager import Manager, dimse_manager, report_cancel_request, web_manager, work_item
from tests.work_items.scenes import REASON, Requester, Studies
from tests.work_items.test_notices import Receiver, receiving

# pynetdicom leaves sockets of requesters whose node was killed to the garbage collector, which runs within the test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).parents[2]
ALL_ITEMS = "1.2.840.10008.5.1.4.34.5"
CANCEL, SUBSCRIBE = 2, 3
WAYS = ("push", "dimse", "web")
FATES: dict[str, str] = {
    "scored": "COMPLETED", "late study": "COMPLETED", "held, then scored": "COMPLETED", "refused": "CANCELED",
    "failed": "CANCELED", "never comes": "CANCELED", "held too long": "CANCELED", "other patient": "CANCELED",
    "canceled": "CANCELED", "snatched": "IN PROGRESS",
}  # fmt: skip
CONFIGURATION = """
[node]
port = {port}
[storage]
root = "data"
min_free_gb = 0.0
[jobs]
lease_s = 1.0
[case]
stable_after_s = 1.0
[[pacs]]
name = "main"
ae_title = "ARCHIVE"
[work_items]
receive = true
[[notified_ae]]
ae_title = "WATCHER"
port = {watcher}
retry_first_s = 0.1
retry_longest_s = 0.5
[[worklist]]
name = "dimse"
port = {dimse}
poll_every_s = 0.2
retry_first_s = 0.1
retry_longest_s = 0.5
timeout_s = 5.0
[[worklist]]
name = "web"
url = "http://127.0.0.1:{web}"
poll_every_s = 0.2
retry_first_s = 0.1
retry_longest_s = 0.5
timeout_s = 5.0
"""


@dataclass
class Planned:
    """A work item, what becomes of it, and what was done for it so far."""

    way: str
    fate: str
    study: str = field(default_factory=lambda: str(generate_uid()))
    uid: str = ""
    objects: list[str] = field(default_factory=list)


class Worker:
    """The process under test, and how often it was killed."""

    def __init__(self, settings: Path, port: int) -> None:
        self._settings, self._port, self.kills = settings, port, 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.work_items.worker", str(self._settings)]
        with self._settings.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        until(lambda: socket.create_connection(("127.0.0.1", self._port), 1.0).close() is None)

    def kill(self) -> None:
        self.end()
        self.kills += 1
        self._process = self._start()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Play:
    """Everything around the worker."""

    ledger: Ledger
    studies: Studies
    manager: Manager
    web: Manager
    port: int
    rng: random.Random
    planned: list[Planned]

    def manager_of(self, item: Planned) -> Manager:
        return self.manager if item.way == "dimse" else self.web

    # --- what requesters do ---

    def request(self, item: Planned) -> None:
        patient_id = "P-2" if item.fate == "other patient" else "P-1"
        if item.fate not in ("late study", "never comes"):
            self.studies.open("queued", study=item.study)
        ds = work_item(item.study, patient_id)
        if item.way != "push":
            manager = self.manager_of(item)
            with manager.lock:
                item.uid = manager.schedule(ds)
                if item.fate == "snatched":
                    manager.snatch.add(item.uid)
            return
        item.uid = str(generate_uid())

        def create() -> bool:
            ris = Requester(self.port)
            status, _ = ris.create(ds, item.uid)
            ris.close()
            return status.get("Status") in (0x0000, 0x0111)

        until(create)

    def cancel(self, item: Planned) -> None:
        if item.way == "push":

            def ask() -> bool:
                ris = Requester(self.port)
                status = ris.act(item.uid, CANCEL, ReasonForCancellation="not needed")
                ris.close()
                return status.get("Status") in (0x0000, 0xB304)

            until(ask)
        else:
            until(lambda: self.manager.items[item.uid].state == "IN PROGRESS")
            # A manager knows that the performer was told only from the item: it tells until that has ended.
            until(lambda: self._told(item) and self.manager.items[item.uid].state == "CANCELED")

    def _told(self, item: Planned) -> bool:
        if self.manager.items[item.uid].state == "IN PROGRESS":
            report_cancel_request(self.port, item.uid, "not needed")
        return True

    # --- what the case machine does ---

    def perform(self, item: Planned) -> None:
        self.pause()
        if item.fate == "late study":
            self.studies.open("receiving", study=item.study)
        if item.fate in ("never comes", "held too long"):
            if item.fate == "held too long":
                self.studies.become(item.study, "held", REASON)
            until(lambda: self.grow_old(item))
            return
        if item.fate == "canceled":
            self.studies.become(item.study, "running")
            self.cancel(item)
            return
        if item.fate == "held, then scored":
            self.studies.become(item.study, "held", REASON)
            self.pause()
        self.studies.become(item.study, "running")
        self.pause()
        if item.fate in ("refused", "failed"):
            self.studies.become(item.study, item.fate, REASON)
        else:
            item.objects = self.studies.report(item.study)

    def grow_old(self, item: Planned) -> bool:
        long_ago = now_utc() - timedelta(days=8)
        with self.ledger.begin() as session:
            changed = session.execute(update(WorkItem).where(WorkItem.uid == item.uid).values(received_at=long_ago))
        return bool(changed.rowcount)

    def pause(self) -> None:
        time.sleep(self.rng.uniform(0.0, 0.4))

    def live(self, items: list[Planned]) -> None:
        for item in items:
            self.request(item)
            self.perform(item)

    # --- what is seen at the end ---

    def state(self, item: Planned) -> str:
        if item.way != "push":
            return self.manager_of(item).items[item.uid].state
        with self.ledger.begin() as session:
            [row] = [each for each in list_items(session) if each.uid == item.uid]
        return row.state


def until(done: Callable[[], bool], seconds: float = 300.0) -> None:
    """Repeat until it succeeds: the worker may be dead at this moment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if done():
                return
        except (AssertionError, RuntimeError, OSError, AttributeError):
            pass
        time.sleep(0.2)
    raise AssertionError(f"not done within {seconds} s")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextmanager
def played(root: Path, n_items: int, seed: int) -> Iterator[tuple[Play, Worker, Receiver]]:
    rng, receiver = random.Random(seed), Receiver()
    managers = (Manager(), Manager())
    for manager in managers:
        manager.draw(seed, lose=0.05)
    ledger = open_ledger(f"sqlite:///{root / 'data' / 'ledger.db'}")
    store = StudyStore(root / "data", 0.0)
    store.prepare()
    fates = list(FATES)
    combinations = [
        (way, fate) for way in WAYS for fate in fates
        # Nobody can claim what was pushed here, and by UPS-RS no event comes (docstring of the client).
        if not (way == "push" and fate == "snatched") and not (way == "web" and fate == "canceled")
    ]  # fmt: skip
    rng.shuffle(combinations)
    planned = [Planned(*combinations[n % len(combinations)]) for n in range(n_items)]
    with ExitStack() as stack:
        ports = {
            "port": free_port(), "watcher": stack.enter_context(receiving(receiver)),
            "dimse": stack.enter_context(dimse_manager(managers[0])),
            "web": stack.enter_context(web_manager(managers[1])),
        }  # fmt: skip
        settings = root / "cptdn.toml"
        settings.write_text(CONFIGURATION.format(**ports), encoding="utf-8")
        worker = Worker(settings, ports["port"])
        stack.callback(worker.end)
        worker.wait_ready()
        yield Play(ledger, Studies(ledger, store), *managers, ports["port"], rng, planned), worker, receiver
    store.close()
    ledger.close()
    gc.collect()


def play(root: Path, n_items: int, n_kills: int, seed: int) -> Counter[tuple[str, str, str]]:
    """Let all work items live and the worker die; return how many of each way and fate came to which state."""
    with played(root, n_items, seed) as (scene, worker, receiver):

        def watch() -> bool:
            ris = Requester(scene.port)
            status = ris.act(ALL_ITEMS, SUBSCRIBE, ReceivingAE="WATCHER", DeletionLock="FALSE")
            ris.close()
            return status.get("Status") == 0x0000

        until(watch)
        n_threads = 4
        failures: list[BaseException] = []

        def live(items: list[Planned]) -> None:
            try:
                scene.live(items)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=live, args=(scene.planned[n::n_threads],)) for n in range(n_threads)]
        for thread in threads:
            thread.start()
        while worker.kills < n_kills and not failures:
            # Long enough, now and then, for something to have been begun.
            time.sleep(scene.rng.uniform(0.05, 4.0))
            worker.kill()
            worker.wait_ready()
        for thread in threads:
            thread.join()
        assert failures == [], [repr(each) for each in failures]

        def all_ended() -> bool:
            with scene.ledger.begin() as session:
                ended = ("COMPLETED", "CANCELED", "TAKEN", "LOST")
                return sum(row.state in ended for row in list_items(session)) == n_items

        until(all_ended)
        until(lambda: all(told(receiver, item) for item in scene.planned if item.way == "push"))
        check(scene, receiver)
        print(f"{n_items} work items, {worker.kills} kills")
        return Counter((item.way, item.fate, scene.state(item)) for item in scene.planned)


def told(receiver: Receiver, item: Planned) -> bool:
    return FATES[item.fate] in receiver.states(item.uid)


def check(scene: Play, receiver: Receiver) -> None:
    with scene.ledger.begin() as session:
        rows = list_items(session)
    assert Counter(row.uid for row in rows) == Counter(item.uid for item in scene.planned)  # none lost, none twice
    by_uid = {row.uid: row for row in rows}
    for item in scene.planned:
        row, about = by_uid[item.uid], (item.way, item.fate)
        assert scene.state(item) == FATES[item.fate], about
        if item.fate == "snatched":
            assert (row.state, scene.manager_of(item).items[item.uid].by) == ("TAKEN", ["another"]), about
            continue
        assert row.state == FATES[item.fate], about
        outputs = [uid for each in (row.ending or {})["outputs"] for _, uid in each["instances"]]
        assert outputs == (item.objects if row.state == "COMPLETED" else []), about
        if item.way == "push":
            # Each state once in this order; one that was sent before a kill may be repeated.
            assert list(dict.fromkeys(receiver.states(item.uid))) == ["SCHEDULED", "IN PROGRESS", row.state], about
            continue
        listed = scene.manager_of(item).items[item.uid]
        assert (listed.by, listed.ends, listed.transaction_uid) == (["node"], [row.state], row.transaction_uid), about
        step = listed.ds.UnifiedProcedureStepPerformedProcedureSequence[0]
        named = [
            ref.ReferencedSOPInstanceUID for o in step.OutputInformationSequence for ref in o.ReferencedSOPSequence
        ]
        assert named == outputs, about


@pytest.mark.timeout(1200)  # of a busy machine: each start of the process takes seconds
def test_mixed_work_items_all_come_to_their_right_end_while_the_process_is_killed(tmp_path: Path) -> None:
    counted = play(tmp_path, n_items=20, n_kills=2, seed=20)
    assert sum(counted.values()) == 20


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2))
def test_two_hundred_mixed_work_items_under_many_kills(tmp_path: Path, seed: int) -> None:
    counted = play(tmp_path, n_items=200, n_kills=30, seed=seed)
    for (way, fate, state), n in sorted(counted.items()):
        print(f"{way:6} {fate:18} {state:12} {n:4}")
    assert sum(counted.values()) == 200
