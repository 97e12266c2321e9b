"""Delivering one report to one PACS: C-STORE of its objects, then storage commitment, step by step in the ledger.

Every step can be repeated. What a PACS has stored is not sent again unless it says that it cannot commit it; what is
sent again has the same bytes. A worker that dies loses its lease, and the next one goes on from what stands in the
ledger.
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

SAME_ASSOCIATION_WAIT_S = 1.0
LEAST_TRIES = 8  # before a delivery is given up: a wall clock that jumped over the days is no reason to
MOST_TRIES_NOT_UNDERSTOOD = 8
FHIR = "fhir"  # name of the destination that gets FHIR resources, and kind of the object that holds them
FALLBACK = "_fallback"  # kind of the object that stands in for one whose SOP class a PACS refuses, e.g. "sr_fallback"

log = structlog.get_logger("cptdn.delivery")

# Another form of a document whose SOP class the PACS refuses: (report id, kind, refused SOP class) -> stored object.
Fallback = Callable[[int, str, str], StoredObject | None]


@dataclass(frozen=True)
class DeliveryOutcome:
    """How a delivery stands after one step; `claimed` is False when there was nothing to do for this worker."""

    state: str
    claimed: bool
    text: str = ""


class _LeaseLostError(Exception):
    """This delivery is no longer in this step's hands."""


@dataclass(frozen=True)
class _Work:
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
    """Do what this delivery needs next. Safe to run twice and by several workers at once.

    fallback : asked for another form of an object whose SOP class the PACS refuses.
    """
    owner = f"{worker_name}/{uuid.uuid4().hex[:8]}"  # of this very step: threads of one worker are told apart, too
    lease = timedelta(seconds=settings.jobs.lease_s)
    work = _begin(ledger, settings, delivery_id, owner, lease)
    if isinstance(work, DeliveryOutcome):
        return work
    step = _Step(ledger, settings, store, owner, work, fallback)
    extend = partial(deliveries.extend_lease, delivery_id=delivery_id, owner=owner, lease=lease)
    try:
        with extending_lease(ledger, extend, lease):
            try:
                return step.run()
            except PacsUnavailableError as error:
                return step.postpone(str(error))
            except FileNotFoundError as error:
                return step.end_without_file(error)
    except _LeaseLostError:  # the commitment came meanwhile, or another worker took over
        with ledger.begin() as session:
            return DeliveryOutcome(session.get_one(Delivery, delivery_id).state, claimed=True)


def requeue_overdue(session: Session, settings: Settings) -> int:
    """For the watchdog: owe the broker what is due and has no message; returns how many deliveries that were."""
    return len(deliveries.requeue_due(session, now_utc()))


def _begin(
    ledger: Ledger, settings: Settings, delivery_id: int, owner: str, lease: timedelta
) -> _Work | DeliveryOutcome:
    with ledger.begin() as session:
        delivery = deliveries.claim(session, delivery_id, owner, now_utc(), lease)
        if delivery is None:
            found = session.get(Delivery, delivery_id)
            return DeliveryOutcome(found.state if found else "absent", claimed=False)
        pacs = _destination(settings, delivery.pacs)
        if pacs is None:
            text = f"no [[pacs]] named {delivery.pacs!r} is configured any more"
            deliveries.finish(delivery, "dead", text)
            return DeliveryOutcome("dead", True, text)
        objects = _objects_for(session, delivery, pacs)
        status = {uid: entry["status"] for uid, entry in delivery.objects.items()}
        return _Work(
            delivery_id, delivery.report_id, pacs,
            tuple(one for one in objects if status.get(one.sop_instance_uid) not in (STORED, REFUSED)),
            delivery.attempts, *subject_of(session, delivery.report_id),
        )  # fmt: skip


def _destination(settings: Settings, name: str) -> PacsSettings | None:
    """Where a delivery goes; the FHIR server is tried again by the rules of a PACS with the default settings."""
    if name == FHIR and settings.fhir.report_url:
        return PacsSettings(name=FHIR, send=(), storage_commitment=False)
    return next((one for one in settings.pacs if one.name == name), None)


def _objects_for(session: Session, delivery: Delivery, pacs: PacsSettings) -> list[StoredObject]:
    """What this PACS shall get, in the order of its `send`; another form stands in for a refused SOP class."""
    rows = objects_of(session, delivery.report_id)
    refused = {
        one.kind for one in rows if delivery.objects.get(one.sop_instance_uid, {}).get("status") == REFUSED
    }  # fmt: skip
    kinds: list[str] = [FHIR] if pacs.name == FHIR else []
    for kind in pacs.send:
        kinds += [kind, kind + FALLBACK] if kind in refused else [kind]
    return [
        StoredObject(o.kind, o.sop_class_uid, o.sop_instance_uid, o.transfer_syntax_uid, o.digest, o.path)
        for kind in kinds
        for o in rows
        if o.kind == kind
    ]


