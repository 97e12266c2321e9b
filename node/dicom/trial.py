"""A trial association with a destination: would it take our reports, before there is one?"""

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
from node.dicom.connection import association, echo

CLASSES: dict[str, UID] = {
    "sr": Comprehensive3DSRStorage,
    "sc": SecondaryCaptureImageStorage,
    "pdf": EncapsulatedPDFStorage,
    "seg": SegmentationStorage,
    "attribution": SecondaryCaptureImageStorage,
}


@dataclass(frozen=True)
class Trial:
    """What a destination answered; `refused` names what it would not take."""

    echo_seconds: float
    refused: tuple[str, ...]


def try_destination(pacs: PacsSettings, settings: Settings) -> Trial:
    """C-ECHO, then an association that proposes everything we would send. Raises PacsUnavailableError."""
    seconds = echo(pacs, settings.node.ae_title)
    wanted = dict.fromkeys(CLASSES[kind] for kind in pacs.send)
    if pacs.storage_commitment:
        wanted[UID(StorageCommitmentPushModel)] = None
    contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in wanted]
    with association(pacs, settings.node.ae_title, contexts) as assoc:
        accepted = {str(context.abstract_syntax) for context in assoc.accepted_contexts}
    return Trial(seconds, tuple(UID(uid).name for uid in wanted if uid not in accepted))
