"""Deliveries: all objects of one report to one destination; `delivery_machine` is the table of their states.

    pending     something still has to be sent, at `not_before`
    sent        all that the destination accepts is stored there; its commitment is awaited until `not_before`
    delivered   committed, where the destination offers storage commitment
    dead        given up, with the reason; an administrator may retry it while its report is the current one
    superseded  replaced by a newer report

`objects` maps each SOP Instance UID to what is recorded of it (`record_object`). Results of storage commitment are
recorded by `commitments`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from config.errors import InputError
from config.messages.message import message
from config.messages.stored import from_json, named, to_json
from node.ledger import delivery_machine
from node.ledger.database import now_utc
from node.ledger.delivery_machine import DEAD, DELIVERED, PENDING, RETRY_REFUSED, SUPERSEDED, Event, Facts, State
from node.ledger.outbox import enqueue, pending_ids
from node.ledger.tables import Delivery, Report
from node.messaging.messages import DELIVER_REPORT

OPEN_STATES = delivery_machine.OPEN_STATES
STATES = tuple(State)
STORED, REFUSED = "stored", "refused"

log = structlog.get_logger("cptdn.delivery")


def claim(session: Session, delivery_id: int, owner: str, now: datetime, lease: timedelta) -> Delivery | None:
    """Take the lease of a delivery that is due and not leased; None otherwise.

    Condition and lease are one UPDATE, so that two workers can never both have it. An earlier report of the study that
    is being sent to the same destination comes first: the destination must not get it after the newer one.

    Parameters
    ----------
    owner : str
        Name of this attempt, unique among all workers.
    now : datetime
        Aware, UTC.
    lease : timedelta
        Until when another worker must not take it, unless `extend_lease` is called.
    """
    if earlier_in_flight(session, delivery_id, now) is not None:
        return None
    updated = session.execute(
        update(Delivery)
        .where(
            Delivery.id == delivery_id,
            Delivery.state.in_(OPEN_STATES),
            Delivery.not_before <= now,
            or_(Delivery.lease_until.is_(None), Delivery.lease_until < now),
        )
        .values(lease_owner=owner, lease_until=now + lease)
        .execution_options(synchronize_session=False)
    )
    if updated.rowcount != 1:  # type: ignore[attr-defined]
        return None
    # The UPDATE went past the identity map of the session, which may contain the row as it was before.
    return session.get_one(Delivery, delivery_id, populate_existing=True)


def earlier_in_flight(session: Session, delivery_id: int, now: datetime) -> int | None:
    """Return the delivery of an earlier report of the study that a worker is sending to the same destination now."""
    this, report = aliased(Delivery), aliased(Report)
    return session.scalar(
        select(Delivery.id)
        .join(Report, Delivery.report_id == Report.id)
        .join(report, report.study_instance_uid == Report.study_instance_uid)
        .join(this, this.report_id == report.id)
        .where(
            this.id == delivery_id,
            Report.revision < report.revision,
            Delivery.pacs == this.pacs,
            # One that awaits its commitment has sent everything.
            Delivery.state.in_((PENDING, SUPERSEDED)),
            Delivery.lease_until >= now,
        )
        .limit(1)
    )


def extend_lease(session: Session, delivery_id: int, owner: str, lease: timedelta) -> bool:
    """Let the lease of a running attempt begin again.

    Returns
    -------
    bool
        False when the lease was lost: the attempt must record nothing any more.
    """
    extended = session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.lease_owner == owner)
        .values(lease_until=now_utc() + lease)
        .execution_options(synchronize_session=False)
    )
    return bool(extended.rowcount)  # type: ignore[attr-defined]


def get_leased(session: Session, delivery_id: int, owner: str) -> Delivery | None:
    """Return the delivery, locked, while the lease is still this owner's; None otherwise.

    Only an owner with a lease may record an outcome: one that was suspended must not overwrite its successor's. The
    delivery may have ended meanwhile: `apply` says what an event means then.
    """
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    return delivery if delivery is not None and delivery.lease_owner == owner else None


def release(delivery: Delivery) -> None:
    """End the lease.

    Parameters
    ----------
    delivery : Delivery
        Its state and due time are not changed; only the owner may call this, after `get_leased`.
    """
    delivery.lease_owner = delivery.lease_until = None


def begin_objects(delivery: Delivery, sop_instance_uids: Iterable[str]) -> None:
    """Record that objects are about to be sent: until their outcome is recorded, the destination may have them."""
    before = {uid: {**ENTRY, **delivery.objects.get(uid, {})} for uid in sop_instance_uids}
    # An earlier attempt may have ended without an outcome: if nothing of this one is sent, that one still counts.
    begun = {
        uid: {**entry, "status": None, "begun": True, "begun_before": bool(entry.get("begun"))}
        for uid, entry in before.items()
    }
    delivery.objects = {**delivery.objects, **begun}


def forget_begun(delivery: Delivery) -> None:
    """Record that nothing of what this attempt has begun has reached the destination."""
    delivery.objects = {
        uid: {**entry, "begun": bool(entry.get("begun_before"))} for uid, entry in delivery.objects.items()
    }


def record_object(
    delivery: Delivery,
    sop_instance_uid: str,
    *,
    status: str | None,
    committed: bool = False,
    note: str = "",
    uncommittable: bool = False,
) -> None:
    """Record the outcome of one object.

    Parameters
    ----------
    status : str or None
        `STORED`, `REFUSED`, or None when it has to be sent (again).
    committed : bool
        Whether the destination has committed it.
    note : str
        Reason for people; empty when there is none.
    uncommittable : bool
        Whether the destination has said that it never will.
    """
    before = delivery.objects.get(sop_instance_uid, ENTRY)
    # How often it was stored there: a result of a request that is older than the last time says nothing about it.
    n_stored = before.get("times_stored", int(before["status"] == STORED))
    n_stored += status == STORED and before["status"] != STORED
    entry = to_json({
        "status": status, "committed": committed, "note": note, "uncommittable": uncommittable,
        "times_stored": n_stored, "begun": bool(before.get("begun")) and status is None,
    })  # fmt: skip
    # A new dictionary, because SQLAlchemy notices no change inside a JSON value: an assignment marks the column as
    # changed.
    delivery.objects = {**delivery.objects, sop_instance_uid: entry}


ENTRY: Mapping[str, Any] = {"status": None, "committed": False, "note": ""}  # of an object without an outcome


def note_of(entry: Mapping[str, Any]) -> str:
    """Return the reason that is recorded of an object.

    Parameters
    ----------
    entry : mapping
        As `record_object` wrote it.

    Returns
    -------
    str
        A message where it is one; empty where there is none.
    """
    note: str = from_json(entry)["note"]
    return note


def wait_until(session: Session, delivery: Delivery, when: datetime) -> None:
    """Set when the delivery is due next, and enqueue its message for that time.

    Parameters
    ----------
    when : datetime
        Aware.
    """
    delivery.not_before = when
    enqueue(session, DELIVER_REPORT, [delivery.id], not_before=when)


def apply(delivery: Delivery, event: Event, facts: Facts, text: str | None) -> State:
    """Change the state of a delivery as the table says, with its reason; return the state.

    Parameters
    ----------
    event : Event
        What has happened.
    facts : Facts
        For the guards of the table.
    text : str or None
        Reason or remark for people; a dead delivery needs one. An ended delivery that stays as it is keeps its text.
    """
    row = delivery_machine.transition(delivery.state, event, facts)
    if row.to is DEAD and row.state is not DEAD and not text:
        raise ValueError(f"expected a reason for giving up delivery {delivery.id} ({event.value}), found none")
    if row.to is not row.state or row.to in OPEN_STATES:
        delivery.error_text, delivery.error_message = str(text) if text else None, named(text or "")
    if row.to is not row.state:
        log.info(
            "delivery_state", delivery=delivery.id, pacs=delivery.pacs, before=delivery.state, state=str(row.to),
            cause=event.value, reason=text,
        )  # fmt: skip
        delivery.state = row.to.value
    return row.to


def facts_of(session: Session, delivery: Delivery, has_patience: bool = True) -> Facts:
    """Return what the guards of the table ask about a delivery."""
    return Facts(replaced_by(session, delivery.report_id) is None, has_patience)


def replaced_by(session: Session, report_id: int) -> int | None:
    """Return the revision of the newest report of the study when it is a newer one than this."""
    report = session.get_one(Report, report_id)
    newest = session.scalar(
        select(func.max(Report.revision)).where(Report.study_instance_uid == report.study_instance_uid)
    )
    return newest if newest is not None and newest > report.revision else None


def remark_on(delivery: Delivery) -> str:
    """Return the remark on a successful delivery: how many companions were refused; empty when none was."""
    refused = sum(entry["status"] == REFUSED for entry in delivery.objects.values())
    return message("delivery.some_refused", n=refused) if refused else ""


def requeue_due(session: Session, now: datetime) -> list[int]:
    """Enqueue a message for each delivery that is due, not leased, and without one.

    The watchdog calls it, for messages that were lost with the broker or a worker.

    Returns
    -------
    list of int
        Ids of these deliveries.
    """
    # `sent` is included: a delivery that awaits its commitment is due when the time for that is over.
    query = (
        select(Delivery.id)
        .where(
            Delivery.state.in_(OPEN_STATES),
            Delivery.not_before <= now,
            or_(Delivery.lease_until.is_(None), Delivery.lease_until < now),
        )
        .order_by(Delivery.not_before)
        .with_for_update(skip_locked=True)
    )
    # A message that is still in the outbox, because the broker is full or away, is not lost.
    pending = pending_ids(session, [DELIVER_REPORT])
    due = [delivery_id for delivery_id in session.scalars(query) if delivery_id not in pending]
    for delivery_id in due:
        enqueue(session, DELIVER_REPORT, [delivery_id])
    return due


def get_delivery(session: Session, delivery_id: int) -> Delivery:
    """Return a delivery.

    Raises
    ------
    InputError
        When there is no such delivery.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:
        raise InputError(message("delivery.none", id=delivery_id))
    return delivery


