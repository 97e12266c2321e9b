"""Deliver one report to one destination, step by step in the ledger.

What a step does follows from the state (`node.ledger.delivery_machine`): it sends what is not stored yet, then requests
commitment where the destination offers it. How a destination is spoken to is the channel's (`channels.channel`); every
outcome, and every error of a channel, becomes an event of the machine with its sentence.

Every step may be repeated. An object that a PACS has stored is sent again only when the PACS reports that it cannot
commit it, and then with the same bytes. A worker that dies loses its lease; the next one continues from the ledger.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog
from pydicom.uid import generate_uid
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config.errors import CptdnError, PacsUnavailableError
from config.messages.message import message, text_of
from config.settings import PacsSettings, Settings
from config.system_error import reason_of
from node.audit.recorder import open_audit
from node.dicom.scu.commitment_scu import CommitmentAnswer
from node.ledger import commitments, deliveries
from node.ledger.backoff import backoff_s
from node.ledger.database import Ledger, now_utc
from node.ledger.deliveries import REFUSED, STORED
from node.ledger.delivery_machine import OPEN_STATES, SENT, Event, Facts
from node.ledger.lease import extending_lease
from node.ledger.outbox import enqueue
from node.ledger.reports import StoredObject, objects_of, subject_of
from node.ledger.supersession import held_before, supersede, supersede_replaced
from node.ledger.tables import Delivery
from node.messaging.messages import DELIVER_REPORT
from node.store.study_store import StudyStore
from node.workflow.channels.channel import LATER, Channel, ChannelContext, Fallback, Parcel, SendResult, patience_of
from node.workflow.destinations import open_channel, stored_object

LEAST_ATTEMPTS = 8  # before a delivery is given up: a clock that jumps by days must not end it at the first failure
MOST_UNEXPECTED = 8  # attempts that may end with an error that nobody has foreseen: waiting does not repair it
DEFAULT_PATIENCE = patience_of(PacsSettings())
AFTER_EARLIER_S = 1.0  # until the delivery of an earlier report of the study is looked at again

log = structlog.get_logger("cptdn.delivery")


@dataclass(frozen=True)
class DeliveryOutcome:
    """State of a delivery after one step.

    Attributes
    ----------
    state : str
        As in the ledger: pending, sent, delivered, dead or superseded; "absent" when the delivery does not exist.
    claimed : bool
        False when another worker has the delivery, it is not due, or it is finished.
    text : str
        Reason of the state; empty when there is nothing to say.
    """

    state: str
    claimed: bool
    text: str = ""


class _LeaseLostError(Exception):
    """The lease of this step has ended: the commitment arrived, or another worker took the delivery."""


def deliver(
    ledger: Ledger,
    settings: Settings,
    store: StudyStore,
    delivery_id: int,
    worker_name: str,
    fallback: Fallback | None = None,
    clock: Callable[[], datetime] = now_utc,
) -> DeliveryOutcome:
    """Do the next step of a delivery; it may run twice, and in several workers at the same time.

    Parameters
    ----------
    ledger : Ledger
        Where the delivery is.
    settings : Settings
        Destinations and the length of a lease.
    store : StudyStore
        Where the objects of the report are.
    delivery_id : int
        Key of the delivery.
    worker_name : str
        Name of this worker, for the ledger.
    fallback : callable, optional
        Makes another form of an object whose SOP class the PACS refuses.
    clock : callable
        Returns the present time, aware.

    Returns
    -------
    DeliveryOutcome
        The state afterwards. A destination that does not answer is no error: the delivery is postponed.
    """
    # Of this step, not of the worker: two threads of one worker must not take each other's lease for their own.
    owner = f"{worker_name}/{uuid.uuid4().hex[:8]}"
    lease = timedelta(seconds=settings.jobs.lease_s)
    with ledger.begin() as session:
        if deliveries.claim(session, delivery_id, owner, clock(), lease) is None:
            return _unclaimed(session, delivery_id, clock())
    step = _DeliveryStep(ledger, settings, store, owner, delivery_id, fallback, clock)
    extend = partial(deliveries.extend_lease, delivery_id=delivery_id, owner=owner, lease=lease)
    try:
        with extending_lease(ledger, extend, lease):
            return step.run()
    except _LeaseLostError:
        with ledger.begin() as session:
            return DeliveryOutcome(session.get_one(Delivery, delivery_id).state, claimed=True)


def requeue_overdue(session: Session, settings: Settings, now: datetime | None = None) -> int:
    """Queue every delivery that is due and has no message in the broker, and return their number.

    A delivery loses its message when a worker dies with it, or when the broker is emptied. Those whose report was
    replaced are superseded first.

    Returns
    -------
    int
        Deliveries that are leased or have a message in the outbox do not count.
    """
    supersede_replaced(session)
    return len(deliveries.requeue_due(session, now or now_utc()))


def _unclaimed(session: Session, delivery_id: int, now: datetime) -> DeliveryOutcome:
    delivery = session.get(Delivery, delivery_id)
    if delivery is not None and deliveries.earlier_in_flight(session, delivery_id, now) is not None:
        enqueue(session, DELIVER_REPORT, [delivery_id], not_before=now + timedelta(seconds=AFTER_EARLIER_S))
    return DeliveryOutcome(delivery.state if delivery else "absent", claimed=False)


class _DeliveryStep:
    """One step of one claimed delivery."""

    def __init__(
        self, ledger: Ledger, settings: Settings, store: StudyStore, owner: str, delivery_id: int,
        fallback: Fallback | None, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self.ledger, self.owner, self.delivery_id, self.clock = ledger, owner, delivery_id, clock
        audit = open_audit(settings, "worker")
        self.context = ChannelContext(settings, store, audit, ledger, fallback)
        self.patience = DEFAULT_PATIENCE  # until the channel is open

    @contextmanager
    def _delivery(self) -> Iterator[tuple[Session, Delivery]]:
        """Open a transaction with the delivery, while this step has its lease. Raises _LeaseLostError."""
        with self.ledger.begin() as session:
            delivery = deliveries.get_leased(session, self.delivery_id, self.owner)
            if delivery is None:
                raise _LeaseLostError
            yield session, delivery

    def run(self) -> DeliveryOutcome:
        """Do what the state of the delivery demands; every error of the channel becomes an event with its sentence."""
        try:
            prepared = self._prepare()
            return prepared if isinstance(prepared, DeliveryOutcome) else self._do(*prepared)
        except (_LeaseLostError, SQLAlchemyError):
            raise  # of the ledger, and not of the destination: the lease ends, and the next step tries again
        except PacsUnavailableError as error:
            return self._failed(text_of(error), nothing_sent=True)
        except CptdnError as error:
            return self._failed(text_of(error))
        except Exception as error:  # whatever it is: a delivery must not stay without a reason
            if text := self._missing_file(error):
                with self._delivery() as (_, delivery):
                    return _ended(delivery, Event.REFUSED, Facts(), text)
            log.exception("delivery_step_failed", delivery=self.delivery_id)
            return self._failed(_unexpected(error), most_attempts=MOST_UNEXPECTED)

    def _prepare(self) -> DeliveryOutcome | tuple[Channel, Parcel]:
        """Return the channel, and what has to be sent; or the end of the delivery where there is nothing to do."""
        with self._delivery() as (session, delivery):
            revision = deliveries.replaced_by(session, delivery.report_id)
            if revision is not None:
                text = message("delivery.replaced_before_commit", revision=revision)
                if delivery.state == SENT:
                    return _ended(delivery, Event.REQUESTED, Facts(is_current=False), text)
                supersede(delivery, message("delivery.replaced", revision=revision))
                return _ended(delivery, Event.SUPERSEDED, Facts(), "")
            channel = open_channel(delivery.pacs, self.context)
            # Dead and not postponed: no waiting brings back a destination that was removed from the configuration.
            if channel is None:
                text = message("delivery.unconfigured", pacs=delivery.pacs)
                return _ended(delivery, Event.UNCONFIGURED, Facts(), text)
            self.patience = channel.patience
            selected = channel.select(_objects(session, delivery), delivery.objects)
            status = {uid: entry["status"] for uid, entry in delivery.objects.items()}
            to_send = tuple(each for each in selected if status.get(each.sop_instance_uid) not in (STORED, REFUSED))
            deliveries.begin_objects(delivery, [each.sop_instance_uid for each in to_send])
            study, patient_id = subject_of(session, delivery.report_id)
            held = tuple(held_before(session, delivery.report_id, delivery.pacs))
            return channel, Parcel(
                delivery.id, delivery.report_id, study, patient_id, to_send, delivery.attempts, held
            )  # fmt: skip

    def _do(self, channel: Channel, parcel: Parcel) -> DeliveryOutcome:
        """Send what is not stored yet, then request commitment."""
        if parcel.objects:
            later = self._record(channel.send(parcel, self._may_proceed))
            # Commitment is requested only once all objects are stored.
            if later:
                why = later[0].note or message("delivery.no_response")
                return self._failed(message("delivery.not_stored", n=len(later), why=why))
        return self._confirm(channel)

    # --- sending ---

    def _may_proceed(self) -> bool:
        with self.ledger.begin() as session:
            delivery = deliveries.get_leased(session, self.delivery_id, self.owner)
            return delivery is not None and delivery.state in OPEN_STATES

    def _record(self, results: list[SendResult]) -> list[SendResult]:
        """Record what became of each object before the next step; return those that must be sent again."""
        with self._delivery() as (_, delivery):
            for result in results:
                status = None if result.status == LATER else result.status
                deliveries.record_object(delivery, result.sop_instance_uid, status=status, note=result.note)
        return [result for result in results if result.status == LATER]

    # --- committing ---

    def _confirm(self, channel: Channel) -> DeliveryOutcome:
        with self._delivery() as (session, delivery):
            now, facts = self.clock(), deliveries.facts_of(session, delivery)
            refusal = channel.refusal(_objects(session, delivery), delivery.objects)
            if refusal is not None:
                return _ended(delivery, Event.REFUSED, facts, refusal)
            waiting = commitments.awaiting_commitment(delivery)
            delivery.sent_at = delivery.sent_at or now
            if channel.commitment is None or not waiting:
                return _ended(delivery, Event.STORED, facts, deliveries.remark_on(delivery))
            has_patience = commitments.has_patience(delivery, self.patience.give_up_after_days, now)
            facts = Facts(facts.is_current, has_patience)
            # The state is written before the request: the PACS may report on an association of its own, before the
            # response to the request has arrived here.
            state = deliveries.apply(
                delivery, Event.REQUESTED, facts, None if has_patience else _never_committed(delivery)
            )
            if state != SENT:
                deliveries.release(delivery)
                return DeliveryOutcome(state, True, delivery.error or "")
            transaction_uid = str(generate_uid(prefix=None))
            commitments.open_request(session, delivery, transaction_uid, waiting, now)
            seconds = commitments.wait_s(channel.commitment.wait_s, delivery.commitment_requests)
            deliveries.wait_until(session, delivery, now + timedelta(seconds=seconds))
            classes = {row.sop_instance_uid: row.sop_class_uid for row in objects_of(session, delivery.report_id)}
        try:
            answer = channel.commitment.request(
                transaction_uid, [(classes[uid], uid) for uid in waiting],
                commitments.record_commitment(self.ledger, self.clock),
            )  # fmt: skip
        except Exception:
            self._uncount_request()
            raise
        return self._answered(answer)

    def _answered(self, answer: CommitmentAnswer) -> DeliveryOutcome:
        if answer.supported and answer.status != 0x0000:
            if answer.status is None:  # it may have been accepted, so it stays counted
                return self._failed(message("delivery.commitment_unanswered"))
            self._uncount_request()
            return self._failed(message("delivery.commitment_not_accepted", status=f"{answer.status:04X}"))
        with self._delivery() as (_, delivery):
            if not answer.supported:
                text = message("delivery.commitment_not_offered")
                return _ended(delivery, Event.NOT_OFFERED, Facts(), text)
            # The result came on the same association, or comes later on one that the PACS opens to the node.
            deliveries.release(delivery)
            return DeliveryOutcome(delivery.state, True, delivery.error or "")

    def _uncount_request(self) -> None:
        """Leave a request out of the limit that the PACS has not accepted: attempts and days limit those."""
        with self._delivery() as (_, delivery):
            delivery.commitment_requests = max(0, delivery.commitment_requests - 1)

    # --- failing ---

    def _missing_file(self, error: Exception) -> str | None:
        """Return why the delivery ends where a file of the report is missing: another attempt would not find it."""
        if not isinstance(error, FileNotFoundError) or error.filename is None:
            return None
        path = Path(str(error.filename))
        if not path.is_relative_to(self.context.store.root):
            return None
        return message("delivery.file_missing", name=path.name)

    def _failed(self, reason: str, *, nothing_sent: bool = False, most_attempts: int | None = None) -> DeliveryOutcome:
        """Record a failed attempt: schedule the next one, or give up after the configured days and enough attempts."""
        now = self.clock()
        with self._delivery() as (session, delivery):
            if nothing_sent:
                deliveries.forget_begun(delivery)
            delivery.attempts += 1
            days = self.patience.give_up_after_days
            is_overdue = now - delivery.created_at > timedelta(days=days) and delivery.attempts >= LEAST_ATTEMPTS
            gives_up = is_overdue or (most_attempts is not None and delivery.attempts >= most_attempts)
            text = reason
            if gives_up:
                n = delivery.attempts
                long = message("delivery.days_and_attempts", days=days, n=n)
                after = long if is_overdue else message("delivery.n_attempts", n=n)
                text = message("delivery.given_up", after=after, reason=reason)
            state = deliveries.apply(delivery, Event.FAILED, deliveries.facts_of(session, delivery, not gives_up), text)
            deliveries.release(delivery)
            if state in OPEN_STATES:
                seconds = backoff_s(self.patience.first_s, self.patience.longest_s, delivery.attempts)
                deliveries.wait_until(session, delivery, now + timedelta(seconds=seconds))
                log.warning(
                    "delivery_postponed", delivery=delivery.id, pacs=delivery.pacs, reason=reason, seconds=seconds
                )  # fmt: skip
            return DeliveryOutcome(state, True, delivery.error or "")


def _ended(delivery: Delivery, event: Event, facts: Facts, text: str) -> DeliveryOutcome:
    state = deliveries.apply(delivery, event, facts, text)
    deliveries.release(delivery)
    return DeliveryOutcome(state, True, delivery.error or "")


def _objects(session: Session, delivery: Delivery) -> list[StoredObject]:
    return [stored_object(row) for row in objects_of(session, delivery.report_id)]


def _never_committed(delivery: Delivery) -> str:
    return message("delivery.never_committed", n=delivery.commitment_requests, id=delivery.id)


def _unexpected(error: Exception) -> str:
    """Return what is known about an error without its message, which may contain values of a patient's data."""
    if isinstance(error, OSError) and error.strerror:
        name = message("delivery.file_name", name=Path(str(error.filename)).name) if error.filename else ""
        return message("delivery.system_error", kind=type(error).__name__, why=reason_of(error), name=name)
    return message("delivery.unexpected", kind=type(error).__name__)
