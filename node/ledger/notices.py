"""Notices: events that people are notified of by mail or webhook, each once, although several nodes check.

A notice is recorded when its cause is first seen, waits for the next message, and is closed when every channel has
accepted it or the time for retries is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, cast, exists, func, select
from sqlalchemy.orm import Session

from config.messages.catalogue import CATALOGUE
from config.messages.message import message
from config.messages.stored import named
from node.ledger.database import insert_new
from node.ledger.tables import Delivery, Job, Notice, Quarantined
from node.ledger.withdrawals import is_withdrawal, order_of, withdrawals_since

FAILED_CASE, DEAD_DELIVERY, LOW_DISK, QUARANTINE = "failed_case", "dead_delivery", "low_disk", "quarantine"
WITHDRAWN = "withdrawn_answer"


@dataclass(frozen=True)
class Cause:
    """An event worth a notice.

    Attributes
    ----------
    kind : str
        `FAILED_CASE`, `DEAD_DELIVERY`, `LOW_DISK`, `QUARANTINE` or `WITHDRAWN`.
    subject : str
        Identifies the event within its kind: the same subject is notified once.
    text : str
        One line with codes, numbers and UIDs, nothing about a patient.
    """

    kind: str
    subject: str
    text: str


def new_causes(session: Session, since: datetime, kinds: Collection[str]) -> list[Cause]:
    """Return what people must know since then and what is not recorded yet; `record_notices` takes it.

    Parameters
    ----------
    since : datetime
        Aware. Jobs count by their last change, deliveries by their due time, quarantined objects by their arrival.
    kinds : collection of str
        Kinds that the site wants; others are left out.

    Returns
    -------
    list of Cause
        Failed jobs, withdrawn answers, dead deliveries, quarantined objects. Comparisons and dismissed quarantined
        objects do not count.
    """
    # A notice is recorded after its cause, so none of these causes has an older one.
    recorded = select(Notice.kind, Notice.subject).where(Notice.recorded_at >= since, Notice.kind != QUARANTINE)
    known = set(map(tuple, session.execute(recorded)))
    causes = [cause for cause in _causes(session, since) if (cause.kind, cause.subject) not in known]
    return [cause for cause in (*causes, *_quarantined(session, since)) if cause.kind in kinds]


def _causes(session: Session, since: datetime) -> Iterator[Cause]:
    """Yield all causes but quarantined objects."""
    for job in session.scalars(select(Job).where(Job.state == "failed", Job.updated_at >= since)):
        if job.send or is_withdrawal(job):
            code = job.error_code
            text = message(
                "notice.failed", study=job.study_instance_uid, code=code or "failed", what=_words(code)
            )  # fmt: skip
            # The attempts and the creation time are a part of the subject: a job or delivery that was retried by hand
            # and fails again is a new event.
            yield Cause(FAILED_CASE, f"{job.id}/{job.attempts}", text)
    for job in withdrawals_since(session, since):
        event = message(f"notice_event.{order_of(job).event}")
        yield Cause(WITHDRAWN, job.id, message("notice.withdrawn", study=job.study_instance_uid, event=event))
    for row in session.scalars(select(Delivery).where(Delivery.state == "dead", Delivery.not_before >= since)):
        subject = f"{row.id}/{row.created_at.isoformat()}"
        yield Cause(DEAD_DELIVERY, subject, message("notice.dead", id=row.id, pacs=row.pacs))


def _quarantined(session: Session, since: datetime) -> Iterator[Cause]:
    """Yield the quarantined objects without a notice: found by the database, as one sender may cause thousands."""
    noticed = exists().where(Notice.kind == QUARANTINE, Notice.subject == cast(Quarantined.id, String))
    rows = select(Quarantined.id, Quarantined.calling_ae, Quarantined.code).where(
        Quarantined.received_at >= since, Quarantined.dismissed_because.is_(None), ~noticed
    )
    for number, ae, code in session.execute(rows):
        text = message("notice.quarantined", id=number, ae=ae, code=code, what=_words(code))
        yield Cause(QUARANTINE, str(number), text)


def _words(code: str | None) -> str:
    key = f"reason.{code}"
    return message(key) if key in CATALOGUE else str(code or "failed")


def record_notices(session: Session, causes: Iterable[Cause], now: datetime, wait_s: float) -> int:
    """Record the causes that are new; return their number.

    Parameters
    ----------
    now : datetime
        Aware, UTC.
    wait_s : float
        Shortest time between two messages, in seconds: a new notice is due that long after the last message.
    """
    last = last_sent_at(session)
    due = now if last is None else max(now, last + timedelta(seconds=wait_s))
    return sum(
        # Closed notices and those of another node count, too: each event is notified once.
        insert_new(
            session, Notice,
            {
                "kind": cause.kind, "subject": cause.subject, "text": str(cause.text),
                "message": named(cause.text), "noted_at": now, "told": {},
                "not_before": due, "attempts": 0,
            },
        )
        for cause in causes
    )  # fmt: skip


def last_sent_at(session: Session) -> datetime | None:
    """Return when the last message was sent; None before the first."""
    return session.scalar(select(func.max(Notice.sent_at)))


def has_open(session: Session) -> bool:
    """Look for a notice that waits for a message.

    Returns
    -------
    bool
        Whether one was not sent by every channel, and not given up.
    """
    return session.scalar(select(Notice.id).where(Notice.closed_at.is_(None)).limit(1)) is not None


def claim_due(session: Session, now: datetime, lease: timedelta) -> list[Notice]:
    """Return all open notices once the first of them is due; no other node gets them before `lease` is over.

    Parameters
    ----------
    now : datetime
        Aware, UTC.
    lease : timedelta
        Time for sending; after it the same notices are due again, so that a node that died loses none.

    Returns
    -------
    list of Notice
        In order of recording, with this attempt counted already; empty when none is due.
    """
    waiting = select(Notice).where(Notice.closed_at.is_(None)).order_by(Notice.id)
    # All open notices go into one message; on PostgreSQL rows that another node has locked are passed over, so that two
    # nodes never send the same one.
    rows = list(session.scalars(waiting.with_for_update(skip_locked=True)))
    if not any(row.not_before <= now for row in rows):
        return []
    for row in rows:
        row.not_before = now + lease
        row.attempts += 1
    return rows
