"""Counts and states of everything: what runs, what is queued, what failed; `cptdn status` and the pages show it."""

from __future__ import annotations

import shutil
from typing import Any

from config.settings import Settings
from node.ledger import cases, jobs, outbox, processes, reports
from node.ledger.database import Ledger
from node.ledger.discarded import count_discarded
from node.messaging.broker import broker_url, redis_of
from node.messaging.messages import BrokerUnavailableError
from node.messaging.queue import queue_lengths


def overview(settings: Settings, ledger: Ledger) -> dict[str, Any]:
    """Return the document that `cptdn status --json` prints.

    Parameters
    ----------
    settings : Settings
        Node, broker, storage and bundle.
    ledger : Ledger
        Cases, jobs, deliveries and processes.

    Returns
    -------
    dict
        node, queues, cases, jobs, deliveries, disk_free_gb (10^9 bytes), bundle, and discarded: received objects of
        other storage classes by the name of their class. A broker that does not answer is
        `queues["error"]`, so that the rest is still shown.
    """
    with ledger.begin() as session:
        document: dict[str, Any] = {
            "node": {
                "ae_title": settings.node.ae_title,
                "bind": settings.node.bind,
                "port": settings.node.port,
                # Ready and not only alive: a node that still starts receives nothing.
                "running": any(process.ready for process in processes.live_processes(session, "node")),
                "processes": [
                    {"kind": each.kind, "host": each.host, "pid": each.pid, "ready": each.ready, **each.info}
                    for each in processes.live_processes(session)
                ],
            },
            "queues": {},
            "cases": cases.count_by_state(session),
            "jobs": jobs.count_by_state(session),
            "deliveries": reports.count_deliveries(session),
            "outbox_empty": outbox.is_empty(session),
            "discarded": count_discarded(session),
        }
    try:
        document["queues"] = queue_lengths(redis_of(broker_url(settings)))
    except BrokerUnavailableError as error:
        # The usual cause differs: an embedded broker ends with `cptdn up`, another one has a service of its own.
        embedded = settings.broker.url == "embedded"
        missing = "the embedded broker does not run; `cptdn up` starts it"
        document["queues"] = {"error": missing if embedded else f"the broker does not answer: {error}"}
    root = settings.storage.root  # made by the first start; before it the disk of its parent counts
    document["disk_free_gb"] = round(shutil.disk_usage(root if root.exists() else root.parent).free / 1e9, 2)
    document["bundle"] = settings.model.bundle
    return document
