"""What an administrator decides about a study: the commands and the pages call these same functions.

Every decision stands in the history of the case with the name of who made it, and the study is looked at again at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from config.errors import InputError
from node.cases.series_roles import ROLES
from node.clinical.entries import FactEntry, record_entries
from node.ledger import jobs
from node.ledger.cases import get_case, record, schedule_assessment
from node.ledger.deliveries import get_delivery, retry_delivery
from node.ledger.instances import series_uids
from node.ledger.tables import Job, Report

ADMINISTRATOR = "administrator"


def assign_roles(session: Session, study_instance_uid: str, given: Mapping[str, str], by: str = ADMINISTRATOR) -> None:
    """Settle which series plays which role: role -> Series Instance UID. Raises InputError for what the study lacks."""
    case = get_case(session, study_instance_uid)
    known = set(series_uids(session, study_instance_uid))
    for role, series in given.items():
        if role not in ROLES:
            raise InputError(f"expected a role out of {', '.join(ROLES)}, found {role!r}")
        if series not in known:
            has = ", ".join(sorted(known)) or "none"
            raise InputError(f"study {study_instance_uid} has no series {series}; it has {has}")
        case.assignments = {**case.assignments, role: series}
        record(session, study_instance_uid, "assigned", f"{role} is series {series}, decided by {by}.", actor=by)
    session.flush()
    schedule_assessment(session, study_instance_uid)


def set_hold(session: Session, study_instance_uid: str, because: str | None, by: str = ADMINISTRATOR) -> None:
    """Hold a study with a reason, so that nothing is computed for it; None releases it."""
    case = get_case(session, study_instance_uid)
    case.hold = because
    text = f"Held by {by}: {because}" if because else f"Released by {by}."
    record(session, study_instance_uid, "hold" if because else "release", text, actor=by)
    session.flush()
    schedule_assessment(session, study_instance_uid)


def set_facts(session: Session, study_instance_uid: str, entries: Sequence[FactEntry], source: str, by: str) -> int:
    """Record clinical facts of the patient behind a study; returns how many were new."""
    case = get_case(session, study_instance_uid)
    new = record_entries(session, case.patient_id, case.issuer, list(entries), source, by)
    if new:
        names = ", ".join(entry.name.replace("_", " ") for entry in entries)
        record(session, study_instance_uid, "facts", f"Clinical facts entered by {by}: {names}.", actor=by)
    return new


def retry_job(session: Session, job_id: str, by: str = ADMINISTRATOR) -> Job:
    """Queue a failed or cancelled computation again, from the step where it stopped."""
    return jobs.retry(session, job_id, by)


def try_delivery_again(session: Session, delivery_id: int, by: str = ADMINISTRATOR) -> None:
    """Try a delivery again now; the study's history names who ordered it."""
    retry_delivery(session, delivery_id)
    delivery = get_delivery(session, delivery_id)
    report = session.get_one(Report, delivery.report_id)
    text = f"The delivery to {delivery.pacs} is tried again, ordered by {by}."
    record(session, report.study_instance_uid, "retry", text, actor=by)
