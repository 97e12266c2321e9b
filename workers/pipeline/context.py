"""The open parts of a worker process: settings, ledger, broker, store, model bundles."""

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
    """Everything a task needs, opened on first use, so that a forked child opens its own.

    Attributes
    ----------
    settings : Settings
        Of this site.
    start_drawing : StartDrawing
        Starts the drawing of a page, perhaps in another process; `functools.partial` draws when the page is needed.
    name : str
        Host, process and thread, as the ledger records the owner of a lease.
    """

    settings: Settings
    # `partial` draws in this process, when the result is asked for; `run_worker` replaces it.
    start_drawing: StartDrawing = partial
    _bundles: dict[str, Bundle] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}")

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, not migrated: the node does that before it starts workers."""
        return open_ledger(self.settings.ledger.url or "", migrate=False)

    @cached_property
    def tracer(self) -> Tracer:
        """Traces of this process; without effect where no collector is configured."""
        return open_tracer(self.settings, "worker")

    @cached_property
    def broker(self) -> Redis:
        """The Redis behind the broker, for queue lengths and answers to pages."""
        return redis_of(broker_url(self.settings))

    @cached_property
    def store(self) -> StudyStore:
        """Stored instances, artefacts and reports on disk."""
        return StudyStore(self.settings.storage.root, self.settings.storage.min_free_gb)

    def bundle(self, name: str) -> Bundle:
        """Return a model bundle, loaded once a process and again when its manifest has changed.

        Parameters
        ----------
        name : str
            Under config/bundles, or a folder.

        Returns
        -------
        Bundle
            Verified, with its signature where the site requires one.

        Raises
        ------
        ModelBundleError
            The bundle is missing, changed, or not signed by a trusted key.
        """
        # Imported here: a worker that only delivers does not need the libraries of the model.
        from config.bundle_signature import trust_of
        from workers.bundles.bundle import load_bundle

        # The manifest is read for every job: an administrator may replace a bundle while the worker runs.
        bundle = self._bundles.get(name)
        if bundle is None or bundle.digest != read_manifest(name).digest:
            bundle = self._bundles[name] = load_bundle(name, trust_of(self.settings.model))
        return bundle
