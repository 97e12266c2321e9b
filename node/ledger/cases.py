"""Cases: one MR study each, with its state, reasons and history.

A case is assessed when `assess_after` is past: an arriving object, a changed fact or an ended association sets it to
the present (`schedule_...`), and the node assesses what `due_cases` returns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages import stored as messages
from config.messages.message import Message, message
from node.ledger.database import insert_new, now_utc
from node.ledger.persons import other_identities
from node.ledger.state_counts import count_states
from node.ledger.tables import Case, CaseEvent, Instance

# Only MR opens a case. An RTSTRUCT, SEG or REG may come first, or in a study of its own (planning systems write a new
# Study Instance UID): it completes the cases of its patient instead.
MR_MODALITY = "MR"
# In the order of a study's way; pages and `status` show the counts in this order.
STATES = ("receiving", "incomplete", "held", "queued", "running", "reported", "refused", "failed", "withdrawn")


def record(session: Session, study_instance_uid: str, kind: str, text: str, actor: str = "node") -> None:
    """Add a line to the history of a study.

    Parameters
    ----------
    kind : str
        A word that programs can search for: a state, or what happened (``retry``, ``retention``).
    text : str
        A message, without a patient's name.
    actor : str
        Who caused it: ``node``, or the name of a user.
    """
    session.add(
        CaseEvent(
            study_instance_uid=study_instance_uid, at=now_utc(), kind=kind, text=str(text), actor=actor,
            message=messages.named(text),
        )
    )  # fmt: skip


def open_case(session: Session, study_instance_uid: str, patient_id: str, issuer: str) -> bool:
    """Add the case of an MR study when its first instance arrives.

    Parameters
    ----------
    patient_id, issuer : str
        Of the first instance; empty where that cannot be read. Instances of another patient in the same study are
        found by the assessment, not here.

    Returns
    -------
    bool
        Whether it is new; an existing case is not changed.
    """
    now = now_utc()
    case = {
        "study_instance_uid": study_instance_uid, "patient_id": patient_id, "issuer": issuer, "state": "receiving",
        "reasons": [], "assessment": {}, "assignments": {}, "confirmations": {}, "received_at": now,
        "last_instance_at": now, "updated_at": now, "assess_after": now,
    }  # fmt: skip
    # Two associations may bring the first two objects of one study at the same moment: the unique key decides, and the
    # loser does not write a second "received" line.
    if not insert_new(session, Case, case):
        return False
    record(session, study_instance_uid, "received", message("timeline.first_instance"))
    return True


def get_case(session: Session, study_instance_uid: str) -> Case:
    """Return the case of a study.

    Raises
    ------
    InputError
        When the study is unknown.
    """
    case = session.get(Case, study_instance_uid)
    if case is None:
        raise InputError(message("form.no_study", study=study_instance_uid))
    return case


def lock_case(session: Session, study_instance_uid: str) -> Case:
    """Return the case, locked against other writers until the transaction ends.

    An object that arrives during that time waits for the lock and then schedules the next assessment, so that nothing
    that arrives during an assessment is missed.

    Raises
    ------
    InputError
        When the study is unknown.
    """
    # SQLite ignores FOR UPDATE: there BEGIN IMMEDIATE has locked the whole file already.
    case = session.get(Case, study_instance_uid, with_for_update=True)
    return case if case is not None else get_case(session, study_instance_uid)


def set_state(session: Session, case: Case, state: str, reasons: Sequence[dict[str, str]] = ()) -> None:
    """Change the state of a case, and add a line to its history when something has changed.

    Reasons that change while a study is still arriving (``receiving``) add no line: each object would.

    Parameters
    ----------
    reasons : sequence of dict
        ``{"code": ..., "text": ...}``, in the order in which they are shown.
    """
    stored = messages.to_json(list(reasons))
    # The same state with other reasons is a change that people must see; the same with the same reasons comes with each
    # assessment and would fill the history.
    if case.state != state or (_said(case.reasons) != _said(stored) and state != "receiving"):
        record(session, case.study_instance_uid, state, _transition(case.state, state, stored))
    # In the one place that all changes of state go through: whatever makes a case leave `reported`, its delivered
    # answer is found by `workflow.withdrawal.withdraw_due`.
    if state == "reported":
        case.outdated_since = None
    elif case.state == "reported":
        case.outdated_since = now_utc()
    case.state, case.reasons, case.updated_at = state, stored, now_utc()


def _transition(before: str, now: str, reasons: Sequence[Mapping[str, Any]]) -> Message:
    states = {"before": message(f"state.{before}"), "now": message(f"state.{now}")}
    if not reasons:
        return message("timeline.state", **states)
    texts = [reason["text"] for reason in messages.from_json(reasons)]
    return message("timeline.state_because", **states, reasons=texts)


def _said(reasons: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    # A reason that an earlier version recorded has no message, and is the same.
    return [(reason["code"], reason["text"]) for reason in reasons]


def schedule_assessment(session: Session, study_instance_uid: str, when: datetime | None = None) -> None:
    """Have a case assessed.

    Parameters
    ----------
    when : datetime, optional
        Aware; the present by default. It replaces an earlier or later time.
    """
    session.execute(
        update(Case).where(Case.study_instance_uid == study_instance_uid).values(assess_after=when or now_utc())
    )


def schedule_patient(session: Session, patient_id: str, issuer: str = "") -> int:
    """Have all cases of a patient assessed: a fact, or a contour in another study, has changed.

    Those under other identifiers of the same person count, too: after a merge the facts of all of them may be used.

    Parameters
    ----------
    issuer : str
        Issuer of the Patient ID. Cases without an issuer match any; an empty `issuer` matches all.

    Returns
    -------
    int
        Number of cases.
    """
    # All cases, reported ones too: a new EBV DNA result or a corrected contour leads to a new report.
    n_cases = 0
    for each_id, each_issuer in ((patient_id, issuer), *other_identities(session, patient_id, issuer)):
        query = update(Case).where(Case.patient_id == each_id)
        if each_issuer:
            query = query.where(Case.issuer.in_([each_issuer, ""]))
        n_cases += session.execute(query.values(assess_after=now_utc())).rowcount  # type: ignore[attr-defined]
    return n_cases


def record_arrival(session: Session, modality: str, study_instance_uid: str, patient_id: str, issuer: str) -> None:
    """Record in the cases that an object arrived.

    An MR object opens the case of its study, or has it assessed again. Any other modality (RTSTRUCT, SEG, REG) may
    complete each case of its patient.
    """
    if modality == MR_MODALITY:
        if not open_case(session, study_instance_uid, patient_id, issuer):
            # Opened by an object that could not be read: now it is known whose case it is.
            unnamed = update(Case).where(Case.study_instance_uid == study_instance_uid, Case.patient_id == "")
            session.execute(unnamed.values(patient_id=patient_id, issuer=issuer))
            schedule_assessment(session, study_instance_uid)
    else:
        schedule_patient(session, patient_id, issuer)


def schedule_touched(session: Session, study_instance_uids: Collection[str]) -> None:
    """Have these studies, and all cases of their patients, assessed: an association that sent them has ended.

    Parameters
    ----------
    study_instance_uids : collection of str
        A study without a case (contours of their own) finds the cases of its patient by its stored instances.
    """
    studies = tuple(study_instance_uids)
    # By way of the instances, not of the cases: contours in a study of their own have no case.
    patients = select(Instance.patient_id).where(Instance.study_instance_uid.in_(studies))
    session.execute(
        update(Case)
        .where(Case.study_instance_uid.in_(studies) | Case.patient_id.in_(patients))
        .values(assess_after=now_utc())
        .execution_options(synchronize_session=False)
    )


def schedule_unfinished(session: Session) -> None:
    """Have all cases assessed that wait for something: the node has started and may have missed its arrival."""
    session.execute(
        # `queued` and `running` are left to the watchdog of jobs; `reported`, `refused` and `failed` wait for new
        # content.
        update(Case)
        .where(Case.state.in_(("receiving", "incomplete", "held")))
        .values(assess_after=now_utc())
        .execution_options(synchronize_session=False)
    )


def due_cases(session: Session, limit: int = 100) -> list[str]:
    """Return the studies whose assessment is due.

    Parameters
    ----------
    limit : int
        Most studies.

    Returns
    -------
    list of str
        Study Instance UIDs, those that have been due longest first.
    """
    query = (
        select(Case.study_instance_uid).where(Case.assess_after <= now_utc()).order_by(Case.assess_after).limit(limit)
    )
    return list(session.scalars(query))


def next_due(session: Session) -> datetime | None:
    """Return when the next assessment is due; None when none is scheduled."""
    return session.scalar(select(func.min(Case.assess_after)))


def list_cases(
    session: Session, states: Iterable[str] = (), since: datetime | None = None, limit: int | None = None
) -> list[Case]:
    """Return cases, the newest first.

    Parameters
    ----------
    states : iterable of str
        Empty: all states.
    since : datetime, optional
        Only studies that began to arrive then or later.
    limit : int, optional
        None: all.
    """
    query = select(Case).order_by(Case.received_at.desc()).limit(limit)
    states = tuple(states)
    if states:
        query = query.where(Case.state.in_(states))
    if since is not None:
        query = query.where(Case.received_at >= since)
    return list(session.scalars(query))


def count_by_state(session: Session) -> dict[str, int]:
    """Return the number of cases in each state, in the order of `STATES`."""
    return count_states(session, "cases", STATES)


def history(session: Session, study_instance_uid: str) -> list[dict[str, Any]]:
    """Return the history of a study.

    Returns
    -------
    list of dict
        The oldest line first: ``at`` (ISO 8601, UTC), ``kind``, ``text``, ``actor``, and where it is a message,
        ``message`` and ``parameters``.
    """
    rows = session.scalars(
        select(CaseEvent).where(CaseEvent.study_instance_uid == study_instance_uid).order_by(CaseEvent.id)
    )
    return [
        {"at": row.at.isoformat(), "kind": row.kind, "text": row.text, "actor": row.actor, **(row.message or {})}
        for row in rows
    ]
