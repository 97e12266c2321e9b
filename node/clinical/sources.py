"""The sources of clinical facts that run with the node: drop folder, HL7 server, FHIR polling."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog

from config.settings import Settings
from node.background.repeated_work import RepeatedWork
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
        folder = settings.clinical.drop_folder
        watch = None if folder is None else partial(_import, folder, ledger, settings)
        self._watching = None if watch is None else RepeatedWork("drop folder", watch, lambda: POLL_EVERY_S)

    def start(self) -> None:
        """Start the sources; CptdnError when the HL7 port cannot be bound."""
        if self.hl7 is not None:
            self.hl7.start()
        if self.fhir is not None:
            self.fhir.start()
        if self._watching is not None:
            self._watching.start()

    def stop(self) -> None:
        """Stop the sources and wait for their threads."""
        if self.hl7 is not None:
            self.hl7.stop()
        if self.fhir is not None:
            self.fhir.stop()
        if self._watching is not None:
            self._watching.stop()


def _import(folder: Path, ledger: Ledger, settings: Settings) -> None:
    for file in import_drop_folder(folder, ledger, settings):
        log.info("a dropped table was recorded", accepted=file.accepted, new_facts=file.n_new_facts)
