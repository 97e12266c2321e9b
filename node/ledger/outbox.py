"""The outbox: messages for the broker that the ledger has and the broker may not have yet.

A row is written in the transaction that makes the work necessary, and deleted once the broker has the message. This is
why the outbox is a part of the ledger and not of `node/messaging`, which knows the broker only. Sending a message twice
is harmless: each task first claims its work in the ledger.

Only a few messages of each queue are given to the broker at a time; the rest waits here, where a study that has just
arrived can still overtake. Bulk work (a cohort that is computed again) has the position of work that came
`BULK_YIELDS` later: new studies go first, and bulk work that is older than that is not overtaken any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from node.ledger.database import Ledger, now_utc
from node.ledger.tables import Outbox
from node.messaging.messages import QUEUE_OF_TASK, BrokerUnavailableError, Queue

BATCH = 200
# Not without end: on a site with new studies all day a cohort would never be computed.
BULK_YIELDS = timedelta(minutes=10)
# Longer than sending a batch takes; a relay that died in between delays its messages by this time and loses none.
HANDING_OVER = timedelta(seconds=30)  # after this, other relays send the rows of one that died with them


def enqueue(
    session: Session, task: str, args: list[Any], not_before: datetime | None = None, bulk: bool = False
) -> None:
    """Write one message for the broker, in the caller's transaction.

    Parameters
    ----------
    task : str
        Name of the task, see `node/messaging/messages.py`.
    args : list
        JSON values: ids only.
    not_before : datetime, optional
        Aware; the present by default.
    bulk : bool
        Whether new studies go first.
    """
    now = now_utc()
    due = not_before or now
    session.add(
        Outbox(
            task=task, queue=QUEUE_OF_TASK[task].value, args=args, not_before=due,
            place=due + BULK_YIELDS if bulk else due, created_at=now,
        )
    )  # fmt: skip


def pending_ids(session: Session, tasks: Iterable[str]) -> set[Any]:
    """Return whose messages are still in the outbox.

    Parameters
    ----------
    tasks : iterable of str
        Names of tasks.

    Returns
    -------
    set
        Ids of jobs (str) or deliveries (int).
    """
    rows = session.scalars(select(Outbox.args).where(Outbox.task.in_(tuple(tasks))))
    return {args[0] for args in rows}


def relay(
    ledger: Ledger, send: Callable[[str, list[Any]], None], room: Callable[[], Mapping[str, int]] | None = None
) -> int:
    """Give due messages to the broker, in order of their positions; return how many it accepted.

    Parameters
    ----------
    send : callable
        Sends (task, args). BrokerUnavailableError leaves the rest in the outbox.
    room : callable, optional
        Returns how many more messages each queue of the broker may contain; without it, up to `BATCH` of each queue go.
    """
    with ledger.read() as session:
        # Most calls find nothing: this read is cheaper than asking the broker how full its queues are.
        if not session.scalar(select(exists().where(Outbox.not_before <= now_utc()))):
            return 0
    try:
        allowed = room() if room is not None else {queue.value: BATCH for queue in Queue}
    except BrokerUnavailableError:
        return 0
    with ledger.begin() as session:
        taken = _take(session, allowed)
    sent: list[int] = []
    try:
        for row_id, task, args in taken:
            send(task, args)
            sent.append(row_id)
    except BrokerUnavailableError:
        pass  # the rows stay; the next call tries again
    # Three transactions: none is open while the broker is spoken to, since SQLite's write lock would stop reception for
    # as long as the broker takes.
    _finish(ledger, sent, [row_id for row_id, _, _ in taken if row_id not in set(sent)])
    return len(sent)


def _take(session: Session, allowed: Mapping[str, int]) -> list[tuple[int, str, list[Any]]]:
    """Return the next rows of each queue, postponed for a moment so that no other relay sends them, too."""
    now = now_utc()
    taken: list[tuple[int, str, list[Any]]] = []
    for queue, most in allowed.items():
        if most <= 0:
            continue
        query = (
            select(Outbox.id, Outbox.task, Outbox.args)
            .where(Outbox.queue == queue, Outbox.not_before <= now)
            .order_by(Outbox.place, Outbox.id)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        taken += [(row_id, task, args) for row_id, task, args in session.execute(query)]
    if taken:
        _postpone(session, [row_id for row_id, _, _ in taken], now + HANDING_OVER)
    return taken


def _finish(ledger: Ledger, sent: list[int], unsent: list[int]) -> None:
    if not sent and not unsent:
        return
    with ledger.begin() as session:
        session.execute(delete(Outbox).where(Outbox.id.in_(sent)))
        _postpone(session, unsent, now_utc())


def _postpone(session: Session, rows: list[int], until: datetime) -> None:
    session.execute(update(Outbox).where(Outbox.id.in_(rows)).values(not_before=until))


def seconds_to_next(session: Session, longest: float) -> float:
    """Return how long the relay may sleep before a message falls due.

    Parameters
    ----------
    longest : float
        Upper limit, in seconds.

    Returns
    -------
    float
        Seconds, at least 0. Messages that are due already do not count: they wait for room at the broker.
    """
    now = now_utc()
    soonest = session.scalar(select(func.min(Outbox.not_before)).where(Outbox.not_before > now))
    # Nothing is scheduled; what other processes enqueue is found after the longest wait.
    if soonest is None:
        return longest
    return min(longest, max(0.0, (soonest - now).total_seconds()))


def is_empty(session: Session) -> bool:
    """Return whether the outbox contains no message at all."""
    return not session.scalar(select(exists().select_from(Outbox)))
