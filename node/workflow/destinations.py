"""The configured destinations of reports, of all kinds."""

from __future__ import annotations

from config.settings import Settings
from node.ledger.reports import StoredObject
from node.ledger.tables import ReportObject
from node.workflow.channels import dicom, fhir, hl7
from node.workflow.channels.channel import Channel, ChannelContext, DestinationKind

KINDS: tuple[DestinationKind, ...] = (dicom.KIND, fhir.KIND, hl7.KIND)


def destination_names(settings: Settings) -> list[str]:
    """Return the names of all configured destinations: each report has a delivery to each of them."""
    return [name for kind in KINDS for name in kind.names(settings)]


def open_channel(name: str, context: ChannelContext) -> Channel | None:
    """Return the channel of a destination, None where no such destination is configured."""
    for kind in KINDS:
        if name in kind.names(context.settings):
            return kind.open(name, context)
    return None


def stored_object(row: ReportObject) -> StoredObject:
    """Return the object of a row of the ledger as a value, for use after the transaction."""
    return StoredObject(
        row.kind, row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid, row.digest, row.path
    )  # fmt: skip
