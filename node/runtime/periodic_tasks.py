"""Work that a node repeats in threads: relay messages, assess cases, retrieve, notify, check for lost work.

A task runs at once when it is notified, else after the seconds that it asks for. Notification is an optimisation:
commands and workers write to the ledger from other processes, so every task polls it at least every `LONGEST_WAIT_S`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from node.audit.notifications import Notifier
from node.dicom.scp.ae import RunningNode
from node.dicom.scp.intake import Intake
from node.ledger.database import Ledger
from node.ledger.outbox import relay, seconds_to_next
from node.messaging.broker import broker_url, redis_of
from node.messaging.queue import make_celery, room_in_queues, send
from node.runtime.watchdog import Watchdog
from node.store.study_store import StudyStore
from node.workflow.casework import assess_due, seconds_to_next_assessment
from node.workflow.retrieval import Retrieval, queryable_pacs
from node.workflow.withdrawal import withdraw_due

log = structlog.get_logger("cptdn.service")

LONGEST_WAIT_S = 0.5
WATCHDOG_EVERY_S = 5.0
NOTIFICATIONS_EVERY_S = 2.0
STOP_WAIT_S = 8.0


class PeriodicTask:
    """One kind of work, repeated in a thread of its own from `start` to `stop`.

    Parameters
    ----------
    name : str
        Name of the thread and of the task in the log.
    work : callable
        Does what is due. An exception is logged and ends neither the thread nor the task.
    seconds_to_next : callable
        Returns how many seconds the task may wait when it is not notified.
    """

    def __init__(self, name: str, work: Callable[[], Any], seconds_to_next: Callable[[], float]) -> None:
        self.name, self._work, self._seconds_to_next = name, work, seconds_to_next
        self._notified = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; the work is done at once for the first time."""
        self._thread.start()

    def notify(self) -> None:
        """Have the work done now, or again when it is being done; may be called from any thread, before `start` too."""
        self._notified.set()

    def stop(self) -> None:
        """Wait up to `STOP_WAIT_S` for the work in progress; a longer wait for a silent peer ends with the process."""
        self._stopping = True
        self.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_WAIT_S)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._work()
                wait_s = self._seconds_to_next()
            except SQLAlchemyError as error:  # a ledger that is locked or away needs no traceback twice a second
                log.error("periodic_task_failed", task=self.name, error=type(error).__name__)
                wait_s = LONGEST_WAIT_S
            except Exception:  # an error with one case must not end the work for all others
                log.exception("periodic_task_failed", task=self.name)
                wait_s = LONGEST_WAIT_S
            # Cleared after the wait: a notification during the work ends the wait at once, so nothing is missed.
            self._notified.wait(wait_s)
            self._notified.clear()


def relay_task(ledger: Ledger, settings: Settings) -> PeriodicTask:
    """Return the task that hands pending messages of the ledger to the broker.

    Parameters
    ----------
    ledger : Ledger
        Where the messages are.
    settings : Settings
        `[broker]`: its URL, and how many messages of each queue it may have at a time.

    Returns
    -------
    PeriodicTask
        Not started. It waits until the next message is due, at most `LONGEST_WAIT_S`.
    """
    celery = make_celery(broker_url(settings), settings.broker)
    room = partial(room_in_queues, redis_of(broker_url(settings)), settings.broker.waiting_most)

    def seconds_to_next_message() -> float:
        with ledger.begin() as session:
            return seconds_to_next(session, LONGEST_WAIT_S)

    return PeriodicTask("relay", lambda: relay(ledger, partial(send, celery), room), seconds_to_next_message)


def assessment_task(ledger: Ledger, settings: Settings, on_assessed: Callable[[], None]) -> PeriodicTask:
    """Return the task that assesses the cases that are due, and withdraws the answers that are outdated.

    Parameters
    ----------
    ledger : Ledger
        Where the cases are.
    settings : Settings
        Rules of cases, eligibility and the decision.
    on_assessed : callable
        Called after each batch of cases, which may have queued jobs: notifies the relay task.
    """

    def assess_all_due() -> None:
        while assess_due(ledger, settings):
            on_assessed()
        if withdraw_due(ledger, settings):
            on_assessed()

    def seconds_to_next_case() -> float:
        with ledger.begin() as session:
            return seconds_to_next_assessment(session, LONGEST_WAIT_S)

    return PeriodicTask("assessment", assess_all_due, seconds_to_next_case)


def watchdog_task(ledger: Ledger, settings: Settings, store: StudyStore, node: RunningNode) -> PeriodicTask:
    """Return the task that recovers lost work and refreshes the heartbeat of open associations.

    Parameters
    ----------
    ledger, settings, store, node
        As for `Watchdog`.

    Returns
    -------
    PeriodicTask
        Not started; it runs every `WATCHDOG_EVERY_S`, much more often than a process without heartbeat counts as dead.
    """
    return PeriodicTask("watchdog", Watchdog(ledger, settings, store, node).check, lambda: WATCHDOG_EVERY_S)


def retrieval_tasks(ledger: Ledger, settings: Settings, intake: Intake, process_id: str) -> list[PeriodicTask]:
    """Return the task that retrieves missing content.

    Parameters
    ----------
    ledger : Ledger
        Where the requests are.
    settings : Settings
        Its `[[pacs]]` with `query_retrieve = true`.
    intake : Intake
        Checks and stores what arrives.
    process_id : str
        Id of this process in the ledger.

    Returns
    -------
    list of PeriodicTask
        One task, not started; none where no PACS may be queried.
    """
    if not queryable_pacs(settings):
        return []
    retrieval = Retrieval(ledger, settings, intake, process_id)
    return [PeriodicTask("retrieval", retrieval.run_due, partial(retrieval.seconds_to_next, LONGEST_WAIT_S))]


def notification_tasks(ledger: Ledger, settings: Settings, store: StudyStore) -> list[PeriodicTask]:
    """Return the task that notifies administrators of states that need them.

    Parameters
    ----------
    ledger, settings, store
        As for `Notifier`.

    Returns
    -------
    list of PeriodicTask
        One task, not started; none where no channel is configured.
    """
    notifier = Notifier(ledger, settings, store)
    if not notifier.channels:
        return []
    return [PeriodicTask("notifications", notifier.check, lambda: NOTIFICATIONS_EVERY_S)]
