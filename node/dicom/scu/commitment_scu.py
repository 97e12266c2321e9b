"""Request storage commitment from a PACS for the objects that it has stored (PS3.4 section J.3.2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pynetdicom import build_context, evt

from config.settings import PacsSettings
from node.dicom.network.commitment import ACTION_REQUEST_COMMITMENT, CommitmentResult, commitment_request
from node.dicom.network.connection import NoContextAcceptedError, association
from node.dicom.network.contexts import PLAIN_SYNTAXES, STORAGE_COMMITMENT_INSTANCE, STORAGE_COMMITMENT_PUSH
from node.dicom.scp.handlers import handle_event_report

# Statuses of an N-ACTION response that say that there is no such service (PS3.7 section 10.1.4.1.10): no such SOP
# class, SOP class not supported, no such action type, unrecognised operation
NOT_OFFERED = frozenset({0x0118, 0x0122, 0x0123, 0x0211})
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
    """

    supported: bool
    status: int | None = None


def request_commitment(
    pacs: PacsSettings,
    calling_ae: str,
    transaction_uid: str,
    objects: Sequence[tuple[str, str]],
    wait_s: float,
    record: Callable[[CommitmentResult], bool],
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
    record : callable
        Records each result that arrives on this association, also those of other transactions, and returns whether its
        transaction is known.

    Returns
    -------
    CommitmentAnswer
        With `supported` false where the PACS accepts no such context or answers that it has no such SOP class.

    Raises
    ------
    PacsUnavailableError
        When no association could be established.
    """
    received = threading.Event()

    def record_and_notify(result: CommitmentResult) -> bool:
        is_known = record(result)
        if result.transaction_uid == transaction_uid:
            received.set()
        return is_known

    context = build_context(STORAGE_COMMITMENT_PUSH, list(PLAIN_SYNTAXES))
    try:
        with association(
            pacs, calling_ae, [context], [(evt.EVT_N_EVENT_REPORT, handle_event_report, [record_and_notify])]
        ) as assoc:
            response, _ = assoc.send_n_action(
                commitment_request(transaction_uid, objects), ACTION_REQUEST_COMMITMENT, STORAGE_COMMITMENT_PUSH,
                STORAGE_COMMITMENT_INSTANCE,
            )  # fmt: skip
            status = response.get("Status")
            # A PACS may report at once on this association, or later on one of its own (PS3.4 J.3.3), which the node
            # accepts.
            if status == 0x0000 and received.wait(wait_s):
                time.sleep(RESPONSE_TIME_S)
    except NoContextAcceptedError:
        return CommitmentAnswer(supported=False)
    return CommitmentAnswer(status not in NOT_OFFERED, None if status is None else int(status))
