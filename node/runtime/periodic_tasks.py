"""Work that a node repeats in threads: relay messages, assess cases, retrieve, notify, check for lost work.

A task runs at once when it is notified, else after the seconds that it asks for. Notification is an optimisation:
commands and workers write to the ledger from other processes, so every task polls it at least every `LONGEST_WAIT_S`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from config.settings import Settings
from node.audit.notifications import Notifier
from node.background.repeated_work import RepeatedWork
from node.dicom.scp.ae import RunningNode
from node.dicom.scp.intake import Intake
from node.ledger.database import Ledger
from node.ledger.outbox import relay, seconds_to_next
from node.messaging.broker import broker_url, redis_of
from node.messaging.queue import make_celery, room_in_queues, send
from node.runtime.watchdog import Watchdog
from node.store.study_store import StudyStore
from node.workflow.casework import assess_due, seconds_to_next_assessment
from node.workflow.dicom_notices import announce_available, send_due
from node.workflow.retrieval import Retrieval, queryable_pacs
from node.workflow.withdrawal import withdraw_due
from node.workflow.work_items import judge_due
from node.workflow.worklists import worklists

LONGEST_WAIT_S = 0.5
WATCHDOG_EVERY_S = 5.0
NOTIFICATIONS_EVERY_S = 2.0


def relay_task(ledger: Ledger, settings: Settings) -> RepeatedWork:
    """Return the task that hands pending messages of the ledger to the broker.

    Parameters
    ----------
    ledger : Ledger
        Where the messages are.
    settings : Settings
        `[broker]`: its URL, and how many messages of each queue it may have at a time.

    Returns
    -------
    RepeatedWork
        Not started. It waits until the next message is due, at most `LONGEST_WAIT_S`.
    """
    celery = make_celery(broker_url(settings), settings.broker)
    room = partial(room_in_queues, redis_of(broker_url(settings)), settings.broker.waiting_most)

    def seconds_to_next_message() -> float:
        with ledger.read() as session:
            return seconds_to_next(session, LONGEST_WAIT_S)

    return RepeatedWork("relay", lambda: relay(ledger, partial(send, celery), room), seconds_to_next_message)


def assessment_task(ledger: Ledger, settings: Settings, on_assessed: Callable[[], None]) -> RepeatedWork:
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
        with ledger.read() as session:
            return seconds_to_next_assessment(session, LONGEST_WAIT_S)

    return RepeatedWork("assessment", assess_all_due, seconds_to_next_case)


def watchdog_task(ledger: Ledger, settings: Settings, store: StudyStore, node: RunningNode) -> RepeatedWork:
    """Return the task that recovers lost work and refreshes the heartbeat of open associations.

    Parameters
    ----------
    ledger, settings, store, node
        As for `Watchdog`.

    Returns
    -------
    RepeatedWork
        Not started; it runs every `WATCHDOG_EVERY_S`, much more often than a process without heartbeat counts as dead.
    """
    return RepeatedWork("watchdog", Watchdog(ledger, settings, store, node).check, lambda: WATCHDOG_EVERY_S)


def retrieval_tasks(ledger: Ledger, settings: Settings, intake: Intake, process_id: str) -> list[RepeatedWork]:
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
    list of RepeatedWork
        One task, not started; none where no PACS may be queried.
    """
    if not queryable_pacs(settings):
        return []
    retrieval = Retrieval(ledger, settings, intake, process_id)
    return [RepeatedWork("retrieval", retrieval.run_due, partial(retrieval.seconds_to_next, LONGEST_WAIT_S))]


def notification_tasks(ledger: Ledger, settings: Settings, store: StudyStore) -> list[RepeatedWork]:
    """Return the task that notifies administrators of states that need them.

    Parameters
    ----------
    ledger, settings, store
        As for `Notifier`.

    Returns
    -------
    list of RepeatedWork
        One task, not started; none where no channel is configured.
    """
    notifier = Notifier(ledger, settings, store)
    if not notifier.channels:
        return []
    return [RepeatedWork("notifications", notifier.check, lambda: NOTIFICATIONS_EVERY_S)]


def work_item_tasks(ledger: Ledger, settings: Settings) -> list[RepeatedWork]:
    """Return the tasks about work items and notifications of application entities.

    Parameters
    ----------
    ledger : Ledger
        Where work items, deliveries and notices are.
    settings : Settings
        `[work_items]`, `[[worklist]]` and `[[notified_ae]]`.

    Returns
    -------
    list of RepeatedWork
        Not started: judging work items first, then one for each worklist, and one for notices; none where nothing of
        it is configured.
    """
    tasks = []
    if settings.work_items.receive or settings.worklist:
        tasks.append(RepeatedWork("work_items", partial(judge_due, ledger, settings), lambda: LONGEST_WAIT_S))
    for name, run in worklists(ledger, settings):
        tasks.append(RepeatedWork(f"worklist {name}", run, lambda: LONGEST_WAIT_S))
    if settings.notified_ae:

        def tell() -> None:
            announce_available(ledger, settings)
            send_due(ledger, settings)

        tasks.append(RepeatedWork("notices", tell, lambda: LONGEST_WAIT_S))
    return tasks
