"""Check a destination before it is needed: whether it accepts our reports, and offers query and retrieve."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from config.settings import PacsSettings, Settings
from dicom_sr.report.sr_classes import SR_SOP_CLASS_UIDS
from node.dicom.network.connection import association, echo
from node.dicom.query.query_scu import FIND
from node.dicom.query.retrieve_scu import GET, MOVE

# SOP classes of the companion objects, by the kinds of `[[pacs]] send`.
COMPANION_CLASSES: dict[str, UID] = {
    "sc": SecondaryCaptureImageStorage,
    "pdf": EncapsulatedPDFStorage,
    "seg": SegmentationStorage,
    "attribution": SecondaryCaptureImageStorage,
    "rtstruct": RTStructureSetStorage,
}


@dataclass(frozen=True)
class DestinationCheck:
    """What a destination answered.

    Attributes
    ----------
    echo_seconds : float
        Duration of a C-ECHO, association included.
    refused : tuple of str
        Names of the SOP classes that it does not accept.
    """

    echo_seconds: float
    refused: tuple[str, ...]


def check_destination(pacs: PacsSettings, settings: Settings) -> DestinationCheck:
    """Send a C-ECHO, then propose every SOP class that this node may use with the destination.

    Parameters
    ----------
    pacs : PacsSettings
        The destination; `send`, `storage_commitment` and `query_retrieve` say what it is used for.
    settings : Settings
        AE title of this node, and the configured form of the report.

    Returns
    -------
    DestinationCheck
        Of C-MOVE and C-GET one is enough where `retrieve_by` is "auto".

    Raises
    ------
    PacsUnavailableError
        When the destination cannot be reached, rejects the association or does not answer the C-ECHO.
    """
    seconds = echo(pacs, settings.node.ae_title)
    sr_class = SR_SOP_CLASS_UIDS[settings.report.sop_class]
    sent = dict.fromkeys(sr_class if kind == "sr" else COMPANION_CLASSES[kind] for kind in pacs.send)
    if pacs.rejection_notes:
        sent[KeyObjectSelectionDocumentStorage] = None
    if pacs.storage_commitment:
        sent[UID(StorageCommitmentPushModel)] = None
    queried = [UID(uid) for uid in _query_retrieve_classes(pacs)]
    # Only negotiated: nothing is sent.
    contexts = [build_context(uid, ExplicitVRLittleEndian) for uid in (*sent, *queried)]
    with association(pacs, settings.node.ae_title, contexts) as assoc:
        accepted = {str(context.abstract_syntax) for context in assoc.accepted_contexts}
    refused = [uid.name for uid in sent if uid not in accepted]
    if queried and UID(FIND) not in accepted:
        refused.append(UID(FIND).name)
    retrieval = [uid for uid in queried if uid != UID(FIND)]
    if retrieval and not set(retrieval) & accepted:
        refused.append(" or ".join(uid.name for uid in retrieval))
    return DestinationCheck(seconds, tuple(refused))


def _query_retrieve_classes(pacs: PacsSettings) -> tuple[str, ...]:
    # With `wado_url` it is queried by DICOMweb.
    if not pacs.query_retrieve or pacs.wado_url is not None:
        return ()
    return (FIND, *{"auto": (MOVE, GET), "move": (MOVE,), "get": (GET,)}[pacs.retrieve_by])
