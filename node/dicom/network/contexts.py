"""Presentation contexts: what this node accepts, and how it may be encoded."""

from __future__ import annotations

from typing import Any

from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

VERIFICATION = UID("1.2.840.10008.1.1")
STORAGE_COMMITMENT_PUSH = UID("1.2.840.10008.1.20.1")
STORAGE_COMMITMENT_INSTANCE = UID("1.2.840.10008.1.20.1.1")  # the well-known instance, PS3.4 section J.3.5

# What a case can be made of; other objects of a patient are not accepted.
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
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended (12 bit)",
}
PLAIN_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


class SharedContexts(list[PresentationContext]):
    """Contexts that a negotiation does not change.

    pynetdicom makes a deep copy for each association, a quarter of what opening one costs; this list is copied flat.
    """

    def __deepcopy__(self, _memo: dict[int, Any]) -> list[PresentationContext]:
        return list(self)


def node_contexts() -> SharedContexts:
    """Build everything that this node accepts: verification, storage, and commitment results.

    Returns
    -------
    SharedContexts
        One context for each SOP class, with all transfer syntaxes that it may have.
    """
    contexts = SharedContexts([build_context(VERIFICATION, list(PLAIN_SYNTAXES))])
    contexts += [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_CLASSES]
    contexts.append(commitment_result_context())
    return contexts


def commitment_result_context() -> PresentationContext:
    """Build the context for results of storage commitment, on an association that the PACS opens (PS3.4 section J.3.3).

    The PACS is the SCP of the service but the requestor of the association, so both roles are accepted (PS3.7 D.3.3.4).

    Returns
    -------
    PresentationContext
        Storage Commitment Push Model in uncompressed little endian.
    """
    context = build_context(STORAGE_COMMITMENT_PUSH, list(PLAIN_SYNTAXES))
    context.scu_role = True
    context.scp_role = True
    return context
