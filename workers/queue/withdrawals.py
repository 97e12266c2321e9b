"""Write the report that withdraws an answer: with what is left of the study, and without its model bundle.

Images, contours and artefacts may have been removed, the bundle recalled or deleted: patient and study are copied from
the objects of the report that is withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from config.indication.vocabulary import EbvCategory
from config.messages.message import message
from config.settings import ObjectKind
from config.version import software_version
from dicom_sr.objects.build import build_objects
from dicom_sr.report.json_form import dump, load
from dicom_sr.report.report_inputs import ReportObject, SourceStudy
from dicom_sr.report.report_status import ReplacedReport, Withdrawal
from dicom_sr.report.treatment_report import EbvDna, Reason, Stage, TreatmentReport
from node.ledger import jobs
from node.ledger.cases import get_case, record
from node.ledger.reports import current_report, is_current, record_report
from node.ledger.supersession import replaced_documents
from node.ledger.tables import Job, Report
from node.ledger.withdrawals import WithdrawalOrder, holders_of_reports, order_of
from node.workflow.destinations import destination_names
from node.workflow.digests import identity_of, withdrawal_digest
from node.workflow.outward_acts import Event
from node.workflow.withdrawal import still_wanted
from workers.pipeline.context import WorkerContext
from workers.queue.rejections import rejection_notes
from workers.queue.report_objects import save_fhir, save_object, site_options
from workers.queue.study_header import header_of_study

# What says "withdrawn" to a reader. Segmentations and attribution maps say nothing that could be withdrawn.
KINDS: tuple[ObjectKind, ...] = ("sr", "sc", "pdf")


def write_withdrawal(context: WorkerContext, job: Job) -> Callable[[Session, Job], None]:
    """Build, validate and save the objects of a withdrawal.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger and store.
    job : Job
        Leased by this worker, see `node.ledger.withdrawals`.

    Returns
    -------
    callable
        Records the withdrawal as the current report, with a delivery to each destination that has or may have an
        earlier report of the study; it records nothing where the withdrawal is not wanted any more.
    """
    order = order_of(job)
    with context.ledger.read() as session:
        earlier = session.get_one(Report, order.report_id)
        newest = current_report(session, job.study_instance_uid)
        replaced = replaced_documents(session, earlier)
    if newest is None or newest.id != earlier.id:
        return _not_wanted
    report = withdrawal_report(earlier, order, job, replaced)
    objects = build_withdrawal_objects(context, report)
    stored = [save_object(context, job, built) for built in objects]
    stored += rejection_notes(context, job, report, Event(order.event))
    if context.settings.fhir.report_url:
        stored.append(save_fhir(context, job, report, objects, earlier))

    def write(session: Session, leased: Job) -> None:
        case = get_case(session, job.study_instance_uid)
        if not is_current(session, job.study_instance_uid, earlier) or not still_wanted(case, earlier):
            _not_wanted(session, leased)
            return
        record_report(
            session, study_instance_uid=job.study_instance_uid, job_id=job.id, identity=report.report_identity,
            computation=withdrawal_digest(job.request_digest), request_digest=job.request_digest,
            bundle_digest=earlier.bundle_digest, revision=report.revision,
            sop_instance_uid=next(saved.sop_instance_uid for saved in stored if saved.kind == "sr"),
            predecessor=earlier, result=dump(report), objects=stored,
            destinations=_destinations(session, context, job.study_instance_uid), case_state=None, bulk=job.bulk,
        )  # fmt: skip
        jobs.finish(session, leased, {})

    return write


def _not_wanted(session: Session, leased: Job) -> None:
    text = message("withdrawal.not_sent")
    record(session, leased.study_instance_uid, "not_withdrawn", text)
    jobs.finish(session, leased, {})


def _destinations(session: Session, context: WorkerContext, study_instance_uid: str) -> list[str]:
    """Return the destinations that get the withdrawal: those that may have an earlier report of the study."""
    settings = context.settings
    configured = destination_names(settings)
    # A PACS that is sent contours only has no answer that could be withdrawn, and gets no document.
    silent = {pacs.name for pacs in settings.pacs if not set(pacs.send) & set(KINDS)}
    holders = holders_of_reports(session, study_instance_uid)
    for name in holders:
        if name not in configured:
            text = message("withdrawal.unreachable", name=name)
            record(session, study_instance_uid, "unreachable", text)
    return [name for name in holders if name in configured and name not in silent]


def withdrawal_report(earlier: Report, order: WithdrawalOrder, job: Job, replaced: tuple[str, ...]) -> TreatmentReport:
    """Build the value of a withdrawal: the model of the earlier report, and none of its inputs or numbers.

    Parameters
    ----------
    earlier : Report
        Whose answer is withdrawn.
    order : WithdrawalOrder
        Since when, by whom and why.
    job : Job
        The withdrawing job; its time is the time of the report, so that repeating the step gives the same report.
    replaced : tuple of str
        SOP Instance UIDs of the SRs whose place it takes.

    Returns
    -------
    TreatmentReport
        The successor of the earlier report.
    """
    withdrawn = load(earlier.result)
    return TreatmentReport(
        patient_id=withdrawn.patient_id,
        study_instance_uid=withdrawn.study_instance_uid,
        report_identity=identity_of(withdrawal_digest(job.request_digest), earlier.identity),
        revision=earlier.revision + 1,
        created=job.created_at,
        software_version=software_version(),
        model=withdrawn.model,
        # An input may be what was wrong.
        age_years=None,
        age_source="",
        ebv_dna=EbvDna(EbvCategory.UNKNOWN, threshold_copies_per_ml=withdrawn.ebv_dna.threshold_copies_per_ml),
        stage=Stage(verified=False),
        horizons_months=withdrawn.horizons_months,
        refusals=tuple(Reason(reason["code"], reason["text"]) for reason in order.reasons),
        predecessors=replaced,
        withdrawal=Withdrawal(order.since, order.by, order.because),
        replaced=ReplacedReport(withdrawn.revision, withdrawn.created),
    )


def build_withdrawal_objects(context: WorkerContext, report: TreatmentReport, **changes: Any) -> list[ReportObject]:
    """Build the DICOM objects of a withdrawal, each validated.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger and store.
    report : TreatmentReport
        A withdrawal.
    **changes
        Fields of `ReportOptions` that differ from the site's settings, for example another SR class.

    Returns
    -------
    list of ReportObject
        SR, pictures and PDF, as far as some PACS is sent them.
    """
    site = site_options(context.settings)
    options = replace(site, **{"kinds": tuple(kind for kind in KINDS if kind in site.kinds), **changes})
    header = header_of_study(context, report)
    # A header that was coerced after it was stored here: the objects belong to the patient that it names.
    report = replace(report, patient_id=str(header.get("PatientID") or ""))
    return build_objects(report, SourceStudy((header,)), None, options, context.start_drawing)
