"""The three steps of a computation between ledger and pipeline. Each is keyed by what it depends on, so repeating it is
cheap and gives the same answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from pydicom import Dataset, dcmread
from sqlalchemy.orm import Session

from config.decision_policy import DecisionPolicy, policy_of
from config.errors import IneligibleStudyError, InputError
from config.indication.vocabulary import EbvCategory, SeriesRole
from config.settings import ObjectKind, Settings
from dicom_sr.header.uids import uid_for
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.fhir import PATIENT_IDENTIFIER, fhir_bundle
from dicom_sr.report.json_form import dump, load
from dicom_sr.report.report_inputs import (
    PagePictures,
    ReportObject,
    ReportOptions,
    SequencePicture,
    SeriesMask,
    SourceStudy,
)
from dicom_sr.report.sr_classes import FALLBACK_SR_CLASS, SR_SOP_CLASS_UIDS
from dicom_sr.report.treatment_report import Reason, TreatmentReport
from node.cases.case_inputs import ComputeRequest
from node.ledger import jobs
from node.ledger.cases import get_case, record, set_state
from node.ledger.instances import paths_of
from node.ledger.reports import StoredObject, add_object, current_report, record_report
from node.ledger.tables import Job, Report
from node.store.consistency import digest_of
from node.workflow.destinations import FALLBACK, FHIR
from node.workflow.digests import artefacts_digest, computation_digest, identity_of
from workers.bundles.bundle import Bundle
from workers.nomogram.drawing import PatientNomogram
from workers.pipeline.artefacts import (
    ArtefactsMissingError,
    load_attributions,
    load_prepared_study,
    save_attributions,
    save_prepared_study,
)
from workers.pipeline.computation import Analysis, Files, analyse_study, predict_survival, prepare_study
from workers.pipeline.context import WorkerContext
from workers.pipeline.report_values import (
    draft_report,
    out_of_distribution_intensities,
    refusal_report,
    refuse_out_of_distribution,
)
from workers.volumes.prepared_study import PreparedStudy

log = structlog.get_logger("cptdn.steps")


@dataclass(frozen=True)
class StepOutcome:
    """What a step leaves: how long its parts took, what the next step needs, and what else the ledger shall hold."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    write: Callable[[Session, Job], None] = lambda _session, _job: None


def prepare_volumes(context: WorkerContext, job: Job) -> StepOutcome:
    """Stored series and contour to patches, kept on disk."""
    request, bundle = ComputeRequest.from_json(job.request), context.bundle(job.bundle)
    if request.refusals:
        raise IneligibleStudyError(request.refusals[0]["code"], " ".join(one["text"] for one in request.refusals))
    _permit(bundle, context.settings)
    folder = _artefacts(context, job, bundle)
    material = load_prepared_study(folder)
    if material is None:
        material = prepare_study(request, _files(context, request), bundle, context.settings.case)
        save_prepared_study(folder, material)
    refuse_out_of_distribution(out_of_distribution_intensities(material), context.settings)
    return StepOutcome()


def extract_features(context: WorkerContext, job: Job) -> StepOutcome:
    """Patches to features, scores, both arms' DFS, and the draft of the report; a comparison ends here."""
    settings = context.settings
    request, bundle = ComputeRequest.from_json(job.request), context.bundle(job.bundle)
    folder = _artefacts(context, job, bundle)
    material = _kept(folder)
    analysis = analyse_study(material, bundle, settings.model.device)
    refuse_out_of_distribution(analysis.out_of_distribution, settings)
    started = time.perf_counter()
    policy = _policy(bundle, settings)
    nomogram = predict_survival(analysis, request, bundle, policy)
    consulted = time.perf_counter()
    report = draft_report(request, material, analysis, nomogram, bundle, policy, job.created_at)
    seconds = {k: round(v, 4) for k, v in {**analysis.seconds, "nomogram": consulted - started}.items()}
    rows = {role.value: row for role, row in analysis.representative.items()}
    distances = {role.value: round(one.landmark_distance, 5) for role, one in material.items()}
    result = {"report": dump(report), "representative": rows, "intensity_distance": distances}
    if not job.send:
        return StepOutcome(write=lambda _session, held: jobs.finish_comparison(held, seconds, result))
    if _wants_attributions(settings):
        save_attributions(folder, bundle.attribution(material, analysis.representative, settings.model.device))
    return StepOutcome(seconds, result)


