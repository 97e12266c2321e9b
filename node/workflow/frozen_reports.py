"""Reports that are frozen: which facts still count, and what is recorded instead of a new revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy.orm import Session

from config.messages.message import message
from config.settings import Settings
from node.cases.assessment import Assessment
from node.cases.clinical_facts import ClinicalFacts
from node.cases.fact_choice import choose_start, study_day_of
from node.cases.freezing import Freeze, freeze_of
from node.ledger import jobs
from node.ledger.cases import history, record
from node.ledger.database import now_utc
from node.ledger.facts import Cutoff, facts_of
from node.ledger.reports import has_answer, is_withdrawal, latest_without_withdrawals, reports_of
from node.ledger.tables import Case, Job, Report
from node.workflow.merged_patients import NOT_MERGED, MergedPatient


@dataclass(frozen=True)
class KnownFacts:
    """The facts that count for a case.

    Attributes
    ----------
    facts : ClinicalFacts
        Those of later days, and those without a day that came too late, are among its `later`.
    freeze : Freeze or None
        Of a report that is frozen.
    until : datetime or None
        Until when facts without a day count; aware. None: until now.
    """

    facts: ClinicalFacts
    freeze: Freeze | None = None
    until: datetime | None = None


def facts_for_case(
    session: Session,
    settings: Settings,
    case: Case,
    header: Mapping[str, Any],
    by_person: bool,
    merged: MergedPatient = NOT_MERGED,
) -> KnownFacts:
    """Read the facts that count for a case.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    settings : Settings
        ``[case] freeze_after_days``.
    case : Case
        The row of the case.
    header : mapping of DICOM keyword to value
        Of any image of the study.
    by_person : bool
        Whether a person asked for a new revision: then all facts count.
    merged : MergedPatient
        Other identifiers of the patient whose facts count.

    Returns
    -------
    KnownFacts
        Without a current report that has a result, nothing is frozen.
    """
    facts = facts_of(session, case.patient_id, case.issuer, also=merged.also)
    reports = reports_of(session, case.study_instance_uid)
    # Refusals are no results: whatever cures them counts at any time. A withdrawal leaves frozen what it withdraws: the
    # answer that takes its place is of the same facts.
    results = [report for report in reports if has_answer(report)]
    current = latest_without_withdrawals(reports)
    if by_person or current is None or current not in results:
        return KnownFacts(facts)
    study_day = study_day_of(header)
    start, _, _ = choose_start(facts, study_day)
    freeze = freeze_of(
        start.day if start else None, study_day, _local_day(results[-1].created_at), _local_day(now_utc()), settings
    )
    if freeze is None:
        return KnownFacts(facts)
    until = _facts_until(session, case, current)
    cutoff = Cutoff(until, freeze.since, freeze.was_reported)
    # A merge that was confirmed later brings no fact into what was used.
    also = merged.also if merged.confirmed_at is not None and merged.confirmed_at <= until else ()
    return KnownFacts(facts_of(session, case.patient_id, case.issuer, cutoff, also), freeze, until)


def record_later_facts(session: Session, case: Case, assessment: Assessment) -> None:
    """Add a line to the history for each fact that arrived for a frozen report and is not used.

    Parameters
    ----------
    case : Case
        With its previous assessment.
    assessment : Assessment
        The new one.
    """
    known = [each["text"] for each in (case.assessment.get("clinical") or {}).get("later_facts", ())]
    for later in assessment.clinical["later_facts"]:
        if later["text"] not in known:
            record(session, case.study_instance_uid, "later_fact", later["text"])


def is_left_frozen(session: Session, case: Case, report: Report, assessment: Assessment, freeze: Freeze) -> bool:
    """Return whether a report is left as it is that was there when it was frozen; the history says so once.

    Parameters
    ----------
    case : Case
        The row of the case.
    report : Report
        Its current report; a withdrawal is not left, since nothing outside answers then.
    assessment : Assessment
        What would be computed or refused now.
    freeze : Freeze
        Of its report.

    Returns
    -------
    bool
        False where images or contours are in question: that must be seen in the state of the case.
    """
    study = case.study_instance_uid
    has_gaps = assessment.has_content_gaps or assessment.state == "receiving"
    if not freeze.was_reported or is_withdrawal(report) or has_gaps:
        return False
    # A person's order is under way: its own facts are newer.
    if jobs.active_jobs(session, study):
        return True
    is_other = assessment.request is None or assessment.request.digest() != report.request_digest
    text = message("frozen.would_change", sentence=freeze.sentence)
    if is_other and text not in [line["text"] for line in history(session, study)]:
        record(session, study, "frozen", text)
    return True


def _facts_until(session: Session, case: Case, report: Report) -> datetime:
    """Return when the facts of the report were read, or of the computation that a person has ordered since."""
    known = (*jobs.active_jobs(session, case.study_instance_uid), session.get(Job, report.job_id))
    requests = [job.request for job in known if job is not None]
    times = [datetime.fromisoformat(str(request["facts_until"])) for request in requests if request.get("facts_until")]
    # Jobs of an earlier version do not say it.
    return max(times, default=report.created_at)


def _local_day(moment: datetime) -> date:
    return moment.astimezone().date()
