"""The tables of the ledger.

The broker may lose everything and nothing is lost: work is recorded here as jobs and outbox rows. Times are UTC.
Columns named *_uid contain DICOM UIDs; only `cases`, `instances`, `clinical_facts`, `follow_up_facts`,
`patient_merges` and `work_items` contain a patient identifier. Some attributes have the name of an older word in the
database (`mapped_column("lacks")`): installations keep their columns.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates
from sqlalchemy.types import TypeDecorator

from config.messages.stored import restored
from node.ledger.delivery_machine import check_write


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on every database; SQLite stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert an aware datetime to UTC for the database."""
        # The same instant on every database: aware times compare wrongly as text in SQLite unless all have one offset.
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time as an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Row = dict[str, Any]  # a value by column, for statements without mapped objects


class Base(DeclarativeBase):
    """Base of all mapped tables; maps Python types to column types."""

    # A text without a length of its own gets 255 characters, which PostgreSQL enforces and SQLite ignores: writers cut
    # what comes from outside (`node/dicom/scp/index.py`).
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON, str: String(255)}  # noqa: RUF012


class Process(Base):
    """A running node, worker or web process; one that has not refreshed its row for a while counts as dead."""

    __tablename__ = "processes"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # node | worker | web
    host: Mapped[str]
    pid: Mapped[int]
    ready: Mapped[bool] = mapped_column(default=False)
    info: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Association(Base):
    """An incoming association; a case is not complete while one that sent a part of its studies is open."""

    __tablename__ = "associations"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    node_id: Mapped[str]  # node process that accepted it: when it dies, the watchdog closes the association
    calling_ae: Mapped[str]
    address: Mapped[str]
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_associations_open", "closed_at"),)


