"""Storage Commitment Push Model, as SCU (PS3.4 Annex J).

The request is an N-ACTION; the result is an N-EVENT-REPORT that a PACS sends at once on the same association, or
minutes later on one that it opens to us. Both are read into the same `CommitmentResult`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from node.dicom.network.contexts import STORAGE_COMMITMENT_INSTANCE, STORAGE_COMMITMENT_PUSH
from node.store.names import is_uid

ACTION_REQUEST_COMMITMENT = 1
EVENT_SUCCESS = 1
EVENT_FAILURES_EXIST = 2
UNSPECIFIED_FAILURE = 0x0110


@dataclass(frozen=True)
class CommitmentResult:
    """The result of one transaction.

    Parameters
    ----------
    transaction_uid : str
        The UID that the request named.
    committed : tuple of str
        SOP Instance UIDs that the PACS has committed to keep.
    failed : dict of str to int
        SOP Instance UIDs with their Failure Reason (0008,1197), PS3.3 section C.14.1.1.
    """

    transaction_uid: str
    committed: tuple[str, ...] = ()
    failed: dict[str, int] = field(default_factory=dict)


def commitment_request(transaction_uid: str, objects: Sequence[tuple[str, str]]) -> Dataset:
    """Build the Action Information of a request.

    Parameters
    ----------
    transaction_uid : str
        A new UID; the result refers to it.
    objects : sequence of (str, str)
        SOP Class UID and SOP Instance UID of each object.

    Returns
    -------
    Dataset
        PS3.4 Table J.3-1.
    """
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_reference(sop_class, sop_instance) for sop_class, sop_instance in objects]
    return ds


def commitment_result(
    transaction_uid: str, committed: Sequence[tuple[str, str]], failed: Sequence[tuple[str, str, int]]
) -> tuple[int, Dataset]:
    """Build the result that a storage commitment SCP sends.

    Parameters
    ----------
    transaction_uid : str
        The UID of the request.
    committed : sequence of (str, str)
        SOP Class UID and SOP Instance UID of each committed object.
    failed : sequence of (str, str, int)
        The same of each other object, with its Failure Reason.

    Returns
    -------
    event_type : int
        `EVENT_SUCCESS` or `EVENT_FAILURES_EXIST`.
    event_information : Dataset
        PS3.4 Table J.3-2.
    """
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    # One or more items are required (PS3.4 Table J.3-2): no sequence rather than an empty one.
    if committed:
        ds.ReferencedSOPSequence = [_reference(sop_class, sop_instance) for sop_class, sop_instance in committed]
    if not failed:
        return EVENT_SUCCESS, ds
    ds.FailedSOPSequence = []
    for sop_class, sop_instance, reason in failed:
        item = _reference(sop_class, sop_instance)
        item.FailureReason = reason
        ds.FailedSOPSequence.append(item)
    return EVENT_FAILURES_EXIST, ds


def read_result(information: Dataset | None) -> CommitmentResult | None:
    """Read the result in an Event Information data set.

    Parameters
    ----------
    information : Dataset or None
        As the PACS sent it; attributes may be missing.

    Returns
    -------
    CommitmentResult or None
        None when there is no valid Transaction UID. A failed instance without a reason has 0110, processing failure.
    """
    if information is None:
        return None
    transaction_uid = str(information.get("TransactionUID", None) or "")
    if not is_uid(transaction_uid):
        return None
    # Both sequences are read whatever the event type says: an object in the Failed SOP Sequence is not committed.
    committed = tuple(
        str(item.get("ReferencedSOPInstanceUID", "")) for item in information.get("ReferencedSOPSequence", None) or []
    )
    failed = {
        str(item.get("ReferencedSOPInstanceUID", "")): int(item.get("FailureReason", None) or UNSPECIFIED_FAILURE)
        for item in information.get("FailedSOPSequence", None) or []
    }
    return CommitmentResult(transaction_uid, committed, failed)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


__all__ = [
    "STORAGE_COMMITMENT_INSTANCE",
    "STORAGE_COMMITMENT_PUSH",
    "CommitmentResult",
    "commitment_request",
    "commitment_result",
    "read_result",
]
