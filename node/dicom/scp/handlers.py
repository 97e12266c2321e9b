"""What the node does with each DICOM event: the event first, then everything it uses; the result is a status."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from io import BytesIO
from typing import cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from sqlalchemy.exc import SQLAlchemyError

from node.dicom.network.commitment import EVENT_FAILURES_EXIST, EVENT_SUCCESS, CommitmentResult, read_result
from node.dicom.network.contexts import commitment_result_context
from node.dicom.network.statuses import EventReportStatus, StoreStatus, error_comment
from node.dicom.scp.access_control import AccessControl
from node.dicom.scp.admission import Admission, Request, admit
from node.dicom.scp.intake import Intake, Outcome, Sender
from node.ledger.associations import Peer
from node.ledger.database import now_utc
from node.store.part10 import FileMeta

log = structlog.get_logger("cptdn.network")

SUCCESS = 0x0000

# Answers whether a delivery of ours waited for this result.
RecordCommitment = Callable[[CommitmentResult], bool]


class OpenAssociations:
    """The sender behind each association of this server."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._senders: dict[Association, Sender] = {}

    def sender_of(self, assoc: Association) -> Sender:
        sender = self._senders.get(assoc)
        if sender is None:
            peer = Peer(
                association_id=str(uuid.uuid4()), node_id=self.intake.node_id,
                calling_ae=str(assoc.requestor.ae_title).strip()[:16], address=str(assoc.requestor.address),
                opened_at=now_utc(),
            )  # fmt: skip
            sender = self._senders[assoc] = self.intake.opened(peer)
        return sender

    def ended(self, assoc: Association) -> None:
        sender = self._senders.pop(assoc, None)
        if sender is not None:
            self.intake.closed(sender)

    def drop_dead(self) -> None:
        """End what ended without an event: the last net, called with each heartbeat."""
        for assoc in list(self._senders):
            if not assoc.is_alive():
                self.ended(assoc)


def handle_requested(event: Event, access: AccessControl) -> None:
    """EVT_REQUESTED: reject peers that are not allowed, before anything is negotiated."""
    assoc = event.assoc
    primitive = cast(A_ASSOCIATE, assoc.requestor.primitive)
    request = Request(
        calling_ae=str(primitive.calling_ae_title), called_ae=str(primitive.called_ae_title),
        address=str(assoc.requestor.address),
    )  # fmt: skip
    decision = admit(request, access.settings.node, access.settings.pacs)
    rejection = (
        None if decision in (Admission.FULL, Admission.RESULTS_ONLY) else (decision.name.lower(), decision.value)
    )
    rejection = rejection or access.rejection_for_limits(request.address) or access.rejection_for_user_identity(assoc)
    if rejection is not None:
        reason, code = rejection
        log.warning(
            "association_rejected", reason=reason, calling_ae=request.calling_ae, called_ae=request.called_ae,
            peer=request.address,
        )  # fmt: skip
        access.refused(reason, request.calling_ae.strip(), request.address)
        assoc.acse.send_reject(*code)
        assoc.kill()  # waits until the rejection has left; the connection would be closed before it
    elif decision is Admission.RESULTS_ONLY:
        assoc.acceptor.supported_contexts = [commitment_result_context()]


def handle_ended(event: Event, associations: OpenAssociations) -> None:
    """EVT_RELEASED, EVT_ABORTED, EVT_CONN_CLOSE: the sender has nothing more to say."""
    associations.ended(event.assoc)


def handle_pdu(event: Event, most_bytes: int) -> None:
    """EVT_PDU_RECV: end an association whose object grows beyond the limit, before memory does."""
    message = event.assoc.dimse.message
    if message is not None and message.data_set is not None and message.data_set.tell() > most_bytes:
        log.warning("object_too_large", limit_bytes=most_bytes, peer=event.assoc.requestor.address)
        message.data_set = BytesIO()
        event.assoc.abort()


def handle_echo(event: Event) -> int:
    """EVT_C_ECHO."""
    return SUCCESS


def handle_store(event: Event, associations: OpenAssociations) -> Dataset:
    """EVT_C_STORE: keep the bytes as they came; the status says what became of them."""
    request = cast(C_STORE, event.request)
    meta = FileMeta(
        sop_class_uid=str(request.AffectedSOPClassUID), sop_instance_uid=str(request.AffectedSOPInstanceUID),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        source_ae_title=str(event.assoc.requestor.ae_title).strip(),
    )  # fmt: skip
    data = cast(BytesIO, request.DataSet).getbuffer()
    outcome = associations.intake.take(meta, data, associations.sender_of(event.assoc))
    return store_response(outcome)


def store_response(outcome: Outcome) -> Dataset:
    """Status and Error Comment of a C-STORE response, PS3.7 section 9.3.1.2."""
    response = Dataset()
    response.Status = int(outcome.status)
    if outcome.status is not StoreStatus.SUCCESS:
        response.ErrorComment = error_comment(outcome.comment)
    return response


def handle_event_report(event: Event, record: RecordCommitment) -> tuple[int, Dataset | None]:
    """EVT_N_EVENT_REPORT: a PACS reports what it has committed (PS3.4 section J.3.3), on whichever association."""
    if event.event_type not in (EVENT_SUCCESS, EVENT_FAILURES_EXIST):
        return int(EventReportStatus.NO_SUCH_EVENT_TYPE), None
    result = read_result(_information(event))
    if result is None:
        return int(EventReportStatus.INVALID_ARGUMENT), None
    try:
        known = record(result)
    except SQLAlchemyError as error:
        log.error("commitment_not_recorded", transaction=result.transaction_uid, error=type(error).__name__)
        return int(EventReportStatus.PROCESSING_FAILURE), None
    if not known:
        log.warning("commitment_unknown", transaction=result.transaction_uid, peer=event.assoc.remote["ae_title"])
        return int(EventReportStatus.INVALID_ARGUMENT), None
    return int(EventReportStatus.SUCCESS), None


def _information(event: Event) -> Dataset | None:
    try:
        return event.event_information
    except Exception as error:  # whatever pydicom makes of a peer's broken data set
        log.warning("event_report_unreadable", error=type(error).__name__)
        return None