class AssociationStudy(Base):
    """A study of which an association has sent a part."""

    __tablename__ = "association_studies"
    association_id: Mapped[str] = mapped_column(ForeignKey("associations.id"), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    __table_args__ = (Index("ix_association_studies_study", "study_instance_uid"),)


class Instance(Base):
    """A stored instance; its bytes at `path` (relative to the storage root) were durable before this row existed."""

    __tablename__ = "instances"
    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    frame_of_reference_uid: Mapped[str | None] = mapped_column(String(64))
    modality: Mapped[str] = mapped_column(String(16))
    patient_id: Mapped[str]
    issuer: Mapped[str] = mapped_column(default="")
    digest: Mapped[str] = mapped_column(String(64))  # of the data set bytes as received: node/store/digests.py
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(Text)
    header: Mapped[dict[str, Any]]  # the keywords that the case rules read: node/cases/headers.py
    calling_ae: Mapped[str]
    received_at: Mapped[datetime]
    __table_args__ = (
        Index("ix_instances_study", "study_instance_uid", "series_instance_uid"),
        Index("ix_instances_patient", "patient_id", "modality"),
        Index("ix_instances_frame", "frame_of_reference_uid", "modality"),
    )


class Quarantined(Base):
    """A quarantined object with the reason: unreadable, or an existing SOP Instance UID with other bytes."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    code: Mapped[str]  # unreadable_instance | conflicting_instance
    text: Mapped[str] = mapped_column(Text)
    message: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    study_instance_uid: Mapped[str | None] = mapped_column(String(64))
    # Of a conflict: keywords of what differs, or why that is not known; empty in rows of earlier versions.
    differences: Mapped[list[Any]] = mapped_column(default=list)
    digest: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    calling_ae: Mapped[str]
    association_id: Mapped[str | None] = mapped_column(String(36))  # that brought it: the other way to its study
    received_at: Mapped[datetime]
    dismissed_because: Mapped[str | None] = mapped_column(Text)  # set by an administrator; the file stays
    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "digest"),
        Index("ix_quarantine_study", "study_instance_uid"),
        Index("ix_quarantine_association", "association_id"),
    )

    @property
    def reason(self) -> str:
        """Return why it is quarantined.

        Returns
        -------
        str
            A message; the English text of a row of an earlier version.
        """
        return restored(self.text, self.message)


class Discarded(Base):
    """How many objects of one other storage class were received of a study and discarded; no more of them is kept."""

    __tablename__ = "discarded"
    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)  # empty where it could not be read
    sop_class_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    n: Mapped[int]
    received_at: Mapped[datetime]  # the last one


class Case(Base):
    """One MR study on its way to a report; `state` and `reasons` are those that commands and pages show."""

    __tablename__ = "cases"
    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_id: Mapped[str]
    issuer: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[list[Any]]  # [{"code", "text"}]
    assessment: Mapped[dict[str, Any]]  # what `explain` prints: roles with reasons, contour, clinical, eligibility
    assignments: Mapped[dict[str, Any]]  # roles assigned by an administrator: {"CE-T1w": series UID}
    # Questions that an operator has answered: {code: {"text", "because", "by", "at"}}.
    confirmations: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    hold: Mapped[str | None] = mapped_column(Text)  # reason of an administrator's hold
    # A person's withdrawal of the answer, or the recall of its bundle: {"event", "because", "by", "at", "digests"}.
    withdrawal: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    # When the case left `reported` and its delivered answer became outdated; None once the successor or the withdrawal
    # is recorded.
    outdated_since: Mapped[datetime | None] = mapped_column(default=None)
    current_report_id: Mapped[int | None]
    received_at: Mapped[datetime]
    last_instance_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    assess_after: Mapped[datetime | None]  # when the next assessment is due: new content, or the fallback timer
    retired_at: Mapped[datetime | None]  # when retention removed its instances; its reports stay
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (
        Index("ix_cases_state", "state", "updated_at"),
        Index("ix_cases_patient", "patient_id"),
        Index("ix_cases_due", "assess_after"),
        Index("ix_cases_received", "received_at"),
        Index("ix_cases_outdated", "outdated_since"),
    )
    # Optimistic lock: on SQLite, FOR UPDATE locks nothing, and a second writer of a stale row must fail, not overwrite.
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class CaseEvent(Base):
    """A line of a case's history: one sentence in English, and the message that it renders, None in old rows."""

    __tablename__ = "case_events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    kind: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(default="node")
    message: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    __table_args__ = (Index("ix_case_events_study", "study_instance_uid", "id"),)


class Fetch(Base):
    """A request to a PACS for what a case is missing.

    `fetched` records what came, so that no series is fetched without end.

    waiting   queried at `not_before`, and again with growing waits
    idle      nothing is missing any more, or the case went another way
    given_up  the PACS has had nothing for too long
    """

    __tablename__ = "fetches"
    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    pacs: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16))  # waiting | idle | given_up
    missing: Mapped[list[Any]] = mapped_column("lacks")
    fetched: Mapped[dict[str, Any]]  # Series Instance UID -> {"times", "n_instances", "name", "text"}
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    lease_owner: Mapped[str | None] = mapped_column("asked_by")  # node process that queries now; void when it dies
    text: Mapped[str | None] = mapped_column(Text)  # outcome of the last query
    began_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    __table_args__ = (Index("ix_fetches_due", "state", "not_before"),)


class ClinicalFact(Base):
    """A fact about a patient, never changed: the newest row of a name is current, older ones are history."""

    __tablename__ = "clinical_facts"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    patient_id: Mapped[str]
    issuer: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(
        String(32)
    )  # ebv_dna | diagnosis | stage | birth_date | treatment_start | prior_treatment
    value: Mapped[dict[str, Any]]
    source: Mapped[str]
    set_by: Mapped[str]
    observed_on: Mapped[date | None]
    stated_at: Mapped[datetime | None]  # when the sender wrote the message; orders the messages of one kind of sender
    recorded_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_clinical_facts_patient", "patient_id", "name", "id"),)


