"""What the node does with each event of pynetdicom: the event first, then what it needs; the result is a status."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE, SOPClassCommonExtendedNegotiation
from sqlalchemy.exc import SQLAlchemyError

from node.dicom.network.commitment import EVENT_FAILURES_EXIST, EVENT_SUCCESS, CommitmentResult, read_result
from node.dicom.network.contexts import (
    WORK_ITEM_EVENT,
    commitment_result_context,
    other_storage_contexts,
    storage_service_of,
)
from node.dicom.network.dimse import FileDimseProvider
from node.dicom.network.statuses import EventReportStatus
from node.dicom.scp.access_control import AccessControl
from node.dicom.scp.admission import Admission, Request, admit
from node.dicom.scp.associations import OpenAssociations
from node.dicom.scp.instance import IncomingInstance
from node.dicom.scp.intake import Intake
from node.dicom.scp.store_messages import store_response
from node.dicom.scp.work_items import WorkItemService
from node.store.part10 import FileMeta

log = structlog.get_logger("cptdn.network")

SUCCESS = 0x0000

# Records a commitment result; returns whether a delivery of this node was waiting for it.
RecordCommitment = Callable[[CommitmentResult], bool]


def handle_requested(event: Event, access: AccessControl) -> None:
    """EVT_REQUESTED: reject peers that are not allowed, before anything is negotiated.

    Parameters
    ----------
    event : Event
        Its association is rejected and its thread ended, its contexts are limited to commitment results, or contexts
        for objects of other storage classes are added to them.
    access : AccessControl
        Decides, and records a rejection in the audit trail.
    """
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
    rejection = (
        rejection
        or access.rejection_for_limits(request.address)
        or access.rejection_for_user_identity(assoc)
    )  # fmt: skip
    if rejection is not None:
        reason, code = rejection
        log.warning(
            "association_rejected", reason=reason, calling_ae=request.calling_ae, called_ae=request.called_ae,
            peer=request.address,
        )  # fmt: skip
        access.record_rejection(reason, request.calling_ae.strip(), request.address)
        assoc.acse.send_reject(*code)
        assoc.kill()  # returns when the rejection was sent; the connection would be closed before it otherwise
    elif decision is Admission.RESULTS_ONLY:
        # All other contexts are rejected by the negotiation itself, so no handler has to ask for the kind of admission.
        assoc.acceptor.supported_contexts = [commitment_result_context()]
    elif access.settings.node.other_classes == "accept_and_discard":
        # From the proposal, because no list contains private classes and those of later editions.
        proposed = primitive.presentation_context_definition_list
        assoc.acceptor.supported_contexts = [*assoc.acceptor.supported_contexts, *other_storage_contexts(proposed)]


def handle_service_of_classes(event: Event) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """EVT_SOP_COMMON: name the service of classes that pynetdicom does not know, such as private ones.

    Parameters
    ----------
    event : Event
        Comes once for each association; what the peer has proposed about its classes is not needed.

    Returns
    -------
    dict of UID to SOPClassCommonExtendedNegotiation
        Without it, pynetdicom would abort an association whose C-STORE request takes its way.
    """
    return storage_service_of(event.assoc.acceptor.supported_contexts)


def handle_ended(event: Event, associations: OpenAssociations) -> None:
    """EVT_RELEASED, EVT_ABORTED, EVT_CONN_CLOSE: close the sender of the association.

    Parameters
    ----------
    event : Event
        May come twice for one association (released, then closed).
    associations : OpenAssociations
        Knows the sender; an association without instances has none.
    """
    associations.end(event.assoc)


def handle_pdu(event: Event, max_bytes: int) -> None:
    """EVT_PDU_RECV: abort an association whose message in memory grows beyond the limit.

    Parameters
    ----------
    event : Event
        After each PDU.
    max_bytes : int
        Limit of a data set.
    """
    # The PDU event comes before the PDVs of that PDU are added, so the limit can be exceeded by one PDU.
    message = event.assoc.dimse.message
    if message is not None and message.data_set is not None and message.data_set.tell() > max_bytes:
        log.warning("object_too_large", limit_bytes=max_bytes, peer=event.assoc.requestor.address)
        # The memory is released at once, and not when the association has ended.
        message.data_set = BytesIO()
        event.assoc.abort()


def handle_echo(event: Event) -> int:
    """EVT_C_ECHO: success.

    Returns
    -------
    int
        0x0000, success: verification says that the node answers, and nothing about ledger and disk.
    """
    return SUCCESS


def handle_store(event: Event, intake: Intake, associations: OpenAssociations) -> Dataset:
    """EVT_C_STORE: store an instance that pynetdicom has received.

    Parameters
    ----------
    event : Event
        Its data set is in the file of an `IncomingInstance`, or in memory when it came in the PDU of the command.
    intake : Intake
        Takes the instance.
    associations : OpenAssociations
        Knows its sender.

    Returns
    -------
    Dataset
        Status and Error Comment of the response.
    """
    # `event.dataset` would decode the data set; it stays encoded up to the file.
    request = cast(C_STORE, event.request)
    sender = associations.sender_of(event.assoc)
    instance = cast("IncomingInstance | None", cast(FileDimseProvider, event.assoc.dimse).take(request))
    if instance is not None:
        with instance:
            return store_response(intake.finish(instance, sender))
    meta = FileMeta(
        sop_class_uid=str(request.AffectedSOPClassUID), sop_instance_uid=str(request.AffectedSOPInstanceUID),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        source_ae_title=str(event.assoc.requestor.ae_title).strip(),
    )  # fmt: skip
    return store_response(intake.receive(meta, cast(BytesIO, request.DataSet).getbuffer(), sender))


def handle_event_report(
    event: Event, record: RecordCommitment, work_items: WorkItemService | None = None
) -> tuple[int, Dataset | None]:
    """EVT_N_EVENT_REPORT: record which objects a PACS has committed (PS3.4 section J.3.3), on any association.

    Parameters
    ----------
    event : Event
        Of any peer that may open an association, in explicit or implicit VR.
    record : callable
        Records the result.
    work_items : WorkItemService, optional
        Takes events of work items.

    Returns
    -------
    status : int
        A value of `EventReportStatus`.
    event_reply : None
        PS3.4 defines no Event Reply for storage commitment.
    """
    if work_items is not None and event.context.abstract_syntax == WORK_ITEM_EVENT:
        return work_items.note_event(event)
    # PS3.4 Table J.3-2: 1 is "Storage Commitment Request Successful", 2 "... Complete - Failures Exist".
    if event.event_type not in (EVENT_SUCCESS, EVENT_FAILURES_EXIST):
        return int(EventReportStatus.NO_SUCH_EVENT_TYPE), None
    result = read_result(_information(event))
    if result is None:
        return int(EventReportStatus.INVALID_ARGUMENT), None
    try:
        is_known = record(result)
    except SQLAlchemyError as error:
        log.error("commitment_not_recorded", transaction=result.transaction_uid, error=type(error).__name__)
        return int(EventReportStatus.PROCESSING_FAILURE), None
    # A failure status, because the PACS may have mixed up two nodes: success would make it forget the result.
    if not is_known:
        log.warning("commitment_unknown", transaction=result.transaction_uid, peer=event.assoc.remote["ae_title"])
        return int(EventReportStatus.INVALID_ARGUMENT), None
    return int(EventReportStatus.SUCCESS), None


def _information(event: Event) -> Dataset | None:
    try:
        return event.event_information
    except Exception as error:  # pydicom raises anything for a broken data set
        log.warning("event_report_unreadable", error=type(error).__name__)
        return None
