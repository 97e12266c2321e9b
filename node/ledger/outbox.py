"""The outbox: messages that the ledger owes the broker.

A row is written in the transaction that makes the work necessary and deleted once the broker has the message. Sending
a message twice is harmless: a task first claims its work in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from node.ledger.database import Ledger, now_utc
from node.ledger.tables import Outbox
from node.messages import QUEUE_OF_TASK, BrokerUnavailableError

BATCH = 200


def enqueue(session: Session, task: str, args: list[Any], not_before: datetime | None = None) -> None:
    """Owe the broker one message."""
    now = now_utc()
    session.add(
        Outbox(task=task, queue=QUEUE_OF_TASK[task].value, args=args, not_before=not_before or now, created_at=now)
    )


def owed(session: Session, task: str, args: list[Any]) -> bool:
    """Whether such a message still waits here."""
    rows = session.scalars(select(Outbox.args).where(Outbox.task == task))
    return any(row == args for row in rows)


def relay(ledger: Ledger, send: Callable[[str, list[Any]], None]) -> int:
    """Hand all due messages to the broker; returns how many it took. A broker that is away leaves the rows in place."""
    with ledger.begin() as session:
        due = session.execute(
            select(Outbox.id, Outbox.task, Outbox.args)
            .where(Outbox.not_before <= now_utc())
            .order_by(Outbox.id)
            .limit(BATCH)
        ).all()
    sent: list[int] = []
    try:
        for row_id, task, args in due:
            send(task, args)
            sent.append(row_id)
    except BrokerUnavailableError:
        pass  # the rows stay; the next round tries again
    if sent:
        with ledger.begin() as session:
            session.execute(delete(Outbox).where(Outbox.id.in_(sent)))
    return len(sent)


def seconds_to_next(session: Session, longest: float) -> float:
    """How long the relay may sleep before a message falls due."""
    soonest = session.scalar(select(func.min(Outbox.not_before)))
    if soonest is None:
        return longest
    wait: timedelta = soonest - now_utc()
    return min(longest, max(0.0, wait.total_seconds()))


def is_empty(session: Session) -> bool:
    return not session.scalar(select(exists().select_from(Outbox)))
