"""Request storage commitment from a PACS for the objects that it has stored (PS3.4 section J.3.2)."""

from __future__ import annotations

import threading
import time
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
RESPONSE_TIME_S = 0.05  # for our N-EVENT-REPORT response to be sent before the release request


@dataclass(frozen=True)
class CommitmentAnswer:
    """The answer of a PACS to a request for storage commitment.

    Attributes
    ----------
    supported : bool
        Whether the PACS offers storage commitment at all.
    status : int or None
        Status of the N-ACTION response; None when the association ended before it.
    result : CommitmentResult or None
        The result, where it was reported on the same association.
    """

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
    """Send the request, and wait for a result on the same association.

    Parameters
    ----------
    pacs : PacsSettings
        The PACS that has stored the objects.
    calling_ae : str
        AE title of this node.
    transaction_uid : str
        Identifies the result, whichever association it arrives on.
    objects : sequence of (SOP Class UID, SOP Instance UID)
        The objects to commit.
    wait_s : float
        Seconds to wait for the result. A PACS may also report it later on the same association, or on one that it
        opens to the node's application entity (PS3.4 J.3.3).

    Returns
    -------
    CommitmentAnswer
        With `supported` false where the PACS accepts no such context or answers that it has no such SOP class.

    Raises
    ------
    PacsUnavailableError
        When no association could be established.
    """
    receiver = _ResultReceiver(transaction_uid)
    context = build_context(STORAGE_COMMITMENT_PUSH, list(PLAIN_SYNTAXES))
    try:
        with association(pacs, calling_ae, [context], [(evt.EVT_N_EVENT_REPORT, receiver.handle, [])]) as assoc:
            response, _ = assoc.send_n_action(
                commitment_request(transaction_uid, objects), ACTION_REQUEST_COMMITMENT, STORAGE_COMMITMENT_PUSH,
                STORAGE_COMMITMENT_INSTANCE,
            )  # fmt: skip
            status = response.get("Status")
            # A PACS may report at once on this association, or later on one of its own (PS3.4 J.3.3), which the node
            # accepts.
            if status == 0x0000 and receiver.received.wait(wait_s):
                time.sleep(RESPONSE_TIME_S)
    except NoContextAcceptedError:
        return CommitmentAnswer(supported=False)
    if status in (NO_SUCH_SOP_CLASS, SOP_CLASS_NOT_SUPPORTED):
        return CommitmentAnswer(supported=False, status=int(status))
    return CommitmentAnswer(supported=True, status=None if status is None else int(status), result=receiver.result)


class _ResultReceiver:
    """Receives the result of one transaction on the association that requested it."""

    def __init__(self, transaction_uid: str) -> None:
        self.transaction_uid = transaction_uid
        self.result: CommitmentResult | None = None
        self.received = threading.Event()

    def handle(self, event: Event) -> tuple[int, Dataset | None]:
        if event.event_type not in (EVENT_SUCCESS, EVENT_FAILURES_EXIST):
            return int(EventReportStatus.NO_SUCH_EVENT_TYPE), None
        try:
            result = read_result(event.event_information)
        except Exception:  # pydicom raises many types for a damaged data set; a failure here would end the association
            result = None
        if result is None or result.transaction_uid != self.transaction_uid:
            return int(EventReportStatus.INVALID_ARGUMENT), None
        self.result = result
        self.received.set()
        return int(EventReportStatus.SUCCESS), None
