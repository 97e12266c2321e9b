"""Looking at cases: gather what the ledger knows, ask the rules of `node.cases`, and write down what they say.

    instances, facts, decisions --gather--> CaseInputs --assess--> Assessment --settle--> state, reasons, maybe a job

A look is cheap and may be repeated at any time; it only makes a job when the inputs differ from those of the current
report and of every job that is on its way.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from config.settings import Settings
from node.cases.assessment import Assessment, assess_inputs
from node.cases.case_inputs import CaseInputs, QuarantinedFile, StoredInstance
from node.cases.headers import with_character_set
from node.ledger import fetches, jobs
from node.ledger.associations import open_on_study
from node.ledger.cases import due_cases, get_case, lock_case, next_due, record, schedule_assessment, set_state
from node.ledger.database import Ledger, now_utc
from node.ledger.facts import facts_of
from node.ledger.instances import instances_of_frames, instances_of_patient, instances_of_study, quarantined_of_study
from node.ledger.reports import current_report
from node.ledger.tables import Case, Instance

log = structlog.get_logger(__name__)

AFTER_FAILURE_S = 60
TIED_MODALITIES = ("RTSTRUCT", "SEG", "REG")


def assess_due(ledger: Ledger, settings: Settings) -> int:
    """Look at every case whose look is due; returns how many."""
    with ledger.begin() as session:
        due = due_cases(session)
    for study_instance_uid in due:
        try:
            with ledger.begin() as session:
                assess_case(session, settings, study_instance_uid)
        except StaleDataError:
            log.info("another node looked at this case meanwhile", study=study_instance_uid)
        except SQLAlchemyError:
            raise
        except Exception as error:  # one odd study must not hide all others behind it
            log.exception("the look at this case failed", study=study_instance_uid)
            _put_aside(ledger, study_instance_uid, error)
    return len(due)


def _put_aside(ledger: Ledger, study_instance_uid: str, error: Exception) -> None:
    """Name the failure in the case and look again later."""
    text = f"Looking at this study failed ({type(error).__name__}); it is looked at again every {AFTER_FAILURE_S} s."
    with ledger.begin() as session:
        set_state(session, get_case(session, study_instance_uid), "failed", [{"code": "unexpected", "text": text}])
        schedule_assessment(session, study_instance_uid, now_utc() + timedelta(seconds=AFTER_FAILURE_S))


def seconds_to_next_assessment(session: Session, longest: float) -> float:
    """How long nothing will be due, in seconds."""
    soonest = next_due(session)
    return longest if soonest is None else min(longest, max(0.0, (soonest - now_utc()).total_seconds()))


def assess_case(session: Session, settings: Settings, study_instance_uid: str) -> Assessment:
    """Look at one case and act on it."""
    case = lock_case(session, study_instance_uid)
    assessment = evaluate_case(session, settings, case)
    if case.retired_at is not None and not instances_of_study(session, study_instance_uid):
        case.assess_after = None  # retention removed its images; what was reported stands
        return assessment
    _settle(session, settings, case, assessment)
    return assessment


def gather(session: Session, settings: Settings, case: Case) -> CaseInputs:
    """What the ledger knows about a case: its images, what may belong to them, facts and decisions."""
    character_sets = settings.node.character_sets

    def stored_instance(row: Instance) -> StoredInstance:
        header = with_character_set(row.header, character_sets.get(row.calling_ae))
        return StoredInstance(row.sop_instance_uid, row.digest, row.received_at, header)

    study = case.study_instance_uid
    stored = instances_of_study(session, study)
    related = instances_of_patient(session, case.patient_id, TIED_MODALITIES, case.issuer)
    frames = {row.frame_of_reference_uid or "" for row in stored}
    related += instances_of_frames(session, frames, TIED_MODALITIES)
    related += [row for row in stored if row.modality in TIED_MODALITIES]
    return CaseInputs(
        study_instance_uid=study,
        images=tuple(stored_instance(row) for row in stored),
        patient_id=case.patient_id,
        issuer=case.issuer,
        related=tuple(stored_instance(row) for row in {row.sop_instance_uid: row for row in related}.values()),
        facts=facts_of(session, case.patient_id, case.issuer),
        assignments=case.assignments,
        quarantined=tuple(
            QuarantinedFile(row.code, row.text, row.sop_instance_uid) for row in quarantined_of_study(session, study)
        ),
        last_instance_at=max((row.received_at for row in stored), default=None),
        character_set=next(
            (character_sets[row.calling_ae] for row in stored if row.calling_ae in character_sets), None
        ),
        hold=case.hold,
    )


def evaluate_case(session: Session, settings: Settings, case: Case) -> Assessment:
    """What the rules say about a case now; changes nothing."""
    return assess_inputs(
        gather(session, settings, case),
        settings,
        now_utc(),
        open_associations=open_on_study(session, case.study_instance_uid),
    )


def _settle(session: Session, settings: Settings, case: Case, assessment: Assessment) -> None:
    """Write the outcome of a look down; a ready case with new inputs gets a job."""
    case.assessment = assessment.explain_json()
    case.assess_after = assessment.reassess_at
    _ask_for_what_lacks(session, settings, case, assessment)
    active = jobs.active_jobs(session, case.study_instance_uid)
    request = assessment.request
    if request is None:
        for job in active:
            jobs.supersede(session, job.id, f"the study became {assessment.state} meanwhile")
        set_state(session, case, assessment.state, [dict(reason) for reason in assessment.reasons])
        return
    digest = request.digest()
    if any(job.request_digest == digest for job in active):
        return
    for job in active:
        jobs.supersede(session, job.id, "its inputs changed meanwhile")
    report = current_report(session, case.study_instance_uid)
    if report is not None and report.request_digest == digest:
        refused = bool(report.result.get("refusals"))
        set_state(session, case, "refused" if refused else "reported", report.result["refusals"] if refused else ())
        return
    latest = jobs.latest_job(session, case.study_instance_uid)
    if latest is not None and latest.request_digest == digest and latest.error_code not in (None, "superseded"):
        return  # refused, failed or cancelled with these very inputs: `jobs retry` changes that, another look does not
    job = jobs.create_job(
        session, case.study_instance_uid, request.to_json(), digest, settings.model.bundle
    )  # fmt: skip
    set_state(session, case, "queued")
    why = "its inputs have changed" if report is not None else "all that is needed is here"
    record(session, case.study_instance_uid, "job", f"Job {job.id} was queued: {why}.")


def _ask_for_what_lacks(session: Session, settings: Settings, case: Case, assessment: Assessment) -> None:
    """Have the PACS asked that may be; while the study still arrives, nothing is known to be lacking."""
    asked = [pacs.name for pacs in settings.pacs if pacs.query_retrieve]
    if asked and assessment.state != "receiving":
        lacks = assessment.missing if assessment.state in ("incomplete", "held") else ()
        fetches.request_missing(session, case.study_instance_uid, asked, lacks)
