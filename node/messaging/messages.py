"""Names of tasks and queues that node and workers share; the node never imports what computes.

Messages are JSON and contain ids of jobs and deliveries only; they come from the outbox (`node/ledger/outbox.py`).
Questions of the pages contain UIDs and numbers (`node/messaging/questions.py`).
"""

from __future__ import annotations

from enum import StrEnum

PREPARE_VOLUMES = "cptdn.volumes"
EXTRACT_FEATURES = "cptdn.features"
WRITE_REPORT = "cptdn.report"
DELIVER_REPORT = "cptdn.deliver"
ANSWER_QUESTION = "cptdn.answer"


class Queue(StrEnum):
    """One queue for each kind of work, so that each can have workers of its own (CPU, GPU, network)."""

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
    """The broker does not accept messages now; they stay in the outbox."""
