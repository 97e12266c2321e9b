"""The three steps of a job between ledger and pipeline: `volumes`, `features`, `report`.

Each step reads what the ledger and the step before it left, computes, and returns a `StepOutcome`; `tasks.run_step`
records it. Artefacts are keyed by digests of the inputs, so repeating a step is cheap and gives the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydicom import dcmread
from sqlalchemy.orm import Session

from config.bundle_admission import refusal_text
from config.errors import IneligibleStudyError
from config.messages.message import message, sentences
from dicom_sr.report.json_form import dump, load
from dicom_sr.report.report_status import ReplacedReport
from dicom_sr.report.sr_classes import FALLBACK_SR_CLASS, SR_SOP_CLASS_UIDS
from dicom_sr.report.treatment_report import Reason
from node.cases.case_inputs import ComputeRequest
from node.ledger import jobs
from node.ledger.cases import get_case, record, set_state
from node.ledger.recalls import CODE, recall_of, recall_text
from node.ledger.reports import StoredObject, add_object, current_report, is_current, objects_of, record_report
from node.ledger.supersession import Held, replaced_documents
from node.ledger.tables import Job, Report
from node.ledger.withdrawals import is_withdrawal
from node.workflow.channels.dicom import FALLBACK
from node.workflow.destinations import destination_names
from node.workflow.digests import computation_digest, identity_of
from node.workflow.outward_acts import Event
from workers.bundles.bundle import Bundle
from workers.pipeline.artefacts import (
    load_measures,
    load_prepared_study,
    save_attributions,
    save_measures,
    save_prepared_study,
)
from workers.pipeline.computation import analyse_study, prepare_study
from workers.pipeline.context import WorkerContext
from workers.pipeline.prediction import predict_survival
from workers.pipeline.report_values import (
    draft_report,
    implausible_reasons,
    refusal_report,
    refuse_before_networks,
    refuse_out_of_distribution,
)
from workers.plausibility.measures import study_measures
from workers.queue.rejections import rejection_notes
from workers.queue.report_objects import (
    artefact_folder,
    build_report_objects,
    decision_policy,
    note_header_values,
    require_prepared_study,
    save_fhir,
    save_object,
    shows_attributions,
    stored_files,
)
from workers.queue.withdrawals import build_withdrawal_objects, write_withdrawal
from workers.volumes.prepared_study import PreparedStudy


@dataclass(frozen=True)
class StepOutcome:
    """Result of one step.

    Attributes
    ----------
    seconds : mapping of str to float
        Time of its parts.
    result : dict, optional
        JSON values for the next step, kept in the job's row.
    write : callable
        Called in the transaction that records the step, with the session and the leased job, for everything else that
        the ledger records. It may finish the job; otherwise the job advances to its next step.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    write: Callable[[Session, Job], None] = lambda _session, _job: None


def prepare_volumes(context: WorkerContext, job: Job) -> StepOutcome:
    """Prepare the study and save it; step `volumes`.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger, store and bundles.
    job : Job
        Leased by this worker.

    Returns
    -------
    StepOutcome
        Without a result: the prepared study is on disk.

    Raises
    ------
    IneligibleStudyError
        The case was refused, the bundle is not permitted here, an image or the contour cannot be used, the study
        is not plausible, or the intensities are out of distribution.
    """
    request, bundle = ComputeRequest.from_json(job.request), context.bundle(job.bundle)
    if request.refusals:
        texts = sentences(refusal["text"] for refusal in request.refusals)
        raise IneligibleStudyError(request.refusals[0]["code"], texts)
    # Before any image is read: a bundle that is not permitted must not even leave artefacts for a real patient.
    _require_permission(bundle, context)
    folder = artefact_folder(context, job, bundle)
    study = load_prepared_study(folder)
    if study is None:
        study = prepare_study(request, stored_files(context, request), bundle, context.settings.case)
        save_prepared_study(folder, study)
    stops, _ = implausible_reasons(_measures(folder, study), bundle)
    refuse_before_networks(study, stops, context.settings)
    return StepOutcome()


