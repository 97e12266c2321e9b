"""Retention: images of studies that are reported and delivered go after `[storage] retention_days`, oldest first.

Never removed: what an open case, a running or waiting computation, an open association or an undelivered report needs,
and what an administrator holds. The ledger keeps the case, its history, its reports and their files.

The order makes a crash at any moment harmless: the study's folders are moved to the trash and its rows are deleted in
one transaction, and the trash is emptied afterwards. What stands in the trash with rows in the ledger is brought back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from config.settings import Settings
from node.ledger.cases import lock_case, record
from node.ledger.database import Ledger, now_utc
from node.ledger.instances import lock_study
from node.ledger.jobs import ACTIVE
from node.ledger.tables import Association, AssociationStudy, Case, Delivery, Instance, Job, Report
from node.store.study_store import StudyStore

CHECK_EVERY_S = 600.0
GRACE_S = 3600.0  # after a start or a jump of the clock: a wrong date must not remove what is still needed
AT_ONCE = 50
UNFINISHED = ("pending", "sent", "dead")

log = structlog.get_logger("cptdn.retention")


@dataclass(frozen=True)
class Retirable:
    """A study whose images may go. `received_at` is that of its newest instance."""

    study_instance_uid: str
    received_at: datetime
    n_instances: int
    size_bytes: int


class Retention:
    """Retention as the watchdog calls it: rarely, and not soon after a start."""

    def __init__(self, ledger: Ledger, settings: Settings, store: StudyStore) -> None:
        self._ledger, self._store = ledger, store
        self._days = settings.storage.retention_days
        self._next = 0.0
        self.postpone()

    def postpone(self) -> None:
        """The clock may be wrong: give it an hour to be set right."""
        self._next = time.monotonic() + GRACE_S

    def check(self) -> None:
        empty_or_undo_trash(self._ledger, self._store)
        if self._days is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CHECK_EVERY_S
        with self._store.deletion_lock(wait=False) as ours:
            removed = retire_due(self._ledger, self._store, self._days, AT_ONCE) if ours else []
        if removed:
            log.info("retention", studies=len(removed), bytes=sum(one.size_bytes for one in removed))


def retire_due(ledger: Ledger, store: StudyStore, days: int, at_once: int | None = None) -> list[Retirable]:
    """Remove the images of all studies that are old enough and needed by nobody; returns those studies."""
    before = now_utc() - timedelta(days=days)
    with ledger.begin() as session:
        found = retirable(session, before, at_once)
    return [one for one in found if _retire(ledger, store, one, before)]


def retirable(
    session: Session, before: datetime, limit: int | None = None, study: str | None = None
) -> list[Retirable]:
    """Studies whose images may go, those whose newest instance is oldest first.

    before : nothing of the study, nor its report, may be newer. study : only this one.
    """
    newest = (
        select(
            Instance.study_instance_uid, func.max(Instance.received_at).label("received_at"),
            func.count().label("n_instances"), func.sum(Instance.size_bytes).label("size_bytes"),
            func.max(Instance.patient_id).label("patient_id"),
        )
        .group_by(Instance.study_instance_uid)
        .having(func.max(Instance.received_at) < before)
        .subquery()
    )  # fmt: skip
    uid = newest.c.study_instance_uid
    open_association = exists().where(
        AssociationStudy.study_instance_uid == uid, Association.id == AssociationStudy.association_id,
        Association.closed_at.is_(None),
    )  # fmt: skip
    case = exists().where(Case.study_instance_uid == uid)
    query = (
        select(uid, newest.c.received_at, newest.c.n_instances, newest.c.size_bytes)
        .where(~open_association, _reported(uid, before) | (~case & _of_retired_patient(newest.c.patient_id)))
        .order_by(newest.c.received_at, uid)
        .limit(limit)
    )
    if study is not None:
        query = query.where(uid == study)
    return [Retirable(*row) for row in session.execute(query)]


def _reported(uid: ColumnElement[str], before: datetime) -> ColumnElement[bool]:
    """The study's case has its report since long, every delivery of it is done, and nothing is on its way."""
    report = exists().where(Report.id == Case.current_report_id, Report.created_at < before)
    unfinished = exists().where(
        Report.study_instance_uid == uid, Delivery.report_id == Report.id, Delivery.state.in_(UNFINISHED)
    )
    computing = exists().where(Job.study_instance_uid == uid, Job.state.in_(ACTIVE))
    return exists().where(
        Case.study_instance_uid == uid, Case.state.in_(("reported", "refused")), Case.hold.is_(None), report,
        ~unfinished, ~computing,
    )  # fmt: skip


def _of_retired_patient(patient_id: ColumnElement[str]) -> ColumnElement[bool]:
    """A study without MR (contours that came apart) goes with the last case of its patient."""
    retired = exists().where(Case.patient_id == patient_id, Case.retired_at.is_not(None))
    return retired & ~exists().where(Case.patient_id == patient_id, Case.retired_at.is_(None))


def _retire(ledger: Ledger, store: StudyStore, one: Retirable, before: datetime) -> bool:
    study = one.study_instance_uid
    try:
        with ledger.begin() as session:
            lock_study(session, study)
            has_case = session.get(Case, study) is not None
            case = lock_case(session, study) if has_case else None
            if not retirable(session, before, study=study):
                return False
            store.move_to_trash(study)
            session.execute(delete(Instance).where(Instance.study_instance_uid == study))
            if case is not None:
                case.retired_at, case.assess_after = now_utc(), None
                text = f"Retention removed {one.n_instances} instances; the report and its history stay."
                record(session, study, "retention", text)
    except BaseException:
        empty_or_undo_trash(ledger, store)
        raise
    store.empty_trash(study)
    return True


def empty_or_undo_trash(ledger: Ledger, store: StudyStore) -> None:
    """Finish or undo what an interrupted removal has left in the trash."""
    for study in store.studies_in_trash():
        with ledger.begin() as session:
            lock_study(session, study)
            wanted = set(session.scalars(select(Instance.path).where(Instance.study_instance_uid == study)))
            if wanted:
                store.restore_from_trash(study, wanted)
        store.empty_trash(study)
