"""One node process: receive over DICOM and from clinical sources, and run the periodic tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import structlog

from config.settings import Settings
from node.audit.forwarding import forwarding
from node.audit.metrics_server import serving_metrics
from node.audit.recorder import Audit, audited, open_audit
from node.background.repeated_work import RepeatedWork
from node.clinical.sources import ClinicalSources
from node.dicom.scp.ae import RunningNode, start_node
from node.dicom.scp.intake import Intake
from node.dicom.scp.senders import Sender
from node.dicom.scp.work_items import WorkItemService
from node.ledger.cases import schedule_touched, schedule_unfinished
from node.ledger.commitments import record_commitment
from node.ledger.database import Ledger, open_ledger
from node.ledger.processes import heartbeat
from node.runtime.periodic_tasks import (
    assessment_task,
    notification_tasks,
    relay_task,
    retrieval_tasks,
    watchdog_task,
    work_item_tasks,
)
from node.runtime.watchdog import recover_from_clock
from node.store.study_store import StudyStore

log = structlog.get_logger("cptdn.service")


@contextmanager
def running_node(settings: Settings) -> Iterator[RunningNode]:
    """Run a node from entering to leaving; every callback between its parts is wired here.

    Parameters
    ----------
    settings : Settings
        The whole configuration.

    Yields
    ------
    RunningNode
        The application entity, which listens and has told so in the ledger.

    Raises
    ------
    LedgerError
        When the ledger cannot be opened.
    SettingsError
        When the address or the TLS files cannot be used.
    """
    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, settings.storage.min_free_gb)
    store.prepare()
    # Before anything claims work: leases of a clock that was wrong would seem to be held for hours.
    recover_from_clock(ledger, settings)
    with ledger.begin() as session:
        schedule_unfinished(session)
    audit = open_audit(settings, "node")
    with (
        forwarding(settings, audit.trail),
        audited(audit),
        serving_metrics(ledger, settings),
        heartbeat(ledger, "node", ae_title=settings.node.ae_title) as beat,
    ):
        relay = relay_task(ledger, settings)
        assessment = assessment_task(ledger, settings, on_assessed=relay.notify)
        intake = Intake(
            ledger,
            store,
            beat.id,
            on_release=partial(_assess_touched, ledger, assessment),
            on_transfer=partial(_audit_transfer, audit),
        )
        about_work_items = work_item_tasks(ledger, settings)
        node = start_node(
            settings, intake, record_commitment(ledger), audit=audit,
            work_items=_work_item_service(ledger, settings, audit, about_work_items),
        )  # fmt: skip
        clinical = ClinicalSources(ledger, settings)
        tasks = [
            relay,
            assessment,
            watchdog_task(ledger, settings, store, node),
            *retrieval_tasks(ledger, settings, intake, beat.id),
            *notification_tasks(ledger, settings, store),
            *about_work_items,
        ]
        # After `start_node`: a DICOM port that is in use ends the process before any fact is taken.
        clinical.start()
        for task in tasks:
            task.start()
        beat.ready(port=node.port)
        log.info("ready", ae_title=settings.node.ae_title, port=node.port)
        try:
            yield node
        finally:
            # What brings new work ends first, so that the tasks behind it can finish theirs.
            node.stop()
            clinical.stop()
            for task in reversed(tasks):
                task.stop()
    store.close()
    ledger.close()


def _work_item_service(
    ledger: Ledger, settings: Settings, audit: Audit, tasks: list[RepeatedWork]
) -> WorkItemService | None:
    """Return what answers requests about work items, which then are judged at once; None where none are configured."""
    if not settings.work_items.receive and not settings.worklist:
        return None
    return WorkItemService(ledger, settings, audit, on_change=tasks[0].notify)


def _assess_touched(ledger: Ledger, assessment: RepeatedWork, studies: Collection[str]) -> None:
    """Assess the studies that an association touched, and all cases of their patients, when it has ended."""
    with ledger.begin() as session:
        schedule_touched(session, studies)
    assessment.notify()


def _audit_transfer(audit: Audit, sender: Sender) -> None:
    """Write one audit message for everything that an association transferred, when it has ended."""
    audit.received(sender.peer.calling_ae, sender.peer.address, sender.tallies)
