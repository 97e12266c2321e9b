"""The report that withdraws an answer: built from what is left of a study, delivered to whom has the answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from config.indication.vocabulary import ReportStatus
from config.settings import load_settings
from dicom_sr.objects.build import build_objects
from dicom_sr.reading.reader import read_report
from dicom_sr.report.json_form import dump, load
from dicom_sr.report.report_inputs import ReportObject, ReportOptions
from dicom_sr.report.treatment_report import TreatmentReport
from node.ledger import deliveries, jobs
from node.ledger.cases import get_case, open_case
from node.ledger.database import now_utc, open_ledger
from node.ledger.deliveries import deliveries_of
from node.ledger.reports import current_report, objects_of, record_report, status_of
from node.ledger.tables import Job, Report
from node.ledger.withdrawals import is_withdrawal, order_of
from node.messaging.queue import make_celery
from node.workflow.withdrawal import withdraw_due, withdraw_study
from tests.dicom_sr import samples
from workers.pipeline.context import WorkerContext
from workers.queue.report_objects import save_object
from workers.queue.steps import write_report
from workers.queue.tasks import run_step
from workers.queue.withdrawals import build_withdrawal_objects, withdrawal_report

BECAUSE = "the contour is of another patient"


@pytest.fixture(scope="module")
def answer() -> tuple[TreatmentReport, list[ReportObject]]:
    """A report with its SR, built once: drawing takes seconds."""
    report = samples.scored()
    return report, build_objects(report, samples.sources(), None, ReportOptions(kinds=("sr",)))


@contextmanager
def reported_site(
    folder: Path, answer: tuple[TreatmentReport, list[ReportObject]], send: str = '["sr"]'
) -> Iterator[WorkerContext]:
    """A site with two PACS and one reported study: the SR of its report, and neither images nor its bundle."""
    config = folder / "cptdn.toml"
    pacs = [f'[[pacs]]\nname = "{name}"\nae_title = "A"\nport = 1\nsend = {send}\n' for name in ("main", "second")]
    config.write_text('[storage]\nroot = "data"\nmin_free_gb = 0\n' + "".join(pacs), encoding="utf-8")
    settings = load_settings(config)
    ledger = open_ledger(settings.ledger.url or "")
    worker = WorkerContext(settings)
    worker.store.prepare()
    report, built = answer
    with ledger.begin() as session:
        open_case(session, samples.STUDY, report.patient_id, "")
        job = jobs.create_job(session, samples.STUDY, {}, "the inputs", "site-2026")
        job.state = "done"
    stored = [save_object(worker, job, each) for each in built]
    with ledger.begin() as session:
        record_report(
            session, study_instance_uid=samples.STUDY, job_id=job.id, identity=report.report_identity,
            computation="computation", request_digest="the inputs", bundle_digest=report.model.digest, revision=1,
            sop_instance_uid=built[0].sop_instance_uid, predecessor=None, result=dump(report), objects=stored,
            destinations=["main", "second"],
        )  # fmt: skip
    sent(worker, "main")
    yield worker
    worker.ledger.close()
    ledger.close()


@pytest.fixture
def context(tmp_path: Path, answer: tuple[TreatmentReport, list[ReportObject]]) -> Iterator[WorkerContext]:
    with reported_site(tmp_path, answer) as worker:
        yield worker


def sent(context: WorkerContext, name: str) -> None:
    """The PACS of this name has the current report; the delivery to the other one was never begun."""
    with context.ledger.begin() as session:
        report = current_report(session, samples.STUDY)
        assert report is not None
        (row,) = [each for each in deliveries_of(session, report.id) if each.pacs == name]
        row.sent_at = now_utc()
        deliveries.record_object(row, report.sop_instance_uid, status=deliveries.STORED)


def withdraw(context: WorkerContext) -> Report:
    """Withdraw by a person and let a worker write it; returns the newest report."""
    with context.ledger.begin() as session:
        withdraw_study(session, samples.STUDY, BECAUSE, "wang")
    return work(context)


def work(context: WorkerContext) -> Report:
    with context.ledger.begin() as session:
        (job,) = [job for job in session.query(Job) if is_withdrawal(job) and job.state == "queued"]
    celery = make_celery("redis+socket:///nowhere/broker.sock", context.settings.broker)
    run_step(celery, context, job.id, "report", write_report)
    with context.ledger.begin() as session:
        done = session.get_one(Job, job.id)
        assert (done.state, done.error_text) == ("done", None)
        report = current_report(session, samples.STUDY)
        assert report is not None
        return report


def test_a_withdrawal_is_the_successor_of_the_answer_in_every_form(
    tmp_path: Path, answer: tuple[TreatmentReport, list[ReportObject]]
) -> None:
    with reported_site(tmp_path, answer, '["sr", "sc", "pdf", "seg"]') as context:
        _compare_with_the_answer(context, withdraw(context))


def _compare_with_the_answer(context: WorkerContext, report: Report) -> None:
    with context.ledger.begin() as session:
        objects = {row.kind: context.store.path(row.path) for row in objects_of(session, report.id)}
        first = session.query(Report).filter_by(revision=1).one()
        case = get_case(session, samples.STUDY)
    assert (report.revision, report.predecessor_id) == (2, first.id)
    assert set(objects) == {"sr", "sc", "pdf"}
    value = read_report(objects["sr"])
    assert value == load(report.result)
    assert value.status is ReportStatus.WITHDRAWN
    assert value.withdrawal is not None
    assert (value.withdrawal.by, value.withdrawal.because) == ("wang", BECAUSE)
    assert value.predecessors == (first.sop_instance_uid,)
    assert (value.scores, value.scenarios, value.age_years) == (None, (), None)
    sr, capture = dcmread(objects["sr"]), dcmread(objects["sc"])
    earlier = dcmread(context.store.path(next(row.path for row in _objects(context, first.id) if row.kind == "sr")))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "StudyID"):
        assert sr[keyword] == earlier[keyword] == capture[keyword], keyword
    assert sr.ReferencedRequestSequence == earlier.ReferencedRequestSequence
    assert (case.state, case.outdated_since, case.current_report_id) == ("withdrawn", None, report.id)
    assert status_of(first, [report, first]) == status_of(report, [report, first]) == "withdrawn"


def _objects(context: WorkerContext, report_id: int) -> list[object]:
    with context.ledger.begin() as session:
        return list(objects_of(session, report_id))


def test_only_a_destination_that_may_have_the_answer_gets_the_withdrawal(context: WorkerContext) -> None:
    report = withdraw(context)
    with context.ledger.begin() as session:
        assert [row.pacs for row in deliveries_of(session, report.id)] == ["main"]
        first = session.query(Report).filter_by(revision=1).one()
        assert {row.pacs: row.state for row in deliveries_of(session, first.id)}["second"] == "superseded"


def test_a_withdrawal_is_written_where_no_file_of_the_study_is_left(context: WorkerContext) -> None:
    shutil.rmtree(context.settings.storage.root / "reports")
    report = withdraw(context)
    with context.ledger.begin() as session:
        (path,) = [context.store.path(row.path) for row in objects_of(session, report.id) if row.kind == "sr"]
    sr = dcmread(path)
    assert (sr.PatientID, sr.StudyInstanceUID) == (load(report.result).patient_id, samples.STUDY)
    assert read_report(path).status is ReportStatus.WITHDRAWN


def test_a_withdrawal_that_is_not_wanted_any_more_sends_nothing(context: WorkerContext) -> None:
    with context.ledger.begin() as session:
        case = get_case(session, samples.STUDY)
        case.state, case.outdated_since = "held", datetime(2026, 5, 10, tzinfo=UTC)
        case.reasons = [{"code": "administrator_hold", "text": "An administrator holds this case: why"}]
    assert withdraw_due(context.ledger, context.settings) == 1
    with context.ledger.begin() as session:
        get_case(session, samples.STUDY).state = "reported"
    assert work(context).revision == 1


def test_a_step_that_runs_twice_writes_the_same_withdrawal(context: WorkerContext) -> None:
    report = withdraw(context)
    with context.ledger.begin() as session:
        job = session.get_one(Job, report.job_id)
        before = {row.sop_instance_uid for row in objects_of(session, report.id)}
        first = session.query(Report).filter_by(revision=1).one()

    again = build_withdrawal_objects(context, withdrawal_report(first, order_of(job), job))
    assert {each.sop_instance_uid for each in again} == before
