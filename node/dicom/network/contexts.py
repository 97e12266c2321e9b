"""Presentation contexts: what this node accepts, and how it may be encoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom import config
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext

VERIFICATION = UID("1.2.840.10008.1.1")
STORAGE_COMMITMENT_PUSH = UID("1.2.840.10008.1.20.1")
STORAGE_COMMITMENT_INSTANCE = UID("1.2.840.10008.1.20.1.1")  # the well-known instance, PS3.4 section J.3.5

# The service class of C-STORE, PS3.6 Annex A; pynetdicom knows no service for a private storage class.
STORAGE_SERVICE = UID("1.2.840.10008.4.2")

# What a case can be made of; objects of other classes are accepted and discarded, or not accepted.
STORAGE_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.4": "MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.481.3": "RT Structure Set Storage",
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.1": "Spatial Registration Storage",
}

# In order of preference: pynetdicom accepts the first of this list that the peer offers in a context, whatever the
# order of the offer (PS3.8 section 9.3.3.2 leaves the choice to the acceptor). Uncompressed is read fastest.
TRANSFER_SYNTAXES: dict[str, str] = {
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.5": "RLE Lossless",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless (Process 14)",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless (Process 14, Selection Value 1)",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless (RPCL)",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended (12 bit)",
}
_STANDARD = "1.2.840.10008."
_STANDARD_STORAGE = "1.2.840.10008.5.1."  # SOP classes of storage, patients' objects or not (PS3.6 Annex A)
_COMPOSITE_STORAGE = "1.2.840.10008.5.1.4.1.1."
PLAIN_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


class SharedContexts(list[PresentationContext]):
    """Contexts that a negotiation does not change.

    pynetdicom makes a deep copy for each association, a quarter of what opening one costs; this list is copied flat.
    """

    def __deepcopy__(self, _memo: dict[int, Any]) -> list[PresentationContext]:
        return list(self)


WORK_ITEM_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.34.6.1": "Unified Procedure Step - Push",
    "1.2.840.10008.5.1.4.34.6.2": "Unified Procedure Step - Watch",
    "1.2.840.10008.5.1.4.34.6.5": "Unified Procedure Step - Query",
}
WORK_ITEM_EVENT = UID("1.2.840.10008.5.1.4.34.6.4")


def node_contexts(work_items: bool = False, work_item_events: bool = False) -> SharedContexts:
    """Build everything that this node accepts: verification, storage, commitment results, and work items.

    Parameters
    ----------
    work_items : bool
        Whether other systems may create and watch work items here.
    work_item_events : bool
        Whether managers of worklists may report events of work items that this node performs.

    Returns
    -------
    SharedContexts
        One context for each SOP class, with all transfer syntaxes that it may have.
    """
    contexts = SharedContexts([build_context(VERIFICATION, list(PLAIN_SYNTAXES))])
    contexts += [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_CLASSES]
    contexts.append(commitment_result_context())
    if work_items:
        contexts += [build_context(uid, list(PLAIN_SYNTAXES)) for uid in WORK_ITEM_CLASSES]
    if work_item_events:
        contexts.append(_reported_context(WORK_ITEM_EVENT))
    return contexts


def is_other_storage_class(uid: str) -> bool:
    """Return whether a SOP class stores objects that no case is made of.

    Parameters
    ----------
    uid : str
        Abstract syntax of a presentation context.

    Returns
    -------
    bool
        True for every standard storage class outside `STORAGE_CLASSES`, retired ones included, for later ones that
        this program does not know by name, and for private SOP classes: which service those belong to is written
        nowhere, and almost all that scanners propose are storage.

    References
    ----------
    PS3.4 section B.5 and Annex GG (standard storage classes), section B.6 (private ones); PS3.6 Annex A.
    """
    if uid in STORAGE_CLASSES or not uid or uid.strip("0123456789."):
        return False
    if not uid.startswith(_STANDARD):
        return True
    registered = UID(uid, validation_mode=config.IGNORE)
    if registered.type:
        # By name: queries of protocols and inventories have UIDs among those of storage.
        is_storage = " Storage" in registered.name or registered.name in ("", uid)
        return registered.type == "SOP Class" and uid.startswith(_STANDARD_STORAGE) and is_storage
    return uid.startswith(_COMPOSITE_STORAGE)


def other_storage_contexts(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    """Return contexts that accept what a peer proposes to store of other classes, in any transfer syntax.

    Parameters
    ----------
    proposed : iterable of PresentationContext
        Of an A-ASSOCIATE-RQ.

    Returns
    -------
    list of PresentationContext
        One for each SOP class: its objects are not read, so each transfer syntax will do. Those of
        `TRANSFER_SYNTAXES` are preferred, because the Study Instance UID can be read in them.
    """
    syntaxes: dict[str, dict[str, None]] = {}
    for context in proposed:
        uid = str(context.abstract_syntax or "")
        if is_other_storage_class(uid):
            syntaxes.setdefault(uid, {}).update(dict.fromkeys(map(str, context.transfer_syntax or ())))
    return [
        build_context(uid, [*(known for known in TRANSFER_SYNTAXES if known in offered),
                            *(syntax for syntax in offered if syntax not in TRANSFER_SYNTAXES)])
        for uid, offered in syntaxes.items()
    ]  # fmt: skip


def storage_service_of(
    contexts: Iterable[PresentationContext],
) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """Return the storage service as the service of SOP classes that pynetdicom does not know.

    Parameters
    ----------
    contexts : iterable of PresentationContext
        Those that an association supports.

    Returns
    -------
    dict of UID to SOPClassCommonExtendedNegotiation
        As pynetdicom expects it from its handler of SOP Class Common Extended Negotiation (PS3.7 section D.3.3.6),
        which it asks whether the peer has proposed such items or not.
    """
    items = {}
    for context in contexts:
        if is_other_storage_class(str(context.abstract_syntax)):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid, item.service_class_uid = context.abstract_syntax, STORAGE_SERVICE
            items[UID(str(context.abstract_syntax))] = item
    return items


def commitment_result_context() -> PresentationContext:
    """Build the context for results of storage commitment, on an association that the PACS opens (PS3.4 section J.3.3).

    The PACS is the SCP of the service but the requestor of the association, so both roles are accepted (PS3.7 D.3.3.4).

    Returns
    -------
    PresentationContext
        Storage Commitment Push Model in uncompressed little endian.
    """
    return _reported_context(STORAGE_COMMITMENT_PUSH)


def _reported_context(sop_class: UID) -> PresentationContext:
    context = build_context(sop_class, list(PLAIN_SYNTAXES))
    context.scu_role = True
    context.scp_role = True
    return context
