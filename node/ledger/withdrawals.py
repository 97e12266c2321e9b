"""Jobs that withdraw an answer, and the cases whose delivered answer is outdated.

Such a job begins at the step `report` and does not touch the state of its case (``send`` is false), which is refused,
held or computed again meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from config.messages import stored as messages
from config.messages.message import message
from node.ledger import jobs
from node.ledger.cases import record
from node.ledger.database import now_utc
from node.ledger.deliveries import STORED
from node.ledger.tables import Case, Delivery, Job, Report

BATCH = 200
RETRY_AFTER = timedelta(seconds=30)  # a withdrawal that failed is tried again for as long as its answer is outdated
KEY = "withdrawal"


@dataclass(frozen=True)
class WithdrawalOrder:
    """What a withdrawal says.

    Attributes
    ----------
    report_id : int
        The report whose answer is withdrawn.
    event : str
        One of `workflow.outward_acts.Event`.
    since : datetime
        Aware.
    by, because : str
        Person or event, and a sentence for the reader.
    reasons : tuple of {"code", "text"}
        Why there is no new answer, as the case shows it.
    """

    report_id: int
    event: str
    since: datetime
    by: str
    because: str
    reasons: tuple[dict[str, str], ...] = ()


def is_withdrawal(job: Job) -> bool:
    """Return whether a job withdraws an answer instead of computing one."""
    return KEY in job.request


def order_of(job: Job) -> WithdrawalOrder:
    """Return what a withdrawing job says."""
    said = messages.from_json(job.request[KEY])
    reasons = tuple(dict(reason) for reason in said["reasons"])
    return WithdrawalOrder(**{**said, "since": datetime.fromisoformat(said["since"]), "reasons": reasons})


def outdated_cases(session: Session) -> list[str]:
    """Return the studies whose delivered answer is outdated and not being withdrawn; at most `BATCH`, longest first."""
    # Without those whose withdrawal is queued: thousands of a recalled bundle must not hide one that became outdated.
    under_way = exists().where(
        Job.study_instance_uid == Case.study_instance_uid, Job.send.is_(False), Job.state.in_(jobs.ACTIVE),
        Job.step == jobs.STEPS[-1],
    )  # fmt: skip
    query = select(Case.study_instance_uid).where(Case.outdated_since.is_not(None), ~under_way)
    return list(session.scalars(query.order_by(Case.outdated_since).limit(BATCH)))


def latest_withdrawal(session: Session, study_instance_uid: str) -> Job | None:
    """Return the newest job that withdraws an answer of a study; None before the first."""
    query = select(Job).where(Job.study_instance_uid == study_instance_uid, Job.send.is_(False))
    return next(filter(is_withdrawal, session.scalars(query.order_by(Job.created_at.desc()))), None)


def withdrawals_since(session: Session, since: datetime) -> list[Job]:
    """Return the jobs that have withdrawn an answer since then, the oldest first."""
    query = select(Job).where(Job.state == "done", Job.send.is_(False), Job.updated_at >= since)
    return list(filter(is_withdrawal, session.scalars(query.order_by(Job.updated_at))))


def queue_withdrawal(session: Session, report: Report, order: WithdrawalOrder, *, bulk: bool = False) -> Job | None:
    """Queue the withdrawal of a report, unless that is under way.

    Parameters
    ----------
    report : Report
        The current report of its study.
    order : WithdrawalOrder
        What the withdrawal says.
    bulk : bool
        Whether deliveries of new studies go first.

    Returns
    -------
    Job or None
        None where a withdrawal of this report is queued, running or done, or failed a moment ago.
    """
    latest = latest_withdrawal(session, report.study_instance_uid)
    now = now_utc()
    if latest is not None and order_of(latest).report_id == report.id:
        if latest.state in jobs.ACTIVE:
            return None
        # Tried again as one job: its failure is notified once.
        if latest.state == "failed":
            return jobs.retry(session, latest.id, "node") if now - latest.updated_at > RETRY_AFTER else None
    said = {**asdict(order), "since": order.since.isoformat(), "reasons": list(order.reasons)}
    request: dict[str, Any] = {KEY: messages.to_json(said)}
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    original = session.get(Job, report.job_id)
    job = Job(
        id=str(uuid.uuid4()), study_instance_uid=report.study_instance_uid, state="queued", step=jobs.STEPS[-1],
        request=request, request_digest=digest, bundle=original.bundle if original else report.result["model"]["name"],
        computation=None, send=False, bulk=bulk, not_before=now, seconds={}, created_at=now, updated_at=now,
    )  # fmt: skip
    session.add(job)
    jobs.enqueue_step(session, job)
    text = message("withdrawal.in_every_channel", revision=report.revision, because=order.because)
    record(session, report.study_instance_uid, "withdrawal", text, actor=order.by)
    return job


def holders_of_reports(session: Session, study_instance_uid: str) -> list[str]:
    """Return the destinations that have a report of a study, or may have one.

    Parameters
    ----------
    study_instance_uid : str
        Study Instance UID of the case.

    Returns
    -------
    list of str
        Names, each once. A delivery that was begun counts: the answer of the destination may have been lost.
    """
    query = select(Delivery).join(Report, Delivery.report_id == Report.id).order_by(Delivery.id)
    rows = session.scalars(query.where(Report.study_instance_uid == study_instance_uid))
    return list(dict.fromkeys(row.pacs for row in rows if is_begun(row)))


def is_begun(delivery: Delivery) -> bool:
    """Return whether a destination has something of a delivery, or may have it because a process died or is sending."""
    entries = delivery.objects.values()
    there = any(e["status"] == STORED or e.get("begun") or e.get("times_stored") for e in entries)
    return there or delivery.lease_owner is not None or delivery.sent_at is not None
