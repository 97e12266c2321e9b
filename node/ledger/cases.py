"""Cases: one MR study each, with its state, reasons and history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from node.ledger.database import insert_new, now_utc
from node.ledger.state_counts import count_states
from node.ledger.tables import Case, CaseEvent, Instance

MR_MODALITY = "MR"
STATES = ("receiving", "incomplete", "held", "queued", "running", "reported", "refused", "failed")


def record(session: Session, study_instance_uid: str, kind: str, text: str, actor: str = "node") -> None:
    """One line of history."""
    session.add(
        CaseEvent(study_instance_uid=study_instance_uid, at=now_utc(), kind=kind, text=text, actor=actor)
    )  # fmt: skip


def open_case(session: Session, study_instance_uid: str, patient_id: str, issuer: str) -> bool:
    """The case of an MR study, made when its first instance arrives; whether it was made now."""
    now = now_utc()
    case = {
        "study_instance_uid": study_instance_uid, "patient_id": patient_id, "issuer": issuer, "state": "receiving",
        "reasons": [], "assessment": {}, "assignments": {}, "received_at": now, "last_instance_at": now,
        "updated_at": now, "assess_after": now,
    }  # fmt: skip
    if not insert_new(session, Case, case):
        return False
    record(session, study_instance_uid, "received", "The first instance of this study arrived.")
    return True


def get_case(session: Session, study_instance_uid: str) -> Case:
    """Raises InputError when the study is not known here."""
    case = session.get(Case, study_instance_uid)
    if case is None:
        raise InputError(f"no study {study_instance_uid} is known here; `cptdn studies list` shows those that are")
    return case


def lock_case(session: Session, study_instance_uid: str) -> Case:
    """The case as it stands now, kept from other writers until the transaction ends: what arrives meanwhile waits, and
    then wakes it. Raises InputError when the study is not known here."""
    case = session.get(Case, study_instance_uid, with_for_update=True)
    return case if case is not None else get_case(session, study_instance_uid)


def set_state(session: Session, case: Case, state: str, reasons: Sequence[dict[str, str]] = ()) -> None:
    """Change the state, and write the change into the history where there is one.

    What is still missing while a study arrives is no history.
    """
    reasons = list(reasons)
    if case.state != state or (case.reasons != reasons and state != "receiving"):
        because = f": {' '.join(reason['text'] for reason in reasons)}" if reasons else "."
        record(session, case.study_instance_uid, state, f"{case.state} -> {state}{because}")
    case.state, case.reasons, case.updated_at = state, reasons, now_utc()


def schedule_assessment(session: Session, study_instance_uid: str, when: datetime | None = None) -> None:
    """Have this case looked at again, soon or at `when`."""
    session.execute(
        update(Case).where(Case.study_instance_uid == study_instance_uid).values(assess_after=when or now_utc())
    )


def schedule_patient(session: Session, patient_id: str, issuer: str = "") -> int:
    """Have all cases of a patient looked at again: a fact or a contour in another study has changed."""
    query = update(Case).where(Case.patient_id == patient_id)
    if issuer:
        query = query.where(Case.issuer.in_([issuer, ""]))
    return int(session.execute(query.values(assess_after=now_utc())).rowcount)  # type: ignore[attr-defined]


def record_arrival(session: Session, modality: str, study_instance_uid: str, patient_id: str, issuer: str) -> None:
    """Something of a study arrived: an MR study gets its case, anything else may complete cases of its patient."""
    if modality == MR_MODALITY:
        if not open_case(session, study_instance_uid, patient_id, issuer):
            schedule_assessment(session, study_instance_uid)
    else:
        schedule_patient(session, patient_id, issuer)


def schedule_touched(session: Session, study_instance_uids: Collection[str]) -> None:
    """An association has ended: look at its studies again, and at all cases of their patients."""
    studies = tuple(study_instance_uids)
    patients = select(Instance.patient_id).where(Instance.study_instance_uid.in_(studies))
    session.execute(
        update(Case)
        .where(Case.study_instance_uid.in_(studies) | Case.patient_id.in_(patients))
        .values(assess_after=now_utc())
        .execution_options(synchronize_session=False)
    )


def schedule_unfinished(session: Session) -> None:
    """A node has started: whatever was in the middle of something is looked at again."""
    session.execute(
        update(Case)
        .where(Case.state.in_(("receiving", "incomplete", "held")))
        .values(assess_after=now_utc())
        .execution_options(synchronize_session=False)
    )


def due_cases(session: Session, limit: int = 100) -> list[str]:
    """Studies whose look is due, the longest waiting first."""
    query = (
        select(Case.study_instance_uid).where(Case.assess_after <= now_utc()).order_by(Case.assess_after).limit(limit)
    )
    return list(session.scalars(query))


def next_due(session: Session) -> datetime | None:
    return session.scalar(select(func.min(Case.assess_after)))


def list_cases(
    session: Session, states: Iterable[str] = (), since: datetime | None = None, limit: int | None = None
) -> list[Case]:
    """Cases, the newest first."""
    query = select(Case).order_by(Case.received_at.desc()).limit(limit)
    states = tuple(states)
    if states:
        query = query.where(Case.state.in_(states))
    if since is not None:
        query = query.where(Case.received_at >= since)
    return list(session.scalars(query))


def count_by_state(session: Session) -> dict[str, int]:
    return count_states(session, "cases", STATES)


def history(session: Session, study_instance_uid: str) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(CaseEvent).where(CaseEvent.study_instance_uid == study_instance_uid).order_by(CaseEvent.id)
    )
    return [{"at": row.at.isoformat(), "kind": row.kind, "text": row.text, "actor": row.actor} for row in rows]
