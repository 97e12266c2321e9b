"""When the wall clock jumps.

Leases and due times stand in the ledger as wall-clock times, because processes on several machines share them. A jump
makes them wrong: forward, every lease seems to have run out; back, whatever waits would wait for the length of the
jump as well. Each node compares the wall clock with the monotonic one and, after a jump, lets every lease begin anew
and makes everything due that waits. Being early is harmless: what is not ready waits again.
"""

from __future__ import annotations

import time
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.ledger.database import now_utc
from node.ledger.outbox import BULK_YIELDS
from node.ledger.tables import Association, Case, CaseEvent, Delivery, Fetch, Job, Outbox, Process

JUMP = timedelta(seconds=5)  # less is a correction of the clock, which every waiting time bears
SKEW = timedelta(seconds=60)  # how far the clocks of two machines may differ before one is taken for wrong


class ClockWatch:
    """Notices jumps between two looks."""

    def __init__(self) -> None:
        self._wall, self._monotonic = now_utc(), time.monotonic()

    def jump(self) -> timedelta:
        """How far the wall clock has jumped since the last look; zero for a mere correction."""
        wall, monotonic = now_utc(), time.monotonic()
        jumped = (wall - self._wall) - timedelta(seconds=monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        return jumped if abs(jumped) > JUMP else timedelta(0)


def written_in_the_future(session: Session) -> bool:
    """Whether the ledger was written by a clock that was ahead of ours: it went back while nothing ran."""
    latest = session.scalar(select(func.max(CaseEvent.at))), session.scalar(select(func.max(Process.seen_at)))
    limit = now_utc() + SKEW
    return any(at is not None and at > limit for at in latest)


def reset_leases_and_due_times(session: Session, lease: timedelta) -> None:
    """After a jump: leases begin anew, and what waits for a time is due. Safe to do twice, by any number of nodes."""
    now = now_utc()
    changes = [
        update(Job).where(Job.lease_until.is_not(None)).values(lease_until=now + lease),
        update(Delivery).where(Delivery.lease_until.is_not(None)).values(lease_until=now + lease),
        update(Association).where(Association.closed_at.is_(None)).values(last_seen_at=now),
        update(Job).where(Job.not_before > now).values(not_before=now),
        update(Delivery).where(Delivery.not_before > now).values(not_before=now),
        update(Outbox).where(Outbox.not_before > now).values(not_before=now),
        update(Outbox).where(Outbox.place > now + BULK_YIELDS).values(place=now),
        update(Fetch).where(Fetch.not_before > now).values(not_before=now),
        update(Case).where(Case.assess_after > now).values(assess_after=now),
    ]
    for change in changes:
        session.execute(change.execution_options(synchronize_session=False))
