"""Deliver one report to one destination: C-STORE of its objects, then storage commitment, step by step in the ledger.

    pending --C-STORE--> sent --N-EVENT-REPORT--> delivered      |--refused, or given_up after days--> dead

Every step may be repeated. An object that a PACS has stored is sent again only when the PACS reports that it cannot
commit it, and then with the same bytes. A worker that dies loses its lease; the next one continues from the ledger.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog
from pydicom.uid import generate_uid
from sqlalchemy.orm import Session

from config.errors import PacsUnavailableError
from config.settings import PacsSettings, Settings
from node.audit.recorder import open_audit
from node.clinical.fhir_reports import ReportRefusedError, post_report
from node.dicom.network.statuses import Verdict
from node.dicom.scu.commitment_scu import CommitmentAnswer, request_commitment
from node.dicom.scu.store_scu import FileToSend, SendOutcome, send
from node.ledger import deliveries
from node.ledger.backoff import backoff_s
from node.ledger.database import Ledger, now_utc
from node.ledger.deliveries import REFUSED, STORED
from node.ledger.lease import extending_lease
from node.ledger.reports import StoredObject, objects_of, subject_of
from node.ledger.tables import Delivery
from node.store.study_store import StudyStore
from node.workflow.destinations import FALLBACK, FHIR, destination, objects_for, refusal_of, remark_on, stored_object

SAME_ASSOCIATION_WAIT_S = 1.0
LEAST_ATTEMPTS = 8  # before a delivery is given up: a clock that jumps by days must not end it at the first failure
MOST_ATTEMPTS_NOT_UNDERSTOOD = 8  # then Cxxx, "cannot understand" (PS3.4 B.2.3), counts as a refusal

log = structlog.get_logger("cptdn.delivery")

# Makes another form of a document: (report id, kind, refused SOP Class UID) -> stored object, None if there is none.
Fallback = Callable[[int, str, str], StoredObject | None]


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


@dataclass(frozen=True)
class _ClaimedDelivery:
    """What one step needs, read under the lease."""

    delivery_id: int
    report_id: int
    pacs: PacsSettings
    to_send: tuple[StoredObject, ...]
    attempts: int
    study_instance_uid: str
    patient_id: str


def deliver(
    ledger: Ledger,
    settings: Settings,
    store: StudyStore,
    delivery_id: int,
    worker_name: str,
    fallback: Fallback | None = None,
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

    Returns
    -------
    DeliveryOutcome
        The state afterwards. A destination that does not answer is no error: the delivery is postponed.
    """
    # Of this step, not of the worker: two threads of one worker must not take each other's lease for their own.
    owner = f"{worker_name}/{uuid.uuid4().hex[:8]}"
    lease = timedelta(seconds=settings.jobs.lease_s)
    claimed = _claim(ledger, settings, delivery_id, owner, lease)
    if isinstance(claimed, DeliveryOutcome):
        return claimed
    step = _DeliveryStep(ledger, settings, store, owner, claimed, fallback)
    extend = partial(deliveries.extend_lease, delivery_id=delivery_id, owner=owner, lease=lease)
    try:
        with extending_lease(ledger, extend, lease):
            try:
                return step.run()
            except PacsUnavailableError as error:
                return step.postpone(str(error))
            except FileNotFoundError as error:
                return step.end_without_file(error)
    except _LeaseLostError:
        with ledger.begin() as session:
            return DeliveryOutcome(session.get_one(Delivery, delivery_id).state, claimed=True)


def requeue_overdue(session: Session, settings: Settings) -> int:
    """Queue every delivery that is due and has no message in the broker, and return their number.

    A delivery loses its message when a worker dies with it, or when the broker is emptied.

    Returns
    -------
    int
        Deliveries that are leased or have a message in the outbox do not count.
    """
    return len(deliveries.requeue_due(session, now_utc()))


def _claim(
    ledger: Ledger, settings: Settings, delivery_id: int, owner: str, lease: timedelta
) -> _ClaimedDelivery | DeliveryOutcome:
    with ledger.begin() as session:
        delivery = deliveries.claim(session, delivery_id, owner, now_utc(), lease)
        if delivery is None:
            other = session.get(Delivery, delivery_id)
            return DeliveryOutcome(other.state if other else "absent", claimed=False)
        pacs = destination(settings, delivery.pacs)
        # Dead and not postponed: no waiting brings back a destination that was removed from the configuration.
        if pacs is None:
            text = f"no [[pacs]] named {delivery.pacs!r} is configured"
            deliveries.finish(delivery, "dead", text)
            return DeliveryOutcome("dead", True, text)
        objects = objects_for(session, delivery, pacs)
        status = {uid: entry["status"] for uid, entry in delivery.objects.items()}
        return _ClaimedDelivery(
            delivery_id, delivery.report_id, pacs,
            tuple(stored for stored in objects if status.get(stored.sop_instance_uid) not in (STORED, REFUSED)),
            delivery.attempts, *subject_of(session, delivery.report_id),
        )  # fmt: skip


