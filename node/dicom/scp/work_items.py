"""Work items that other systems create here: UPS Push and Watch as SCP (PS3.4 Annex CC; IHE AIW-I, Task Manager).

This node performs them itself, so that no other performer can claim one: UPS Pull is not offered. Statuses come from
`node.ledger.work_item_machine`; what changes is told to subscribers by notices of the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.events import Event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config.settings import Settings
from node.audit.recorder import Audit
from node.dicom.network.statuses import error_comment
from node.dicom.procedure_steps import events
from node.dicom.procedure_steps.identifiers import ALL_ITEMS, FILTERED_ITEMS, Action, EventType
from node.dicom.procedure_steps.reading import LARGEST_BYTES, StepRequest, read_request, reason_of_request
from node.dicom.procedure_steps.writing import as_data_set, matches, response_to, selected
from node.ledger import work_items as ledger_items
from node.ledger.database import Ledger, as_json
from node.ledger.work_item_machine import (
    NOT_SCHEDULED,
    NOWHERE,
    OPEN_STATES,
    SUCCESS,
    UNKNOWN_ITEM,
    UNKNOWN_RECEIVER,
    State,
    step,
)
from node.ledger.work_item_machine import Event as Happening
from node.ledger.work_item_tables import WorkItem
from node.store.names import is_uid

log = structlog.get_logger("cptdn.network")

# PS3.7 Annex C, and of PS3.4 section CC.2: "specified action not appropriate for specified instance".
PROCESSING_FAILURE, INVALID_VALUE, INVALID_INSTANCE = 0x0110, 0x0106, 0x0117
MISSING_VALUE, NO_SUCH_ACTION, NOT_AUTHORISED, TOO_LARGE = 0x0121, 0x0123, 0x0124, 0x0213
INVALID_ARGUMENT, NOT_APPROPRIATE = 0x0115, 0xC314
PENDING, CANCELLED = 0xFF00, 0xFE00
UNREADABLE = "expected a data set that can be read, found none"

Answer = tuple[Dataset, Dataset | None]

_WITHOUT_UID = {
    State.IN_PROGRESS: Happening.CLAIM_WITHOUT_UID, State.SCHEDULED: Happening.SCHEDULE,
    State.COMPLETED: Happening.COMPLETE_WITHOUT_UID, State.CANCELED: Happening.CANCEL_WITHOUT_UID,
}  # fmt: skip


class WorkItemService:
    """Answers requests about work items.

    Parameters
    ----------
    ledger : Ledger
        Where they are; an answer means that its transaction is committed.
    settings : Settings
        The code of work items, and who may be notified.
    audit : Audit
        Records who created a work item.
    on_change : callable
        Called after each change, for example to have the work item judged at once.
    """

    def __init__(
        self, ledger: Ledger, settings: Settings, audit: Audit, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._ledger, self._settings, self._audit, self._on_change = ledger, settings, audit, on_change

    # --- N-CREATE ---

    def create(self, event: Event) -> Answer:
        """EVT_N_CREATE: record a work item of our code.

        Returns
        -------
        status : Dataset
            0000, 0106 (another code), 0110, 0111 (known already), 0117 (its UID is none), 0121 (no input study),
            0213 (too large), C309 (not SCHEDULED).
        attributes : Dataset or None
            The SOP Instance UID that this node gave, where the requester named none.
        """
        requested = _uid(event, "AffectedSOPInstanceUID")
        uid = requested or str(generate_uid())
        if not is_uid(uid):
            return _status(INVALID_INSTANCE, "expected a UID (PS3.5 section 9.1) as SOP Instance UID"), None
        try:
            ds: Dataset = event.attribute_list
            request, state, attributes = read_request(ds), str(ds.get("ProcedureStepState") or ""), ds.to_json_dict()
        except Exception as error:  # pydicom raises anything for a broken data set
            log.warning("work_item_unreadable", error=type(error).__name__)
            return _status(PROCESSING_FAILURE, UNREADABLE), None
        refusal = self._refusal(request, state, attributes)
        if refusal is not None:
            return refusal, None
        new = ledger_items.NewItem(
            uid, ledger_items.PUSHED, request.inputs, request.patient_id, request.issuer, attributes
        )  # fmt: skip

        def record(session: Session) -> Dataset:
            is_new = ledger_items.add_item(session, new)
            item = ledger_items.find_item(session, uid)
            if is_new and item is not None:
                events.report_state(session, item)
            return _status(SUCCESS if is_new else step(State.SCHEDULED, Happening.CREATE).status)

        status = self._in_transaction(record)
        if status.Status == SUCCESS:
            self._audit.accessed(
                event.assoc.requestor.ae_title.strip(), "work item created", request.inputs[0]["study"],
                request.patient_id,
            )  # fmt: skip
        answer = Dataset()
        answer.AffectedSOPInstanceUID = uid
        return status, answer if not requested and status.Status == SUCCESS else None

    def _refusal(self, request: StepRequest, state: str, attributes: dict[str, Any]) -> Dataset | None:
        items = self._settings.work_items
        if state != State.SCHEDULED:
            return _status(NOT_SCHEDULED, f"expected Procedure Step State SCHEDULED, found {state or 'none'}")
        if not request.is_for(items):
            found = "^".join(request.code) if any(request.code) else "none"
            return _status(INVALID_VALUE, f"expected code {items.code}^{items.code_scheme}, found {found}")
        if not request.inputs:
            return _status(MISSING_VALUE, "expected a study in Input Information Sequence, found none")
        if len(as_json(attributes)) > LARGEST_BYTES:
            return _status(TOO_LARGE, f"expected at most {LARGEST_BYTES} bytes, found more")
        return None

    # --- N-GET, C-FIND ---

    def get(self, event: Event) -> Answer:
        """EVT_N_GET: return the attributes of a work item, never its Transaction UID.

        Returns
        -------
        status : Dataset
            0000, 0110 or C307 (no such work item).
        attributes : Dataset or None
            Those that the request names, or all.
        """
        uid, tags = _uid(event, "RequestedSOPInstanceUID"), [int(tag) for tag in event.attribute_identifiers]
        found: list[Dataset] = []

        def read(session: Session) -> Dataset:
            item = ledger_items.find_item(session, uid)
            if item is None:
                return _status(UNKNOWN_ITEM, "there is no work item with this UID")
            found.append(selected(as_data_set(item, self._settings), tags))
            return _status(SUCCESS)

        status = self._in_transaction(read)
        return status, found[0] if found else None

    def find(self, event: Event) -> Iterator[tuple[int | Dataset, Dataset | None]]:
        """EVT_C_FIND: yield the work items that match.

        Yields
        ------
        status, identifier
            FF00 with each match; FE00 after a C-CANCEL.
        """
        try:
            query: Dataset = event.identifier
            # Most queries are for one state, and what has ended stays for ever: the ledger selects it.
            state = str(query.get("ProcedureStepState") or "")
            with self._ledger.begin() as session:
                found_rows = ledger_items.pushed_items(session, state if state in set(State) else "")
                items = [as_data_set(item, self._settings) for item in found_rows]
            found = [response_to(ds, query) for ds in items if matches(ds, query)]
        except SQLAlchemyError:
            yield _status(PROCESSING_FAILURE, "the ledger does not answer: ask again"), None
            return
        except Exception as error:  # pydicom raises anything for a broken data set
            log.warning("work_item_query_unreadable", error=type(error).__name__)
            yield _status(PROCESSING_FAILURE, UNREADABLE), None
            return
        for identifier in found:
            if event.is_cancelled:
                yield CANCELLED, None
                return
            yield PENDING, identifier

    # --- N-ACTION ---

    def act(self, event: Event) -> Answer:
        """EVT_N_ACTION: request for cancellation, subscriptions, and attempts of others to change a state.

        Returns
        -------
        status : Dataset
            By the table of `node.ledger.work_item_machine`; 0123 for another action.
        reply : None
            There is no action reply.
        """
        uid, caller = _uid(event, "RequestedSOPInstanceUID"), event.assoc.requestor.ae_title.strip()
        try:
            information: Dataset = event.action_information
        except Exception as error:  # pydicom raises anything for a broken data set
            log.warning("work_item_action_unreadable", error=type(error).__name__)
            return _status(PROCESSING_FAILURE, UNREADABLE), None
        actions: dict[int, Callable[[Session], Dataset]] = {
            Action.CHANGE_STATE: lambda session: self._change_state(session, uid, information),
            Action.REQUEST_CANCEL: lambda session: self._request_cancel(session, uid, information, caller),
            Action.SUBSCRIBE: lambda session: self._subscribe(session, uid, information),
            Action.UNSUBSCRIBE: lambda session: self._unsubscribe(session, uid, information),
            Action.SUSPEND: lambda session: self._suspend(session, uid, information),
        }
        action = actions.get(event.action_type or 0)
        if action is None:
            return _status(NO_SUCH_ACTION, f"expected an action from 1 to 5, found {event.action_type}"), None
        return self._in_transaction(action), None

    def _change_state(self, session: Session, uid: str, information: Dataset) -> Dataset:
        wanted = str(information.get("ProcedureStepState") or "")
        if wanted not in _WITHOUT_UID:
            return _status(INVALID_ARGUMENT, f"expected a Procedure Step State, found {wanted or 'none'}")
        item = ledger_items.find_item(session, uid)
        if item is not None and item.state == State.SCHEDULED and wanted == State.IN_PROGRESS:
            return _status(NOT_AUTHORISED, "this node performs its work items itself")
        # Its Transaction UID is not shown to any peer: whatever one names is not the correct one.
        return _status(step(item.state if item is not None else NOWHERE, _WITHOUT_UID[State(wanted)]).status)

    def _request_cancel(self, session: Session, uid: str, information: Dataset, caller: str) -> Dataset:
        item = ledger_items.find_item(session, uid)
        if item is None:
            return _status(UNKNOWN_ITEM, "there is no work item with this UID")
        is_scheduled = item.state == State.SCHEDULED
        status = step(item.state, Happening.REQUEST_CANCEL).status
        if status == SUCCESS:
            ledger_items.request_cancel(item, reason_of_request(information), caller)
            # One that nothing was begun of ends by the same way, at once: the task that judges it.
            if not is_scheduled:
                events.report_cancel_request(session, item)
        return _status(status)

    def _subscribe(self, session: Session, uid: str, information: Dataset) -> Dataset:
        receiver = str(information.get("ReceivingAE") or "").strip()
        if receiver not in {peer.ae_title for peer in self._settings.notified_ae}:
            return _status(UNKNOWN_RECEIVER, "this Receiving AE is no [[notified_ae]] of the settings")
        if uid == FILTERED_ITEMS:
            return _status(NOT_APPROPRIATE, "filtered subscriptions are not supported")
        watched: list[WorkItem] = []
        if uid == ALL_ITEMS:
            watched = ledger_items.list_items(session, OPEN_STATES)
        elif (item := ledger_items.find_item(session, uid)) is not None:
            watched = [item]
        else:
            return _status(UNKNOWN_ITEM, "there is no work item with this UID")
        ledger_items.subscribe(session, receiver, uid)
        for item in watched:
            if item.worklist == ledger_items.PUSHED:
                events.report_state(session, item, only_to=receiver)
        return _status(SUCCESS)

    def _unsubscribe(self, session: Session, uid: str, information: Dataset) -> Dataset:
        receiver = str(information.get("ReceivingAE") or "").strip()
        if uid == ALL_ITEMS:
            ledger_items.unsubscribe_all(session, receiver)
        elif ledger_items.find_item(session, uid) is None:
            return _status(UNKNOWN_ITEM, "there is no work item with this UID")
        ledger_items.unsubscribe(session, receiver, uid)
        return _status(SUCCESS)

    def _suspend(self, session: Session, uid: str, information: Dataset) -> Dataset:
        """End the subscription to future work items; those that exist stay subscribed (PS3.4 section CC.2.3.3.1)."""
        if uid != ALL_ITEMS:
            return _status(NOT_APPROPRIATE, "expected the UID of the global subscription")
        receiver = str(information.get("ReceivingAE") or "").strip()
        if receiver in ledger_items.subscribers_of(session, ALL_ITEMS):
            for item in ledger_items.list_items(session, OPEN_STATES):
                ledger_items.subscribe(session, receiver, item.uid)
            ledger_items.unsubscribe(session, receiver, ALL_ITEMS)
        return _status(SUCCESS)

    # --- N-EVENT-REPORT of a worklist manager ---

    def note_event(self, event: Event) -> tuple[int, Dataset | None]:
        """EVT_N_EVENT_REPORT of the UPS Event class: a manager passes on that the cancellation of ours is requested.

        Returns
        -------
        status : int
            0000, or 0110 when the ledger does not answer; other events need no act.
        event_reply : None
            There is none.
        """
        if event.event_type != EventType.CANCEL_REQUESTED:
            return SUCCESS, None
        uid = _uid(event, "AffectedSOPInstanceUID")
        try:
            asked = reason_of_request(event.event_information)
            by = str(event.event_information.get("RequestingAE") or event.assoc.requestor.ae_title).strip()
        except Exception:  # pydicom raises anything for a broken data set
            asked, by = reason_of_request(None), event.assoc.requestor.ae_title.strip()

        def record(session: Session) -> Dataset:
            for item in ledger_items.claimed_items(session, uid):
                ledger_items.request_cancel(item, asked, by)
            return _status(SUCCESS)

        return int(self._in_transaction(record).Status), None

    def _in_transaction(self, work: Callable[[Session], Dataset]) -> Dataset:
        try:
            with self._ledger.begin() as session:
                status = work(session)
        except SQLAlchemyError as error:
            log.error("work_item_not_recorded", error=type(error).__name__)
            return _status(PROCESSING_FAILURE, "the ledger does not answer: ask again")
        self._on_change()
        return status


def _status(status: int, comment: str = "") -> Dataset:
    ds = Dataset()
    ds.Status = status
    if comment:
        ds.ErrorComment = error_comment(comment)
    return ds


def _uid(event: Event, name: str) -> str:
    return str(getattr(event.request, name, None) or "")
