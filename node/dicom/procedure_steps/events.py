"""What those who subscribe to work items are told; each event becomes a notice in the transaction that changes it."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from node.dicom.procedure_steps.identifiers import ALL_ITEMS, EventType
from node.dicom.procedure_steps.writing import UTF_8, code_item, progress_of
from node.ledger.dicom_notices import WORK_ITEM, add_notice
from node.ledger.work_item_tables import WorkItem
from node.ledger.work_items import subscribers_of


def report_state(session: Session, item: WorkItem, only_to: str | None = None) -> None:
    """Tell the subscribers of a work item its state.

    Parameters
    ----------
    session : Session
        The transaction that changed the state.
    item : WorkItem
        Pushed to this node.
    only_to : str, optional
        AE title of one that has just subscribed: the state of that time is its first report.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = UTF_8
    ds.ProcedureStepState, ds.InputReadinessState = str(item.state), "READY"
    if item.ending is not None and item.ending["state"] == "CANCELED":
        ds.ReasonForCancellation = item.ending["because"]
        ds.ProcedureStepDiscontinuationReasonCodeSequence = [code_item(*item.ending["code"])]
    _tell(session, item, EventType.STATE_REPORT, ds, only_to)


def report_progress(session: Session, item: WorkItem) -> None:
    """Tell the subscribers of a work item its progress."""
    _tell(session, item, EventType.PROGRESS_REPORT, progress_of(item))


def report_cancel_request(session: Session, item: WorkItem) -> None:
    """Tell the subscribers of a work item that its cancellation was requested, by whom and why."""
    asked: dict[str, Any] = item.cancel_request or {}
    ds = Dataset()
    ds.SpecificCharacterSet = UTF_8
    ds.RequestingAE, ds.ReasonForCancellation = asked["by"][:16], asked["because"]
    if asked["code"]:
        ds.ProcedureStepDiscontinuationReasonCodeSequence = [code_item(*asked["code"])]
    _tell(session, item, EventType.CANCEL_REQUESTED, ds)


def _tell(session: Session, item: WorkItem, event: EventType, ds: Dataset, only_to: str | None = None) -> None:
    titles = subscribers_of(session, item.uid, ALL_ITEMS) if only_to is None else [only_to]
    content = {"event_type": int(event), "dataset": ds.to_json_dict()}
    for title in titles:
        add_notice(session, WORK_ITEM, title, None, item.uid, content)