def write_report(context: WorkerContext, job: Job) -> StepOutcome:
    """The draft as DICOM objects, checked and stored once, with their deliveries; nothing when nothing changed."""
    settings, bundle = context.settings, context.bundle(job.bundle)
    draft = load((job.result or {})["report"])
    computation = computation_digest(job.request_digest, bundle.digest, settings.report)
    with context.ledger.begin() as session:
        predecessor = current_report(session, job.study_instance_uid)
    if predecessor is not None and predecessor.computation == computation:
        return StepOutcome(write=_write_unchanged)
    identity = identity_of(computation, predecessor.identity if predecessor else None)
    report = replace(
        draft,
        report_identity=identity,
        revision=predecessor.revision + 1 if predecessor else 1,
        predecessors=(predecessor.sop_instance_uid,) if predecessor else (),
    )
    made = objects_of_report(context, job, report, bundle)
    stored = [_store(context, job, one) for one in made]
    if settings.fhir.report_url:
        stored.append(_store_fhir(context, job, report, made))

    def write(session: Session, held: Job) -> None:
        record_report(
            session,
            study_instance_uid=job.study_instance_uid,
            job_id=job.id,
            identity=identity,
            computation=computation,
            request_digest=job.request_digest,
            bundle_digest=bundle.digest,
            revision=report.revision,
            sop_instance_uid=next(one.sop_instance_uid for one in stored if one.kind == "sr"),
            predecessor=predecessor,
            result=dump(report),
            objects=stored,
            destinations=[*(pacs.name for pacs in settings.pacs), *([FHIR] if settings.fhir.report_url else [])],
            case_state="reported" if report.computed else "refused",
            reasons=[{"code": reason.code, "text": reason.text} for reason in report.refusals],
            bulk=job.bulk,
        )
        jobs.finish(session, held, {})

    return StepOutcome(write=write)


def objects_of_report(
    context: WorkerContext, job: Job, report: TreatmentReport, bundle: Bundle, **changes: Any
) -> list[ReportObject]:
    """The DICOM objects of a report, each checked; `changes` replaces report options (another SR class, say).

    Raises ArtefactsMissingError when the patches of a computed report are not there any more."""
    settings, request = context.settings, ComputeRequest.from_json(job.request)
    options = replace(
        ReportOptions(
            kinds=_kinds(settings),
            language=settings.report.language,
            sop_class=settings.report.sop_class,
            timezone=settings.report.timezone,
            preliminary=settings.report.preliminary,
        ),
        **changes,
    )
    folder = _artefacts(context, job, bundle)
    material = _kept(folder) if report.computed else load_prepared_study(folder) or {}
    sources = _sources(_files(context, request), request, material)
    rows = {SeriesRole(role): row for role, row in (job.result or {}).get("representative", {}).items()}
    drawing, category = _nomogram_drawing(report, request, bundle, settings)
    pictures = PagePictures(drawing, _pictures(folder, material, rows, bundle), category)
    return build_objects(report, sources, pictures, options, context.start)


def refusal_result(context: WorkerContext, job: Job, error: IneligibleStudyError) -> dict[str, Any]:
    """What the `report` step needs to say that nothing was computed, and why."""
    request, bundle = ComputeRequest.from_json(job.request), context.bundle(job.bundle)
    reasons = [Reason(one["code"], one["text"]) for one in request.refusals] or [Reason(error.code, error.text)]
    return {"report": dump(refusal_report(request, reasons, bundle, _policy(bundle, context.settings), job.created_at))}


def fallback_sr(context: WorkerContext, report_id: int, kind: str, refused_class: str) -> StoredObject | None:
    """The SR as Comprehensive SR, for a PACS that does not take the class it was written in."""
    if kind != "sr" or refused_class == SR_SOP_CLASS_UIDS[FALLBACK_SR_CLASS]:
        return None
    with context.ledger.begin() as session:
        row = session.get_one(Report, report_id)
        job = session.get_one(Job, row.job_id)
    report, bundle = load(row.result), context.bundle(job.bundle)
    made = objects_of_report(context, job, report, bundle, sop_class=FALLBACK_SR_CLASS, kinds=("seg", "sr"))
    stored = _store(context, job, next(one for one in made if one.kind == "sr"))
    other = replace(stored, kind=f"sr{FALLBACK}")
    with context.ledger.begin() as session:
        add_object(session, report_id, other)
    return other


def _permit(bundle: Bundle, settings: Settings) -> None:
    if bundle.manifest.demonstration and not settings.model.allow_demonstration:
        raise IneligibleStudyError(
            "model_not_permitted",
            f"the bundle {bundle.manifest.name} is for demonstration only; expected a bundle for clinical use, or "
            "model.allow_demonstration = true",
        )


def _policy(bundle: Bundle, settings: Settings) -> DecisionPolicy:
    return policy_of(settings, bundle.manifest.indication, f"the bundle {bundle.manifest.name!r}")


def _write_unchanged(session: Session, held: Job) -> None:
    case = get_case(session, held.study_instance_uid)
    record(session, held.study_instance_uid, "unchanged", f"Job {held.id} found the result unchanged; nothing is sent.")
    set_state(session, case, "reported")
    held.result = {**(held.result or {}), "unchanged": True}
    jobs.finish(session, held, {})