def job_of(session: Session, delivery_id: int) -> str | None:
    """Return the id of the job whose report is delivered.

    Returns
    -------
    str or None
        None when there is no such delivery.
    """
    query = select(Report.job_id).join(Delivery, Delivery.report_id == Report.id).where(Delivery.id == delivery_id)
    return session.scalar(query)


def retry_delivery(session: Session, delivery_id: int, now: datetime | None = None) -> None:
    """Have a delivery tried again now, by order of an administrator.

    It begins anew: no failed attempts, and the full time until it is given up. What the PACS has stored is not sent
    again.

    Parameters
    ----------
    now : datetime, optional
        Aware; the present by default.

    Raises
    ------
    InputError
        When it is delivered or superseded, or its report was replaced.
    """
    delivery = get_delivery(session, delivery_id)
    newer = replaced_by(session, delivery.report_id)
    if delivery_machine.transition(delivery.state, Event.RETRIED, Facts(newer is None)).effect is RETRY_REFUSED:
        if delivery.state in (DELIVERED, SUPERSEDED):
            state = message(f"delivery_state.{delivery.state}")
            raise InputError(message("delivery.ended", id=delivery_id, state=state))
        raise InputError(message("delivery.has_successor", id=delivery_id, revision=newer))
    if delivery.state == DEAD:
        if any(entry["status"] != STORED for entry in delivery.objects.values()):
            delivery.sent_at = None  # a late result must not end it before these are tried again
        # Refused objects are tried again, too: the usual reason for a retry is that the PACS was configured to accept
        # them.
        delivery.objects = {
            uid: entry if entry["status"] == STORED else {**from_json(entry), "status": None, "note": ""}
            for uid, entry in delivery.objects.items()
            if entry["status"] == STORED or entry.get("begun") or entry.get("times_stored")
        }
        release(delivery)
    now = now or now_utc()
    # `created_at` is where the time until giving up is counted from.
    delivery.attempts, delivery.commitment_requests, delivery.created_at = 0, 0, now
    apply(delivery, Event.RETRIED, Facts(), None)
    wait_until(session, delivery, now)


def list_deliveries(session: Session, states: tuple[str, ...] = (), limit: int = 200) -> list[Delivery]:
    """Return deliveries, the newest first.

    Parameters
    ----------
    states : tuple of str
        Empty: all states.
    limit : int
        Most rows.
    """
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    return list(session.scalars(query.where(Delivery.state.in_(states)) if states else query))


def deliveries_of(session: Session, report_id: int) -> list[Delivery]:
    """Return the deliveries of a report, one for each destination, in the order in which they were created."""
    return list(session.scalars(select(Delivery).where(Delivery.report_id == report_id).order_by(Delivery.id)))
