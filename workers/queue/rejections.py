"""Rejection notes of a report: what each PACS that takes them has of earlier reports of the study."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import PacsSettings
from dicom_sr.header.uids import series_uid_of
from dicom_sr.objects.rejection_note import RejectedObject, build_rejection_note
from dicom_sr.objects.validation import validate
from dicom_sr.report.report_inputs import ReportObject, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport
from node.ledger.reports import StoredObject, objects_of, reports_of
from node.ledger.tables import Delivery, Job
from node.ledger.tables import ReportObject as StoredRow
from node.ledger.withdrawals import is_begun
from node.workflow.channels.dicom import FALLBACK, rejection_kind
from node.workflow.outward_acts import Event, rejection_title
from workers.pipeline.context import WorkerContext
from workers.queue.report_objects import save_object
from workers.queue.study_header import header_of_study

log = structlog.get_logger("cptdn.rejections")


def rejection_notes(context: WorkerContext, job: Job, report: TreatmentReport, event: Event) -> list[StoredObject]:
    """Build and save the rejection notes that go out with a report, one for each PACS that takes them.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger and store.
    job : Job
        Of the study.
    report : TreatmentReport
        The report that takes the place of earlier ones.
    event : Event
        Decides the title, see `outward_acts.TABLE`.

    Returns
    -------
    list of StoredObject
        None for a PACS that has nothing of an earlier report, or has been told of all of it.
    """
    title, saved = rejection_title(event), []
    for pacs in context.settings.pacs:
        if not pacs.rejection_notes or title is None:
            continue
        with context.ledger.read() as session:
            rows = list(_outdated_at(session, context, job.study_instance_uid, pacs))
        rejected = [named for row in rows if (named := _reference(context, row)) is not None]
        if not rejected:
            continue
        settings = context.settings
        options = ReportOptions(language=settings.report.language, timezone=settings.report.timezone)
        sources = SourceStudy((header_of_study(context, report),))
        note = build_rejection_note(title, rejected, report, sources, options)
        built = ReportObject("ko", str(note.SOPClassUID), str(note.SOPInstanceUID), note)
        validate([built], report, sources)
        stored = save_object(context, job, built)
        saved.append(StoredObject(**{**vars(stored), "kind": rejection_kind(pacs.name)}))
    return saved


def _outdated_at(
    session: Session, context: WorkerContext, study_instance_uid: str, pacs: PacsSettings
) -> Iterator[StoredRow]:
    """Yield the objects of earlier reports that a PACS has or may have, without those that it was told to reject."""
    kinds = {*pacs.send, *(kind + FALLBACK for kind in pacs.send)}
    for report in reports_of(session, study_instance_uid):
        delivery = session.scalar(select(Delivery).where(Delivery.report_id == report.id, Delivery.pacs == pacs.name))
        if delivery is None or not is_begun(delivery):
            continue
        rows = objects_of(session, report.id)
        yield from (row for row in rows if row.kind in kinds)
        if any(row.kind == rejection_kind(pacs.name) for row in rows):
            return  # its note names everything before it


def _reference(context: WorkerContext, row: StoredRow) -> RejectedObject | None:
    """Return how a note names an object; None for a picture whose file, and with it its series, is gone."""
    try:
        header = dcmread(context.store.path(row.path), specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
        series = str(header.SeriesInstanceUID)
    except (OSError, InvalidDicomError, EOFError, AttributeError) as error:
        if not row.kind.startswith("sr"):
            log.warning("an object is not in the rejection note", kind=row.kind, error=type(error).__name__)
            return None
        series = series_uid_of(row.sop_instance_uid)
    return RejectedObject(row.sop_class_uid, row.sop_instance_uid, series)
