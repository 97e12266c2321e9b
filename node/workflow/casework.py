"""Assess cases: gather what the ledger knows, apply the rules of `node.cases`, record the outcome, queue a job.

    instances, facts, decisions --gather_inputs--> CaseInputs --assess_inputs--> Assessment --> state, reasons, job

An assessment is cheap and idempotent. It queues a job only when the inputs differ from those of the current report, of
every active job, and of the latest job that ended with an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from config.bundle_manifest import read_manifest
from config.decision_policy import policy_for_bundle
from config.messages import stored as messages
from config.messages.message import message
from config.settings import Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.case_inputs import CaseInputs, ComputeRequest, QuarantinedFile, StoredInstance
from node.cases.freezing import Freeze
from node.cases.headers import with_character_set
from node.cases.study_purpose import MERGED
from node.ledger import fetches, jobs, recalls
from node.ledger.associations import open_on_study
from node.ledger.cases import (
    MR_MODALITY,
    due_cases,
    lock_case,
    next_due,
    record,
    schedule_assessment,
    set_state,
)
from node.ledger.database import Ledger, does_not_answer, now_utc
from node.ledger.instances import (
    instances_of_study,
    quarantined_beside_study,
    quarantined_of_case,
    related_instances,
)
from node.ledger.reports import current_report
from node.ledger.tables import Case, Instance, Report
from node.store.pixel_digests import pixel_digests
from node.workflow.frozen_reports import facts_for_case, is_left_frozen, record_later_facts
from node.workflow.merged_patients import MergedPatient, merged_patient
from node.workflow.outward_acts import HELD_BY_PERSON
from node.workflow.withdrawal import WITHDRAWN, keeps_withdrawn, reason_of, take_back

log = structlog.get_logger(__name__)

AFTER_FAILURE_S = 60


def assess_due(ledger: Ledger, settings: Settings) -> int:
    """Assess every case that is due, each in a transaction of its own.

    Parameters
    ----------
    ledger : Ledger
        The ledger that all nodes share; several nodes may run this at the same time.
    settings : Settings
        Rules of cases, eligibility and the decision.

    Returns
    -------
    int
        Number of cases that were due, including those whose assessment failed; at most 100 a call.

    Raises
    ------
    SQLAlchemyError
        When the ledger does not answer. An error of one case is recorded in that case instead.
    """
    with ledger.read() as session:
        due = due_cases(session)
    # A transaction for each: a case that is locked by another node, or fails, keeps no other from being assessed.
    for study_instance_uid in due:
        try:
            with ledger.begin() as session:
                assess_case(session, settings, study_instance_uid)
        # Another node has assessed the same case at the same moment; what it recorded is as new as this.
        except StaleDataError:
            log.info("case_changed_by_another_node", study=study_instance_uid)
        except Exception as error:  # an unexpected header in one study must not keep all others from being assessed
            if does_not_answer(error):
                raise
            log.exception("assessment_failed", study=study_instance_uid)
            _record_failure(ledger, study_instance_uid, error)
    return len(due)


def _record_failure(ledger: Ledger, study_instance_uid: str, error: Exception) -> None:
    """Set the case to failed with the kind of the error, and make it due again later."""
    text = message("unexpected.assessment", kind=type(error).__name__, seconds=AFTER_FAILURE_S)
    with ledger.begin() as session:
        set_state(session, lock_case(session, study_instance_uid), "failed", [{"code": "unexpected", "text": text}])
        schedule_assessment(session, study_instance_uid, now_utc() + timedelta(seconds=AFTER_FAILURE_S))


def seconds_to_next_assessment(session: Session, longest: float) -> float:
    """Return the seconds until the next case is due, in [0, longest].

    Parameters
    ----------
    longest : float
        Upper limit in seconds, returned when no case is due.

    Returns
    -------
    float
        Seconds; 0 when a case is due already.
    """
    soonest = next_due(session)
    return longest if soonest is None else min(longest, max(0.0, (soonest - now_utc()).total_seconds()))


def assess_case(session: Session, settings: Settings, study_instance_uid: str) -> Assessment:
    """Evaluate one case, record its state and reasons, and queue a job when it has new inputs.

    Parameters
    ----------
    session : Session
        An open transaction; the row of the case is locked until it ends.
    settings : Settings
        Rules of cases, eligibility and the decision.
    study_instance_uid : str
        Study Instance UID of the MR study.

    Returns
    -------
    Assessment
        The outcome, also where nothing was recorded because retention has removed the images.

    Raises
    ------
    InputError
        When the study is unknown.
    """
    case = lock_case(session, study_instance_uid)
    inputs = gather_inputs(session, settings, case)
    assessment = _assess(session, settings, inputs, settings.model.bundle)
    if case.retired_at is not None and not instances_of_study(session, study_instance_uid):
        case.assess_after = None  # without its images the study would become incomplete; its report remains current
        _record_retired(session, case, assessment, inputs.freeze)
        return assessment
    _record_assessment(session, settings, case, assessment, inputs.freeze)
    return assessment


def evaluate_case(
    session: Session, settings: Settings, case: Case, bundle: str | None = None, by_person: bool = False
) -> Assessment:
    """Apply the rules to a case as it is now; nothing is written.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    settings : Settings
        Rules of cases, eligibility and the decision.
    case : Case
        The row of the case.
    bundle : str, optional
        Name or folder of the bundle that computes, whose stage and biomarker threshold apply; None: the configured one.
    by_person : bool
        Whether a person asked for a new revision: then all facts count, also after the report was frozen.

    Returns
    -------
    Assessment
        State, reasons and explanation; with a compute request when the state is ready or a refusal is reported.
    """
    inputs = gather_inputs(session, settings, case, by_person)
    return _assess(session, settings, inputs, bundle or settings.model.bundle)


def _assess(session: Session, settings: Settings, inputs: CaseInputs, bundle: str) -> Assessment:
    return assess_inputs(
        inputs,
        settings,
        policy_for_bundle(settings, bundle),
        now_utc(),
        open_associations=open_on_study(session, inputs.study_instance_uid),
    )


def gather_inputs(session: Session, settings: Settings, case: Case, by_person: bool = False) -> CaseInputs:
    """Read everything that the rules evaluate: images, related objects, facts, decisions and quarantined files.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    settings : Settings
        `[node] character_sets` names calling AE titles whose text is encoded otherwise than it is labelled.
    case : Case
        The row of the case.
    by_person : bool
        As of `evaluate_case`.

    Returns
    -------
    CaseInputs
        Contours and registrations are related by patient or by frame of reference, from any study: a planning system
        may store the RTSTRUCT in a study of its own.
    """
    character_sets = settings.node.character_sets

    merged = merged_patient(session, case)

    def stored_instance(row: Instance) -> StoredInstance:
        header = merged.header(row, with_character_set(row.header, character_sets.get(row.calling_ae)), case)
        return StoredInstance(row.sop_instance_uid, row.digest, row.received_at, header)

    study = case.study_instance_uid
    stored = instances_of_study(session, study)
    related = related_instances(session, stored, case.patient_id, case.issuer)
    related = list({row.sop_instance_uid: row for row in (*related, *merged.related(session))}.values())
    image = next((row.header for row in stored if row.modality == MR_MODALITY), {})
    known = facts_for_case(session, settings, case, image, by_person, merged)
    return CaseInputs(
        study_instance_uid=study,
        images=tuple(stored_instance(row) for row in stored),
        patient_id=case.patient_id,
        issuer=case.issuer,
        related=tuple(stored_instance(row) for row in related),
        facts=known.facts,
        assignments=case.assignments,
        quarantined=_quarantined_files(session, study, related, merged),
        # Of a study without a stored instance: when the first object that could not be read arrived.
        last_instance_at=max((row.received_at for row in stored), default=case.last_instance_at),
        character_set=next(
            (character_sets[row.calling_ae] for row in stored if row.calling_ae in character_sets), None
        ),
        hold=case.hold,
        merge_question=merged.question_for(known.freeze),
        freeze=known.freeze,
        facts_until=known.until,
        confirmations=case.confirmations,
        pixel_digest_of=pixel_digests({row.sop_instance_uid: settings.storage.root / row.path for row in stored}),
    )


def _quarantined_files(
    session: Session, study_instance_uid: str, related: Sequence[Instance], merged: MergedPatient
) -> tuple[QuarantinedFile, ...]:
    files = [
        QuarantinedFile(row.code, row.reason, row.sop_instance_uid, differences=tuple(row.differences))
        for row in quarantined_of_case(session, study_instance_uid, related)
        if not merged.is_same_object(row.differences)
    ]
    # An association that sent parts of one study only sent the objects without a readable study for it, too.
    files += [
        QuarantinedFile(row.code, row.reason, row.sop_instance_uid, is_of_study=n_studies == 1)
        for row, n_studies in quarantined_beside_study(session, study_instance_uid)
    ]
    return tuple(files)


def _record_assessment(
    session: Session, settings: Settings, case: Case, assessment: Assessment, freeze: Freeze | None
) -> None:
    """Record the outcome in the case; a request with new inputs becomes a job."""
    if freeze is not None:
        record_later_facts(session, case, assessment)
    # With the notices: a report that is recorded before the next assessment shows them, too.
    notices = [dict(notice) for notice in assessment.notices]
    case.assessment = messages.to_json({**assessment.explain_json(), "notices": notices})
    case.assess_after = assessment.reassess_at
    _request_missing_content(session, settings, case, assessment)
    report = current_report(session, case.study_instance_uid)
    settled = assessment.settled_request
    if case.withdrawal is not None:
        digest = settled.digest() if settled is not None else None
        if keeps_withdrawn(case, digest, is_frozen=freeze is not None and freeze.was_reported):
            _stop_jobs(session, case, "the answer is withdrawn")
            set_state(session, case, WITHDRAWN, [reason_of(case.withdrawal)])
            return
        record(session, case.study_instance_uid, "inputs_changed", message("withdrawal.inputs_changed"))
        take_back(case)
    # Compared with what is settled: an instance that is sent again, one that no rule uses, or a question about a stored
    # one changes no input of the report, and people go on seeing it.
    if report is not None and settled is not None and report.request_digest == settled.digest():
        _show_report(session, case, report, assessment)
    elif report is not None and freeze is not None and is_left_frozen(session, case, report, assessment, freeze):
        if not jobs.active_jobs(session, case.study_instance_uid):
            _show_report(session, case, report, assessment)
    elif assessment.request is None:
        # A result of inputs that no longer hold must not be reported.
        _stop_jobs(session, case, message("job.study_became", state=message(f"state.{assessment.state}")))
        set_state(session, case, assessment.state, [dict(reason) for reason in assessment.reasons])
    else:
        _queue_if_new(session, settings, case, assessment.request, is_first=report is None)


def _record_retired(session: Session, case: Case, assessment: Assessment, freeze: Freeze | None) -> None:
    """Record what still counts against the answer of a study whose images retention has removed: a hold, and facts."""
    if case.withdrawal is not None:
        return
    asked = [dict(reason) for reason in assessment.reasons if reason["code"] in (HELD_BY_PERSON, MERGED)]
    if asked:
        set_state(session, case, "held", asked)
    # Of facts alone: what follows from images that are gone is no finding.
    elif assessment.refusals and (freeze is None or not freeze.was_reported):
        set_state(session, case, "refused", [dict(reason) for reason in assessment.refusals])
    elif case.state in ("held", "refused"):
        text = message("images_removed.by_retention")
        set_state(session, case, "incomplete", [{"code": "images_removed", "text": text}])


def _queue_if_new(session: Session, settings: Settings, case: Case, request: ComputeRequest, *, is_first: bool) -> None:
    """Queue a job for the request unless it is being computed, or has failed already."""
    study, digest = case.study_instance_uid, request.digest()
    # The job that runs has the same inputs: a repeated message, or a late object that changes nothing.
    if any(job.request_digest == digest for job in jobs.active_jobs(session, study)):
        return
    _stop_jobs(session, case, message("job.inputs_changed"))
    latest = jobs.latest_job(session, study)
    again = (None, "superseded", recalls.CODE)
    if latest is not None and latest.request_digest == digest and latest.error_code not in again:
        return  # refused, failed or cancelled with the same inputs: only `jobs retry` or other inputs queue it again
    recalled = recalls.recall_of(session, read_manifest(settings.model.bundle).digest)
    if recalled is not None:
        set_state(session, case, "held", [{"code": recalls.CODE, "text": recalls.recall_text(recalled)}])
        return
    job = jobs.create_job(session, study, request.to_json(), digest, settings.model.bundle)
    set_state(session, case, "queued")
    why = message("job.all_present") if is_first else message("job.inputs_have_changed")
    record(session, study, "job", message("job.queued", id=job.id, why=why))


def _stop_jobs(session: Session, case: Case, because: str) -> None:
    for job in jobs.active_jobs(session, case.study_instance_uid):
        jobs.supersede(session, job.id, because)


def _show_report(session: Session, case: Case, report: Report, assessment: Assessment) -> None:
    """Set the state that follows from the current report, with what questions it.

    The inputs are those of the report, or have returned to them, for example after an assignment was taken back.
    """
    # The same inputs with another bundle.
    if any(job.request_digest == report.request_digest for job in jobs.active_jobs(session, case.study_instance_uid)):
        return
    _stop_jobs(session, case, message("job.inputs_changed"))
    refusals = report.result.get("refusals") or ()
    notices = [dict(notice) for notice in assessment.notices]
    set_state(session, case, "refused" if refusals else "reported", [*refusals, *notices])


def _request_missing_content(session: Session, settings: Settings, case: Case, assessment: Assessment) -> None:
    """Request missing content from every PACS that may be queried; while a study arrives, nothing is missing yet."""
    names = [pacs.name for pacs in settings.pacs if pacs.query_retrieve]
    if names and assessment.state != "receiving":
        missing = assessment.missing if assessment.state in ("incomplete", "held") else ()
        fetches.request_missing(session, case.study_instance_uid, names, missing)
