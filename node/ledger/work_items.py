"""Work items in the ledger: new ones, their claim, their end, and who is told of them.

A work item that was pushed to this node is its own record; its `worklist` is empty. One of a worklist follows what its
manager confirms: a claim is recorded with its Transaction UID before it is sent, and an ending before it is told, so
that a process that dies in between goes on under the same Transaction UID.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages import stored as messages
from node.ledger.database import insert_new, now_utc
from node.ledger.tables import Report, ReportObject
from node.ledger.work_item_machine import OPEN_STATES, Event, State, step
from node.ledger.work_item_tables import WorkItem, WorkItemSubscription

PUSHED = ""  # `worklist` of a work item that another system created here


@dataclass(frozen=True)
class NewItem:
    """A work item as its requester or its manager describes it.

    Attributes
    ----------
    uid : str
        SOP Instance UID.
    worklist : str
        Name of its worklist; `PUSHED` for one that was created here.
    inputs : tuple of dict
        ``{"study", "series"}`` for each study.
    patient_id, issuer : str
        Empty where it names none.
    attributes : dict
        All of it as DICOM JSON.
    """

    uid: str
    worklist: str
    inputs: tuple[dict[str, Any], ...]
    patient_id: str
    issuer: str
    attributes: dict[str, Any]


def add_item(session: Session, new: NewItem) -> bool:
    """Record a scheduled work item.

    Parameters
    ----------
    new : NewItem
        As its requester or its manager describes it.

    Returns
    -------
    bool
        False where it is known already; nothing of it is changed then.
    """
    now = now_utc()
    study = new.inputs[0]["study"] if new.inputs else None
    return insert_new(session, WorkItem, {
        "uid": new.uid, "worklist": new.worklist, "state": State.SCHEDULED.value, "study_instance_uid": study,
        "patient_id": new.patient_id, "issuer": new.issuer, "inputs": list(new.inputs), "attributes": new.attributes,
        "progress": {}, "told": {}, "attempts": 0, "not_before": now, "judged_after": now, "received_at": now,
        "version": 1,
    })  # fmt: skip


def find_item(session: Session, uid: str, worklist: str = PUSHED) -> WorkItem | None:
    """Return a work item, locked against other writers.

    Parameters
    ----------
    uid : str
        SOP Instance UID.
    worklist : str
        Name of its worklist; by default, one that was created here.

    Returns
    -------
    WorkItem or None
        None where there is none.
    """
    query = select(WorkItem).where(WorkItem.uid == uid, WorkItem.worklist == worklist)
    return session.scalar(query.with_for_update())


def lock_item(session: Session, item_id: int) -> WorkItem:
    """Return a work item, locked against other writers."""
    return session.get_one(WorkItem, item_id, with_for_update=True)


def get_item(session: Session, uid: str) -> WorkItem:
    """Return a work item by its UID, of whichever worklist.

    Raises
    ------
    InputError
        When there is none, or several worklists have one.
    """
    found = list(session.scalars(select(WorkItem).where(WorkItem.uid == uid)))
    if len(found) != 1:
        what = "no work item" if not found else f"work items of {len(found)} worklists"
        raise InputError(f"expected one work item with the UID {uid}, found {what}; `cptdn worklist list` shows all")
    return found[0]


def list_items(session: Session, states: Collection[str] = (), limit: int | None = None) -> list[WorkItem]:
    """Return work items, the newest first.

    Parameters
    ----------
    states : collection of str
        Empty: all.
    limit : int, optional
        None: all.
    """
    query = select(WorkItem).order_by(WorkItem.received_at.desc(), WorkItem.id.desc()).limit(limit)
    return list(session.scalars(query.where(WorkItem.state.in_(tuple(states))) if states else query))


def pushed_items(session: Session, state: str = "") -> Iterable[WorkItem]:
    """Return the work items that were created here, the oldest first; with a state, only those in it."""
    query = select(WorkItem).where(WorkItem.worklist == PUSHED).order_by(WorkItem.id)
    return session.scalars(query.where(WorkItem.state == state) if state else query)


def apply(item: WorkItem, event: Event) -> int:
    """Change the state of a work item as the table says, and record when it was claimed or ended.

    Parameters
    ----------
    event : Event
        What has happened.

    Returns
    -------
    int
        The DIMSE status.

    Raises
    ------
    IllegalTransitionError
        When the table has no such row.
    """
    found = step(item.state, event)
    if found.to != item.state:
        item.state = found.to
        if found.to == State.IN_PROGRESS:
            item.claimed_at = now_utc()
        elif found.to not in OPEN_STATES:
            item.ended_at = now_utc()
    return found.status


def request_cancel(item: WorkItem, asked: dict[str, Any], by: str) -> None:
    """Record that a cancellation is requested; the first request stays.

    Parameters
    ----------
    asked : dict
        ``because`` and ``code``.
    by : str
        Who asks: an AE title, or the name of a user.
    """
    if item.cancel_request is None:
        item.cancel_request = messages.to_json({**asked, "by": by, "at": now_utc().isoformat()})
        item.judged_after = now_utc()


def decide(item: WorkItem, state: State, code: Collection[str] | None, because: str, outputs: list[Any]) -> None:
    """Record how a work item ends; its manager is told next.

    Parameters
    ----------
    state : State
        `State.COMPLETED` or `State.CANCELED`.
    code : collection of str or None
        Discontinuation reason: value, scheme, meaning.
    because : str
        Its text.
    outputs : list
        Series that are its output, with where they are.
    """
    item.ending = messages.to_json({
        "state": state.value, "code": list(code) if code else None, "because": because, "outputs": outputs,
        "at": now_utc().isoformat(),
    })  # fmt: skip
    item.attempts, item.not_before, item.error_text = 0, now_utc(), None


def judged_due(session: Session, limit: int = 100) -> list[int]:
    """Return the ids of open work items whose study has to be looked at, those first that have waited longest."""
    query = (
        select(WorkItem.id)
        .where(WorkItem.state.in_(OPEN_STATES), WorkItem.ending.is_(None), WorkItem.judged_after <= now_utc())
        .where(or_(WorkItem.worklist == PUSHED, WorkItem.state == State.IN_PROGRESS))
        .order_by(WorkItem.judged_after, WorkItem.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def take_told(session: Session, worklist: str, lease: timedelta, limit: int = 100) -> list[int]:
    """Return the ids of work items whose manager has to be told something; others do not get them for a lease.

    Parameters
    ----------
    worklist : str
        Name of the worklist.
    lease : timedelta
        Time for one of them; each message may be repeated, so that nothing depends on it.
    limit : int
        Most work items.
    """
    now = now_utc()
    query = (
        select(WorkItem)
        .where(WorkItem.worklist == worklist, WorkItem.state.in_(OPEN_STATES), WorkItem.not_before <= now)
        .order_by(WorkItem.not_before, WorkItem.id)
    )
    taken = []
    for item in session.scalars(query.with_for_update(skip_locked=True)):
        # `told` is compared here: JSON columns have no equality on PostgreSQL.
        if item.state == State.SCHEDULED or item.ending is not None or item.progress != item.told:
            item.not_before = now + lease
            taken.append(item.id)
            if len(taken) == limit:
                break
    return taken


def subscribe(session: Session, ae_title: str, uid: str) -> None:
    """Record that an application entity wants to be told of a work item, or of all by the global UID."""
    insert_new(session, WorkItemSubscription, {"ae_title": ae_title, "uid": uid, "made_at": now_utc()})


def unsubscribe(session: Session, ae_title: str, uid: str) -> None:
    """End a subscription; one that does not exist is no error."""
    row = session.get(WorkItemSubscription, (ae_title, uid))
    if row is not None:
        session.delete(row)


def subscribers_of(session: Session, *uids: str) -> list[str]:
    """Return who has subscribed.

    Parameters
    ----------
    *uids : str
        Of a work item, or the global UID.

    Returns
    -------
    list of str
        AE titles, each once, in alphabetical order.
    """
    query = select(WorkItemSubscription.ae_title).where(WorkItemSubscription.uid.in_(uids))
    return sorted(set(session.scalars(query)))


def objects_by_report(session: Session, report: Report) -> dict[str, ReportObject]:
    """Return the stored objects of a report by SOP Instance UID."""
    rows = session.scalars(select(ReportObject).where(ReportObject.report_id == report.id))
    return {row.sop_instance_uid: row for row in rows}


def unsubscribe_all(session: Session, ae_title: str) -> None:
    """End all subscriptions of an application entity."""
    session.execute(delete(WorkItemSubscription).where(WorkItemSubscription.ae_title == ae_title))


def claimed_items(session: Session, uid: str) -> list[WorkItem]:
    """Return the work items of worklists with this UID that this node performs, locked."""
    query = select(WorkItem).where(
        WorkItem.uid == uid, WorkItem.worklist != PUSHED, WorkItem.state == State.IN_PROGRESS
    )  # fmt: skip
    return list(session.scalars(query.with_for_update()))
