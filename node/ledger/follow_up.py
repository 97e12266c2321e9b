"""Follow-up facts in the ledger: rows are appended and never changed, and no assessment of a case reads them.

Of regimen and death the newest row counts; recurrences, metastases and contacts are separate by day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from node.cases.follow_up import NAMES, REGIMEN, FollowUp
from node.ledger.database import now_utc
from node.ledger.persons import cases_of_person
from node.ledger.tables import FollowUpFact, Report


def record_follow_up(
    session: Session,
    patient_id: str,
    issuer: str,
    name: str,
    day: date | None,
    regimen: str | None,
    source: str,
    set_by: str,
    stated_at: datetime | None = None,
) -> FollowUpFact | None:
    """Append a follow-up fact; return None when an equal one counts already.

    Parameters
    ----------
    patient_id, issuer : str
        As in the images.
    name : str
        One of `node.cases.follow_up.NAMES`.
    day : date or None
        Of the event, or the first day of a regimen.
    regimen : str or None
        Of the name ``regimen``.
    source, set_by : str
        Provenance.
    stated_at : datetime, optional
        When the sender wrote it; aware.

    Raises
    ------
    InputError
        For another name.
    """
    if name not in NAMES:
        raise InputError(f"expected one of the follow-up facts {', '.join(NAMES)}, found {name!r}")
    rows = [row for row in _counting(session, patient_id, issuer) if row.issuer == issuer and row.name == name]
    # Of regimen and death an equal older row is not enough: in between another one was stated.
    compared = rows[-1:] if name in (REGIMEN, "death") else rows
    if any((row.day, row.regimen) == (day, regimen) for row in compared):
        return None
    fact = FollowUpFact(
        patient_id=patient_id.strip(), issuer=issuer, name=name, regimen=regimen, day=day, source=source, set_by=set_by,
        stated_at=stated_at, recorded_at=now_utc(), withdrawn_at=None,
    )  # fmt: skip
    session.add(fact)
    session.flush()
    return fact


def withdraw_follow_up(
    session: Session, patient_id: str, issuer: str, name: str, day: date | None = None, set_by: str | None = None
) -> int:
    """Withdraw what is recorded under a name.

    Parameters
    ----------
    patient_id, issuer, name : str
        As of `record_follow_up`.
    day : date, optional
        Only of this day.
    set_by : str, optional
        Only what this user or application recorded.

    Returns
    -------
    int
        Number of rows.
    """
    rows = [
        row
        for row in _counting(session, patient_id, issuer)
        if row.name == name and day in (None, row.day) and set_by in (None, row.set_by)
    ]
    for row in rows:
        row.withdrawn_at = now_utc()
    return len(rows)


def follow_up_of(session: Session, patient_id: str, issuer: str = "") -> FollowUp:
    """Return what counts of a patient; facts without an issuer count for any, an empty `issuer` gets those of all."""
    return follow_up_from(_counting(session, patient_id, issuer))


def follow_up_from(rows: Sequence[FollowUpFact]) -> FollowUp:
    """Return what rows of one patient say together.

    Parameters
    ----------
    rows : sequence of FollowUpFact
        Without the withdrawn ones, in order of recording.
    """
    days = {name: tuple(row.day for row in rows if row.name == name and row.day is not None) for name in NAMES}
    regimens = [(row.regimen, row.day) for row in rows if row.name == REGIMEN and row.regimen is not None]
    return FollowUp(
        regimen=TreatmentArm(regimens[-1][0]) if regimens else None,
        regimen_start=regimens[-1][1] if regimens else None,
        recurrences=days["recurrence"],
        metastases=days["metastasis"],
        death=days["death"][-1] if days["death"] else None,
        last_contacts=days["last_contact"],
    )


def follow_up_history(session: Session, patient_id: str, issuer: str = "") -> list[FollowUpFact]:
    """Return every row of a patient, withdrawn ones included, the oldest first."""
    query = select(FollowUpFact).where(FollowUpFact.patient_id == patient_id.strip()).order_by(FollowUpFact.id)
    if issuer:
        query = query.where(FollowUpFact.issuer.in_((issuer, "")))
    return list(session.scalars(query))


def all_follow_up(session: Session) -> dict[str, list[FollowUpFact]]:
    """Return the rows of all patients that are not withdrawn, by Patient ID, in order of recording."""
    rows: dict[str, list[FollowUpFact]] = {}
    # One query: a report reads thousands of patients.
    query = select(FollowUpFact).where(FollowUpFact.withdrawn_at.is_(None)).order_by(FollowUpFact.id)
    for row in session.scalars(query):
        rows.setdefault(row.patient_id, []).append(row)
    return rows


def is_follow_up_recorded(session: Session, patient_id: str, source: str) -> bool:
    """Return whether any follow-up fact of a patient came from a source, for example one HL7 message."""
    query = select(FollowUpFact.id).where(FollowUpFact.patient_id == patient_id, FollowUpFact.source == source)
    return session.scalar(query.limit(1)) is not None


def patients_followed_since(session: Session, since: datetime, set_by: str) -> list[str]:
    """Return the Patient IDs, sorted, about whom a user or application has recorded follow-up since a time (aware)."""
    query = select(FollowUpFact.patient_id).where(FollowUpFact.recorded_at >= since, FollowUpFact.set_by == set_by)
    return list(session.scalars(query.distinct().order_by(FollowUpFact.patient_id)))


def has_report(session: Session, patient_id: str, issuer: str = "") -> bool:
    """Return whether a patient has a report with a result.

    Parameters
    ----------
    patient_id, issuer : str
        As in the images, or another identifier of the person; an empty issuer, and one that the images do not have,
        match any.
    """
    studies = [case.study_instance_uid for case in cases_of_person(session, patient_id.strip(), issuer)]
    query = select(Report).where(Report.study_instance_uid.in_(studies))
    # In Python: the two databases search JSON in different ways.
    return any(report.result.get("scenarios") for report in session.scalars(query))


def _counting(session: Session, patient_id: str, issuer: str) -> list[FollowUpFact]:
    return [row for row in follow_up_history(session, patient_id, issuer) if row.withdrawn_at is None]
