"""Metrics in Prometheus' format, and health checks: computed from the ledger at each request, not counted in memory.

So every process gives the same numbers, and a restart loses none. Labels are states, steps and configured names;
nothing about a patient or a study is in them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config.settings import Settings
from node.audit.forwarding import backlog_bytes
from node.audit.recorder import audit_folder
from node.audit.trail_file import TrailFile
from node.ledger import cases, jobs
from node.ledger.database import Ledger, now_utc
from node.ledger.discarded import count_discarded
from node.ledger.processes import live_processes
from node.ledger.state_counts import totals
from node.ledger.tables import Association, Case, Delivery, Job, Notice, Outbox, Quarantined

DURATIONS_OF = timedelta(days=1)  # step durations are summed over the jobs of the last day
DELIVERY_STATES = ("pending", "sent", "delivered", "dead", "superseded")
WAITING_STATES = ("receiving", "incomplete", "held", "queued", "running")


@dataclass(frozen=True)
class Answer:
    """An HTTP response, for the web part and for the small listener."""

    status: int
    content_type: str
    body: bytes


def metrics(ledger: Ledger, settings: Settings) -> Answer:
    """Return the response to `/metrics`.

    Returns
    -------
    Answer
        Always 200: a ledger that does not answer is ``cptdn_ledger_up 0``, with the metrics of the machine.
    """
    registry = CollectorRegistry()
    registry.register(_Ledger(ledger, settings))
    return Answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))


def live() -> Answer:
    """Return the response to `/health/live`: 200 as soon as this process answers at all."""
    return _health(200, {"status": "alive"})


def ready(ledger: Ledger, settings: Settings) -> Answer:
    """Return the response to `/health/ready`: whether studies can be received.

    Returns
    -------
    Answer
        200, or 503 with the failed checks: ``ledger`` (it answers), ``storage`` (more space than `[storage]
        min_free_gb`), ``node`` (one listens).
    """
    checks = {"ledger": False, "storage": _free_bytes(settings) >= settings.storage.min_free_gb * 1e9, "node": False}
    try:
        with ledger.read() as session:
            checks["node"] = any(process.ready for process in live_processes(session, "node"))
        checks["ledger"] = True
    except SQLAlchemyError:
        pass  # the check of the ledger is False then
    is_ready = all(checks.values())
    return _health(200 if is_ready else 503, {"status": "ready" if is_ready else "not ready", "checks": checks})


def _health(status: int, document: dict[str, object]) -> Answer:
    return Answer(status, "application/json", json.dumps(document).encode() + b"\n")


def _free_bytes(settings: Settings) -> int:
    root = settings.storage.root
    return shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.exists())).free


class _Ledger(Collector):
    """Reads the ledger in one transaction at each scrape."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings

    def collect(self) -> Iterable[Metric]:
        yield from _of_this_machine(self._settings)
        up = GaugeMetricFamily("cptdn_ledger_up", "Whether the ledger answers")
        try:
            with self._ledger.read() as session:
                families = [*_counts(session), *_waiting(session), *_durations(session)]
            up.add_metric([], 1)
        except SQLAlchemyError:
            families = []
            up.add_metric([], 0)
        yield up
        yield from families


def _of_this_machine(settings: Settings) -> Iterable[Metric]:
    yield _labelled("cptdn_build_info", "The program", "version", {version("cptdn-node"): 1})
    yield _plain("cptdn_storage_free_bytes", "Free bytes on the file system of the storage", _free_bytes(settings))
    least = settings.storage.min_free_gb * 1e9
    yield _plain("cptdn_storage_min_free_bytes", "Objects are refused below this number of free bytes", least)
    if settings.audit.syslog is not None:
        trail = TrailFile(audit_folder(settings), 1)
        waiting = backlog_bytes(trail)
        yield _plain("cptdn_audit_backlog_bytes", "Bytes of the audit trail that the repository does not have", waiting)


