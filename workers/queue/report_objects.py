"""The objects of a report: DICOM objects and FHIR resources, built from a report and the stored study, and saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset

from config.decision_policy import DecisionPolicy, policy_for_manifest
from config.errors import InputError
from config.indication.vocabulary import SeriesRole
from config.messages.message import message
from config.settings import ObjectKind, Settings
from dicom_sr.header.copied_values import with_header_findings
from dicom_sr.header.uids import uid_for
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.fhir import PATIENT_IDENTIFIER, fhir_bundle
from dicom_sr.objects.fhir_revisions import with_parts_of_earlier
from dicom_sr.report.report_inputs import GuidelineText, ReportObject, ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport
from node.cases.case_inputs import ComputeRequest
from node.dicom.headers.conforming import read_conforming
from node.ledger.instances import paths_of
from node.ledger.reports import StoredObject, objects_of
from node.ledger.tables import Job, Report
from node.store.consistency import digest_of
from node.workflow.channels.fhir import FHIR
from node.workflow.digests import artefacts_digest
from workers.bundles.bundle import Bundle
from workers.pipeline.artefacts import ArtefactsMissingError, load_prepared_study
from workers.pipeline.computation import Files
from workers.pipeline.context import WorkerContext
from workers.queue.page_pictures import page_pictures
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy


def note_header_values(context: WorkerContext, job: Job, report: TreatmentReport) -> TreatmentReport:
    """Add to a report which values of the MR headers its objects do not copy, because they do not conform.

    Parameters
    ----------
    context : WorkerContext
        Its ledger and store.
    job : Job
        Its request names the stored files.
    report : TreatmentReport
        Of this job.

    Returns
    -------
    TreatmentReport
        With quality findings (see `with_header_findings`), so that the stored report and its objects say the same.

    Raises
    ------
    InputError
        A stored file that the request names is missing.
    """
    request = ComputeRequest.from_json(job.request)
    uids = [uid for series in request.series.values() for uid, _ in series["instances"]]
    if not uids:
        return report
    first = read_conforming(stored_files(context, request)[uids[0]], stop_before_pixels=True)
    return with_header_findings(report, SourceStudy((first,), character_set=request.character_set))


def build_report_objects(
    context: WorkerContext,
    job: Job,
    report: TreatmentReport,
    bundle: Bundle,
    segmentations: Sequence[Dataset] = (),
    **changes: Any,
) -> list[ReportObject]:
    """Build the DICOM objects of a report, each validated.

    Parameters
    ----------
    context : WorkerContext
        Settings, store, and how pages are drawn.
    job : Job
        Its request names the stored files, its result the representative slices.
    report : TreatmentReport
        With identity and revision.
    bundle : Bundle
        The one that computed the report.
    segmentations : sequence of Dataset
        As of `build_objects`.
    **changes
        Fields of `ReportOptions` that differ from the site's settings, for example another SR class.

    Returns
    -------
    list of ReportObject
        In the order in which they should be sent.

    Raises
    ------
    ArtefactsMissingError
        The prepared study of a scored report is missing.
    InputError
        A stored file that the request names is missing.
    ReportError
        The objects contradict the report.
    """
    settings, request = context.settings, ComputeRequest.from_json(job.request)
    options = replace(site_options(settings), **changes)
    folder = artefact_folder(context, job, bundle)
    # A refusal may come before the step `volumes`: its report has no masks and no pictures then.
    study = require_prepared_study(folder) if report.computed else load_prepared_study(folder) or {}
    sources = _sources(stored_files(context, request), request, study)
    rows = {SeriesRole(role): row for role, row in (job.result or {}).get("representative", {}).items()}
    pictures = page_pictures(report, request, bundle, settings, study, sources, rows, folder)
    return build_objects(report, sources, pictures, options, context.start_drawing, segmentations)


def site_options(settings: Settings) -> ReportOptions:
    """Return the site's choices for the objects of a report; of the kinds only those that some PACS is sent."""
    chosen = settings.report
    return ReportOptions(
        # A page that is drawn and not sent costs time for nothing.
        kinds=sent_kinds(settings),
        language=chosen.language,
        sop_class=chosen.sop_class,
        timezone=chosen.timezone,
        preliminary=chosen.preliminary,
        guideline=_guideline(settings),
        device_serial_number=chosen.device_serial_number,
        device_udi=chosen.device_udi,
    )


def save_object(context: WorkerContext, job: Job, built: ReportObject) -> StoredObject:
    """Save one DICOM object in the store.

    Parameters
    ----------
    context : WorkerContext
        Its store.
    job : Job
        Of the study.
    built : ReportObject
        Validated.

    Returns
    -------
    StoredObject
        What the ledger records of it: UIDs, digest and path below the storage root.
    """
    path = context.store.save_report(job.study_instance_uid, built.sop_instance_uid, built.encoded)
    return StoredObject(
        kind=built.kind,
        sop_class_uid=built.sop_class_uid,
        sop_instance_uid=built.sop_instance_uid,
        transfer_syntax_uid=str(built.dataset.file_meta.TransferSyntaxUID),
        digest=digest_of(context.store.path(path), whole=True),
        path=path,
    )


