"""Recover work that a dead process, an emptied broker, a silent PACS, a full disk or a clock jump left behind."""

from __future__ import annotations

from datetime import timedelta

import structlog

from config.settings import Settings
from node.dicom.scp.ae import RunningNode
from node.ledger import clock, job_recovery
from node.ledger.associations import close_abandoned
from node.ledger.cases import schedule_touched
from node.ledger.database import Ledger, now_utc
from node.ledger.processes import DEAD_AFTER, delete_dead_processes
from node.ledger.state_counts import compact
from node.store.retention import Retention
from node.store.study_store import StudyStore
from node.workflow.delivery import requeue_overdue

log = structlog.get_logger("cptdn.service")


class Watchdog:
    """Periodic check of one node. Every node has one; a row that one of them has locked is passed over by the others.

    Parameters
    ----------
    ledger : Ledger
        Jobs, deliveries, associations and processes.
    settings : Settings
        `[jobs] lease_s` is how long a message or a step may be without a sign of life.
    store : StudyStore
        Whose disk has room for work or not.
    node : RunningNode
        The node of this process, whose open associations get their heartbeat here.
    """

    def __init__(self, ledger: Ledger, settings: Settings, store: StudyStore, node: RunningNode) -> None:
        self._ledger, self._settings, self._store, self._node = ledger, settings, store, node
        self._lease = timedelta(seconds=settings.jobs.lease_s)
        self._clock = clock.ClockWatch()
        self._retention = Retention(ledger, settings, store)

    def check(self) -> None:
        """Recover what is lost now; after a clock jump, leases and due times come first."""
        jump = self._clock.jump()
        if jump:
            log.warning("clock_jumped", seconds=round(jump.total_seconds(), 1))
            self._retention.postpone()
            with self._ledger.begin() as session:
                clock.reset_leases_and_due_times(session, self._lease)
        # Before abandoned associations are looked for: a busy process must not close its own.
        self._node.heartbeat()
        now = now_utc()
        with self._ledger.begin() as session:
            n_jobs = job_recovery.requeue_lost(session, self._lease)
            # Only then: a job that starts on a full disk would fail at once and wait again.
            if self._store.has_room_for_work():
                n_jobs += job_recovery.resume_after_full_disk(session)
            if studies := close_abandoned(session, now - DEAD_AFTER, now):
                schedule_touched(session, studies)
            n_deliveries = requeue_overdue(session, self._settings)
            delete_dead_processes(session)
            compact(session)
        if n_jobs or n_deliveries:
            log.info("work_recovered", jobs=n_jobs, deliveries=n_deliveries)
        # Last and in transactions of its own: deleting may take long, and nothing may wait for it.
        self._retention.check()


def recover_from_clock(ledger: Ledger, settings: Settings) -> None:
    """Reset leases and due times when the clock went back while no node was running.

    Parameters
    ----------
    ledger : Ledger
        Whose newest times are compared with the clock.
    settings : Settings
        `[jobs] lease_s` is the length of the new leases.
    """
    with ledger.begin() as session:
        if clock.written_in_the_future(session):
            log.warning("clock_went_back", reason="the ledger contains times later than the clock of this machine")
            clock.reset_leases_and_due_times(session, timedelta(seconds=settings.jobs.lease_s))
