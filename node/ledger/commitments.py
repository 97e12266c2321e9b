"""Storage commitment of deliveries: every request is recorded, and a result of any of them is accepted at any time.

A PACS may answer after seconds or after a night, in parts, twice, or never (PS3.4 J.3.3). A result says something about
an object as it had been stored when the request was made: an object that was stored again since then is not judged by
it. What a result means for the state of the delivery is in `delivery_machine.TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.messages.message import message
from node.ledger.backoff import backoff_s
from node.ledger.database import Ledger, now_utc
from node.ledger.deliveries import STORED, apply, facts_of, note_of, record_object, release, remark_on, wait_until
from node.ledger.delivery_machine import ENDED_STATES, PENDING, Event, Facts, State
from node.ledger.tables import CommitmentRequest, Delivery

# Failure Reason (0008,1197) of a commitment, PS3.3 section C.14
FAILURE_REASONS = {
    0x0110: message("commitment.processing_failure"),
    0x0112: message("commitment.no_such_instance"),
    0x0119: message("commitment.class_conflict"),
    0x0122: message("commitment.class_not_supported"),
    0x0131: message("commitment.duplicate_transaction"),
    0x0213: message("commitment.resources"),
}
NOT_RESENDABLE = frozenset({0x0119, 0x0122})  # the same bytes would fail again
RESEND_FIRST_S, RESEND_LONGEST_S = 5.0, 86_400.0
# Accepted requests of a delivery: with the waits below they take eight days where `commitment_wait_s` is an hour.
MOST_REQUESTS = 12
LEAST_REQUESTS = 8  # before the days until giving up count: a clock that jumps must not end a delivery
LONGEST_WAIT_S = 86_400.0

log = structlog.get_logger("cptdn.delivery")


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


def has_patience(delivery: Delivery, give_up_after_days: float, now: datetime) -> bool:
    """Return whether another request for commitment may be made."""
    overdue = now - delivery.created_at > timedelta(days=give_up_after_days)
    return delivery.commitment_requests < (LEAST_REQUESTS if overdue else MOST_REQUESTS)


def wait_s(first_s: float, requests: int) -> float:
    """Return how long the result of a request is awaited before the next one is made.

    Parameters
    ----------
    first_s : float
        For the first request; each wait is twice the one before it, and at most a day (or `first_s` if that is more).
    requests : int
        Requests so far, this one included.
    """
    return min(max(LONGEST_WAIT_S, first_s), first_s * 2.0 ** min(max(requests, 1) - 1, 30))


def open_request(
    session: Session, delivery: Delivery, transaction_uid: str, sop_instance_uids: Sequence[str], now: datetime
) -> None:
    """Record a request before it is made: its result may come before the response to it.

    Parameters
    ----------
    transaction_uid : str
        A new one for each request (PS3.4 J.3.2.1).
    sop_instance_uids : sequence of str
        Objects whose commitment is requested.
    """
    delivery.transaction_uid = transaction_uid
    delivery.commitment_requests += 1
    copies = {uid: _times_stored(delivery.objects[uid]) for uid in sop_instance_uids}
    session.add(
        CommitmentRequest(
            transaction_uid=transaction_uid, delivery_id=delivery.id, copies=copies, requested_at=now
        )
    )  # fmt: skip


def awaiting_commitment(delivery: Delivery) -> list[str]:
    """Return the SOP Instance UIDs that the destination has stored, not committed, and may still commit."""
    return [
        uid
        for uid, entry in delivery.objects.items()
        if entry["status"] == STORED and not entry["committed"] and not entry.get("uncommittable")
    ]


def record_commitment(ledger: Ledger, clock: Callable[[], datetime] = now_utc) -> Callable[[Commitment], bool]:
    """Return the function that is called with each commitment result, on whichever association it comes.

    Returns
    -------
    callable
        Records a result (`write_commitment`) and returns whether a delivery of this ledger had requested it.
    """

    def record(result: Commitment) -> bool:
        with ledger.begin() as session:
            delivery = write_commitment(session, result, clock())
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
    request = session.get(CommitmentRequest, result.transaction_uid)
    if request is None:
        return None
    delivery = session.scalars(
        select(Delivery).where(Delivery.id == request.delivery_id).with_for_update()
    ).one()  # fmt: skip
    request.answered_at = request.answered_at or now
    failed = {uid: reason for uid, reason in result.failed.items() if _judges(request, delivery, uid)}
    for uid in result.committed:
        # An object in both sequences is not committed.
        if uid not in result.failed and _judges(request, delivery, uid):
            note = note_of(delivery.objects[uid])
            record_object(delivery, uid, status=STORED, committed=True, note=note)
    lost = [uid for uid, reason in failed.items() if _record_failure(delivery, uid, reason)]
    if lost:
        _end_or_send_again(session, delivery, lost, now)
    else:
        _end_or_await(session, delivery, now)
    return delivery


def _times_stored(entry: Mapping[str, Any]) -> int:
    return int(entry.get("times_stored", 1))  # entries of earlier versions do not have it


def _judges(request: CommitmentRequest, delivery: Delivery, uid: str) -> bool:
    """Return whether a result of this request says something about an object as it is stored now."""
    # Only objects of this delivery: a PACS that reports other UIDs, too, must not add entries to it.
    entry = delivery.objects.get(uid)
    if entry is None or entry["status"] != STORED or entry["committed"]:
        return False
    return bool(request.copies.get(uid) == _times_stored(entry))


def _record_failure(delivery: Delivery, uid: str, reason: int) -> bool:
    """Record an object that was not committed; return whether it has to be sent again."""
    # "No such object instance" (0112H) and a processing failure may be cured by sending the object again: the PACS has
    # lost or not finished it. What can never be committed stays "stored", because it is in the PACS.
    resend = reason not in NOT_RESENDABLE
    said = FAILURE_REASONS.get(reason) or message("commitment.other", code=f"{reason:04X}")
    note = message("delivery.not_committed", reason=said)
    record_object(delivery, uid, status=None if resend else STORED, note=note, uncommittable=not resend)
    return resend


def _end_or_send_again(session: Session, delivery: Delivery, lost: Sequence[str], now: datetime) -> None:
    facts = facts_of(session, delivery, delivery.commitment_requests < MOST_REQUESTS)
    delivery.attempts += 1
    again = facts.has_patience and facts.is_current
    reason = note_of(delivery.objects[lost[0]])
    text = message("delivery.could_not_commit", n=len(lost), reason=reason)
    if again:
        text = message("delivery.could_not_commit_again", n=len(lost), reason=reason)
    if _apply(delivery, Event.LOST, facts, text) is PENDING:
        seconds = backoff_s(RESEND_FIRST_S, RESEND_LONGEST_S, delivery.attempts)
        wait_until(session, delivery, now + timedelta(seconds=seconds))


def _end_or_await(session: Session, delivery: Delivery, now: datetime) -> None:
    is_all_stored = delivery.sent_at is not None and all(
        entry["status"] is not None for entry in delivery.objects.values()
    )  # fmt: skip
    if not is_all_stored or awaiting_commitment(delivery):
        apply(delivery, Event.PARTLY_COMMITTED, facts_of(session, delivery), delivery.error)
        return
    uncommittable = any(entry.get("uncommittable") for entry in delivery.objects.values())
    text = message("delivery.not_all_committable") if uncommittable else remark_on(delivery)
    if not uncommittable:
        delivery.committed_at = delivery.committed_at or now
    _apply(delivery, Event.COMMITTED, facts_of(session, delivery), text)


def _apply(delivery: Delivery, event: Event, facts: Facts, text: str) -> State:
    before, after = delivery.state, apply(delivery, event, facts, text)
    # The step that requested the commitment has nothing more to record. One that sends objects of a delivery that had
    # ended before has.
    if after != before and after in ENDED_STATES:
        release(delivery)
    return after