def save_fhir(
    context: WorkerContext,
    job: Job,
    report: TreatmentReport,
    objects: Sequence[ReportObject],
    earlier: Report | None = None,
) -> StoredObject:
    """Save the report as FHIR resources, with the PDF page as its presented form where there is one.

    Parameters
    ----------
    context, job
        As of `build_report_objects`.
    report : TreatmentReport
        With identity and revision.
    objects : sequence of ReportObject
        Its DICOM objects.
    earlier : Report or None
        The report that it replaces: what that one has and this one has not is entered in error.

    Returns
    -------
    StoredObject
        Its UID follows from the content, so that a repeated step overwrites the same file and no other one.
    """
    settings = context.settings
    options = ReportOptions(language=settings.report.language, preliminary=settings.report.preliminary)
    page = next((built.dataset.EncapsulatedDocument for built in objects if built.kind == "pdf"), None)
    system = settings.fhir.identifier_system or PATIENT_IDENTIFIER
    # Sorted keys: the same report gives the same bytes, and so the same digest.
    sr_instance_uid = next(built.sop_instance_uid for built in objects if built.kind == "sr")
    resources = fhir_bundle(report, options, page, system, sr_instance_uid)
    bundle = with_parts_of_earlier(resources, _fhir_bundle_of(context, earlier))
    data = json.dumps(bundle, ensure_ascii=False, sort_keys=True).encode()
    uid = uid_for(report.report_identity, f"{FHIR}/{hashlib.sha256(data).hexdigest()}")
    path = context.store.save_report(job.study_instance_uid, uid, data, ".json")
    return StoredObject(FHIR, "", uid, "", digest_of(context.store.path(path), whole=True), path)


def _fhir_bundle_of(context: WorkerContext, report: Report | None) -> dict[str, Any] | None:
    """Return the stored resources of a report; None where it has none, or their file is gone."""
    if report is None:
        return None
    with context.ledger.read() as session:
        paths = [row.path for row in objects_of(session, report.id) if row.kind == FHIR]
    try:
        found: list[dict[str, Any]] = [json.loads(context.store.path(path).read_bytes()) for path in paths]
    except (OSError, ValueError):
        return None
    return found[0] if found else None


def _guideline(settings: Settings) -> GuidelineText | None:
    said = settings.report
    if said.guideline_text is None:
        return None
    # All four or none, see the settings.
    source, day, signer = said.guideline_source, said.guideline_date, said.guideline_signer
    return GuidelineText(said.guideline_text, source or "", day or "", signer or "")


def sent_kinds(settings: Settings) -> tuple[ObjectKind, ...]:
    """Return the kinds of objects that some destination is sent; the SR always, since it is the report."""
    pages: tuple[ObjectKind, ...] = ("pdf",) if any(receiver.pdf for receiver in settings.hl7_out) else ()
    return tuple(dict.fromkeys(("sr", *(kind for pacs in settings.pacs for kind in pacs.send), *pages)))


def shows_attributions(settings: Settings) -> bool:
    """Return whether some object that is sent shows Grad-CAM maps."""
    return bool({"attribution", "sc", "pdf"} & set(sent_kinds(settings)))


def artefact_folder(context: WorkerContext, job: Job, bundle: Bundle) -> Path:
    """Return the folder of a job's artefacts, shared by all bundles with the same preprocessing."""
    return context.store.artefact_folder(
        job.study_instance_uid, artefacts_digest(job.request_digest, bundle.preprocessing_digest)
    )


def require_prepared_study(folder: Path) -> PreparedStudy:
    """Load the prepared study of an artefact folder; raises ArtefactsMissingError where it is missing or damaged."""
    study = load_prepared_study(folder)
    if study is None:
        raise ArtefactsMissingError(message("artefacts_gone.prepared", folder=folder.name[:16]))
    return study


def stored_files(context: WorkerContext, request: ComputeRequest) -> Files:
    """Return the file of every instance that a request names.

    Parameters
    ----------
    context : WorkerContext
        Ledger and store.
    request : ComputeRequest
        Series, contours and registrations.

    Returns
    -------
    mapping of str to Path
        SOP Instance UID -> file.

    Raises
    ------
    InputError
        An instance is no longer stored.
    """
    uids = [uid for series in request.series.values() for uid, _ in series["instances"]]
    uids += [chosen["sop_instance_uid"] for chosen in (*request.contours.values(), *request.registrations.values())]
    with context.ledger.read() as session:
        paths = paths_of(session, uids)
    if missing := set(uids) - set(paths):
        raise InputError(message("missing_instances.gone", n=len(missing), total=len(set(uids)), first=min(missing)))
    return {uid: context.store.path(path) for uid, path in paths.items()}


def decision_policy(bundle: Bundle, settings: Settings) -> DecisionPolicy:
    """Return the rule by which this site recommends with a bundle; raises SettingsError where both contradict."""
    return policy_for_manifest(settings, bundle.manifest)


def _sources(files: Files, request: ComputeRequest, study: PreparedStudy) -> SourceStudy:
    def header(uid: str) -> Dataset:
        return read_conforming(files[uid], stop_before_pixels=True)

    # Each object once: the three roles usually share one contour.
    contours = dict.fromkeys(chosen["sop_instance_uid"] for chosen in request.contours.values())
    return SourceStudy(
        mr=tuple(header(uid) for series in request.series.values() for uid, _ in series["instances"]),
        contours=tuple(header(uid) for uid in contours),
        masks=tuple(_mask(role, series, request) for role, series in study.items()),
        character_set=request.character_set,
    )


def _mask(role: SeriesRole, series: PreparedSeries, request: ComputeRequest) -> SeriesMask:
    chosen = request.contours[role.value]
    contour = (chosen["sop_instance_uid"], int(chosen["roi_number"]))
    return SeriesMask(role, series.mask_zyx, series.slices, contour, series.drawn_here)
