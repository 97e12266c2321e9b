"""A FHIR R4 server (`[fhir] report_url`): it gets the resources of each report, one transaction each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from config.messages.message import message, text_of
from config.settings import PacsSettings, Settings
from node.clinical.fhir_reports import ReportRefusedError, post_report
from node.ledger.reports import StoredObject
from node.workflow.channels.channel import (
    LATER,
    REFUSED,
    STORED,
    Channel,
    ChannelContext,
    DestinationKind,
    Parcel,
    Recorded,
    SendResult,
    is_stored,
    note_on,
    patience_of,
)

FHIR = "fhir"  # name of the destination, and kind of the object that contains the resources


class FhirChannel:
    """The configured FHIR server."""

    name = FHIR
    commitment = None  # a server that accepts a transaction has stored it

    def __init__(self, context: ChannelContext) -> None:
        self._context = context
        self.patience = patience_of(PacsSettings())

    def select(self, objects: Sequence[StoredObject], recorded: Recorded) -> list[StoredObject]:
        """Return the object that contains the resources."""
        return [stored for stored in objects if stored.kind == FHIR]

    def send(self, parcel: Parcel, proceed: Callable[[], bool]) -> list[SendResult]:
        """Post the resources; raises PacsUnavailableError when the server cannot take them now."""
        return [self._post(stored, parcel, proceed) for stored in parcel.objects]

    def _post(self, stored: StoredObject, parcel: Parcel, proceed: Callable[[], bool]) -> SendResult:
        if not proceed():
            return SendResult(stored.sop_instance_uid, LATER, message("delivery.replaced_before_post"))
        settings, failure = self._context.settings.fhir, ""
        try:
            post_report(self._context.store.path(stored.path), settings)
        except ReportRefusedError as error:
            failure = text_of(error)
        url = settings.report_url or ""
        self._context.audit.exported(url, parcel.study_instance_uid, parcel.patient_id, failure=failure)
        return SendResult(stored.sop_instance_uid, REFUSED if failure else STORED, failure)

    def refusal(self, objects: Sequence[StoredObject], recorded: Recorded) -> str | None:
        """Return what the server said about resources that it refuses."""
        selected = self.select(objects, recorded)
        if not selected:
            return message("delivery.no_fhir")
        return next((note_on(recorded, stored) for stored in selected if not is_stored(recorded, stored)), None)


def _names(settings: Settings) -> tuple[str, ...]:
    return (FHIR,) if settings.fhir.report_url else ()


def _open(name: str, context: ChannelContext) -> Channel:
    return FhirChannel(context)


KIND = DestinationKind(_names, _open)