class FollowUpFact(Base):
    """What happened to a reported patient; like a clinical fact, but no assessment of a case reads it."""

    __tablename__ = "follow_up_facts"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    patient_id: Mapped[str]
    issuer: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(String(32))  # regimen | recurrence | metastasis | death | last_contact
    regimen: Mapped[str | None] = mapped_column(String(16))  # of the name `regimen`: ICT+CCRT | CCRT
    day: Mapped[date | None]  # of the event; of a regimen its first day, where it is stated
    source: Mapped[str]
    set_by: Mapped[str]
    stated_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_follow_up_facts_patient", "patient_id", "name", "id"),)


class Job(Base):
    """A computation of a case. `step` is the next thing to do: volumes, features, report, then done.

    The lease names the worker that has the step and until when; the watchdog queues the step of a dead worker again.
    """

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))  # queued | running | done | failed | cancelled
    step: Mapped[str] = mapped_column(String(16))
    request: Mapped[dict[str, Any]]  # the frozen inputs: series, contour, clinical facts, decision settings
    request_digest: Mapped[str] = mapped_column(String(64))
    bundle: Mapped[str]
    computation: Mapped[str | None] = mapped_column(String(64))  # of a comparison: equal means the same result
    send: Mapped[bool] = mapped_column(default=True)
    bulk: Mapped[bool] = mapped_column(default=False)  # one of many that were requested at once: new studies go first
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_text: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    seconds: Mapped[dict[str, Any]]  # duration by step
    result: Mapped[dict[str, Any] | None]  # outcome of `features`: scores and nomogram, before it is a report
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    __table_args__ = (
        Index("ix_jobs_study", "study_instance_uid", "created_at"),
        Index("ix_jobs_state", "state", "not_before"),
        Index("ix_jobs_computation", "computation"),
        Index("ix_jobs_created", "created_at"),
    )

    @property
    def error(self) -> str | None:
        """Return why it failed or was stopped; `jobs.set_error` writes it.

        Returns
        -------
        str or None
            A message where it is one; None where nothing is wrong.
        """
        return None if self.error_text is None else restored(self.error_text, self.error_message)


