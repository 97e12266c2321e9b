"""Names of tasks and queues that node and workers share; the node never imports what computes.

Messages are JSON and carry job and delivery ids only; the ledger's outbox makes them, see node/ledger/outbox.py.
Questions of the pages carry UIDs and numbers; see node/messaging/questions.py.
"""

from __future__ import annotations

from enum import StrEnum

PREPARE_VOLUMES = "cptdn.volumes"
EXTRACT_FEATURES = "cptdn.features"
WRITE_REPORT = "cptdn.report"
DELIVER_REPORT = "cptdn.deliver"
ANSWER_QUESTION = "cptdn.answer"


class Queue(StrEnum):
    """One queue a kind of work, so each can have workers of its own (CPU, GPU, network)."""

    VOLUMES = "volumes"
    FEATURES = "features"
    REPORT = "report"
    DELIVERY = "delivery"
    WEB = "web"


TASK_OF_STEP = {"volumes": PREPARE_VOLUMES, "features": EXTRACT_FEATURES, "report": WRITE_REPORT}
QUEUE_OF_TASK = {
    PREPARE_VOLUMES: Queue.VOLUMES,
    EXTRACT_FEATURES: Queue.FEATURES,
    WRITE_REPORT: Queue.REPORT,
    DELIVER_REPORT: Queue.DELIVERY,
    ANSWER_QUESTION: Queue.WEB,
}


class BrokerUnavailableError(ConnectionError):
    """The broker does not take messages now; they stay in the outbox."""
