"""What a worker process holds while it lives: settings, ledger, store, model bundles."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from config.bundle_manifest import read_manifest
from config.settings import Settings
from node.audit.tracing import Tracer, open_tracer
from node.ledger.database import Ledger, open_ledger
from node.messaging.broker import broker_url, redis_of
from node.store.study_store import StudyStore

if TYPE_CHECKING:
    from redis import Redis

    from dicom_sr.objects.build import StartDrawing
    from workers.bundles.bundle import Bundle


@dataclass
class WorkerContext:
    """Everything a task needs, made once a process and on first use: a forked child opens its own ledger.

    start : how the drawing of a page is begun; `partial` draws when the page is asked for.
    """

    settings: Settings
    start: StartDrawing = partial
    _bundles: dict[str, Bundle] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}")

    @cached_property
    def ledger(self) -> Ledger:
        return open_ledger(self.settings.ledger.url or "", migrate=False)

    @cached_property
    def tracer(self) -> Tracer:
        return open_tracer(self.settings, "worker")

    @cached_property
    def broker(self) -> Redis:
        return redis_of(broker_url(self.settings))

    @cached_property
    def store(self) -> StudyStore:
        return StudyStore(self.settings.storage.root, self.settings.storage.min_free_gb)

    def bundle(self, name: str) -> Bundle:
        """A model bundle, verified with its signature; loaded once a process, and again when its manifest changed."""
        from config.bundle_signature import trust_of
        from workers.bundles.bundle import load_bundle

        known = self._bundles.get(name)
        if known is None or known.digest != read_manifest(name).digest:
            known = self._bundles[name] = load_bundle(name, trust_of(self.settings.model))
        return known
