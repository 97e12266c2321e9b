"""A trial association with a destination: would it take our reports, and could we fetch from it, before we need it?"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from config.settings import PacsSettings, Settings
from node.dicom.network.connection import association, echo
from node.dicom.query.query_scu import FIND
from node.dicom.query.retrieve_scu import GET, MOVE

CLASSES: dict[str, UID] = {
    "sr": Comprehensive3DSRStorage,
    "sc": SecondaryCaptureImageStorage,
    "pdf": EncapsulatedPDFStorage,
    "seg": SegmentationStorage,
    "attribution": SecondaryCaptureImageStorage,
}


@dataclass(frozen=True)
class DestinationCheck:
    """What a destination answered; `refused` names what it would not take."""

    echo_seconds: float
    refused: tuple[str, ...]


def check_destination(pacs: PacsSettings, settings: Settings) -> DestinationCheck:
    """C-ECHO, then an association that proposes everything we would send. Raises PacsUnavailableError."""
    seconds = echo(pacs, settings.node.ae_title)
    wanted = dict.fromkeys(CLASSES[kind] for kind in pacs.send)
    if pacs.storage_commitment:
        wanted[UID(StorageCommitmentPushModel)] = None
    asked = {UID(uid): None for uid in _retrieval(pacs)}
    contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in (*wanted, *asked)]
    with association(pacs, settings.node.ae_title, contexts) as assoc:
        accepted = {str(context.abstract_syntax) for context in assoc.accepted_contexts}
    refused = [UID(uid).name for uid in wanted if uid not in accepted]
    ways = [uid for uid in asked if uid != UID(FIND)]
    if asked and UID(FIND) not in accepted:
        refused.append(UID(FIND).name)
    if ways and not set(ways) & accepted:
        refused.append(" or ".join(uid.name for uid in ways))
    return DestinationCheck(seconds, tuple(refused))


def _retrieval(pacs: PacsSettings) -> tuple[str, ...]:
    """What a PACS must offer that shall be asked for what a case lacks: queries, and one of the ways of fetching."""
    if not pacs.query_retrieve:
        return ()
    return (FIND, *{"auto": (MOVE, GET), "move": (MOVE,), "get": (GET,)}[pacs.retrieve_by])
