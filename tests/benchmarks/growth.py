"""What the ledger's everyday questions cost when many studies are stored: 100 to 100,000, as synthetic rows.

Every study has four instances (three series and a structure set), a case that is reported, a job, a report, a delivery
and five lines of history; patients have one study each. What is asked is what a running node asks all day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from config.settings import Settings, StorageSettings
from node.ledger import cases, job_recovery, jobs, outbox, reports
from node.ledger.associations import close_abandoned, open_on_study
from node.ledger.cases import get_case, schedule_touched
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.processes import DEAD_AFTER
from node.ledger.state_counts import compact
from node.ledger.tables import (
    Association,
    AssociationStudy,
    Base,
    Case,
    CaseEvent,
    Delivery,
    Instance,
    Job,
    Report,
)
from node.workflow.casework import evaluate_case, seconds_to_next_assessment
from node.workflow.delivery import requeue_overdue
from tests.benchmarks.measuring import Options, Result, interleaved, timed

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS = 15
BATCH = 5_000
GOAL = 2.0
MR, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.481.3"
SERIES = (("T1w", "MR"), ("T2w", "MR"), ("CE-T1w", "MR"), ("contour", "RTSTRUCT"))


def run(options: Options) -> Result:
    """Milliseconds of each question by number of stored studies, and how much dearer the largest is."""
    result = Result("growth")
    sizes = SIZES[:3] if options.quick else SIZES
    with TemporaryDirectory() as temporary:
        settings = Settings(storage=StorageSettings(root=Path(temporary)))
        ledgers: dict[int, Ledger] = {}
        for n in sizes:
            ledgers[n] = open_ledger(f"sqlite:///{temporary}/{n}.db")
            fill(ledgers[n], n)
        for name, question in questions(settings).items():
            found = interleaved(
                {str(n): timed(lambda n=n, question=question: _ask(ledgers[n], question, n)) for n in sizes},  # type: ignore[misc]
                options.rounds(ROUNDS),
            )
            medians = {
                str(n): result.figure(f"{name}, {n} studies", [s * 1e3 for s in found[str(n)]], "ms") for n in sizes
            }
            result.curve[f"{name} (ms)"] = medians
            # the lowest of the rounds: what the work itself costs, without waiting for others on this machine
            grown = min(found[str(sizes[-1])]) / min(found[str(sizes[0])])
            result.at_most(f"{name}: {sizes[-1]} studies / {sizes[0]} studies", grown, GOAL)
        for ledger in ledgers.values():
            ledger.close()
    return result


def _ask(ledger: Ledger, question: Callable[[Session, str], Any], n: int) -> None:
    with ledger.begin() as session:
        question(session, study_uid(n // 2))


def questions(settings: Settings) -> dict[str, Callable[[Session, str], Any]]:
    """What a node, a worker or a person asks; each gets a session and the UID of a study in the middle."""

    def watch(session: Session, _study: str) -> None:
        job_recovery.requeue_lost(session)
        close_abandoned(session, now_utc() - DEAD_AFTER, now_utc())
        requeue_overdue(session, settings)

    def status(session: Session, _study: str) -> None:
        cases.count_by_state(session)
        jobs.count_by_state(session)
        reports.count_deliveries(session)
        outbox.is_empty(session)

    def due(session: Session, _study: str) -> None:
        cases.due_cases(session)
        seconds_to_next_assessment(session, 1.0)
        outbox.seconds_to_next(session, 1.0)

    return {
        "the look at a case": lambda session, study: evaluate_case(session, settings, get_case(session, study)),
        "completion: is an association open": open_on_study,
        "an association has ended": lambda session, study: schedule_touched(session, [study]),
        "what is due": due,
        "the watchdog's round": watch,
        "status": status,
        "the newest 100 studies": lambda session, _study: cases.list_cases(session, limit=100),
        "the newest 100 jobs": lambda session, _study: jobs.list_jobs(session, limit=100),
        "one study's history": cases.history,
    }


def study_uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.7.{number}"


def fill(ledger: Ledger, n: int) -> None:
    """Rows of `n` finished studies."""
    for first in range(0, n, BATCH):
        rows: dict[type[Base], list[dict[str, Any]]] = {}
        for number in range(first, min(n, first + BATCH)):
            for table, row in study_rows(number):
                rows.setdefault(table, []).append(row)
        with ledger.engine.begin() as connection:
            for table, many in rows.items():
                connection.execute(insert(table), many)
        with ledger.begin() as session:
            compact(session)  # as the watchdog does every few seconds


def study_rows(number: int) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    study, patient = study_uid(number), f"P{number}"
    at = now_utc() - timedelta(days=30, seconds=-number)
    yield Association, {
        "id": f"a{number}", "node_id": "n", "calling_ae": "PACS", "address": "127.0.0.1", "opened_at": at,
        "last_seen_at": at, "closed_at": at,
    }  # fmt: skip
    yield AssociationStudy, {"association_id": f"a{number}", "study_instance_uid": study}
    for place, (role, modality) in enumerate(SERIES):
        yield Instance, _instance(study, patient, number, place, role, modality, at)
    yield Case, {
        "study_instance_uid": study, "patient_id": patient, "issuer": "", "state": "reported", "reasons": [],
        "assessment": {"series": [{"role": role} for role, _ in SERIES]}, "assignments": {}, "hold": None,
        "current_report_id": number + 1, "received_at": at, "last_instance_at": at, "updated_at": at,
        "assess_after": None, "version": 1,
    }  # fmt: skip
    for _ in range(5):
        yield CaseEvent, {"study_instance_uid": study, "at": at, "kind": "k", "text": "A sentence.", "actor": "node"}
    yield Job, {
        "id": f"j{number}", "study_instance_uid": study, "state": "done", "step": "done", "request": {"a": "b" * 200},
        "request_digest": f"{number:064x}", "bundle": "demonstration", "send": True, "attempts": 1, "not_before": at,
        "lease_owner": None, "lease_until": None, "error_code": None, "error_text": None, "seconds": {}, "result": None,
        "created_at": at, "updated_at": at,
    }  # fmt: skip
    yield Report, {
        "id": number + 1, "study_instance_uid": study, "job_id": f"j{number}", "identity": f"{number:064x}",
        "computation": "c", "request_digest": f"{number:064x}", "bundle_digest": "b", "revision": 1,
        "sop_instance_uid": f"{study}.9", "predecessor_id": None, "result": {"a": "b" * 400}, "created_at": at,
    }  # fmt: skip
    yield Delivery, {
        "id": number + 1, "report_id": number + 1, "pacs": "main", "state": "delivered", "attempts": 0,
        "not_before": at, "lease_owner": None, "lease_until": None, "transaction_uid": f"{study}.8", "objects": {},
        "error_text": None, "created_at": at, "sent_at": at, "committed_at": at,
    }  # fmt: skip


def _instance(study: str, patient: str, number: int, place: int, role: str, modality: str, at: Any) -> dict[str, Any]:
    header = {
        "SOPClassUID": MR if modality == "MR" else RTSTRUCT, "Modality": modality, "SeriesDescription": role,
        "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{place}", "SOPInstanceUID": f"{study}.{place}.1",
        "FrameOfReferenceUID": f"{study}.7", "PatientID": patient, "Rows": 512, "Columns": 512,
    }  # fmt: skip
    return {
        "sop_instance_uid": f"{study}.{place}.1", "sop_class_uid": header["SOPClassUID"],
        "transfer_syntax_uid": "1.2.840.10008.1.2.1", "study_instance_uid": study,
        "series_instance_uid": f"{study}.{place}", "frame_of_reference_uid": f"{study}.7", "modality": modality,
        "patient_id": patient, "issuer": "", "digest": f"{number:060x}{place:04x}", "size_bytes": 524_288,
        "path": f"studies/{study}/{place}.dcm", "header": json.loads(json.dumps(header)), "calling_ae": "PACS",
        "received_at": at,
    }  # fmt: skip
