"""One look at everything: what runs, what waits, what failed. `cptdn status` and the pages show it."""

from __future__ import annotations

import shutil
from typing import Any

from config.settings import Settings
from node.ledger import cases, jobs, outbox, processes, reports
from node.ledger.database import Ledger
from node.messaging.broker import broker_url, redis_of
from node.messaging.messages import BrokerUnavailableError
from node.messaging.queue import queue_lengths


def overview(settings: Settings, ledger: Ledger) -> dict[str, Any]:
    """The document of `cptdn status --json`."""
    with ledger.begin() as session:
        found: dict[str, Any] = {
            "node": {
                "ae_title": settings.node.ae_title,
                "bind": settings.node.bind,
                "port": settings.node.port,
                "running": any(process.ready for process in processes.live_processes(session, "node")),
                "processes": [
                    {"kind": p.kind, "host": p.host, "pid": p.pid, "ready": p.ready, **p.info}
                    for p in processes.live_processes(session)
                ],
            },
            "queues": {},
            "cases": cases.count_by_state(session),
            "jobs": jobs.count_by_state(session),
            "deliveries": reports.count_deliveries(session),
            "outbox_empty": outbox.is_empty(session),
        }
    try:
        found["queues"] = queue_lengths(redis_of(broker_url(settings)))
    except BrokerUnavailableError as error:
        embedded = settings.broker.url == "embedded"
        missing = "the embedded broker does not run; `cptdn up` starts it"
        found["queues"] = {"error": missing if embedded else f"the broker does not answer: {error}"}
    root = settings.storage.root
    found["disk_free_gb"] = round(shutil.disk_usage(root if root.exists() else root.parent).free / 1e9, 2)
    found["bundle"] = settings.model.bundle
    return found
