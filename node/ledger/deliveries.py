"""Deliveries: all objects of one report to one PACS, from `pending` over `sent` to `delivered` or `dead`.

    pending     something still has to be sent, at `not_before`
    sent        all that the PACS accepts is stored there; its commitment is awaited until `not_before`
    delivered   committed, where the PACS offers storage commitment
    dead        given up, with the reason; an administrator may retry it
    superseded  replaced by a newer report before it was sent

`objects` maps each SOP Instance UID to {"status", "committed", "note"}; the status is "stored", "refused", or None (or
there is no entry) while the object has to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from node.ledger.backoff import backoff_s
from node.ledger.database import Ledger, now_utc
from node.ledger.outbox import enqueue, pending_ids
from node.ledger.tables import Delivery, Report
from node.messaging.messages import DELIVER_REPORT

OPEN_STATES = ("pending", "sent")
STATES = (*OPEN_STATES, "delivered", "dead", "superseded")
STORED, REFUSED = "stored", "refused"

# Failure Reason (0008,1197) of a commitment, PS3.3 section C.14
FAILURE_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class/instance conflict",
    0x0122: "referenced SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}
NOT_RESENDABLE = frozenset({0x0119, 0x0122})  # the same bytes would fail again
RESEND_FIRST_S, RESEND_LONGEST_S = 5.0, 3600.0

log = structlog.get_logger("cptdn.delivery")


def claim(session: Session, delivery_id: int, owner: str, now: datetime, lease: timedelta) -> Delivery | None:
    """Take the lease of a delivery that is due and not leased; None otherwise.

    Condition and lease are one UPDATE, so that two workers can never both have it.

    Parameters
    ----------
    owner : str
        Name of this attempt, unique among all workers.
    now : datetime
        Aware, UTC.
    lease : timedelta
        Until when another worker must not take it, unless `extend_lease` is called.
    """
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

    Only an owner with a lease may record an outcome: one that was suspended must not overwrite its successor's.
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


def record_object(
    delivery: Delivery, sop_instance_uid: str, *, status: str | None, committed: bool = False, note: str = ""
) -> None:
    """Record the outcome of one object.

    Parameters
    ----------
    status : str or None
        `STORED`, `REFUSED`, or None when it has to be sent (again).
    committed : bool
        Whether the PACS has committed it.
    note : str
        Reason for people; empty when there is none.
    """
    # A new dictionary, because SQLAlchemy notices no change inside a JSON value: an assignment marks the column as
    # changed.
    entry = {"status": status, "committed": committed, "note": note}
    delivery.objects = {**delivery.objects, sop_instance_uid: entry}


def wait_until(session: Session, delivery: Delivery, when: datetime) -> None:
    """Set when the delivery is due next, and enqueue its message for that time.

    Parameters
    ----------
    when : datetime
        Aware.
    """
    delivery.not_before = when
    enqueue(session, DELIVER_REPORT, [delivery.id], not_before=when)


def finish(delivery: Delivery, state: str, error_text: str | None = None) -> None:
    """Set the last state of a delivery and end its lease.

    Parameters
    ----------
    state : str
        ``delivered`` or ``dead``.
    error_text : str, optional
        Reason for people; None when nothing is left to say.
    """
    delivery.state, delivery.error_text = state, error_text
    release(delivery)


class Commitment(Protocol):
    """The result of one storage commitment transaction as a PACS reports it (PS3.4 J.3.3)."""

    @property
    def transaction_uid(self) -> str:
        """Transaction UID (0008,1195) of the request."""

    @property
    def committed(self) -> tuple[str, ...]:
        """SOP Instance UIDs of the Referenced SOP Sequence (0008,1199)."""

    @property
    def failed(self) -> Mapping[str, int]:
        """Failure Reason (0008,1197) by SOP Instance UID, from the Failed SOP Sequence (0008,1198)."""


def record_commitment(ledger: Ledger) -> Callable[[Commitment], bool]:
    """Return the function that the node calls with each commitment result.

    Returns
    -------
    callable
        Records a result (`write_commitment`) and returns whether a delivery of this ledger had requested it.
    """

    def record(result: Commitment) -> bool:
        with ledger.begin() as session:
            delivery = write_commitment(session, result, now_utc())
        if delivery is not None:
            log.info("commitment", delivery=delivery.id, state=delivery.state, failed=len(result.failed))
        return delivery is not None

    return record


def write_commitment(session: Session, result: Commitment, now: datetime) -> Delivery | None:
    """Record a commitment result in its delivery.

    A repeated result changes nothing. Objects that failed are sent again, unless that cannot help (`NOT_RESENDABLE`). A
    result may contain a part of the objects only; the delivery then waits for the rest.

    Returns
    -------
    Delivery or None
        None when no delivery has requested this transaction.
    """
    requested = select(Delivery).where(Delivery.transaction_uid == result.transaction_uid)
    delivery = session.scalar(requested.with_for_update())
    # A PACS repeats its N-EVENT-REPORT when our response did not arrive (PS3.4 J.3.3 lets it do so on an association of
    # its own), and a result may come after the deadline: `delivered`, `dead` and `superseded` stay what they are.
    if delivery is None or delivery.state != "sent":
        return delivery
    # Only objects of this delivery: a PACS that reports other UIDs, too, must not add entries to it.
    for uid in result.committed:
        if uid in delivery.objects:
            record_object(delivery, uid, status=STORED, committed=True, note=delivery.objects[uid]["note"])
    send_again = False
    for uid, reason in result.failed.items():
        if uid in delivery.objects:
            # "No such object instance" (0112H) and a processing failure may be cured by sending the object again: the
            # PACS has lost or not finished it. What can never be committed stays "stored", because it is in the PACS.
            resend = reason not in NOT_RESENDABLE
            send_again = send_again or resend
            text = f"not committed: {FAILURE_REASONS.get(reason, f'reason {reason:04X}')}"
            record_object(delivery, uid, status=None if resend else STORED, note=text)
    # The transaction UID stays in the row until the next request replaces it; state `pending` makes late results
    # harmless.
    if send_again:
        delivery.state, delivery.attempts = "pending", delivery.attempts + 1
        delivery.error_text = f"the PACS could not commit {len(result.failed)} object(s); they are sent again"
        seconds = backoff_s(RESEND_FIRST_S, RESEND_LONGEST_S, delivery.attempts)
        wait_until(session, delivery, now + timedelta(seconds=seconds))
    elif not awaiting_commitment(delivery, result.failed):  # else a partial result: the rest is still awaited
        delivery.committed_at = None if result.failed else now
        finish(delivery, "delivered", "stored; the PACS cannot commit all of it" if result.failed else None)
    return delivery


def awaiting_commitment(delivery: Delivery, uncommittable: Collection[str] = ()) -> list[str]:
    """Return the SOP Instance UIDs that the PACS has stored and not committed.

    Parameters
    ----------
    uncommittable : collection of str
        SOP Instance UIDs that are left out, because the PACS has said that it cannot commit them.
    """
    return [
        uid
        for uid, entry in delivery.objects.items()
        if entry["status"] == STORED and not entry["committed"] and uid not in uncommittable
    ]


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
        raise InputError(f"there is no delivery {delivery_id}; `cptdn jobs list` shows all")
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


def retry_delivery(session: Session, delivery_id: int) -> None:
    """Have a delivery tried again now, by order of an administrator.

    A dead delivery begins anew: no failed attempts, and the full time until it is given up. What the PACS has stored is
    not sent again.

    Raises
    ------
    InputError
        When it is delivered or superseded.
    """
    delivery = get_delivery(session, delivery_id)
    if delivery.state in ("delivered", "superseded"):
        raise InputError(f"delivery {delivery_id} is {delivery.state}: it cannot be tried again")
    now = now_utc()
    if delivery.state == "dead":
        # `created_at` is where the time until giving up is counted from.
        delivery.state, delivery.attempts, delivery.created_at = "pending", 0, now
        # Refused objects are tried again, too: the usual reason for a retry is that the PACS was configured to accept
        # them.
        delivery.objects = {uid: entry for uid, entry in delivery.objects.items() if entry["status"] == STORED}
        release(delivery)
    delivery.error_text = None
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