def extract_features(context: WorkerContext, job: Job) -> StepOutcome:
    """Extract features, score, predict survival and draft the report; step `features`.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger, store and bundles.
    job : Job
        Leased by this worker. A comparison (``send`` is false) ends here.

    Returns
    -------
    StepOutcome
        The draft of the report, the representative rows and the intensity distances.

    Raises
    ------
    ArtefactsMissingError
        The prepared study is missing; the job starts again.
    IneligibleStudyError
        The features are out of distribution.
    """
    settings = context.settings
    request, bundle = ComputeRequest.from_json(job.request), context.bundle(job.bundle)
    folder = artefact_folder(context, job, bundle)
    study = require_prepared_study(folder)
    policy = decision_policy(bundle, settings)
    analysis = analyse_study(study, bundle, settings.model.device, with_variants=policy.stability)
    refuse_out_of_distribution(analysis.out_of_distribution, settings)
    begin = time.perf_counter()
    nomogram = predict_survival(analysis, request, bundle, policy)
    end = time.perf_counter()
    stops, questions = implausible_reasons(_measures(folder, study), bundle)
    report = draft_report(
        request, study, analysis, nomogram, bundle, policy, job.created_at, implausible=(*stops, *questions)
    )
    seconds = {part: round(s, 4) for part, s in {**analysis.seconds, "nomogram": end - begin}.items()}
    rows = {role.value: row for role, row in analysis.representative.items()}
    distances = {role.value: round(series.landmark_distance, 5) for role, series in study.items()}
    result = {"report": dump(report), "representative": rows, "intensity_distance": distances}
    # A comparison of bundles reads the numbers only: no maps, no objects.
    if not job.send:
        return StepOutcome(write=lambda _session, leased: jobs.finish_comparison(leased, seconds, result))
    if shows_attributions(settings):
        save_attributions(folder, bundle.attribution(study, analysis.representative, settings.model.device))
    return StepOutcome(seconds, result)


def write_report(context: WorkerContext, job: Job) -> StepOutcome:
    """Build, validate and save the objects of the report, and queue their deliveries; step `report`.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger, store and bundles.
    job : Job
        Leased by this worker; its result has the draft.

    Returns
    -------
    StepOutcome
        Its `write` records report and deliveries. When the current report has the same computation digest, nothing is
        built or sent.
    """
    if is_withdrawal(job):
        return StepOutcome(write=write_withdrawal(context, job))
    settings, bundle = context.settings, context.bundle(job.bundle)
    draft = load((job.result or {})["report"])
    computation = computation_digest(job.request_digest, bundle.digest, settings.report)
    with context.ledger.read() as session:
        predecessor = current_report(session, job.study_instance_uid)
        replaced = replaced_documents(session, predecessor) if predecessor is not None else ()
    # The same inputs, bundle and report settings give the same bytes; sending them again would only make a revision.
    if predecessor is not None and predecessor.computation == computation:
        return StepOutcome(write=partial(_write_unchanged, predecessor))
    identity = identity_of(computation, predecessor.identity if predecessor else None)
    report = replace(
        draft,
        report_identity=identity,
        revision=predecessor.revision + 1 if predecessor else 1,
        predecessors=replaced,
        replaced=ReplacedReport(predecessor.revision, load(predecessor.result).created) if predecessor else None,
    )
    report = note_header_values(context, job, report)
    objects = build_report_objects(context, job, report, bundle)
    stored = [save_object(context, job, built) for built in objects]
    if predecessor is not None:
        event = Event.NEW_RESULT if report.computed else Event.REPORTED_REFUSAL
        stored += rejection_notes(context, job, report, event)
    if settings.fhir.report_url:
        stored.append(save_fhir(context, job, report, objects, predecessor))

    def write(session: Session, leased: Job) -> None:
        # A withdrawal was recorded meanwhile: this report is built again, as its successor.
        if not is_current(session, job.study_instance_uid, predecessor):
            jobs.requeue_in(session, leased, 0)
            return
        record_report(
            session,
            study_instance_uid=job.study_instance_uid,
            job_id=job.id,
            identity=identity,
            computation=computation,
            request_digest=job.request_digest,
            bundle_digest=bundle.digest,
            revision=report.revision,
            sop_instance_uid=next(saved.sop_instance_uid for saved in stored if saved.kind == "sr"),
            predecessor=predecessor,
            result=dump(report),
            objects=stored,
            destinations=destination_names(settings),
            case_state="reported" if report.computed else "refused",
            reasons=[{"code": reason.code, "text": reason.text} for reason in report.refusals],
            bulk=job.bulk,
        )
        jobs.finish(session, leased, {})

    return StepOutcome(write=write)


