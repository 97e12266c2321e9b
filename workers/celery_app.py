"""The Celery application of a worker process, and what it holds while it lives."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from celery import Celery

from config.settings import Settings, load_settings
from node.broker import broker_url
from node.ledger.database import Ledger, open_ledger
from node.queue import make_celery
from node.store.study_store import StudyStore


@dataclass
class WorkerContext:
    """Everything a task needs, made once a process and on first use: a forked child opens its own ledger."""

    settings: Settings
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}")

    @cached_property
    def ledger(self) -> Ledger:
        return open_ledger(self.settings.ledger.url or "", migrate=False)

    @cached_property
    def store(self) -> StudyStore:
        return StudyStore(self.settings.storage.root, self.settings.storage.min_free_gb)


def make_app(config: Path | None = None) -> Celery:
    """The application that `cptdn worker` runs."""
    from workers.tasks import register

    settings = load_settings(config)
    app = make_celery(broker_url(settings), settings.broker)
    register(app, WorkerContext(settings))
    return app
