"""The statuses that this node responds with, and how it reads those of its peers.

A table to be read beside PS3.4 (Annex B.2.3, storage; Annex J.3, storage commitment) and PS3.7 (Annex C).
"""

from __future__ import annotations

from enum import Enum, IntEnum


class StoreStatus(IntEnum):
    """C-STORE responses of this node, PS3.4 section B.2.3."""

    SUCCESS = 0x0000  # on disk (fsync) and in the ledger; the same instance again is a success, too
    OUT_OF_RESOURCES = 0xA700  # less than [storage] min_free_gb is free, or the ledger does not answer: send later
    SOP_CLASS_MISMATCH = 0xA900  # SOP Class UID of the data set is not the one of the command
    SOP_INSTANCE_MISMATCH = 0xA901  # SOP Instance UID of the data set is not the one of the command
    UNREADABLE = 0xC000  # not a data set in the agreed transfer syntax; quarantined
    CONFLICTING_INSTANCE = 0xC001  # this SOP Instance UID is stored with other content; quarantined
    TOO_LARGE = 0xC002  # larger than [node] max_object_mb; not stored
    NOT_REQUESTED = 0xC003  # DICOMweb only: of another study or series than the request names; not stored


LONGEST_COMMENT = 64  # Error Comment (0000,0902) is LO


def error_comment(text: str) -> str:
    """Return a text as an Error Comment (0000,0902).

    Parameters
    ----------
    text : str
        Any text free of patient data.

    Returns
    -------
    str
        Printable ASCII without backslash, at most 64 characters: its VR is LO.
    """
    plain = "".join(character if " " <= character <= "~" and character != "\\" else "?" for character in text)
    return plain if len(plain) <= LONGEST_COMMENT else plain[: LONGEST_COMMENT - 3] + "..."


class EventReportStatus(IntEnum):
    """N-EVENT-REPORT responses of this node, PS3.4 section J.3.3.1.3 and PS3.7 section 10.1.1.1.8."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110  # the ledger does not answer: report again later
    NO_SUCH_EVENT_TYPE = 0x0113  # event types other than 1 (success) and 2 (failures exist)
    INVALID_ARGUMENT = 0x0115  # no Transaction UID, or one that no delivery of this node waits for


class Verdict(Enum):
    """What a peer's response to one of our C-STORE requests means for the delivery."""

    STORED = "stored"
    RETRY = "retry"  # the peer may take it later
    REFUSED = "refused"  # the peer will not take these bytes


_RETRY = frozenset(
    {
        0x0110,  # processing failure
        0x0124,  # refused: not authorised; an administrator of the PACS may allow it later
        0x0210,  # duplicate invocation
        0x0213,  # resource limitation
    }
)
DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 section C.5.2: the peer has it already; our bytes never change


def verdict_of(status: int) -> Verdict:
    """Read the status of a peer's C-STORE response.

    Parameters
    ----------
    status : int
        0x0000 to 0xFFFF.

    Returns
    -------
    Verdict
        Warnings (Bxxx) and a duplicate (0111) count as stored. `Cannot understand` (Cxxx) counts as "later": servers
        use it for failures of their own, too, such as a full disk; the delivery's limits end the attempts.

    References
    ----------
    PS3.4 Table B.2-1; PS3.7 Annex C.
    """
    if status in (0x0000, DUPLICATE_SOP_INSTANCE) or status & 0xF000 == 0xB000:
        return Verdict.STORED
    if status & 0xFF00 == 0xA700 or status & 0xF000 == 0xC000 or status in _RETRY:
        return Verdict.RETRY
    return Verdict.REFUSED