class Outbox(Base):
    """A message for the broker, written in the transaction that makes it necessary; deleted once the broker has it."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    task: Mapped[str]
    queue: Mapped[str]
    args: Mapped[list[Any]]
    not_before: Mapped[datetime]
    place: Mapped[datetime]  # in the queue: what is due first goes first, and bulk work has a later position
    created_at: Mapped[datetime]
    __table_args__ = (Index("ix_outbox_due", "not_before"), Index("ix_outbox_place", "queue", "place"))


class Report(Base):
    """A finished result; `result` is the TreatmentReport as JSON.

    `computation` is the digest over request, bundle, software and wording: equal means that nothing has changed.
    `identity` adds the predecessor, so that going back to an earlier value makes a new document, which names the one
    that it replaces.
    """

    __tablename__ = "reports"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(36))
    identity: Mapped[str] = mapped_column(String(64), unique=True)
    computation: Mapped[str] = mapped_column(String(64))
    request_digest: Mapped[str] = mapped_column(String(64))
    bundle_digest: Mapped[str] = mapped_column(String(80))
    revision: Mapped[int]
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)  # of the SR
    predecessor_id: Mapped[int | None] = mapped_column(ForeignKey("reports.id"))
    result: Mapped[dict[str, Any]]  # TreatmentReport as JSON
    created_at: Mapped[datetime]
    __table_args__ = (Index("ix_reports_study", "study_instance_uid", "revision"),)


class ReportObject(Base):
    """A DICOM object of a report; its bytes are stored once, and the same bytes are sent again."""

    __tablename__ = "report_objects"
    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("reports.id"))
    kind: Mapped[str] = mapped_column(String(16))  # sr | sc | pdf | seg | attribution | rtstruct
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_report_objects_report", "report_id"),)


class Delivery(Base):
    """All objects of one report to one destination; `delivered` means committed where a PACS offers commitment.

    `delivery_machine.TABLE` says how the state changes; another value, or another change, is an error at once.
    """

    __tablename__ = "deliveries"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("reports.id"))
    pacs: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))  # pending | sent | delivered | dead | superseded
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    transaction_uid: Mapped[str | None] = mapped_column(String(64))  # of the newest request for commitment
    commitment_requests: Mapped[int] = mapped_column(default=0)  # that were accepted since the last retry
    objects: Mapped[dict[str, Any]]  # SOP Instance UID -> what is recorded of it: deliveries.record_object
    error_text: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    committed_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("report_id", "pacs"),
        Index("ix_deliveries_state", "state", "not_before"),
        Index("ix_deliveries_transaction", "transaction_uid"),
    )

    @validates("state")
    def _check_state(self, _key: str, state: str) -> str:
        check_write(self.state, state)
        return state

    @property
    def error(self) -> str | None:
        """Return the reason or remark; `deliveries.apply` writes it.

        Returns
        -------
        str or None
            A message where it is one; None where there is nothing to say.
        """
        return None if self.error_text is None else restored(self.error_text, self.error_message)


class CommitmentRequest(Base):
    """A request for storage commitment; all of a delivery stay, because a PACS may answer any of them, at any time."""

    __tablename__ = "commitment_requests"
    transaction_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"))
    copies: Mapped[dict[str, Any]]  # SOP Instance UID -> how often the object had been stored there by then
    requested_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]  # when the first result came
    __table_args__ = (Index("ix_commitment_requests_delivery", "delivery_id"),)


class Notice(Base):
    """An event that people are notified of by mail or webhook; `subject` contains UIDs and ids only."""

    __tablename__ = "notices"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))  # failed_case | dead_delivery | low_disk | quarantine
    subject: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    message: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    recorded_at: Mapped[datetime] = mapped_column("noted_at")
    not_before: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    sent_to: Mapped[dict[str, Any]] = mapped_column("told")  # "mail" | "webhook" -> when
    sent_at: Mapped[datetime | None] = mapped_column("told_at")
    closed_at: Mapped[datetime | None]  # sent by every channel, or given up
    __table_args__ = (
        UniqueConstraint("kind", "subject"),
        Index("ix_notices_open", "closed_at", "not_before"),
    )

    @property
    def said(self) -> str:
        """Return what people are notified of.

        Returns
        -------
        str
            A message; the English text of a row of an earlier version.
        """
        return restored(self.text, self.message)


class Recall(Base):
    """A model bundle that must not be used any more; its current reports are withdrawn."""

    __tablename__ = "recalls"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    bundle_digest: Mapped[str] = mapped_column(String(80))
    name: Mapped[str]
    because: Mapped[str] = mapped_column(Text)
    by: Mapped[str]
    recalled_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]  # by `bundle activate --because`
    lifted_because: Mapped[str | None] = mapped_column(Text)
    __table_args__ = (Index("ix_recalls_bundle", "bundle_digest"),)


class PatientMerge(Base):
    """A patient identifier that the hospital has merged into another one (HL7 ADT^A18, A34, A40)."""

    __tablename__ = "patient_merges"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    prior_patient_id: Mapped[str]
    prior_issuer: Mapped[str]
    patient_id: Mapped[str]
    issuer: Mapped[str]
    source: Mapped[str]
    stated_at: Mapped[datetime | None]  # when the sender wrote it: orders the messages about two identifiers
    recorded_at: Mapped[datetime]
    undone_at: Mapped[datetime | None]  # the two are not of one person, or the prior one is in use again
    __table_args__ = (
        Index("ix_patient_merges_prior", "prior_patient_id"),
        Index("ix_patient_merges_surviving", "patient_id"),
    )


class StateCount(Base):
    """A change of the number of rows of a table in a state; the sum is the count. See state_counts.py."""

    __tablename__ = "state_counts"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    # cases | jobs | deliveries | destinations (state: state and PACS of a delivery) | instances | reports
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str]
    n: Mapped[int] = mapped_column(BigInteger)
