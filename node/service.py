"""The running node: the DICOM side, the looks at cases, the outbox, the watchdog.

Three things happen beside the associations, each in a thread of its own that an event wakes: cases are looked at when
content arrives or a fallback time is reached; messages owed to the broker are handed over; and what dead processes
left behind is taken up again. A fourth thread's heartbeat tells the others that this node lives.
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
from node.broker import broker_url
from node.casework import assess_due, next_look_s
from node.clinical.intake import ClinicalIntake
from node.delivery import queue_overdue
from node.dicom.ae import RunningNode, start_node
from node.dicom.intake import Intake
from node.ledger import clock, jobs
from node.ledger.associations import close_abandoned
from node.ledger.cases import wake_touched, wake_unfinished
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.deliveries import record_commitment
from node.ledger.outbox import relay, seconds_to_next
from node.ledger.processes import DEAD_AFTER, forget_dead, heartbeat
from node.queue import make_celery, room_in_queues, send
from node.store.retention import Retention
from node.store.study_store import StudyStore

log = structlog.get_logger("cptdn.service")

LONGEST_SLEEP_S = 0.5  # another process (a command, a worker) may have written to the ledger meanwhile
WATCHDOG_S = 5.0


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
        self._stopping = True
        self.wake()
        self._thread.join()

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
    room = partial(room_in_queues, celery, settings.broker.waiting_most)
    with ledger.begin() as session:
        if clock.written_in_the_future(session):
            log.warning("clock_went_back", found="the ledger was written by a clock ahead of this one")
            clock.settle(session, timedelta(seconds=settings.jobs.lease_s))
        wake_unfinished(session)

    def hand_over() -> int:
        return relay(ledger, partial(send, celery), room)

    def look_at_cases() -> None:
        while assess_due(ledger, settings):
            outbox.wake()

    def until_next_look() -> float:
        with ledger.begin() as session:
            return next_look_s(session, LONGEST_SLEEP_S)

    def until_next_message() -> float:
        with ledger.begin() as session:
            return seconds_to_next(session, LONGEST_SLEEP_S)

    def released(studies: Collection[str]) -> None:
        with ledger.begin() as session:
            wake_touched(session, studies)
        looks.wake()

    with heartbeat(ledger, "node", ae_title=settings.node.ae_title) as beat:
        outbox = Round("outbox", hand_over, until_next_message)
        looks = Round("looks", look_at_cases, until_next_look)
        intake = Intake(ledger, store, beat.id, on_release=released)
        node = start_node(settings, intake, record_commitment(ledger))
        watchdog = Round("watchdog", Watchdog(ledger, settings, store, node).look, lambda: WATCHDOG_S)
        clinical = ClinicalIntake(ledger, settings)
        clinical.start()
        beat.ready(port=node.port)
        log.info("ready", ae_title=settings.node.ae_title, port=node.port)
        try:
            yield node
        finally:
            node.stop()
            clinical.stop()
            for each in (watchdog, looks, outbox):
                each.stop()
    ledger.close()


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
            self._retention.wait()
            with self._ledger.begin() as session:
                clock.settle(session, self._lease)
        self._node.heartbeat()
        now = now_utc()
        with self._ledger.begin() as session:
            revived = jobs.watchdog(session, self._lease)
            if self._store.has_room_for_work():
                revived += jobs.space_is_back(session)
            if studies := close_abandoned(session, now - DEAD_AFTER, now):
                wake_touched(session, studies)
            overdue = queue_overdue(session, self._settings)
            forget_dead(session)
        if revived or overdue:
            log.info("taken_up_again", jobs=revived, deliveries=overdue)
        self._retention.look()