class _Step:
    """One step of one claimed delivery."""

    def __init__(
        self, ledger: Ledger, settings: Settings, store: StudyStore, owner: str, work: _Work,
        fallback: Fallback | None,
    ) -> None:  # fmt: skip
        self.ledger, self.settings, self.store, self.owner = ledger, settings, store, owner
        self.work, self.fallback, self.pacs = work, fallback, work.pacs
        self.audit = open_audit(settings, "worker")

    @contextmanager
    def _delivery(self) -> Iterator[tuple[Session, Delivery]]:
        """The delivery, to be written, while it is still this step's. Raises _LeaseLostError."""
        with self.ledger.begin() as session:
            delivery = deliveries.get_leased(session, self.work.delivery_id, self.owner)
            if delivery is None:
                raise _LeaseLostError
            yield session, delivery

    def run(self) -> DeliveryOutcome:
        if self.pacs.name == FHIR:
            return self._post()
        if self.work.to_send:
            refused, later = self._send(self.work.to_send)
            others = [other for one in refused if (other := self._other_form(one)) is not None]
            if others:
                later += self._send(others)[1]
            if later:
                return self.postpone(f"{len(later)} object(s) not stored yet: {later[0].note or 'no response'}")
        return self._commit()

    # --- storing ---

    def _send(self, objects: Sequence[StoredObject]) -> tuple[list[StoredObject], list[SendOutcome]]:
        """Send and record; returns what was refused for its SOP class, and the outcomes to be tried again."""
        study, patient_id = self.work.study_instance_uid, self.work.patient_id
        sop_classes = Counter(one.sop_class_uid for one in objects)
        self.audit.sending(self.pacs, study, patient_id, sop_classes)
        sendables = [
            FileToSend(self.store.path(one.path), one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
            for one in objects
        ]
        try:
            outcomes = [self._settled(outcome) for outcome in send(sendables, self.pacs, self.settings.node.ae_title)]
        except PacsUnavailableError as error:
            self.audit.sent(self.pacs, study, patient_id, sop_classes, failure=str(error))
            raise
        self._record_transfer(objects, outcomes)
        with self._delivery() as (_session, delivery):
            for outcome in outcomes:
                if outcome.verdict is not Verdict.RETRY:
                    status = STORED if outcome.verdict is Verdict.STORED else REFUSED
                    deliveries.record_object(delivery, outcome.sop_instance_uid, status=status, note=outcome.note)
        refused = [one for one, outcome in zip(objects, outcomes, strict=True) if outcome.class_refused]
        return refused, [outcome for outcome in outcomes if outcome.verdict is Verdict.RETRY]

    def _record_transfer(self, objects: Sequence[StoredObject], outcomes: Sequence[SendOutcome]) -> None:
        """One audit message for what the PACS took and one for what it did not: never one with mixed results."""
        stored = [outcome.verdict is Verdict.STORED for outcome in outcomes]
        for taken, failure in ((True, ""), (False, "the PACS did not take these objects")):
            classes = Counter(o.sop_class_uid for o, ok in zip(objects, stored, strict=True) if ok is taken)
            if classes:
                self.audit.sent(self.pacs, self.work.study_instance_uid, self.work.patient_id, classes, failure)

    def _settled(self, outcome: SendOutcome) -> SendOutcome:
        """`Cannot understand` again and again is a refusal."""
        cannot_understand = outcome.status is not None and outcome.status & 0xF000 == 0xC000
        if cannot_understand and self.work.attempts + 1 >= MOST_TRIES_NOT_UNDERSTOOD:
            return replace(outcome, verdict=Verdict.REFUSED)
        return outcome

    def _other_form(self, refused: StoredObject) -> StoredObject | None:
        if refused.kind.endswith(FALLBACK):
            return None
        with self.ledger.begin() as session:
            kept = [one for one in objects_of(session, self.work.report_id) if one.kind == refused.kind + FALLBACK]
        if kept:
            one = kept[0]
            return StoredObject(
                one.kind, one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid, one.digest, one.path
            )
        if self.fallback is None:
            return None
        return self.fallback(self.work.report_id, refused.kind, refused.sop_class_uid)

    # --- posting ---

    def _post(self) -> DeliveryOutcome:
        """The report as FHIR resources; delivered when the server has taken them."""
        state, text = "delivered", ""
        try:
            for one in self.work.to_send:
                post_report(self.store.path(one.path), self.settings.fhir)
        except ReportRefusedError as error:
            state, text = "dead", str(error)
        url = self.settings.fhir.report_url or ""
        self.audit.exported(url, self.work.study_instance_uid, self.work.patient_id, failure=text)
        with self._delivery() as (_session, delivery):
            for one in self.work.to_send:
                deliveries.record_object(
                    delivery, one.sop_instance_uid, status=REFUSED if text else STORED, note=text
                )  # fmt: skip
            delivery.sent_at = now_utc() if not text else None
            return self._end(delivery, state, text)

    # --- committing ---

    def _commit(self) -> DeliveryOutcome:
        with self._delivery() as (session, delivery):
            refusal = _refusal(session, delivery, self.pacs)
            if refusal is not None:
                return self._end(delivery, "dead", refusal)
            waiting = deliveries.awaiting_commitment(delivery)
            delivery.sent_at = delivery.sent_at or now_utc()
            if not self.pacs.storage_commitment or not waiting:
                return self._end(delivery, "delivered", _notes(delivery))
            transaction_uid = str(generate_uid(prefix=None))
            delivery.state, delivery.transaction_uid = "sent", transaction_uid
            overdue = now_utc() + timedelta(seconds=self.pacs.commitment_wait_s)
            deliveries.wait_until(session, delivery, overdue)
            classes = {one.sop_instance_uid: one.sop_class_uid for one in objects_of(session, self.work.report_id)}
        answer = request_commitment(
            self.pacs, self.settings.node.ae_title, transaction_uid, [(classes[uid], uid) for uid in waiting],
            SAME_ASSOCIATION_WAIT_S,
        )  # fmt: skip
        return self._answered(answer)

    def _answered(self, answer: CommitmentAnswer) -> DeliveryOutcome:
        if answer.result is not None:
            deliveries.record_commitment(self.ledger)(answer.result)
        elif answer.supported and answer.status != 0x0000:
            status = "none" if answer.status is None else f"{answer.status:04X}"
            return self.postpone(f"the PACS did not take the commitment request (status {status})")
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
        """One of our own files is gone: no waiting brings it back."""
        name = Path(str(error.filename)).name
        text = (
            f"the stored object {name} is missing; `cptdn doctor --storage` says what else is, `cptdn reprocess` helps"
        )
        with self._delivery() as (_, delivery):
            return self._end(delivery, "dead", text)

    def postpone(self, reason: str) -> DeliveryOutcome:
        """Try again later, or give up after the configured days."""
        now = now_utc()
        with self._delivery() as (session, delivery):
            delivery.attempts += 1
            overdue = now - delivery.created_at > timedelta(days=self.pacs.give_up_after_days)
            if overdue and delivery.attempts >= LEAST_TRIES:
                text = f"given up after {self.pacs.give_up_after_days:g} days and {delivery.attempts} tries: {reason}"
                return self._end(delivery, "dead", text)
            delivery.error_text = reason
            deliveries.release(delivery)
            seconds = backoff_s(self.pacs.retry_first_s, self.pacs.retry_longest_s, delivery.attempts)
            deliveries.wait_until(session, delivery, now + timedelta(seconds=seconds))
            log.warning("delivery_postponed", delivery=delivery.id, pacs=delivery.pacs, reason=reason, seconds=seconds)
            return DeliveryOutcome(delivery.state, True, reason)


def _refusal(session: Session, delivery: Delivery, pacs: PacsSettings) -> str | None:
    """Why this delivery is hopeless: the PACS refuses the document itself, or everything."""
    rows = {one.sop_instance_uid: one.kind for one in objects_of(session, delivery.report_id)}
    stored = {rows.get(uid, "") for uid, entry in delivery.objects.items() if entry["status"] == STORED}
    refused = {
        rows.get(uid, ""): entry["note"] for uid, entry in delivery.objects.items() if entry["status"] == REFUSED
    }
    leading = next((kind for kind in pacs.send if kind in rows.values()), None)
    if leading is None:
        return f"the report has none of the objects that this PACS shall get ({', '.join(pacs.send)})"
    if leading in stored or leading + FALLBACK in stored:
        return None
    return f"the PACS refuses the {leading.upper()}: {refused.get(leading, 'no reason given')}"


def _notes(delivery: Delivery) -> str:
    """What an administrator should know of a delivery that ended well."""
    refused = sum(entry["status"] == REFUSED for entry in delivery.objects.values())
    return f"{refused} object(s) refused by the PACS" if refused else ""
