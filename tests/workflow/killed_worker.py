"""A process that does all work of a site, and is killed by SIGKILL while it does.

It assesses, withdraws, recovers what dead processes have left, takes the messages of the outbox, and does the steps of
jobs and deliveries, each by the functions of the program. Only what computes is a stand-in: `volumes` does nothing,
`features` gives the numbers of a sample, and an SR is a header with one sentence, as `said_by` reads it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy.exc import SQLAlchemyError

from config.settings import load_settings
from dicom_sr.header.uids import series_uid_of, uid_for
from dicom_sr.report.json_form import dump
from dicom_sr.report.report_inputs import ReportObject
from dicom_sr.report.treatment_report import TreatmentReport
from node.cases.case_inputs import ComputeRequest
from node.ledger import job_recovery
from node.ledger.outbox import relay
from node.ledger.tables import Job
from node.messaging.messages import DELIVER_REPORT, EXTRACT_FEATURES, PREPARE_VOLUMES, WRITE_REPORT
from node.workflow.casework import assess_due
from node.workflow.delivery import deliver, requeue_overdue
from node.workflow.withdrawal import withdraw_due
from tests.dicom_sr import samples
from workers.pipeline.context import WorkerContext
from workers.queue import steps, tasks, withdrawals

SAMPLE = samples.scored()
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
LEASE = timedelta(seconds=60)


def main() -> None:
    """Fork a worker for each line of the standard input, which is a configuration file; print its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while config := sys.stdin.readline().strip():
        owner = os.getpid()
        pid = os.fork()
        if pid == 0:
            work(config, owner)
            os._exit(0)
        print(pid, flush=True)


def work(config: str, owner: int) -> None:
    """Work until the process is killed, or the one that it was forked from is gone."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = load_settings(Path(config))
    context = StandIn(settings, name=f"killed:{os.getpid()}")
    use_stand_ins()
    messages: list[tuple[str, list[Any]]] = []  # as a broker has them: lost when the process dies
    while os.path.exists(f"/proc/{owner}"):
        messages.clear()
        try:
            n_due = _recover(context)
            relay(context.ledger, lambda task, args: messages.append((task, args)))
            for task, args in messages:
                do(context, task, args)
        except SQLAlchemyError:  # a ledger that is busy: the tasks of the program go on in the same way
            continue
        except Exception:
            Path(config).with_name("worker.log").write_text(traceback.format_exc())
            raise
        if not n_due and not messages:
            time.sleep(0.02)


def _recover(context: WorkerContext) -> int:
    settings = context.settings
    n_due = assess_due(context.ledger, settings) + withdraw_due(context.ledger, settings)
    with context.ledger.begin() as session:
        return n_due + job_recovery.requeue_lost(session, LEASE) + requeue_overdue(session, settings)


class StandIn(WorkerContext):
    """A worker whose bundle is a name and a digest."""

    def bundle(self, name: str) -> Any:
        return SimpleNamespace(digest=SAMPLE.model.digest, manifest=None)


def use_stand_ins() -> None:
    """Replace what computes and builds documents here; ledger, state machines and channels are the real ones."""
    steps.build_report_objects = _answer  # type: ignore[assignment]
    steps.note_header_values = lambda _context, _job, report: report  # type: ignore[assignment]
    withdrawals.build_withdrawal_objects = _withdrawal  # type: ignore[assignment]
    tasks.relay_messages = lambda _app, _context: None  # type: ignore[assignment]


def do(context: WorkerContext, task: str, args: list[Any]) -> None:
    """Do what a message says."""
    app: Any = None
    if task == PREPARE_VOLUMES:
        tasks.run_step(app, context, args[0], "volumes", lambda _context, _job: steps.StepOutcome())
    elif task == EXTRACT_FEATURES:
        tasks.run_step(app, context, args[0], "features", _score)
    elif task == WRITE_REPORT:
        tasks.run_step(app, context, args[0], "report", steps.write_report)
    elif task == DELIVER_REPORT:
        deliver(context.ledger, context.settings, context.store, args[0], context.name)


def _score(_context: WorkerContext, job: Job) -> steps.StepOutcome:
    request = ComputeRequest.from_json(job.request)
    report = replace(
        SAMPLE,
        patient_id=request.patient_id,
        study_instance_uid=request.study_instance_uid,
        created=job.created_at,
        age_years=request.age_years,
        ebv_dna=replace(SAMPLE.ebv_dna, as_given=str(request.ebv["as_given"])),
        contours=(replace(SAMPLE.contours[0], sop_instance_uid=_contour_of(request)),),
    )
    return steps.StepOutcome(result={"report": dump(report)})


def _contour_of(request: ComputeRequest) -> str:
    return str(next(iter(request.contours.values()))["sop_instance_uid"])


def said_by(report: TreatmentReport) -> str:
    """What a report says of its inputs: compared with what was told last."""
    if report.withdrawal is not None:
        return "withdrawn"
    return f"answer of {report.ebv_dna.as_given}, {report.contours[0].sop_instance_uid}, {report.age_years:.0f} years"


def _answer(
    _context: WorkerContext, _job: Job, report: TreatmentReport, *_: Any, **_changes: Any
) -> list[ReportObject]:
    return [_document(report)]


def _withdrawal(_context: WorkerContext, report: TreatmentReport, **_changes: Any) -> list[ReportObject]:
    return [_document(report)]


def _document(report: TreatmentReport) -> ReportObject:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = COMPREHENSIVE_3D_SR, uid_for(report.report_identity, "sr")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = report.study_instance_uid, series_uid_of(ds.SOPInstanceUID)
    ds.PatientID, ds.PatientName, ds.Modality, ds.SeriesDescription = report.patient_id, "", "SR", said_by(report)
    ds.StudyDate, ds.ContentDate = "20260501", report.created.strftime("%Y%m%d")
    if report.predecessors:
        study = Dataset()
        study.StudyInstanceUID = report.study_instance_uid
        study.ReferencedSeriesSequence = [_reference(uid) for uid in report.predecessors]
        ds.PredecessorDocumentsSequence = [study]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ReportObject("sr", COMPREHENSIVE_3D_SR, str(ds.SOPInstanceUID), ds)


def _reference(sop_instance_uid: str) -> Dataset:
    series, item = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = COMPREHENSIVE_3D_SR, sop_instance_uid
    series.SeriesInstanceUID, series.ReferencedSOPSequence = series_uid_of(sop_instance_uid), [item]
    return series


if __name__ == "__main__":
    main()
