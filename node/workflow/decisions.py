"""Decisions of an administrator about a study; the commands and the pages call the same functions.

Each decision is recorded in the history of the case with the name of its author, and makes the case due for assessment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from node.cases.confirmations import CONFIRMABLE
from node.cases.series_roles import ROLES
from node.cases.series_summary import JOINED, OF_SERIES
from node.clinical.entries import FactEntry, record_entries
from node.ledger import deliveries, jobs
from node.ledger.cases import get_case, lock_case, record, schedule_assessment, schedule_touched
from node.ledger.database import now_utc
from node.ledger.facts import facts_of
from node.ledger.instances import (
    instances_of_study,
    quarantined_beside_study,
    quarantined_of_case,
    related_instances,
    series_uids,
)
from node.ledger.tables import Job, Report

ADMINISTRATOR = "administrator"
MAX_NAMED_FILES = 10


def assign_roles(
    session: Session, study_instance_uid: str, series_by_role: Mapping[str, str], by: str = ADMINISTRATOR
) -> None:
    """Assign series to roles; roles that are not named keep their assignment.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    series_by_role : mapping of str to str
        Role (one of `ROLES`) to the key of a series (see `SeriesSummary.key`): ``SERIES_UID``, ``SERIES_UID:VOLUME``
        for one of several volumes, or ``SERIES_UID+SERIES_UID`` for one acquisition in two series.
    by : str
        Name of the person who decides, for the history.

    Raises
    ------
    InputError
        When the study is unknown, a role does not exist, or the study has no such series or volume.
    """
    case = lock_case(session, study_instance_uid)
    for role, series in series_by_role.items():
        if role not in ROLES:
            raise InputError(message("form.role", roles=ROLES, role=role))
        _require_series(session, study_instance_uid, series)
        # SQLAlchemy notices a new dictionary, not a changed one.
        case.assignments = {**case.assignments, role: series}
        record(
            session, study_instance_uid, "assigned", message("decision.role", role=role, series=series, by=by), actor=by
        )
    session.flush()
    schedule_assessment(session, study_instance_uid)


def assign_issuer(session: Session, study_instance_uid: str, issuer: str, by: str = ADMINISTRATOR) -> None:
    """Say which issuer the Patient ID of a study is of, where its images name none; facts of others then do not count.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    issuer : str
        As recorded with the facts.
    by : str
        Name of the person who decides, for the history.

    Raises
    ------
    InputError
        When the study is unknown, its images name another issuer, or no fact of the patient comes from this one.
    """
    case = lock_case(session, study_instance_uid)
    named = {row.issuer for row in instances_of_study(session, study_instance_uid) if row.issuer}
    if named - {issuer}:
        raise InputError(message("form.other_issuer", named=sorted(named), issuer=issuer))
    known = facts_of(session, case.patient_id).issuers
    if issuer not in known:
        raise InputError(message("form.unknown_issuer", known=known or [message("form.none")], issuer=issuer))
    case.issuer = issuer
    record(session, study_instance_uid, "assigned", message("decision.issuer", issuer=issuer, by=by), actor=by)
    session.flush()
    schedule_assessment(session, study_instance_uid)


def confirm(session: Session, study_instance_uid: str, code: str, because: str, by: str = ADMINISTRATOR) -> None:
    """Answer a question about a study: it is right as it is.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    code : str
        Reason code of the question.
    because : str
        Why; the report shows it.
    by : str
        Name of the person who decides, for the history.

    Raises
    ------
    InputError
        When the study is unknown, or does not have this question.
    """
    case = lock_case(session, study_instance_uid)
    asked = [reason["text"] for reason in case.reasons if reason["code"] == code]
    if code not in CONFIRMABLE or not asked:
        open_codes = [reason["code"] for reason in case.reasons if reason["code"] in CONFIRMABLE]
        codes = open_codes or [message("form.no_open_question")]
        raise InputError(message("form.no_question", study=study_instance_uid, codes=codes, code=code))
    answer = {"text": asked[0], "because": because, "by": by, "at": now_utc().isoformat()}
    # SQLAlchemy notices a new dictionary, not a changed one.
    case.confirmations = {**case.confirmations, code: answer}
    record(
        session,
        study_instance_uid,
        "confirmed",
        message("decision.confirmed", code=code, by=by, because=because),
        actor=by,
    )
    session.flush()
    schedule_assessment(session, study_instance_uid)


def _require_series(session: Session, study_instance_uid: str, key: str) -> None:
    """Check that the study has the series and volumes that a key names."""
    known = series_uids(session, study_instance_uid)
    for part in key.split(JOINED):
        uid, _, volume = part.partition(OF_SERIES)
        if uid not in known:
            series = known or [message("form.none")]
            raise InputError(message("form.series", study=study_instance_uid, known=series, series=uid))
        if volume and volume not in (names := _volume_names(session, study_instance_uid, uid)):
            volumes = names or [message("form.one_volume")]
            raise InputError(message("form.volume", series=uid, known=volumes, volume=volume))


def _volume_names(session: Session, study_instance_uid: str, series_uid: str) -> list[str]:
    case = get_case(session, study_instance_uid)
    explained = [entry for entry in case.assessment.get("series", ()) if entry["series_instance_uid"] == series_uid]
    return [entry["volume"] for entry in explained if entry.get("volume")]


def set_hold(session: Session, study_instance_uid: str, because: str | None, by: str = ADMINISTRATOR) -> None:
    """Hold a study so that nothing is computed for it, or release it.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    because : str or None
        Reason of the hold, shown as the reason of the case; None releases the study.
    by : str
        Name of the person who decides, for the history.

    Raises
    ------
    InputError
        When the study is unknown.
    """
    case = lock_case(session, study_instance_uid)
    case.hold = because
    text = message("decision.held", by=by, because=because) if because else message("decision.released", by=by)
    record(session, study_instance_uid, "hold" if because else "release", text, actor=by)
    session.flush()
    schedule_assessment(session, study_instance_uid)


def dismiss_quarantined(session: Session, study_instance_uid: str, because: str, by: str = ADMINISTRATOR) -> int:
    """Decide that the quarantined files which a case names do not matter: the stored instances count.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    because : str
        The reason, for the history.
    by : str
        Name of the person who decides, for the history.

    Returns
    -------
    int
        Number of files; they remain in quarantine.

    Raises
    ------
    InputError
        When the study is unknown, or its case names no quarantined file.
    """
    case = lock_case(session, study_instance_uid)
    stored = instances_of_study(session, study_instance_uid)
    related = related_instances(session, stored, case.patient_id, case.issuer)
    files = quarantined_of_case(session, study_instance_uid, related)
    # Of unknown study, but from an association that has sent parts of this one only.
    files += [file for file, n_studies in quarantined_beside_study(session, study_instance_uid) if n_studies == 1]
    if not files:
        raise InputError(message("form.nothing_quarantined", study=study_instance_uid))
    for file in files:
        file.dismissed_because = because
    numbers = ", ".join(str(file.id) for file in files[:MAX_NAMED_FILES]) + (", ..." if files[MAX_NAMED_FILES:] else "")
    text = message("decision.dismissed", n=len(files), by=by, numbers=numbers, because=because)
    record(session, study_instance_uid, "dismissed", text, actor=by)
    session.flush()
    # A conflicting contour may concern other cases of its patient, too.
    schedule_touched(session, {study_instance_uid, *(file.study_instance_uid or "" for file in files)})
    return len(files)


def set_facts(session: Session, study_instance_uid: str, entries: Sequence[FactEntry], source: str, by: str) -> int:
    """Record validated clinical facts of the patient of a study.

    Parameters
    ----------
    session : Session
        An open transaction.
    study_instance_uid : str
        Study Instance UID of the case.
    entries : sequence of FactEntry
        Facts as the functions of `node.clinical.entries` return them.
    source : str
        Where the facts come from, such as "web page"; recorded as their provenance.
    by : str
        Name of the person who entered them.

    Returns
    -------
    int
        Number of facts that were new. Only new facts make the patient's cases due for assessment.

    Raises
    ------
    InputError
        When the study is unknown or has no Patient ID.
    """
    case = lock_case(session, study_instance_uid)
    n_new = record_entries(session, case.patient_id, case.issuer, list(entries), source, by)
    # An equal fact that is entered again neither starts an assessment nor fills the history.
    if n_new:
        names = [message(f"fact_name.{entry.name}") for entry in entries]
        record(session, study_instance_uid, "facts", message("decision.facts", by=by, names=names), actor=by)
    return n_new


def retry_job(session: Session, job_id: str, by: str = ADMINISTRATOR) -> Job:
    """Queue a failed or cancelled job again, from the step that did not finish.

    Raises
    ------
    InputError
        When the job is unknown, or neither failed nor cancelled.
    """
    return jobs.retry(session, job_id, by)


def retry_delivery(session: Session, delivery_id: int, by: str = ADMINISTRATOR) -> None:
    """Make a delivery due now, and record in the history of its study who ordered it.

    Raises
    ------
    InputError
        When the delivery is unknown or its state does not allow another attempt.
    """
    deliveries.retry_delivery(session, delivery_id)
    delivery = deliveries.get_delivery(session, delivery_id)
    report = session.get_one(Report, delivery.report_id)
    text = message("decision.delivery_again", pacs=delivery.pacs, by=by)
    record(session, report.study_instance_uid, "retry", text, actor=by)
