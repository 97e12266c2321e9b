"""Jumps of the wall clock.

Leases and due times are wall-clock times in the ledger, because processes on several machines share them. A jump makes
them wrong. Forward, every lease seems to have ended, and a second worker would take work that the first one still does.
Back, what is due in a minute would wait for a minute plus the length of the jump, and the lease of a process that died
would not end. Each node compares the wall clock with the monotonic one; after a jump it lets every lease begin again
and makes everything due that waits. An attempt that comes too early is harmless: it waits again.
"""

from __future__ import annotations

import time
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.ledger.database import now_utc
from node.ledger.outbox import BULK_YIELDS
from node.ledger.tables import Association, Case, CaseEvent, Delivery, Fetch, Job, Outbox, Process
from node.ledger.work_item_tables import DicomNotice, WorkItem

JUMP = timedelta(seconds=5)  # less is a correction of the clock, too short to matter for any wait
SKEW = timedelta(seconds=60)  # how far the clocks of two machines may differ before one counts as wrong


class ClockWatch:
    """Compares the wall clock with the monotonic clock between two calls of `jump`."""

    def __init__(self) -> None:
        self._wall, self._monotonic = now_utc(), time.monotonic()

    def jump(self) -> timedelta:
        """Return how far the wall clock has jumped since the last call.

        Returns
        -------
        timedelta
            Positive when it went forward; zero for less than `JUMP`, which is a correction (NTP, a leap second).
        """
        wall, monotonic = now_utc(), time.monotonic()
        # The monotonic clock does not count the sleep of a machine on Linux: waking up looks like a jump forward, and
        # is treated like one, because every lease has ended while the machine slept.
        jumped = (wall - self._wall) - timedelta(seconds=monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        return jumped if abs(jumped) > JUMP else timedelta(0)


def written_in_the_future(session: Session) -> bool:
    """Return whether the ledger contains times later than now: the clock went back while nothing ran.

    Returns
    -------
    bool
        False for times up to `SKEW` ahead, because other machines write with clocks of their own.
    """
    # A running node writes both all day: the newest row of either tells how late its clock was.
    # Two tables, because an idle node writes no events and a stopped one no beats.
    latest = session.scalar(select(func.max(CaseEvent.at))), session.scalar(select(func.max(Process.seen_at)))
    limit = now_utc() + SKEW
    return any(at is not None and at > limit for at in latest)


def reset_leases_and_due_times(session: Session, lease: timedelta) -> None:
    """Let every lease begin again and make everything due that waits, after a jump of the clock.

    It may be repeated, by any number of nodes. A lease is not removed: its owner may still work, and loses it one lease
    later when it does not.

    Parameters
    ----------
    lease : timedelta
        Length of the new leases of jobs and deliveries.
    """
    now = now_utc()
    changes = [
        # Leases first and in the same transaction as the due times: a watchdog that ran in between would take the work
        # of every running worker.
        update(Job).where(Job.lease_until.is_not(None)).values(lease_until=now + lease),
        update(Delivery).where(Delivery.lease_until.is_not(None)).values(lease_until=now + lease),
        update(Association).where(Association.closed_at.is_(None)).values(last_seen_at=now),
        update(Job).where(Job.not_before > now).values(not_before=now),
        update(Delivery).where(Delivery.not_before > now).values(not_before=now),
        update(Outbox).where(Outbox.not_before > now).values(not_before=now),
        # A place up to `BULK_YIELDS` ahead is normal for bulk work.
        update(Outbox).where(Outbox.place > now + BULK_YIELDS).values(place=now),
        update(Fetch).where(Fetch.not_before > now).values(not_before=now),
        update(Case).where(Case.assess_after > now).values(assess_after=now),
        update(WorkItem).where(WorkItem.not_before > now).values(not_before=now),
        update(WorkItem).where(WorkItem.judged_after > now).values(judged_after=now),
        update(DicomNotice).where(DicomNotice.not_before > now).values(not_before=now),
    ]
    for change in changes:
        session.execute(change.execution_options(synchronize_session=False))
