"""Counts and states of everything: what runs, what is queued, what failed; `cptdn status` and the pages show it."""

from __future__ import annotations

import shutil
from typing import Any

from config.bundle_manifest import read_manifest
from config.decision_policy import policy_for_bundle
from config.errors import CptdnError
from config.indication.vocabulary import Condition, ConditionState
from config.messages.message import message, text_of
from config.settings import Settings
from config.system_error import reason_of
from node.ledger import cases, jobs, outbox, processes, reports
from node.ledger.database import Ledger
from node.ledger.discarded import count_discarded
from node.messaging.broker import broker_url, redis_of
from node.messaging.messages import BrokerUnavailableError
from node.messaging.queue import queue_lengths
from node.runtime.delivery_backlog import DeliveryBacklog, delivery_backlog
from node.runtime.dicomweb_health import sources


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
        node, queues, cases, jobs, deliveries, delivery_backlog (since when the oldest open one is tried; studies whose
        images stay until their deliveries have ended, and their GB), disk_free_gb (10^9 bytes), bundle,
        bundle_admission (see there), discarded: received objects of other storage classes by the name of their class,
        and sources: the ways by which objects come. A broker that does not answer is `queues["error"]`, so that the
        rest is still shown.
    """
    with ledger.read() as session:
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
            "delivery_backlog": _backlog(delivery_backlog(session, settings.storage.retention_days)),
            "outbox_empty": outbox.is_empty(session),
            "discarded": count_discarded(session),
        }
    try:
        document["queues"] = queue_lengths(redis_of(broker_url(settings)))
    except BrokerUnavailableError as error:
        # The usual cause differs: an embedded broker ends with `cptdn up`, another one has a service of its own.
        embedded = settings.broker.url == "embedded"
        away = message("question.broker", why=reason_of(error))
        document["queues"] = {"error": message("health.no_embedded_broker_up") if embedded else away}
    root = settings.storage.root  # made by the first start; before it the disk of its parent counts
    document["disk_free_gb"] = round(shutil.disk_usage(root if root.exists() else root.parent).free / 1e9, 2)
    document["sources"] = sources(settings)
    document["bundle"] = settings.model.bundle
    document["bundle_admission"] = bundle_admission(settings)
    return document


def _backlog(backlog: DeliveryBacklog) -> dict[str, Any]:
    return {
        "oldest_open_at": backlog.oldest_open.isoformat() if backlog.oldest_open else None,
        "kept_studies": backlog.kept_studies,
        "kept_gb": round(backlog.kept_bytes / 1e9, 3),
    }


def bundle_admission(settings: Settings) -> dict[str, Any]:
    """Return whether the configured bundle may compute, and what every report of it says.

    Parameters
    ----------
    settings : Settings
        Names bundle and table of trials.

    Returns
    -------
    dict
        ``state``: admitted, marked or refused, or unknown where the bundle cannot be read; ``texts``: the reasons.
    """
    try:
        manifest, policy = read_manifest(settings.model.bundle), policy_for_bundle(settings, settings.model.bundle)
    except CptdnError as error:
        return {"state": "unknown", "texts": [text_of(error)]}
    admission = manifest.admission
    trials = [
        one.text
        for one in policy.conditions
        if one.code is Condition.TRIAL_EVIDENCE and one.state is ConditionState.NOT_MET
    ]
    state = "marked" if admission.state == "admitted" and trials else admission.state
    return {"state": state, "texts": [*(finding.text for finding in admission.findings), *trials]}
