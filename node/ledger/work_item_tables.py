"""The tables of work items (UPS), and of notices to application entities about them and about stored reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from node.ledger.tables import Base
from node.ledger.work_item_machine import check_write


class WorkItem(Base):
    """A unified procedure step: pushed to this node, or claimed from a worklist.

    `work_item_machine.TABLE` says how the state changes. `ending` is decided once; of a work item of a worklist its
    manager is told until it has confirmed it.
    """

    __tablename__ = "work_items"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    uid: Mapped[str] = mapped_column(String(64))
    worklist: Mapped[str] = mapped_column(String(32))  # name of the [[worklist]]; empty: pushed to this node
    state: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str | None] = mapped_column(String(64))  # the lock; never shown to another peer
    study_instance_uid: Mapped[str | None] = mapped_column(String(64))
    patient_id: Mapped[str]
    issuer: Mapped[str]
    inputs: Mapped[list[Any]]  # [{"study", "series": [UID, ...]}]
    attributes: Mapped[dict[str, Any]]  # as it was created, DICOM JSON
    progress: Mapped[dict[str, Any]]  # {"percent", "text"}
    told: Mapped[dict[str, Any]]  # the progress that the manager has
    cancel_request: Mapped[dict[str, Any] | None]  # {"because", "code", "by", "at"}
    ending: Mapped[dict[str, Any] | None]  # {"state", "code", "because", "outputs", "at"}
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]  # when its manager is spoken to next
    judged_after: Mapped[datetime]  # when its study is looked at next
    error_text: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (
        UniqueConstraint("worklist", "uid"),
        Index("ix_work_items_state", "state", "judged_after"),
        Index("ix_work_items_study", "study_instance_uid"),
    )
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012

    @validates("state")
    def _check_state(self, _key: str, state: str) -> str:
        check_write(self.state, state)
        return state


class WorkItemSubscription(Base):
    """An application entity that is told of changes of a work item, or of all of them."""

    __tablename__ = "work_item_subscriptions"
    ae_title: Mapped[str] = mapped_column(String(16), primary_key=True)
    uid: Mapped[str] = mapped_column(String(64), primary_key=True)  # of the work item; the global UID: of all
    made_at: Mapped[datetime]


class DicomNotice(Base):
    """An N-EVENT-REPORT about a work item, or an N-CREATE about available instances, that an AE has to get."""

    __tablename__ = "dicom_notices"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))  # work_item | availability
    ae_title: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str]  # identifies the event within its kind and receiver
    instance_uid: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]  # {"event_type", "dataset"}; the data set as DICOM JSON
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    error_text: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]  # sent, or given up
    __table_args__ = (
        UniqueConstraint("kind", "ae_title", "subject"),
        Index("ix_dicom_notices_open", "closed_at", "not_before"),
    )