def _counts(session: Session) -> Iterable[Metric]:
    yield _labelled("cptdn_cases", "Cases by state", "state", cases.count_by_state(session))
    yield _labelled("cptdn_jobs", "Computations by state", "state", jobs.count_by_state(session))
    deliveries = GaugeMetricFamily("cptdn_deliveries", "Deliveries by destination and state", labels=["pacs", "state"])
    by_pacs: dict[str, dict[str, int]] = {}
    for state_and_pacs, n in totals(session, "destinations").items():
        state, _, pacs = state_and_pacs.partition(" ")
        by_pacs.setdefault(pacs, {})[state] = n
    for pacs, states in sorted(by_pacs.items()):
        for state in DELIVERY_STATES:
            deliveries.add_metric([pacs, state], states.get(state, 0))
    yield deliveries
    quarantined = session.execute(
        select(Quarantined.code, func.count()).where(Quarantined.dismissed_because.is_(None)).group_by(Quarantined.code)
    )
    yield _labelled("cptdn_quarantined", "Quarantined objects that were not dismissed", "code", dict(quarantined.all()))
    discarded = CounterMetricFamily(
        "cptdn_discarded_objects", "Received objects of other storage classes, discarded", labels=["sop_class"]
    )
    for name, n in count_discarded(session).items():
        discarded.add_metric([name], n)
    yield discarded
    stored, reports = totals(session, "instances"), totals(session, "reports")
    yield _plain("cptdn_stored_instances", "Stored instances", stored.get("stored", 0))
    yield _plain("cptdn_stored_bytes", "Bytes of the stored instances", float(stored.get("bytes", 0)))
    yield CounterMetricFamily("cptdn_reports", "Reports made, revisions included", value=reports.get("made", 0))
    n_open = session.scalar(select(func.count()).select_from(Association).where(Association.closed_at.is_(None)))
    yield _plain("cptdn_open_associations", "Open associations that have stored something", n_open or 0)
    processes: dict[str, int] = dict.fromkeys(("node", "worker", "web"), 0)
    for process in live_processes(session):
        processes[process.kind] = processes.get(process.kind, 0) + 1
    yield _labelled("cptdn_processes", "Running processes", "kind", processes)


def _waiting(session: Session) -> Iterable[Metric]:
    now = now_utc()
    n_messages, oldest = session.execute(select(func.count(Outbox.id), func.min(Outbox.not_before))).one()
    yield _plain("cptdn_outbox_messages", "Messages that wait in the outbox for the broker", n_messages)
    yield _plain("cptdn_outbox_late_seconds", "How long the oldest of them is overdue", _age(now, oldest))
    # One query a state: the index on state and time has its oldest case at once, however many wait.
    oldest_of = {s: select(func.min(Case.updated_at)).where(Case.state == s) for s in WAITING_STATES}
    ages = {state: _age(now, session.scalar(query)) for state, query in oldest_of.items()}
    yield _labelled("cptdn_case_oldest_seconds", "How long the oldest case has been in a waiting state", "state", ages)
    oldest_open = select(func.min(Delivery.created_at)).where(Delivery.state.in_(("pending", "sent")))
    yield _plain(
        "cptdn_delivery_oldest_seconds",
        "How long the oldest open delivery has waited",
        _age(now, session.scalar(oldest_open)),
    )
    n_open_notices = session.scalar(select(func.count(Notice.id)).where(Notice.closed_at.is_(None))) or 0
    yield _plain("cptdn_notices_waiting", "Notices that were not sent by every channel", n_open_notices)


def _durations(session: Session) -> Iterable[Metric]:
    """Yield the durations of the steps, over the jobs of the last day that have ended."""
    steps = SummaryMetricFamily("cptdn_step_seconds", "Duration of a step in jobs of the last day", labels=["step"])
    sums: dict[str, tuple[int, float]] = {}
    # The state is looked at here: SQLite would otherwise take its index, which leads to nearly all jobs.
    recent = select(Job.state, Job.seconds).where(Job.created_at > now_utc() - DURATIONS_OF)
    for state, seconds in session.execute(recent):
        if state != "done":
            continue
        for step, took in seconds.items():
            n, total = sums.get(step, (0, 0.0))
            sums[step] = (n + 1, total + float(took))
    for step, (n, total) in sorted(sums.items()):
        steps.add_metric([step], count_value=n, sum_value=total)
    yield steps


def _age(now: datetime, since: datetime | None) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
