"""Storage Commitment Push Model, as SCU (PS3.4 Annex J).

The request is an N-ACTION; the answer is an N-EVENT-REPORT that a PACS sends when it likes: at once on the same
association, or minutes later on one that it opens to us. Both ways end in the same `CommitmentResult`.
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
    """What a PACS says of one transaction: instances committed, and instances failed with their Failure Reason."""

    transaction_uid: str
    committed: tuple[str, ...] = ()
    failed: dict[str, int] = field(default_factory=dict)


def commitment_request(transaction_uid: str, objects: Sequence[tuple[str, str]]) -> Dataset:
    """Action Information of the request, PS3.4 Table J.3-1. objects : (SOP Class UID, SOP Instance UID)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_reference(sop_class, sop_instance) for sop_class, sop_instance in objects]
    return ds


def commitment_result(
    transaction_uid: str, committed: Sequence[tuple[str, str]], failed: Sequence[tuple[str, str, int]]
) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of an answer, PS3.4 Table J.3-2; what a storage commitment SCP sends."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
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
    """The result in an Event Information data set; None when there is no usable Transaction UID in it."""
    if information is None:
        return None
    transaction_uid = str(information.get("TransactionUID", None) or "")
    if not is_uid(transaction_uid):
        return None
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
