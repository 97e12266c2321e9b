"""Notices: what a person shall be told of, each once, however many nodes look.

A notice is noted when its cause is seen, waits until the next message leaves, and is closed when every channel has it
or patience is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.ledger.tables import Delivery, Job, Notice, Quarantined

FAILED_CASE, DEAD_DELIVERY, LOW_DISK, QUARANTINE = "failed_case", "dead_delivery", "low_disk", "quarantine"


@dataclass(frozen=True)
class Cause:
    """Something worth telling; `subject` makes it the same one when it is seen again."""

    kind: str
    subject: str
    text: str


def causes(session: Session, since: datetime) -> list[Cause]:
    """What went wrong since then: reasons by their codes, studies by their UIDs, nothing that a file said."""
    found = [
        Cause(FAILED_CASE, f"{job.id}/{job.attempts}", f"study {job.study_instance_uid}: {job.error_code or 'failed'}")
        for job in session.scalars(select(Job).where(Job.state == "failed", Job.send, Job.updated_at >= since))
    ]
    dead = select(Delivery).where(Delivery.state == "dead", Delivery.not_before >= since)
    found += [
        Cause(DEAD_DELIVERY, f"{row.id}/{row.created_at.isoformat()}", f"delivery-{row.id} to {row.pacs} was given up")
        for row in session.scalars(dead)
    ]
    kept = select(Quarantined).where(Quarantined.received_at >= since, Quarantined.dismissed_because.is_(None))
    found += [
        Cause(QUARANTINE, str(row.id), f"number {row.id} from {row.calling_ae}: {row.code}")
        for row in session.scalars(kept)
    ]
    return found


def note(session: Session, seen: Iterable[Cause], kinds: Collection[str], now: datetime, wait_s: float) -> int:
    """Write down what is new; it may be told when the last message is `wait_s` old. Returns how many were new."""
    new = 0
    for cause in seen:
        known = select(Notice.id).where(Notice.kind == cause.kind, Notice.subject == cause.subject)
        if cause.kind in kinds and session.scalar(known) is None:
            row = Notice(
                kind=cause.kind, subject=cause.subject, text=cause.text, noted_at=now, told={},
                not_before=max(now, (last_sent_at(session) or now - timedelta(days=1)) + timedelta(seconds=wait_s)),
            )  # fmt: skip
            session.add(row)
            session.flush()
            new += 1
    return new


def last_sent_at(session: Session) -> datetime | None:
    """When the last message left."""
    return session.scalar(select(func.max(Notice.told_at)))


def claim_due(session: Session, now: datetime, lease: timedelta) -> list[Notice]:
    """Everything that waits, once the first of it is due; no other node takes it before `lease` is over."""
    waiting = select(Notice).where(Notice.closed_at.is_(None)).order_by(Notice.id)
    rows = list(session.scalars(waiting.with_for_update(skip_locked=True)))
    if not any(row.not_before <= now for row in rows):
        return []
    for row in rows:
        row.not_before = now + lease
        row.attempts += 1
    return rows
