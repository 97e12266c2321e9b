"""Retention: delete the images of reported and delivered studies after `[storage] retention_days`, the oldest first.

Never deleted: what an open case, an active job, an open association or an undelivered report needs, and what an
administrator holds. The ledger keeps the case, its history, its reports and their files.

The order makes a crash at any moment harmless. The study's folders are moved to the trash and its rows deleted in one
transaction; the trash is emptied afterwards. A study that is in the trash and still has rows is moved back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, delete, exists, func, select, true
from sqlalchemy.orm import Session

from config.messages.message import message
from config.settings import Settings
from node.ledger.cases import lock_case, record
from node.ledger.database import Ledger, now_utc
from node.ledger.delivery_machine import DEAD, OPEN_STATES
from node.ledger.instances import lock_study
from node.ledger.jobs import ACTIVE
from node.ledger.tables import Association, AssociationStudy, Case, Delivery, Instance, Job, Report
from node.store.study_store import StudyStore

CHECK_EVERY_S = 600.0
GRACE_S = 3600.0  # after a start or a jump of the clock: a wrong date must not delete what is still needed
BATCH = 50  # studies, so that a backup or another node need not wait long for the deletion lock
UNFINISHED = (*OPEN_STATES, DEAD)

log = structlog.get_logger("cptdn.retention")


@dataclass(frozen=True)
class Retirable:
    """A study whose images may be deleted.

    Attributes
    ----------
    received_at : datetime
        When its newest instance arrived.
    n_instances, size_bytes : int
        What would be deleted.
    """

    study_instance_uid: str
    received_at: datetime
    n_instances: int
    size_bytes: int


class Retention:
    """Retention as the node's watchdog calls it: at most every `CHECK_EVERY_S`, and not within `GRACE_S` of a start."""

    def __init__(self, ledger: Ledger, settings: Settings, store: StudyStore) -> None:
        self._ledger, self._store = ledger, store
        self._days = settings.storage.retention_days
        self._next = 0.0
        self.postpone()

    def postpone(self) -> None:
        """Delete nothing for `GRACE_S`: the clock may be wrong, and an administrator needs time to set it."""
        self._next = time.monotonic() + GRACE_S

    def check(self) -> None:
        """Finish interrupted deletions; delete what is due, when the time between two checks is over.

        Nothing is deleted while another process has the deletion lock (a backup, another node).
        """
        # At each check, also without retention: a power cut may have left a study half removed.
        empty_or_undo_trash(self._ledger, self._store)
        if self._days is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CHECK_EVERY_S
        with self._store.deletion_lock(wait=False) as locked:
            retired = retire_due(self._ledger, self._store, self._days, BATCH) if locked else []
        if retired:
            log.info("retention", studies=len(retired), bytes=sum(study.size_bytes for study in retired))


def retire_due(ledger: Ledger, store: StudyStore, days: int, at_once: int | None = None) -> list[Retirable]:
    """Delete the images of all studies that are old enough and not needed; return those studies.

    Parameters
    ----------
    days : int
        Least age of the newest instance and of the report.
    at_once : int, optional
        Most studies of this call; None: all.
    """
    before = now_utc() - timedelta(days=days)
    with ledger.read() as session:
        studies = retirable(session, before, at_once)
    return [study for study in studies if _retire(ledger, store, study, before)]


def retirable(
    session: Session, before: datetime, limit: int | None = None, study: str | None = None
) -> list[Retirable]:
    """Return the studies whose images may be deleted, those with the oldest newest instance first.

    Parameters
    ----------
    before : datetime
        Aware; neither an instance of the study nor its report may be newer.
    limit : int, optional
        Most studies; None: all.
    study : str, optional
        Study Instance UID: only this one.
    """
    query = _old_studies(before, delivered=True).limit(limit)
    if study is not None:
        query = query.where(query.selected_columns[0] == study)
    return [Retirable(*row) for row in session.execute(query)]


def kept_by_deliveries(session: Session, before: datetime) -> list[Retirable]:
    """Return the studies whose images would be deleted if all deliveries of their reports had ended.

    Parameters
    ----------
    before : datetime
        Aware, as of `retirable`.
    """
    return [Retirable(*row) for row in session.execute(_old_studies(before, delivered=False))]


def _old_studies(before: datetime, delivered: bool) -> Select[Any]:
    # The few studies that wait for a delivery are found by it, without a look at all instances.
    waiting = (
        select(Report.study_instance_uid)
        .join(Delivery, Delivery.report_id == Report.id)
        .where(Delivery.state.in_(UNFINISHED))
    )
    newest = (
        select(
            Instance.study_instance_uid, func.max(Instance.received_at).label("received_at"),
            func.count().label("n_instances"), func.sum(Instance.size_bytes).label("size_bytes"),
            func.max(Instance.patient_id).label("patient_id"),
        )
        .where(true() if delivered else Instance.study_instance_uid.in_(waiting))
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
    reported = _reported(uid, before, delivered)
    of_retired_patient = ~case & _of_retired_patient(newest.c.patient_id)
    return (
        select(uid, newest.c.received_at, newest.c.n_instances, newest.c.size_bytes)
        .where(~open_association, reported | of_retired_patient if delivered else reported)
        .order_by(newest.c.received_at, uid)
    )


def _reported(uid: ColumnElement[str], before: datetime, delivered: bool) -> ColumnElement[bool]:
    """Return the condition: the case has an old report, its deliveries have ended (or not), and no job is active."""
    report = exists().where(Report.id == Case.current_report_id, Report.created_at < before)
    unfinished = exists().where(
        Report.study_instance_uid == uid, Delivery.report_id == Report.id, Delivery.state.in_(UNFINISHED)
    )
    computing = exists().where(Job.study_instance_uid == uid, Job.state.in_(ACTIVE))
    return exists().where(
        Case.study_instance_uid == uid, Case.state.in_(("reported", "refused")), Case.hold.is_(None), report,
        ~unfinished if delivered else unfinished, ~computing,
    )  # fmt: skip


def _of_retired_patient(patient_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition: a study without MR (contours of their own) whose patient's last case is retired."""
    retired = exists().where(Case.patient_id == patient_id, Case.retired_at.is_not(None))
    return retired & ~exists().where(Case.patient_id == patient_id, Case.retired_at.is_(None))


def _retire(ledger: Ledger, store: StudyStore, candidate: Retirable, before: datetime) -> bool:
    study = candidate.study_instance_uid
    try:
        with ledger.begin() as session:
            lock_study(session, study)
            has_case = session.get(Case, study) is not None
            case = lock_case(session, study) if has_case else None
            # Again, under the locks: something of the study may have arrived since the list was made.
            if not retirable(session, before, study=study):
                return False
            # Inside the transaction and before the rows: when the commit fails, the rows still name the files, and the
            # trash is undone.
            store.move_to_trash(study)
            session.execute(delete(Instance).where(Instance.study_instance_uid == study))
            if case is not None:
                case.retired_at, case.assess_after = now_utc(), None
                text = message("retention.removed", n=candidate.n_instances)
                record(session, study, "retention", text)
    except BaseException:
        empty_or_undo_trash(ledger, store)
        raise
    store.empty_trash(study)
    return True


def empty_or_undo_trash(ledger: Ledger, store: StudyStore) -> None:
    """Finish or undo the deletions that were interrupted: rows in the ledger decide which of the two."""
    for study in store.studies_in_trash():
        with ledger.begin() as session:
            lock_study(session, study)
            named = set(session.scalars(select(Instance.path).where(Instance.study_instance_uid == study)))
            if named:
                store.restore_from_trash(study, named)
        store.empty_trash(study)
