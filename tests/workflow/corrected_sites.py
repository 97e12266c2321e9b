"""A site of several studies whose inputs are corrected at random, and what its PACS, FHIR server and HIS show.

What a study should show is kept here beside the program: the facts, contour and decisions as they were told last.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from sqlalchemy import delete, update

from config.errors import InputError
from config.settings import Settings, load_settings
from node.clinical.entries import (
    FactEntry,
    birth_date_entry,
    diagnosis_entry,
    ebv_entry,
    record_entries,
    stage_entry,
)
from node.ledger.cases import get_case, record_arrival, schedule_assessment
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.reports import current_report
from node.ledger.tables import Case, Delivery, Instance, Job, Outbox
from node.small_pacs.pacs import Behaviour, SmallPacs
from node.store.study_store import StudyStore
from node.workflow.decisions import set_hold
from node.workflow.reprocessing import Reprocessor
from node.workflow.withdrawal import withdraw_study
from tests.cases.case_headers import CE_T1W, T1W, T2W, roi, series, structure_set
from tests.clinical.fhir_store import FhirStore
from tests.clinical.hl7_receiver import Chart, Receiver, lose_the_answer, receiver, reject
from tests.flow.program import wait_for
from tests.peers import PROJECT
from tests.workflow.scenes import DRAWN

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
ACTIVE, OPEN = ("queued", "running"), ("pending", "sent")  # states of jobs and deliveries that have not ended
HIS = {
    "answer": "answer, numbers, 1 document(s)", "withdrawn": "WITHDRAWN, no numbers, 0 document(s)",
    "nothing": "nothing, no numbers, 0 document(s)",
}  # fmt: skip
SETTINGS = """
[storage]
root = "data"
min_free_gb = 0
[ledger]
url = "{ledger}"
[case]
freeze_after_days = 40000
withdraw_after_s = 1
[[pacs]]
name = "main"
ae_title = "PACS"
port = {pacs}
send = ["sr"]
rejection_notes = {notes}
retry_first_s = 0.2
[fhir]
report_url = "{fhir}"
[[hl7_out]]
name = "his"
port = {his}
messages = ["ORU^R01", "MDM^T02"]
pdf = false
retry_first_s = 0.2
[model]
allow_demonstration = true
"""


class Worker:
    """A process that does all work of a site; forked from one that has loaded the modules."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def is_alive(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()

    def kill(self) -> None:
        """End it by SIGKILL, wherever it is, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not self.is_alive(), 30, lambda: f"process {self.pid} is still there")


@dataclass
class Told:
    """One study, and what was told about it last."""

    study: str
    patient: str
    ebv_dna: str = "12000"
    stage: str = "T3N1M0"
    contour: str = ""
    born: str = "1980-06-15"
    is_held: bool = False
    events: list[str] = field(default_factory=list)

    @property
    def has_answer(self) -> bool:
        return bool(self.contour) and self.stage == "T3N1M0" and not self.is_held

    @property
    def said(self) -> str:
        """What the SR of the answer says; the MR is of 2026-05-01, the birthday on 15 June."""
        return f"answer of {self.ebv_dna}, {self.contour}, {2025 - int(self.born[:4])} years"


@dataclass
class CorrectedSite:
    """One ledger, its three destinations, and some studies."""

    config: Path
    settings: Settings
    ledger: Ledger
    pacs: SmallPacs
    fhir: FhirStore
    his: Receiver
    nursery: subprocess.Popen[str]
    studies: list[Told] = field(default_factory=list)
    n_contours: int = 0

    def start_worker(self) -> Worker:
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write(f"{self.config}\n")
        self.nursery.stdin.flush()
        return Worker(int(self.nursery.stdout.readline()))

    # --- what happens ---

    def arrive(self, number: int) -> None:
        """A study of a patient of its own with everything that an answer needs."""
        told = Told(f"1.2.826.0.1.{number}", f"K{number}")
        self.studies.append(told)
        frame = f"1.2.826.0.2.{number}"
        physics = enumerate((T1W, T2W, CE_T1W), 1)
        more = {"study": told.study, "frame": frame, "PatientID": told.patient, "n_slices": 8}
        self._store([each for index, each_physics in physics for each in series(index, each_physics, **more)])
        self.draw_contour(told)
        self._learn(
            told, ebv_entry(self.settings, told.ebv_dna, drawn_on=DRAWN), diagnosis_entry("C11.9"),
            stage_entry(self.settings, told.stage, "8"),
        )  # fmt: skip

    def happen(self, draw: random.Random) -> None:
        """Correct something of a study, or decide something."""
        told = draw.choice(self.studies)
        event = draw.choice((
            self.correct_ebv_dna, self.correct_ebv_dna, self.correct_stage, self.draw_contour, self.lose_contour,
            self.correct_birth_date, self.hold, self.release, self.release, self.withdraw, self.reprocess,
        ))  # fmt: skip
        told.events.append(event.__name__)
        event(told, draw)

    def correct_ebv_dna(self, told: Told, draw: random.Random) -> None:
        told.ebv_dna = str(draw.randrange(100, 20000))
        self._learn(told, ebv_entry(self.settings, told.ebv_dna, drawn_on=DRAWN))

    def correct_stage(self, told: Told, draw: random.Random) -> None:
        told.stage = draw.choice(("T3N1M0", "T3N1M0", "T4N2M0"))
        self._learn(told, stage_entry(self.settings, told.stage, "8"))

    def correct_birth_date(self, told: Told, draw: random.Random) -> None:
        """By a person, so that the age follows; a machine's other birth date is a question."""
        told.born = f"19{draw.randrange(50, 90)}-06-15"
        self._learn(told, birth_date_entry(told.born))

    def draw_contour(self, told: Told, draw: random.Random | None = None) -> None:
        self.lose_contour(told)
        self.n_contours += 1
        number = told.patient[1:]
        told.contour = f"1.2.826.0.7.{number}.{self.n_contours}"
        frame = f"1.2.826.0.2.{number}"
        drawn = structure_set(
            [roi(4, "GTVp", "GTV", frame, extent_mm=[[-20.0, -20.0, 3.0], [20.0, 20.0, 12.0]])], uid=told.contour,
            study=f"1.2.826.0.7.{number}", frame=frame, PatientID=told.patient,
        )  # fmt: skip
        self._store([drawn])

    def lose_contour(self, told: Told, draw: random.Random | None = None) -> None:
        with self.ledger.begin() as session:
            session.execute(delete(Instance).where(Instance.sop_instance_uid == told.contour))
            schedule_assessment(session, told.study)
        told.contour = ""

    def hold(self, told: Told, draw: random.Random) -> None:
        self._hold(told, "contour under review")

    def release(self, told: Told, draw: random.Random) -> None:
        self._hold(told, None)

    def _hold(self, told: Told, because: str | None) -> None:
        with self.ledger.begin() as session:
            set_hold(session, told.study, because, "wang")
        told.is_held = because is not None

    def withdraw(self, told: Told, draw: random.Random) -> None:
        try:
            with self.ledger.begin() as session:
                withdraw_study(session, told.study, "by the test", "wang")
        except InputError:
            return  # nothing is outside that could be withdrawn

    def reprocess(self, told: Told, draw: random.Random) -> None:
        Reprocessor(self.ledger, self.settings, self.settings.model.bundle).start(told.study)

    def upset(self, draw: random.Random) -> None:
        """A destination refuses, or does not answer, the next time."""
        self.fhir.fail_next.append(draw.choice((0, 503)))
        self.his.moods.append(draw.choice((lose_the_answer, reject("AE", "207", "later"))))
        self.pacs.behaviour = Behaviour(
            honours_rejection_notes=True, store_status=draw.choice((0, 0, 0xA700)),
            commitment=draw.choice(("same", "same", "none")),
        )  # fmt: skip

    def calm(self) -> None:
        self.fhir.fail_next.clear()
        self.his.moods.clear()
        self.pacs.behaviour = Behaviour(honours_rejection_notes=True)

    def _learn(self, told: Told, *entries: FactEntry) -> None:
        with self.ledger.begin() as session:
            record_entries(session, told.patient, "", list(entries), "test", "a tester")

    def _store(self, instances: list[Any]) -> None:
        with self.ledger.begin() as session:
            for instance in instances:
                header = instance.header
                session.add(
                    Instance(
                        sop_instance_uid=instance.sop_instance_uid, sop_class_uid=str(header["SOPClassUID"]),
                        transfer_syntax_uid="1.2.840.10008.1.2.1", study_instance_uid=str(header["StudyInstanceUID"]),
                        series_instance_uid=str(header["SeriesInstanceUID"]), modality=str(header["Modality"]),
                        frame_of_reference_uid=str(header["FrameOfReferenceUID"]),
                        patient_id=str(header["PatientID"]), digest=instance.digest, size_bytes=1,
                        path=f"studies/{instance.sop_instance_uid}.dcm", header=dict(header), calling_ae="PACS",
                        received_at=instance.received_at,
                    )
                )  # fmt: skip
                record_arrival(
                    session, str(header["Modality"]), str(header["StudyInstanceUID"]), header["PatientID"], ""
                )

    # --- time ---

    def let_time_pass(self, pid: int | None = None) -> None:
        """Waits are over, and so are the leases of a process that was killed, as after a minute."""
        now = now_utc()
        with self.ledger.begin() as session:
            session.execute(update(Outbox).values(not_before=now))
            session.execute(
                update(Job).where(Job.state == "queued").values(not_before=now, updated_at=now - timedelta(1))
            )
            session.execute(update(Delivery).where(Delivery.not_before > now).values(not_before=now))
            if pid is not None:
                for table in (Job, Delivery):
                    dead = update(table).where(table.lease_owner.startswith(f"killed:{pid}/"))
                    session.execute(dead.values(lease_until=now - timedelta(1)))

    def is_quiet(self) -> bool:
        """Whether nothing is due, queued, running or on its way."""
        with self.ledger.begin() as session:
            n_jobs = session.query(Job).filter(Job.state.in_(ACTIVE)).count()
            is_due = Case.outdated_since.is_not(None) | (Case.assess_after <= now_utc())
            n_cases = session.query(Case).filter(is_due).count()
            n_sent = session.query(Delivery).filter(Delivery.state.in_(OPEN)).count()
            return n_jobs + n_cases + n_sent == 0

    def unfinished(self) -> list[str]:
        """What is not at its end."""
        with self.ledger.begin() as session:
            jobs = [f"job {row.state} {row.step} {row.error_text}" for row in session.query(Job) if row.state in ACTIVE]
            cases = [f"case {row.state}" for row in session.query(Case) if row.outdated_since or row.assess_after]
            sent = [f"{row.pacs} {row.state} {row.error_text}" for row in session.query(Delivery) if row.state in OPEN]
            return [*jobs, *cases, *sent]

    # --- what is shown ---

    def n_shown(self) -> int:
        """Number of reports that the PACS has."""
        return len(self.pacs.of_class(COMPREHENSIVE_3D_SR))

    def faults(self) -> list[str]:
        """A sentence for each study of which a destination shows something else than what was told last."""
        documents = [dcmread(file.path) for file in self.pacs.of_class(COMPREHENSIVE_3D_SR)]
        visible = {str(ds.SOPInstanceUID) for _, ds in self.pacs._headers() if ds.Modality == "SR"}
        return [fault for told in self.studies if (fault := self._fault(told, documents, visible))]

    def _fault(self, told: Told, documents: list[Dataset], visible: set[str]) -> str | None:
        with self.ledger.begin() as session:
            case, report = get_case(session, told.study), current_report(session, told.study)
        # A person's withdrawal ends with the next change of the inputs: of this the ledger is the witness.
        is_answer = told.has_answer and case.withdrawal is None
        said = told.said if is_answer else "withdrawn" if report is not None else "nothing"
        expected = {"PACS": (said,), "FHIR": ("answer" if is_answer else said,), "HIS": (HIS[said.split()[0]],)}
        if said == "withdrawn":  # a destination that never had an answer is told nothing
            expected = {name: (*texts, "nothing", HIS["nothing"]) for name, texts in expected.items()}
        shown = {
            "PACS": self._of_pacs([ds for ds in documents if ds.StudyInstanceUID == told.study], visible),
            "FHIR": self._of_fhir(told), "HIS": self._of_his(told),
        }  # fmt: skip
        wrong = {name: text for name, text in shown.items() if text not in expected[name]}
        return f"{told}: expected {said}, found {wrong}; the case is {case.state}" if wrong else None

    def _of_pacs(self, documents: list[Dataset], visible: set[str]) -> str:
        replaced = {
            str(item.ReferencedSOPInstanceUID)
            for ds in documents
            for study in ds.get("PredecessorDocumentsSequence") or ()
            for each in study.ReferencedSeriesSequence
            for item in each.ReferencedSOPSequence
        }
        current = [ds for ds in documents if ds.SOPInstanceUID not in replaced]
        if not visible.issuperset(str(ds.SOPInstanceUID) for ds in current):
            return "a current SR that a rejection note hides"
        return " and ".join(str(ds.SeriesDescription) for ds in current) or "nothing"

    def _of_fhir(self, told: Told) -> str:
        reports = [each for each in self.fhir.current("DiagnosticReport") if told.study in json.dumps(each)]
        said = ["withdrawn" if each["status"] == "entered-in-error" else "answer" for each in reports]
        return " and ".join(said) or "nothing"

    def _of_his(self, told: Told) -> str:
        return str(Chart([message for message in self.his.received if f"|{told.patient}^" in message]))


@contextmanager
def corrected_site(
    folder: Path, ledger_url: str = "sqlite:///data/ledger.db", *, notes: bool = False
) -> Iterator[CorrectedSite]:
    """A site with its three destinations, and no process that works."""
    fhir = FhirStore()
    with receiver() as his, SmallPacs(folder / "pacs", "PACS") as pacs:
        pacs.behaviour = Behaviour(honours_rejection_notes=True)
        config = folder / "cptdn.toml"
        config.write_text(
            SETTINGS.format(ledger=ledger_url, pacs=pacs.port, fhir=fhir.url, his=his.port, notes=str(notes).lower())
        )
        settings = load_settings(config)
        ledger = open_ledger(settings.ledger.url or "")
        StudyStore(settings.storage.root, 0).prepare()
        command = [sys.executable, "-m", "tests.workflow.killed_worker"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
        ) as nursery:
            yield CorrectedSite(config, settings, ledger, pacs, fhir, his, nursery)
        ledger.close()
    fhir.stop()
