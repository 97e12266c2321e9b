"""The sources of clinical facts that run with the node: drop folder, HL7 server, FHIR polling."""

from __future__ import annotations

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.errors import CptdnError
from config.settings import Settings
from node.clinical.drop_folder import import_drop_folder
from node.clinical.fhir_client import FhirPoller
from node.clinical.mllp import MllpServer
from node.ledger.database import Ledger

POLL_EVERY_S = 2.0
log = structlog.get_logger(__name__)


class ClinicalSources:
    """Starts and stops the sources that the settings name; a source that is off has no thread and no port.

    Parameters
    ----------
    ledger : Ledger
        Receives the facts.
    settings : Settings
        `[clinical] drop_folder`, `[hl7]` and `[fhir]`.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.hl7 = MllpServer(ledger, settings) if settings.hl7.enabled else None
        self.fhir = FhirPoller(ledger, settings) if settings.fhir.base_url else None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start the sources; CptdnError when the HL7 port cannot be bound."""
        if self.hl7 is not None:
            self.hl7.start()
        if self.fhir is not None:
            self.fhir.start()
        if self.settings.clinical.drop_folder is not None:
            self._watcher = threading.Thread(target=self._watch, name="drop folder", daemon=True)
            self._watcher.start()

    def stop(self) -> None:
        """Stop the sources and wait for their threads."""
        self._stopping.set()
        if self.hl7 is not None:
            self.hl7.stop()
        if self.fhir is not None:
            self.fhir.stop()
        if self._watcher is not None:
            self._watcher.join()

    def _watch(self) -> None:
        folder = self.settings.clinical.drop_folder
        while folder is not None and not self._stopping.is_set():
            try:
                for file in import_drop_folder(folder, self.ledger, self.settings):
                    log.info("a dropped table was recorded", accepted=file.accepted, new_facts=file.n_new_facts)
            except (CptdnError, OSError, SQLAlchemyError) as error:
                log.warning("the drop folder cannot be read now", error=type(error).__name__)
            self._stopping.wait(POLL_EVERY_S)
