"""The running node: the DICOM side, the looks at cases, the outbox, the watchdog.

Three things happen beside the associations, each in a thread of its own that an event wakes: cases are looked at when
content arrives or a fallback time is reached; messages owed to the broker are handed over; and what dead processes
left behind is taken up again. Where a PACS may be asked for what cases lack, a fourth does that. Another thread's
heartbeat tells the others that this node lives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from node.audit.forwarding import forwarding
from node.audit.metrics_server import serving_metrics
from node.audit.notifications import Notifier
from node.audit.recorder import audited, open_audit
from node.clinical.sources import ClinicalSources
from node.dicom.scp.ae import RunningNode, start_node
from node.dicom.scp.intake import Intake, Sender
from node.ledger import clock, jobs
from node.ledger.associations import close_abandoned
from node.ledger.cases import schedule_touched, schedule_unfinished
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.deliveries import record_commitment
from node.ledger.outbox import relay, seconds_to_next
from node.ledger.processes import DEAD_AFTER, delete_dead_processes, heartbeat
from node.ledger.state_counts import compact
from node.messaging.broker import broker_url, redis_of
from node.messaging.queue import make_celery, room_in_queues, send
from node.store.retention import Retention
from node.store.study_store import StudyStore
from node.workflow.casework import assess_due, seconds_to_next_assessment
from node.workflow.delivery import requeue_overdue
from node.workflow.retrieval import Retrieval, queryable_pacs

log = structlog.get_logger("cptdn.service")

LONGEST_SLEEP_S = 0.5  # another process (a command, a worker) may have written to the ledger meanwhile
WATCHDOG_S = 5.0
STOP_WAIT_S = 8.0
NOTICES_S = 2.0


class Round:
    """One kind of work, done again and again in a thread: at once when woken, else when `sleep` says so."""

    def __init__(self, name: str, work: Callable[[], Any], sleep: Callable[[], float]) -> None:
        self._name, self._work, self._sleep = name, work, sleep
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        """Let the work in hand finish; what waits for a silent peer ends with the process."""
        self._stopping = True
        self.wake()
        self._thread.join(STOP_WAIT_S)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._work()
                wait = self._sleep()
            except SQLAlchemyError as error:  # a ledger that is locked or away: the next round tries again
                log.error("round_failed", round=self._name, error=type(error).__name__)
                wait = LONGEST_SLEEP_S
            except Exception:  # one case must never stop the rounds for all others
                log.exception("round_failed", round=self._name)
                wait = LONGEST_SLEEP_S
            self._woken.wait(wait)
            self._woken.clear()


@contextmanager
def running_node(settings: Settings) -> Iterator[RunningNode]:
    """The node, from listening to stopped."""
    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, settings.storage.min_free_gb)
    store.prepare()
    celery = make_celery(broker_url(settings), settings.broker)
    room = partial(room_in_queues, redis_of(broker_url(settings)), settings.broker.waiting_most)
    with ledger.begin() as session:
        if clock.written_in_the_future(session):
            log.warning("clock_went_back", found="the ledger was written by a clock ahead of this one")
            clock.reset_leases_and_due_times(session, timedelta(seconds=settings.jobs.lease_s))
        schedule_unfinished(session)

    def hand_over() -> int:
        return relay(ledger, partial(send, celery), room)

    def look_at_cases() -> None:
        while assess_due(ledger, settings):
            outbox.wake()

    def until_next_look() -> float:
        with ledger.begin() as session:
            return seconds_to_next_assessment(session, LONGEST_SLEEP_S)

    def until_next_message() -> float:
        with ledger.begin() as session:
            return seconds_to_next(session, LONGEST_SLEEP_S)

    def released(studies: Collection[str]) -> None:
        with ledger.begin() as session:
            schedule_touched(session, studies)
        looks.wake()

    def transferred(sender: Sender) -> None:
        audit.received(sender.peer.calling_ae, sender.peer.address, sender.tallies)

    audit = open_audit(settings, "node")
    notifier = Notifier(ledger, settings, store)
    with (
        forwarding(settings, audit.trail),
        audited(audit),
        serving_metrics(ledger, settings),
        heartbeat(ledger, "node", ae_title=settings.node.ae_title) as beat,
    ):
        outbox = Round("outbox", hand_over, until_next_message)
        looks = Round("looks", look_at_cases, until_next_look)
        intake = Intake(ledger, store, beat.id, on_release=released, on_transfer=transferred)
        node = start_node(settings, intake, record_commitment(ledger), audit=audit)
        watchdog = Round("watchdog", Watchdog(ledger, settings, store, node).look, lambda: WATCHDOG_S)
        retrieval = Retrieval(ledger, settings, intake, beat.id)
        fetching = [_fetching(retrieval)] if queryable_pacs(settings) else []
        clinical = ClinicalSources(ledger, settings)
        clinical.start()
        noticing = [Round("notices", notifier.check, lambda: NOTICES_S)] if notifier.channels else []
        beat.ready(port=node.port)
        log.info("ready", ae_title=settings.node.ae_title, port=node.port)
        try:
            yield node
        finally:
            node.stop()
            clinical.stop()
            for each in (*fetching, watchdog, looks, outbox, *noticing):
                each.stop()
    ledger.close()


def _fetching(retrieval: Retrieval) -> Round:
    return Round("fetching", retrieval.run_due, partial(retrieval.seconds_to_next, LONGEST_SLEEP_S))


class Watchdog:
    """Takes up what dead processes, an emptied broker, a silent PACS, a full disk or a clock that jumped left behind.

    Every node has one; what one of them takes in hand, the others pass over.
    """

    def __init__(self, ledger: Ledger, settings: Settings, store: StudyStore, node: RunningNode) -> None:
        self._ledger, self._settings, self._store, self._node = ledger, settings, store, node
        self._lease = timedelta(seconds=settings.jobs.lease_s)
        self._clock = clock.ClockWatch()
        self._retention = Retention(ledger, settings, store)

    def look(self) -> None:
        jumped = self._clock.jump()
        if jumped:
            log.warning("clock_jumped", seconds=round(jumped.total_seconds(), 1))
            self._retention.postpone()
            with self._ledger.begin() as session:
                clock.reset_leases_and_due_times(session, self._lease)
        self._node.heartbeat()
        now = now_utc()
        with self._ledger.begin() as session:
            revived = jobs.watchdog(session, self._lease)
            if self._store.has_room_for_work():
                revived += jobs.resume_after_full_disk(session)
            if studies := close_abandoned(session, now - DEAD_AFTER, now):
                schedule_touched(session, studies)
            overdue = requeue_overdue(session, self._settings)
            delete_dead_processes(session)
            compact(session)
        if revived or overdue:
            log.info("taken_up_again", jobs=revived, deliveries=overdue)
        self._retention.check()
