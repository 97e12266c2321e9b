"""Deliveries: all objects of one report to one PACS, from `pending` over `sent` to `delivered` or `dead`.

    pending     something has still to be sent, at `not_before`
    sent        everything the PACS takes is stored there; its commitment is awaited until `not_before`
    delivered   committed, where the PACS offers storage commitment
    dead        given up, with the reason; an administrator may revive it
    superseded  a newer report made it needless before it began

`objects` maps each SOP Instance UID to {"status", "committed", "note"}: status is "stored", "refused" or absent while
it has to be sent.
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
NOT_RESENDABLE = frozenset({0x0119, 0x0122})  # sending the same bytes again changes nothing
RESEND_FIRST_S, RESEND_LONGEST_S = 5.0, 3600.0

log = structlog.get_logger("cptdn.delivery")


def claim(session: Session, delivery_id: int, owner: str, now: datetime, lease: timedelta) -> Delivery | None:
    """Take a delivery that is due and that nobody else has; None otherwise.

    The test and the taking are one statement, so two workers can never both have it.
    """
    taken = session.execute(
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
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        return None
    return session.get_one(Delivery, delivery_id, populate_existing=True)


def extend_lease(session: Session, delivery_id: int, owner: str, lease: timedelta) -> bool:
    """Keep the lease of a delivery that takes longer; False when it was lost."""
    extended = session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.lease_owner == owner)
        .values(lease_until=now_utc() + lease)
        .execution_options(synchronize_session=False)
    )
    return bool(extended.rowcount)  # type: ignore[attr-defined]


def get_leased(session: Session, delivery_id: int, owner: str) -> Delivery | None:
    """The delivery, while the lease is still this owner's: the condition for writing down what became of it."""
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    return delivery if delivery is not None and delivery.lease_owner == owner else None


def release(delivery: Delivery) -> None:
    delivery.lease_owner = delivery.lease_until = None


def record_object(
    delivery: Delivery, sop_instance_uid: str, *, status: str | None, committed: bool = False, note: str = ""
) -> None:
    """Record what became of one object; assigns a new mapping, so that the change is written."""
    entry = {"status": status, "committed": committed, "note": note}
    delivery.objects = {**delivery.objects, sop_instance_uid: entry}


def wait_until(session: Session, delivery: Delivery, when: datetime) -> None:
    """The next thing to do with this delivery falls due at `when`."""
    delivery.not_before = when
    enqueue(session, DELIVER_REPORT, [delivery.id], not_before=when)


def finish(delivery: Delivery, state: str, error_text: str | None = None) -> None:
    delivery.state, delivery.error_text = state, error_text
    release(delivery)


class Commitment(Protocol):
    """What a PACS says of one transaction: instances committed, and instances failed with their Failure Reason."""

    @property
    def transaction_uid(self) -> str: ...

    @property
    def committed(self) -> tuple[str, ...]: ...

    @property
    def failed(self) -> Mapping[str, int]: ...


def record_commitment(ledger: Ledger) -> Callable[[Commitment], bool]:
    """What the node calls with each commitment result; it answers whether a delivery of ours had asked for it."""

    def record(result: Commitment) -> bool:
        with ledger.begin() as session:
            delivery = write_commitment(session, result, now_utc())
        if delivery is not None:
            log.info("commitment", delivery=delivery.id, state=delivery.state, failed=len(result.failed))
        return delivery is not None

    return record


def write_commitment(session: Session, result: Commitment, now: datetime) -> Delivery | None:
    """Write a commitment result into its delivery; None when no delivery asked for it.

    The same result again changes nothing. What the PACS cannot commit is sent again, unless that cannot help.
    """
    asked = select(Delivery).where(Delivery.transaction_uid == result.transaction_uid)
    delivery = session.scalar(asked.with_for_update())
    if delivery is None or delivery.state != "sent":
        return delivery
    for uid in result.committed:
        if uid in delivery.objects:
            record_object(delivery, uid, status=STORED, committed=True, note=delivery.objects[uid]["note"])
    again = False
    for uid, reason in result.failed.items():
        if uid in delivery.objects:
            resend = reason not in NOT_RESENDABLE
            again = again or resend
            text = f"not committed: {FAILURE_REASONS.get(reason, f'reason {reason:04X}')}"
            record_object(delivery, uid, status=None if resend else STORED, note=text)
    if again:
        delivery.state, delivery.attempts = "pending", delivery.attempts + 1
        delivery.error_text = f"the PACS could not commit {len(result.failed)} object(s); they are sent again"
        seconds = backoff_s(RESEND_FIRST_S, RESEND_LONGEST_S, delivery.attempts)
        wait_until(session, delivery, now + timedelta(seconds=seconds))
    elif not awaiting_commitment(delivery, result.failed):  # otherwise a partial answer; the rest is still awaited
        delivery.committed_at = None if result.failed else now
        finish(delivery, "delivered", "stored; the PACS cannot commit all of it" if result.failed else None)
    return delivery


def awaiting_commitment(delivery: Delivery, uncommittable: Collection[str] = ()) -> list[str]:
    """Objects that the PACS has stored and not committed yet."""
    return [
        uid
        for uid, entry in delivery.objects.items()
        if entry["status"] == STORED and not entry["committed"] and uid not in uncommittable
    ]


def requeue_due(session: Session, now: datetime) -> list[int]:
    """For the watchdog: owe the broker a message for each delivery that is due and has none, e.g. after the broker
    or a worker was lost. Returns their ids."""
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
    waiting = pending_ids(session, [DELIVER_REPORT])
    due = [found for found in session.scalars(query) if found not in waiting]
    for delivery_id in due:
        enqueue(session, DELIVER_REPORT, [delivery_id])
    return due


def get_delivery(session: Session, delivery_id: int) -> Delivery:
    """Raises InputError when there is no such delivery."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:
        raise InputError(f"no delivery {delivery_id} is known here; `cptdn jobs list` shows those that are")
    return delivery


def job_of(session: Session, delivery_id: int) -> str | None:
    """The computation whose report is delivered."""
    query = select(Report.job_id).join(Delivery, Delivery.report_id == Report.id).where(Delivery.id == delivery_id)
    return session.scalar(query)


def retry_delivery(session: Session, delivery_id: int) -> None:
    """Try again now, by an administrator's order; a dead delivery gets a new life and new patience.

    Raises InputError when there is nothing left to do.
    """
    delivery = get_delivery(session, delivery_id)
    if delivery.state in ("delivered", "superseded"):
        raise InputError(f"delivery {delivery_id} is {delivery.state}: there is nothing to try again")
    now = now_utc()
    if delivery.state == "dead":
        delivery.state, delivery.attempts, delivery.created_at = "pending", 0, now
        delivery.objects = {uid: entry for uid, entry in delivery.objects.items() if entry["status"] == STORED}
        release(delivery)
    delivery.error_text = None
    wait_until(session, delivery, now)


def list_deliveries(session: Session, states: tuple[str, ...] = (), limit: int = 200) -> list[Delivery]:
    """Deliveries, the newest first."""
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    return list(session.scalars(query.where(Delivery.state.in_(states)) if states else query))


def deliveries_of(session: Session, report_id: int) -> list[Delivery]:
    return list(session.scalars(select(Delivery).where(Delivery.report_id == report_id).order_by(Delivery.id)))
