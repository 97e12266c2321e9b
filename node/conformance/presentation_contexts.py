"""Rows of the statement's tables of presentation contexts (PS3.2 section A.4.2)."""

from __future__ import annotations

from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, SecondaryCaptureImageStorage
from pynetdicom.presentation import PresentationContext

from config.settings import PacsSettings, Settings
from node.conformance.sent_objects import sent_classes
from node.dicom.network.contexts import (
    PLAIN_SYNTAXES,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT_PUSH,
    TRANSFER_SYNTAXES,
    VERIFICATION,
)
from node.dicom.query.query_scu import FIND
from node.dicom.query.retrieve_scu import GET, MOVE, get_contexts
from node.dicom.scu.conversion import syntaxes_for

EXPLICIT_LITTLE_ENDIAN, JPEG_LS = str(ExplicitVRLittleEndian), str(JPEGLSLossless)
CONTEXT_COLUMNS = ("Abstract syntax", "UID", "Transfer syntax", "UID", "Role", "Extended negotiation")

Row = tuple[str, ...]


def accepted_contexts() -> list[Row]:
    """Return the contexts that the storage application entity accepts.

    Returns
    -------
    list of tuple of str
        One row for each abstract and transfer syntax, in the columns of `CONTEXT_COLUMNS`.
    """
    plain = {uid: TRANSFER_SYNTAXES[uid] for uid in PLAIN_SYNTAXES}
    rows: list[Row] = [(VERIFICATION.name, str(VERIFICATION), name, uid, "SCP", "none") for uid, name in plain.items()]
    rows += [
        (class_name, sop_class, name, uid, "SCP", "none")
        for sop_class, class_name in STORAGE_CLASSES.items()
        for uid, name in TRANSFER_SYNTAXES.items()
    ]
    # On an association that the PACS opens for the result, the node is still the SCU of the service (PS3.4 J.3.3).
    class_name, sop_class = STORAGE_COMMITMENT_PUSH.name, str(STORAGE_COMMITMENT_PUSH)
    return rows + [(class_name, sop_class, name, uid, "SCU", "none") for uid, name in plain.items()]


def proposed_contexts(pacs: PacsSettings, settings: Settings) -> list[Row]:
    """Return the contexts that the delivery application entity may propose to one destination.

    Parameters
    ----------
    pacs : PacsSettings
        The destination.
    settings : Settings
        The configured form of the report.

    Returns
    -------
    list of tuple of str
        One row for each context, in the columns of `CONTEXT_COLUMNS`.
    """
    # `sent_classes` is about all destinations of some settings: these have one.
    only_this = settings.model_copy(update={"pacs": (pacs,)})
    rows: list[Row] = [
        (sent.name, sent.uid, TRANSFER_SYNTAXES[syntax], syntax, "SCU", "none")
        for sent in sent_classes(only_this)
        # Pictures are stored in JPEG-LS, all other objects in Explicit VR Little Endian.
        for syntax in syntaxes_for(JPEG_LS if sent.uid == SecondaryCaptureImageStorage else EXPLICIT_LITTLE_ENDIAN)
    ]
    services = [VERIFICATION] + ([STORAGE_COMMITMENT_PUSH] if pacs.storage_commitment else [])
    if uses_query_retrieve(pacs):
        rows += [_c_get_row(context) for context in get_contexts() if context.abstract_syntax in STORAGE_CLASSES]
        services += query_retrieve_models(pacs)
    plain = [(TRANSFER_SYNTAXES[uid], uid) for uid in PLAIN_SYNTAXES]
    return rows + [(uid.name, str(uid), *syntax, "SCU", "none") for uid in services for syntax in plain]


def uses_query_retrieve(pacs: PacsSettings) -> bool:
    """Return whether a PACS is queried by C-FIND: where it has `wado_url`, DICOMweb takes its place."""
    return pacs.query_retrieve and pacs.wado_url is None


def query_retrieve_models(pacs: PacsSettings) -> list[UID]:
    """Return the query/retrieve SOP classes used with a PACS: FIND always, MOVE and GET as `retrieve_by` says.

    Parameters
    ----------
    pacs : PacsSettings
        With ``query_retrieve``.

    Returns
    -------
    list of UID
        Of the Study Root information model; FIND first.
    """
    retrieval = {"auto": (MOVE, GET), "move": (MOVE,), "get": (GET,)}[pacs.retrieve_by]
    return [UID(uid) for uid in (FIND, *retrieval)]


def _c_get_row(context: PresentationContext) -> Row:
    """Return the row of a storage class that a C-GET may bring: on that association this node is the SCP."""
    uid, syntaxes = str(context.abstract_syntax), [str(syntax) for syntax in context.transfer_syntax]
    names = ", ".join(TRANSFER_SYNTAXES[syntax] for syntax in syntaxes)
    return STORAGE_CLASSES[uid], uid, names, ", ".join(syntaxes), "SCP (C-GET)", "SCP/SCU role selection"
