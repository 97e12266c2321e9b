"""The process that performs work items: the node's application entity and its tasks about them, until it is killed.

python -m tests.work_items.worker SETTINGS.toml
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from config.settings import load_settings
from node.audit.recorder import open_audit
from node.dicom.scp.ae import start_node
from node.dicom.scp.intake import Intake
from node.dicom.scp.work_items import WorkItemService
from node.ledger.commitments import record_commitment
from node.ledger.database import open_ledger
from node.runtime.periodic_tasks import work_item_tasks
from node.store.study_store import StudyStore


def main() -> None:
    settings = load_settings(Path(sys.argv[1]))
    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, 0.0)
    store.prepare()
    audit, tasks = open_audit(settings, "node"), work_item_tasks(ledger, settings)
    service = WorkItemService(ledger, settings, audit, on_change=tasks[0].notify)
    start_node(settings, Intake(ledger, store, "worker"), record_commitment(ledger), audit=audit, work_items=service)
    for task in tasks:
        task.start()
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
