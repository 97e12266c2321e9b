"""Asking a PACS to commit what it has stored (PS3.4 section J.3.2)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import build_context, evt
from pynetdicom.events import Event

from config.settings import PacsSettings
from node.dicom.network.commitment import (
    ACTION_REQUEST_COMMITMENT,
    EVENT_FAILURES_EXIST,
    EVENT_SUCCESS,
    CommitmentResult,
    commitment_request,
    read_result,
)
from node.dicom.network.connection import NoContextAcceptedError, association
from node.dicom.network.contexts import PLAIN_SYNTAXES, STORAGE_COMMITMENT_INSTANCE, STORAGE_COMMITMENT_PUSH
from node.dicom.network.statuses import EventReportStatus

NO_SUCH_SOP_CLASS = 0x0118
SOP_CLASS_NOT_SUPPORTED = 0x0122


@dataclass(frozen=True)
class CommitmentAnswer:
    """What came back. `supported`: the PACS offers storage commitment at all; `status`: of the N-ACTION, None when the
    association ended first; `result`: when it was reported on the same association."""

    supported: bool
    status: int | None = None
    result: CommitmentResult | None = None


def request_commitment(
    pacs: PacsSettings,
    calling_ae: str,
    transaction_uid: str,
    objects: Sequence[tuple[str, str]],
    wait_s: float,
) -> CommitmentAnswer:
    """Send the request and wait a short time for the result on the same association.

    objects : (SOP Class UID, SOP Instance UID). A result that comes later arrives at the node's own application entity.
    Raises PacsUnavailableError when there is no association.
    """
    inbox = _Inbox(transaction_uid)
    context = build_context(STORAGE_COMMITMENT_PUSH, list(PLAIN_SYNTAXES))
    try:
        with association(pacs, calling_ae, [context], [(evt.EVT_N_EVENT_REPORT, inbox.handle, [])]) as assoc:
            response, _ = assoc.send_n_action(
                commitment_request(transaction_uid, objects), ACTION_REQUEST_COMMITMENT, STORAGE_COMMITMENT_PUSH,
                STORAGE_COMMITMENT_INSTANCE,
            )  # fmt: skip
            status = response.get("Status")
            if status == 0x0000:
                inbox.arrived.wait(wait_s)
                inbox.answered.wait(0.05 if inbox.arrived.is_set() else 0)
    except NoContextAcceptedError:
        return CommitmentAnswer(supported=False)
    if status in (NO_SUCH_SOP_CLASS, SOP_CLASS_NOT_SUPPORTED):
        return CommitmentAnswer(supported=False, status=int(status))
    return CommitmentAnswer(supported=True, status=None if status is None else int(status), result=inbox.result)


class _Inbox:
    """Receives the result of one transaction on the association that asked for it."""

    def __init__(self, transaction_uid: str) -> None:
        self.transaction_uid = transaction_uid
        self.result: CommitmentResult | None = None
        self.arrived = threading.Event()
        self.answered = threading.Event()  # never set: gives our response time to leave before the release

    def handle(self, event: Event) -> tuple[int, Dataset | None]:
        if event.event_type not in (EVENT_SUCCESS, EVENT_FAILURES_EXIST):
            return int(EventReportStatus.NO_SUCH_EVENT_TYPE), None
        try:
            result = read_result(event.event_information)
        except Exception:  # whatever pydicom makes of a peer's broken data set
            result = None
        if result is None or result.transaction_uid != self.transaction_uid:
            return int(EventReportStatus.INVALID_ARGUMENT), None
        self.result = result
        self.arrived.set()
        return int(EventReportStatus.SUCCESS), None
