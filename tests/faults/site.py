"""A hospital for fault tests: a node under test, a PACS that comes and goes, senders that try again, and a diary."""

from __future__ import annotations

import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pynetdicom import build_context

from config.errors import PacsUnavailableError
from config.settings import PacsSettings, Settings, load_settings
from node.clinical.entries import ebv_entry, record_entries, stage_entry
from node.dicom.network.connection import association
from node.dicom.network.contexts import VERIFICATION
from node.dicom.scu.store_scu import send_folder
from node.ledger.database import Ledger, open_ledger
from node.ledger.tables import Case, Delivery, Instance, Job, Report
from node.runtime.local_installation import PAGES, PARTS
from node.small_pacs.pacs import Destination, SmallPacs
from tests.faults.studies import SmallStudy
from tests.flow.launcher import Launched, launch
from tests.flow.program import free_port, wait_for
from tests.flow.test_main_job import COMPREHENSIVE_3D_SR

READY_WITHIN_S = 180.0
SETTLE_WITHIN_S = 3600.0
SENDER_PAUSE_S = 0.5


class Diary:
    """What was done and when, printed as it happens (`pytest -s`) and kept for the message of a failure."""

    def __init__(self, title: str) -> None:
        self.lines: list[str] = []
        self._began = time.monotonic()
        self.write(title)

    def write(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:7.1f} s  {text}"
        self.lines.append(line)
        print(line, flush=True)

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Site:
    """Folders, configuration and ledger of one installation; what runs is started and killed by the tests."""

    folder: Path
    diary: Diary
    pacs: SmallPacs
    ports: tuple[int, ...]
    config: Path
    accepted: dict[str, SmallStudy] = field(default_factory=dict)
    processes: dict[str, Launched | subprocess.Popen[bytes]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pages: bool = False  # whether `cptdn up` serves them
    _ledger: Ledger | None = None

    # --- configuration ---

    @property
    def settings(self) -> Settings:
        return load_settings(self.config)

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = open_ledger(self.settings.ledger.url or "")
        return self._ledger

    def tell_facts(self, studies: Iterable[SmallStudy]) -> None:
        """What the laboratory and the clinic would have sent: EBV DNA and stage of every patient."""
        entries = [ebv_entry(self.settings, "3100"), stage_entry(self.settings, "T3N1M0")]
        with self.ledger.begin() as session:
            for study in studies:
                record_entries(session, study.patient_id, "", entries, source="test", set_by="test")

    # --- processes ---

    def start(self, name: str, *arguments: str, config: Path | None = None) -> None:
        """Start `cptdn ARGUMENTS` as a process group of its own, under a name."""
        words, log = [*arguments, "--config", str(config or self.config)], self.folder / f"{name}.log"
        if not self.environment:
            self.processes[name] = launch(*words, log=log)
            return
        # Variables that Python reads when it starts: an interpreter of its own.
        with log.open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [str(Path(sys.executable).with_name("cptdn")), *words], stdout=out, stderr=out,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment}, start_new_session=True,
            )  # fmt: skip

    def start_up(self) -> None:
        self.start("up", "up", "--pages" if self.pages else "--no-pages")

    def restart_what_ended(self, starters: Mapping[str, Callable[[], None]]) -> None:
        """As a service manager would."""
        for name, start in starters.items():
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                start()

    @contextmanager
    def service_manager(self, starters: Mapping[str, Callable[[], None]]) -> Iterator[None]:
        """What ends meanwhile is started again within a second."""
        stopped = threading.Event()

        def tend() -> None:
            while not stopped.wait(1.0):
                self.restart_what_ended(starters)

        thread = threading.Thread(target=tend, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def kill(self, name: str) -> None:
        """SIGKILL to one process that this site started."""
        process = self.processes[name]
        process.kill()
        process.wait()

    def kill_everything(self) -> None:
        """As a power cut does: no process of ours gets another instruction."""
        pids = [
            pid for one in self.processes.values() if one.poll() is None for pid in (one.pid, *descendants(one.pid))
        ]
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        for process in self.processes.values():
            process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.forget_ledger()

    def forget_ledger(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def wait_until_listening(self) -> None:
        def listening() -> bool:
            return all(echoes(port) for port in self.ports)

        wait_for(listening, READY_WITHIN_S, self.logs)

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in self.folder.glob("*.log"))

    # --- what must be true at the end ---

    def unsettled(self) -> dict[str, str]:
        """Accepted studies that are neither delivered nor in a state that an administrator can act on."""
        with self.ledger.begin() as session:
            cases = {case.study_instance_uid: case for case in session.query(Case)}
            jobs = {job.study_instance_uid: (job.state, job.step, job.error_text) for job in session.query(Job)}
            sent = session.query(Report.study_instance_uid, Delivery).join(Delivery, Delivery.report_id == Report.id)
            owed = dict(sent.order_by(Delivery.id).all())
        found = {}
        for study in self.accepted:
            case, delivery = cases.get(study), owed.get(study)
            named = case is not None and case.state in ("incomplete", "held", "failed") and bool(case.reasons)
            ended = delivery is not None and delivery.state in ("delivered", "dead")
            if case is None or not (named or (case.state == "reported" and ended)):
                state, delivered = case.state if case else "no case", delivery.state if delivery else None
                found[study] = f"{state}, job {jobs.get(study)}, delivery {delivered}"
        return found

    def wait_until_settled(self, timeout_s: float = SETTLE_WITHIN_S) -> None:
        def explain() -> str:
            return f"{self.unsettled()}\n{self.diary}\n{self.logs()}"

        wait_for(lambda: not self.unsettled(), timeout_s, explain)

    def check_promises(self, all_reported: bool = True) -> Counter[str]:
        """Every accepted instance is there with its bytes, and every accepted study has exactly one current report at
        the PACS (the ledger's), or a state with a reason. Returns how many studies are in which state."""
        with self.ledger.begin() as session:
            cases = {case.study_instance_uid: case for case in session.query(Case)}
            current = {
                r.study_instance_uid: r.sop_instance_uid for r in session.query(Report).order_by(Report.revision)
            }
            paths = {row.sop_instance_uid: row.path for row in session.query(Instance)}
        root = self.settings.storage.root
        for study in self.accepted.values():
            for file in study.files:
                sent = dcmread(file)
                kept = dcmread(root / paths[str(sent.SOPInstanceUID)])
                assert kept == sent, f"{file} is not what was accepted"
        standing = self.current_reports_at_pacs()
        for study in self.accepted:
            case = cases[study]
            if case.state == "reported":
                assert standing.get(study) == [current[study]], (study, standing.get(study), current[study])
            else:
                assert case.reasons, f"{study} is {case.state} without a reason"
        assert set(standing) <= set(self.accepted), "a report of a study that nobody sent"
        states = Counter(cases[study].state for study in self.accepted)
        if all_reported:
            assert states == {"reported": len(self.accepted)}, (states, str(self.diary))
        return states

    def current_reports_at_pacs(self) -> dict[str, list[str]]:
        """Study -> SRs at the PACS that no other SR there names as its predecessor."""
        srs = [dcmread(kept.path) for kept in self.pacs.of_class(COMPREHENSIVE_3D_SR)]
        replaced = {
            str(item.ReferencedSOPInstanceUID)
            for sr in srs
            for study in sr.get("PredecessorDocumentsSequence") or ()
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        found: dict[str, list[str]] = {}
        for sr in srs:
            if str(sr.SOPInstanceUID) not in replaced:
                found.setdefault(str(sr.StudyInstanceUID), []).append(str(sr.SOPInstanceUID))
        return found


@contextmanager
def site(folder: Path, title: str, *, extra: str = "", pacs_keys: str = "", nodes: int = 1) -> Iterator[Site]:
    """A configured installation of which nothing runs yet; the PACS is there.

    extra : more TOML, with sections of its own. pacs_keys : more keys of the one PACS. nodes : how many ports, each
    with a configuration of its own (`node-0.toml`, ...); they share everything else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = tuple(free_port() for _ in range(nodes))
    pacs = SmallPacs(folder / "pacs", "PACS", destinations=(Destination("CPTDN", "127.0.0.1", ports[0]),)).start()
    for number, port in enumerate(ports):
        (folder / f"node-{number}.toml").write_text(_configuration(port, pacs.port, extra, pacs_keys), encoding="utf-8")
    made = Site(folder, Diary(title), pacs, ports, folder / "node-0.toml")
    try:
        yield made
    finally:
        made.stop()
        pacs.stop()


def _configuration(port: int, pacs_port: int, extra: str, pacs_keys: str) -> str:
    return (
        f'[node]\nae_title = "CPTDN"\nport = {port}\n'
        f'[[pacs]]\nname = "main"\nport = {pacs_port}\nsend = ["sr"]\nretry_first_s = 0.5\nretry_longest_s = 3\n'
        f"commitment_wait_s = 4\ntimeout_s = 10\n{pacs_keys}\n"
        f"[web]\nport = {free_port()}\n"
        '[jobs]\nlease_s = 6\n[model]\nallow_demonstration = true\n[eligibility]\nout_of_distribution = "warn"\n'
        f"[case]\nstable_after_s = 600\n{extra}\n"
        + ("" if "[storage]" in extra else '[storage]\nroot = "./data"\nmin_free_gb = 0.05\n')
    )


class Senders:
    """Scanners and PACS routers: each takes a study and sends it until every object of it was accepted.

    pause_s : the longest rest between two studies of one sender. Every fifth study is broken off in the middle of its
    first association, and sent again from the beginning.
    """

    def __init__(
        self, here: Site, studies: Iterable[SmallStudy], number: int = 2, pause_s: float = 0.0, seed: int = 0
    ) -> None:
        self._site, self._waiting = here, queue.SimpleQueue[SmallStudy]()
        self._pause_s, self._seed = pause_s, seed
        for study in studies:
            self._waiting.put(study)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, args=(at,), daemon=True) for at in range(number)]
        self.tries: Counter[str] = Counter()

    def start(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def join(self, timeout_s: float = SETTLE_WITHIN_S) -> None:
        """Wait until everything was accepted."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._stopping.set()
        assert not any(thread.is_alive() for thread in self._threads), f"not all was accepted\n{self._site.logs()}"

    def _send_all(self, at: int) -> None:
        port = self._site.ports[at % len(self._site.ports)]
        rng = random.Random(f"{self._seed}/{at}")
        while not self._stopping.wait(rng.uniform(0, self._pause_s)):
            try:
                study = self._waiting.get_nowait()
            except queue.Empty:
                return
            left = list(study.files)
            if rng.random() < 0.2:
                self._send(left[: rng.randrange(1, len(left))], port)
            while left and not self._stopping.is_set():
                left = self._send(left, port)
                if left:
                    self._stopping.wait(SENDER_PAUSE_S)
            if not left:
                self._site.accepted[study.study_instance_uid] = study

    def _send(self, files: list[Path], port: int) -> list[Path]:
        """Send once; returns what was not accepted."""
        try:
            outcomes = send_folder(files, "127.0.0.1", port, "PACS", "CPTDN")
        except PacsUnavailableError:
            self.tries["no association"] += 1
            return files
        for outcome in outcomes:
            self.tries["no answer" if outcome.status is None else f"{outcome.status:04X}"] += 1
        return [file for file, outcome in zip(files, outcomes, strict=True) if outcome.status != 0x0000]


def descendants(pid: int) -> list[int]:
    """Processes below this one, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def parts_of(up: Launched | subprocess.Popen[bytes]) -> dict[str, int]:
    """Name -> pid of the children of a running `cptdn up`: node, worker, delivery, answers, web, broker."""
    names = {"valkey-server": "broker", **{f"cptdn-{name}": name for name in (*PARTS, *PAGES)}}
    found = {}
    for pid in descendants(up.pid):
        try:
            process = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if process in names:
            found[names[process]] = pid
    return found


def kill_part(up: Launched | subprocess.Popen[bytes], name: str, number: signal.Signals = signal.SIGKILL) -> bool:
    """A signal to one child of `cptdn up`; False when it does not run now."""
    pid = parts_of(up).get(name)
    return pid is not None and _signal(pid, number)


@contextmanager
def pause_part(up: Launched | subprocess.Popen[bytes], name: str) -> Iterator[None]:
    """One child of `cptdn up` does nothing meanwhile."""
    pid = parts_of(up)[name]
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def echoes(port: int) -> bool:
    """Whether an application entity answers there."""
    peer = PacsSettings(ae_title="CPTDN", port=port, timeout_s=5)
    try:
        with association(peer, "PACS", [build_context(VERIFICATION)]) as assoc:
            return assoc.send_c_echo().get("Status") == 0x0000
    except PacsUnavailableError:
        return False


@contextmanager
def locked_ledger(path: Path) -> Iterator[None]:
    """Another program holds SQLite's write lock."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()
