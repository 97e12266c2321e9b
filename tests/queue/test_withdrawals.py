"""The report that withdraws an answer: built from what is left of a study, delivered to whom has the answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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
from node.audit.recorder import open_audit
from node.ledger import deliveries, jobs
from node.ledger.cases import get_case, open_case
from node.ledger.database import now_utc, open_ledger
from node.ledger.deliveries import deliveries_of
from node.ledger.reports import current_report, objects_of, record_report, status_of
from node.ledger.supersession import replaced_documents
from node.ledger.tables import Job, Report
from node.ledger.tables import ReportObject as ReportRow
from node.ledger.withdrawals import is_withdrawal, order_of
from node.messaging.queue import make_celery
from node.small_pacs.pacs import Behaviour, SmallPacs
from node.workflow.channels.channel import ChannelContext
from node.workflow.destinations import open_channel, stored_object
from node.workflow.outward_acts import Event
from node.workflow.withdrawal import withdraw_due, withdraw_study
from tests.dicom_sr import samples
from tests.flow.program import run_in_process
from tests.peers import peer
from workers.pipeline.context import WorkerContext
from workers.queue.rejections import rejection_notes
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
    folder: Path, answer: tuple[TreatmentReport, list[ReportObject]], send: str = '["sr"]', more: str = ""
) -> Iterator[WorkerContext]:
    """A site with two PACS and one reported study: the SR of its report, and neither images nor its bundle."""
    config = folder / "cptdn.toml"
    pacs = [
        f'[[pacs]]\nname = "{name}"\nae_title = "A"\nport = 1\nsend = {send}\n{more}\n' for name in ("main", "second")
    ]
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
    earlier_path = context.store.path(next(row.path for row in _objects(context, first.id) if row.kind == "sr"))
    earlier = dcmread(context.store.path(next(row.path for row in _objects(context, first.id) if row.kind == "sr")))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "StudyID"):
        assert sr[keyword] == earlier[keyword] == capture[keyword], keyword
    assert sr.ReferencedRequestSequence == earlier.ReferencedRequestSequence
    assert (case.state, case.outdated_since, case.current_report_id) == ("withdrawn", None, report.id)
    for path in (objects["sr"], earlier_path):
        shown = run_in_process("report", "show", str(path), "--json", "--config", str(context.settings.source))
        assert json.loads(shown.stdout)["status"] == "withdrawn"
    assert status_of(first, [report, first]) == status_of(report, [report, first]) == "withdrawn"


def _objects(context: WorkerContext, report_id: int) -> list[ReportRow]:
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


def test_a_report_names_each_earlier_one_that_a_pacs_would_still_show_as_current(context: WorkerContext) -> None:
    report = withdraw(context)
    with context.ledger.begin() as session:
        first = session.query(Report).filter_by(revision=1).one()
        # The PACS has the first report, and never gets the second one if a third one comes now.
        assert replaced_documents(session, report) == (first.sop_instance_uid, report.sop_instance_uid)
    sent(context, "main")
    with context.ledger.begin() as session:
        assert replaced_documents(session, report) == (report.sop_instance_uid,)


def test_a_step_that_runs_twice_writes_the_same_withdrawal(context: WorkerContext) -> None:
    report = withdraw(context)
    with context.ledger.begin() as session:
        job = session.get_one(Job, report.job_id)
        before = {row.sop_instance_uid for row in objects_of(session, report.id)}
        first = session.query(Report).filter_by(revision=1).one()

    again = build_withdrawal_objects(context, withdrawal_report(first, order_of(job), job, (first.sop_instance_uid,)))
    assert {each.sop_instance_uid for each in again} == before


def test_a_pacs_is_told_to_hide_what_is_withdrawn(
    tmp_path: Path, answer: tuple[TreatmentReport, list[ReportObject]]
) -> None:
    # It names what this PACS has, and comes after the withdrawal; the other PACS has nothing and gets no note.
    with reported_site(tmp_path, answer, more="rejection_notes = true") as context:
        report = withdraw(context)
        rows = [row for row in _objects(context, report.id) if row.kind.startswith("ko")]
        (note,) = [dcmread(context.store.path(row.path)) for row in rows]
        audit = open_audit(context.settings)
        channel = open_channel("main", ChannelContext(context.settings, context.store, audit, context.ledger))
        assert channel is not None
        with context.ledger.begin() as session:
            selected = channel.select([stored_object(row) for row in objects_of(session, report.id)], {})
        assert [stored.kind[:2] for stored in selected] == ["sr", "ko"]
        withdrawal = dcmread(context.store.path(selected[0].path))
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    named = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in note.ContentSequence[-1:]]
    assert named == [answer[1][0].sop_instance_uid]
    evidence = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.SeriesInstanceUID == answer[1][0].dataset.SeriesInstanceUID
    assert (note.PatientID, note.StudyInstanceUID) == (withdrawal.PatientID, withdrawal.StudyInstanceUID)
    pacs = SmallPacs(tmp_path / "pacs", behaviour=Behaviour(honours_rejection_notes=True))
    for name, ds in (("answer", answer[1][0].dataset), ("withdrawal", withdrawal), ("note", note)):
        ds.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
        pacs.add(tmp_path / f"{name}.dcm")
    assert [str(ds.SOPInstanceUID) for _, ds in pacs._headers()] == [str(withdrawal.SOPInstanceUID)]


def test_an_object_is_rejected_once(tmp_path: Path, answer: tuple[TreatmentReport, list[ReportObject]]) -> None:
    with reported_site(tmp_path, answer, more="rejection_notes = true") as context:
        report = withdraw(context)
        sent(context, "main")
        with context.ledger.begin() as session:
            job = session.get_one(Job, report.job_id)
        later = replace(samples.scored(), revision=3, report_identity="9" * 64, predecessors=(report.sop_instance_uid,))
        (stored,) = rejection_notes(context, job, later, Event.NEW_RESULT)
        note = dcmread(context.store.path(stored.path))
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    references = [item for item in note.ContentSequence if "ReferencedSOPSequence" in item]
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in references] == [report.sop_instance_uid]


def test_dciodvfy_finds_no_error_in_a_rejection_note(
    tmp_path: Path, answer: tuple[TreatmentReport, list[ReportObject]]
) -> None:
    program = peer("dciodvfy", "dicom3tools")
    with reported_site(tmp_path, answer, more="rejection_notes = true") as context:
        report = withdraw(context)
        (path,) = [context.store.path(row.path) for row in _objects(context, report.id) if row.kind.startswith("ko")]
        said = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []
    assert "KeyObjectSelection" in said.replace(" ", "")