def _artefacts(context: WorkerContext, job: Job, bundle: Bundle) -> Path:
    return context.store.artefact_folder(
        job.study_instance_uid, artefacts_digest(job.request_digest, bundle.preprocessing_digest)
    )


def _kept(folder: Path) -> PreparedStudy:
    material = load_prepared_study(folder)
    if material is None:
        raise ArtefactsMissingError(f"the patches in {folder.name[:16]} are not there any more")
    return material


def _files(context: WorkerContext, request: ComputeRequest) -> Files:
    """Every stored file that the request names. Raises InputError when one is not there any more."""
    wanted = [uid for one in request.series.values() for uid, _ in one["instances"]]
    wanted += [one["sop_instance_uid"] for one in (*request.contours.values(), *request.registrations.values())]
    with context.ledger.begin() as session:
        paths = paths_of(session, wanted)
    if missing := set(wanted) - set(paths):
        raise InputError(f"{len(missing)} of {len(set(wanted))} instances are not stored any more: {min(missing)}, ...")
    return {uid: context.store.path(path) for uid, path in paths.items()}


def _sources(files: Files, request: ComputeRequest, material: PreparedStudy) -> SourceStudy:
    def header(uid: str) -> Dataset:
        return dcmread(files[uid], stop_before_pixels=True)

    contours = dict.fromkeys(one["sop_instance_uid"] for one in request.contours.values())
    return SourceStudy(
        mr=tuple(header(uid) for one in request.series.values() for uid, _ in one["instances"]),
        contours=tuple(header(uid) for uid in contours),
        masks=tuple(SeriesMask(role, one.mask_zyx, one.slices) for role, one in material.items()),
        character_set=request.character_set,
    )


def _pictures(
    folder: Path, material: PreparedStudy, rows: Mapping[SeriesRole, int], bundle: Bundle
) -> tuple[SequencePicture, ...]:
    attributions = load_attributions(folder)
    spacing = (bundle.spacing_mm, bundle.spacing_mm)
    return tuple(
        SequencePicture(
            role, one.patches[rows[role], 0], one.patches[rows[role], 1], spacing, attributions.get(role)
        )
        for role, one in material.items()
        if role in rows
    )  # fmt: skip


def _nomogram_drawing(
    report: TreatmentReport, request: ComputeRequest, bundle: Bundle, settings: Settings
) -> tuple[PatientNomogram | None, EbvCategory | None]:
    """Draws this patient into the nomogram; with unknown EBV DNA for one category, which the page names."""
    if report.scores is None:
        return None, None
    analysis = Analysis(report.scores.prognostic_score, report.scores.predictive_score, {})
    results = predict_survival(analysis, request, bundle, _policy(bundle, settings))
    category, patient = next(iter(results.items()))
    return PatientNomogram(bundle.nomogram, patient, settings.report.language), category if len(results) > 1 else None


def _kinds(settings: Settings) -> tuple[ObjectKind, ...]:
    """What some PACS wants; the SR always, since it is the report."""
    return tuple(dict.fromkeys(("sr", *(kind for pacs in settings.pacs for kind in pacs.send))))


def _wants_attributions(settings: Settings) -> bool:
    return bool({"attribution", "sc", "pdf"} & set(_kinds(settings)))


def _store(context: WorkerContext, job: Job, made: ReportObject) -> StoredObject:
    path = context.store.save_report(job.study_instance_uid, made.sop_instance_uid, made.encoded)
    return StoredObject(
        kind=made.kind,
        sop_class_uid=made.sop_class_uid,
        sop_instance_uid=made.sop_instance_uid,
        transfer_syntax_uid=str(made.dataset.file_meta.TransferSyntaxUID),
        digest=digest_of(context.store.path(path), whole=True),
        path=path,
    )


def _store_fhir(
    context: WorkerContext, job: Job, report: TreatmentReport, made: Sequence[ReportObject]
) -> StoredObject:
    """The same result as FHIR resources, with the page as its presented form."""
    settings = context.settings
    options = ReportOptions(language=settings.report.language, preliminary=settings.report.preliminary)
    page = next((one.dataset.EncapsulatedDocument for one in made if one.kind == "pdf"), None)
    system = settings.fhir.identifier_system or PATIENT_IDENTIFIER
    data = json.dumps(fhir_bundle(report, options, page, system), ensure_ascii=False, sort_keys=True).encode()
    uid = uid_for(report.report_identity, FHIR)
    path = context.store.save_report(job.study_instance_uid, uid, data, ".json")
    return StoredObject(FHIR, "", uid, "", digest_of(context.store.path(path), whole=True), path)