def refusal_result(context: WorkerContext, job: Job, error: IneligibleStudyError) -> dict[str, Any]:
    """Return the result with which a refused job skips to the step `report`.

    Parameters
    ----------
    context : WorkerContext
        Settings and bundles.
    job : Job
        Its request may name further reasons.
    error : IneligibleStudyError
        Why the study cannot be scored.

    Returns
    -------
    dict
        The draft of a refusal report as JSON values.
    """
    request, bundle = ComputeRequest.from_json(job.request), context.bundle(job.bundle)
    reasons = [Reason(refusal["code"], refusal["text"]) for refusal in request.refusals]
    reasons = reasons or [Reason(error.code, error.text)]
    policy = decision_policy(bundle, context.settings)
    return {"report": dump(refusal_report(request, reasons, bundle, policy, job.created_at))}


def fallback_sr(
    context: WorkerContext, report_id: int, kind: str, refused_class: str, held: Held | None = None
) -> StoredObject | None:
    """Build the SR of a report as Comprehensive SR, for a PACS that refuses the class it was written in.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger, store and bundles.
    report_id : int
        Row of the report.
    kind : str
        Kind of the refused object; only ``sr`` has another form.
    refused_class : str
        SOP Class UID that the PACS refused.
    held : Held, optional
        The SR of an earlier report that the PACS has: it is the predecessor, whichever one the report names.

    Returns
    -------
    StoredObject or None
        Saved and recorded; None where there is no other form.

    Raises
    ------
    ArtefactsMissingError
        The prepared study is missing, which says what each SEG that the SR refers to was drawn on.
    """
    if kind != "sr" or refused_class == SR_SOP_CLASS_UIDS[FALLBACK_SR_CLASS]:
        return None
    with context.ledger.read() as session:
        row = session.get_one(Report, report_id)
        job = session.get_one(Job, row.job_id)
        # Those that are sent: built again, for example by a later version, they would be others with other UIDs.
        paths = [stored.path for stored in objects_of(session, report_id) if stored.kind == "seg"]
    segmentations = [dcmread(context.store.path(path), stop_before_pixels=True) for path in paths]
    report = load(row.result)
    predecessors: tuple[tuple[str, str], ...] | None = None
    # A withdrawal names what it withdraws, also where this PACS is not known to have it.
    if report.predecessors and (held is not None or not is_withdrawal(job)):
        predecessors = ((held.sop_class_uid, held.sop_instance_uid),) if held is not None else ()
        # The document is read back and compared with its report.
        report = replace(report, predecessors=tuple(uid for _, uid in predecessors))
    if is_withdrawal(job):
        objects = build_withdrawal_objects(
            context, report, sop_class=FALLBACK_SR_CLASS, kinds=("sr",), predecessors=predecessors
        )
    else:
        objects = build_report_objects(
            context, job, report, context.bundle(job.bundle), segmentations, sop_class=FALLBACK_SR_CLASS,
            kinds=("sr",), predecessors=predecessors,
        )  # fmt: skip
    saved = save_object(context, job, next(built for built in objects if built.kind == "sr"))
    fallback = replace(saved, kind=f"sr{FALLBACK}")
    with context.ledger.begin() as session:
        add_object(session, report_id, fallback)
    return fallback


def _measures(folder: Path, study: PreparedStudy) -> dict[str, float]:
    """Return the measures of a prepared study, computed once for both steps and for every bundle that shares it."""
    measures = load_measures(folder)
    if measures is None:
        measures = study_measures(study)
        save_measures(folder, measures)
    return measures


def _require_permission(bundle: Bundle, context: WorkerContext) -> None:
    settings = context.settings
    with context.ledger.read() as session:
        recalled = recall_of(session, bundle.digest)
    if recalled is not None:
        raise IneligibleStudyError(CODE, recall_text(recalled))
    # Judged from the figures at every study: a stored verdict, or one of another version, admits nothing.
    if refused := bundle.manifest.admission.refused:
        text = message("begin", text=refusal_text(bundle.manifest.name, refused))
        raise IneligibleStudyError("model_not_permitted", text)
    if bundle.manifest.demonstration and not settings.model.allow_demonstration:
        raise IneligibleStudyError(
            "model_not_permitted",
            message("model_not_permitted.demonstration", name=bundle.manifest.name),
        )


def _write_unchanged(report: Report, session: Session, leased: Job) -> None:
    if not is_current(session, leased.study_instance_uid, report):
        jobs.requeue_in(session, leased, 0)
        return
    case = get_case(session, leased.study_instance_uid)
    text = message("job.unchanged", id=leased.id)
    record(session, leased.study_instance_uid, "unchanged", text)
    set_state(session, case, "reported", case.assessment.get("notices", ()))
    leased.result = {**(leased.result or {}), "unchanged": True}
    jobs.finish(session, leased, {})