class _DeliveryStep:
    """One step of one claimed delivery."""

    def __init__(
        self, ledger: Ledger, settings: Settings, store: StudyStore, owner: str, claimed: _ClaimedDelivery,
        fallback: Fallback | None,
    ) -> None:  # fmt: skip
        self.ledger, self.settings, self.store, self.owner = ledger, settings, store, owner
        self.claimed, self.fallback, self.pacs = claimed, fallback, claimed.pacs
        self.audit = open_audit(settings, "worker")

    @contextmanager
    def _delivery(self) -> Iterator[tuple[Session, Delivery]]:
        """Open a transaction with the delivery, while this step has its lease. Raises _LeaseLostError."""
        with self.ledger.begin() as session:
            delivery = deliveries.get_leased(session, self.claimed.delivery_id, self.owner)
            if delivery is None:
                raise _LeaseLostError
            yield session, delivery

    def run(self) -> DeliveryOutcome:
        """Send what is not stored yet, then request commitment; a FHIR server gets its resources instead."""
        if self.pacs.name == FHIR:
            return self._post()
        if self.claimed.to_send:
            refused, later = self._send(self.claimed.to_send)
            # On an association of their own: what is proposed cannot be changed on one that is established.
            fallbacks = [fallback for each in refused if (fallback := self._fallback_of(each)) is not None]
            if fallbacks:
                later += self._send(fallbacks)[1]
            # Commitment is requested only once all objects are stored.
            if later:
                return self.postpone(f"{len(later)} object(s) not stored yet: {later[0].note or 'no response'}")
        return self._commit()

    # --- storing ---

    def _send(self, objects: Sequence[StoredObject]) -> tuple[list[StoredObject], list[SendOutcome]]:
        """Send and record; return the objects of refused SOP classes, and the outcomes to be tried again."""
        study, patient_id = self.claimed.study_instance_uid, self.claimed.patient_id
        sop_classes = Counter(stored.sop_class_uid for stored in objects)
        self.audit.sending(self.pacs, study, patient_id, sop_classes)
        sendables = [
            FileToSend(self.store.path(each.path), each.sop_class_uid, each.sop_instance_uid, each.transfer_syntax_uid)
            for each in objects
        ]
        try:
            outcomes = [
                self._final_outcome(outcome) for outcome in send(sendables, self.pacs, self.settings.node.ae_title)
            ]
        except PacsUnavailableError as error:
            self.audit.sent(self.pacs, study, patient_id, sop_classes, failure=str(error))
            raise
        self._record_transfer(objects, outcomes)
        with self._delivery() as (_session, delivery):
            for outcome in outcomes:
                # Recorded before the next step: what is stored is not sent again by a worker that takes over.
                if outcome.verdict is not Verdict.RETRY:
                    status = STORED if outcome.verdict is Verdict.STORED else REFUSED
                    deliveries.record_object(delivery, outcome.sop_instance_uid, status=status, note=outcome.note)
        refused = [each for each, outcome in zip(objects, outcomes, strict=True) if outcome.class_refused]
        return refused, [outcome for outcome in outcomes if outcome.verdict is Verdict.RETRY]

    def _record_transfer(self, objects: Sequence[StoredObject], outcomes: Sequence[SendOutcome]) -> None:
        """Write one audit message for what the PACS stored and one for the rest: a message has one outcome."""
        stored = [outcome.verdict is Verdict.STORED for outcome in outcomes]
        for accepted, failure in ((True, ""), (False, "the PACS did not store these objects")):
            classes = Counter(o.sop_class_uid for o, ok in zip(objects, stored, strict=True) if ok is accepted)
            if classes:
                self.audit.sent(self.pacs, self.claimed.study_instance_uid, self.claimed.patient_id, classes, failure)

    def _final_outcome(self, outcome: SendOutcome) -> SendOutcome:
        """Return the outcome, with `cannot understand` (Cxxx) as a refusal after enough attempts."""
        cannot_understand = outcome.status is not None and outcome.status & 0xF000 == 0xC000
        if cannot_understand and self.claimed.attempts + 1 >= MOST_ATTEMPTS_NOT_UNDERSTOOD:
            return replace(outcome, verdict=Verdict.REFUSED)
        return outcome

    def _fallback_of(self, refused: StoredObject) -> StoredObject | None:
        if refused.kind.endswith(FALLBACK):
            return None
        with self.ledger.begin() as session:
            rows = objects_of(session, self.claimed.report_id)
        for row in rows:
            if row.kind == refused.kind + FALLBACK:
                return stored_object(row)
        if self.fallback is None:
            return None
        return self.fallback(self.claimed.report_id, refused.kind, refused.sop_class_uid)

    # --- posting ---

    def _post(self) -> DeliveryOutcome:
        """Post the report as FHIR resources; it is delivered when the server has accepted them."""
        state, text = "delivered", ""
        try:
            for resource in self.claimed.to_send:
                post_report(self.store.path(resource.path), self.settings.fhir)
        except ReportRefusedError as error:
            state, text = "dead", str(error)
        url = self.settings.fhir.report_url or ""
        self.audit.exported(url, self.claimed.study_instance_uid, self.claimed.patient_id, failure=text)
        with self._delivery() as (_session, delivery):
            for resource in self.claimed.to_send:
                deliveries.record_object(
                    delivery, resource.sop_instance_uid, status=REFUSED if text else STORED, note=text
                )  # fmt: skip
            delivery.sent_at = now_utc() if not text else None
            return self._end(delivery, state, text)

    # --- committing ---

    def _commit(self) -> DeliveryOutcome:
        with self._delivery() as (session, delivery):
            refusal = refusal_of(session, delivery, self.pacs)
            if refusal is not None:
                return self._end(delivery, "dead", refusal)
            waiting = deliveries.awaiting_commitment(delivery)
            delivery.sent_at = delivery.sent_at or now_utc()
            if not self.pacs.storage_commitment or not waiting:
                return self._end(delivery, "delivered", remark_on(delivery))
            # The state is written before the request: the PACS may report on an association of its own, before the
            # response to the request has arrived here.
            # A new UID for each request (PS3.4 J.3.2.1): a late result of an earlier one must not count for this one.
            transaction_uid = str(generate_uid(prefix=None))
            delivery.state, delivery.transaction_uid = "sent", transaction_uid
            overdue = now_utc() + timedelta(seconds=self.pacs.commitment_wait_s)
            deliveries.wait_until(session, delivery, overdue)
            classes = {row.sop_instance_uid: row.sop_class_uid for row in objects_of(session, self.claimed.report_id)}
        answer = request_commitment(
            self.pacs, self.settings.node.ae_title, transaction_uid, [(classes[uid], uid) for uid in waiting],
            SAME_ASSOCIATION_WAIT_S,
        )  # fmt: skip
        return self._answered(answer)

    def _answered(self, answer: CommitmentAnswer) -> DeliveryOutcome:
        # The result came on the same association; otherwise the node's own association receives it.
        if answer.result is not None:
            deliveries.record_commitment(self.ledger)(answer.result)
        elif answer.supported and answer.status != 0x0000:
            status = "none" if answer.status is None else f"{answer.status:04X}"
            return self.postpone(f"the PACS did not accept the commitment request (status {status})")
        with self._delivery() as (_session, delivery):
            if not answer.supported:
                return self._end(delivery, "delivered", "stored; the PACS does not offer storage commitment")
            deliveries.release(delivery)
            return DeliveryOutcome(delivery.state, True, delivery.error_text or "")

    # --- endings ---

    def _end(self, delivery: Delivery, state: str, text: str) -> DeliveryOutcome:
        deliveries.finish(delivery, state, text or None)
        log.info("delivery_ended", delivery=delivery.id, pacs=delivery.pacs, state=state, reason=text)
        return DeliveryOutcome(state, True, text)

    def end_without_file(self, error: FileNotFoundError) -> DeliveryOutcome:
        """End the delivery because a file of the report is missing: another attempt would not find it either."""
        name = Path(str(error.filename)).name
        text = (
            f"the stored object {name} is missing; `cptdn doctor --storage` lists missing files, "
            "`cptdn reprocess` makes the report again"
        )
        with self._delivery() as (_, delivery):
            return self._end(delivery, "dead", text)

    def postpone(self, reason: str) -> DeliveryOutcome:
        """Schedule the next attempt, or give up after the configured days and enough attempts."""
        now = now_utc()
        with self._delivery() as (session, delivery):
            delivery.attempts += 1
            overdue = now - delivery.created_at > timedelta(days=self.pacs.give_up_after_days)
            if overdue and delivery.attempts >= LEAST_ATTEMPTS:
                text = (
                    f"given up after {self.pacs.give_up_after_days:g} days and {delivery.attempts} attempts: {reason}"
                )
                return self._end(delivery, "dead", text)
            delivery.error_text = reason
            deliveries.release(delivery)
            seconds = backoff_s(self.pacs.retry_first_s, self.pacs.retry_longest_s, delivery.attempts)
            deliveries.wait_until(session, delivery, now + timedelta(seconds=seconds))
            log.warning("delivery_postponed", delivery=delivery.id, pacs=delivery.pacs, reason=reason, seconds=seconds)
            return DeliveryOutcome(delivery.state, True, reason)
