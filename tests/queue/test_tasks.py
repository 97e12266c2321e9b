"""How a step ends: which errors refuse the study, which fail the job, which are tried again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from config.errors import IneligibleStudyError, InputError, ModelBundleError, StorageFullError
from config.settings import load_settings
from dicom_sr.report.errors import InvalidReportError
from node.ledger import job_recovery, jobs
from node.ledger.cases import get_case, open_case
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.outbox import pending_ids
from node.ledger.tables import Job
from node.messaging.queue import make_celery
from node.store.study_store import StudyStore
from workers.pipeline.artefacts import ArtefactsMissingError
from workers.pipeline.context import WorkerContext
from workers.queue.tasks import run_step

STUDY = "1.2.3.4"


@pytest.fixture(autouse=True)
def _log_unformatted() -> Iterator[None]:
    """The console's tracebacks with local variables take seconds each, of which no test here reads a line."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerContext]:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    ledger: Ledger = open_ledger(settings.ledger.url or "")
    with ledger.begin() as session:
        open_case(session, STUDY, "P1", "")
    worker = WorkerContext(settings)
    yield worker
    worker.ledger.close()
    ledger.close()


def end_of(context: WorkerContext, error: Exception) -> tuple[Job, Any]:
    """The job and its case after a step that raised; the broker is away, which must not matter."""
    with context.ledger.begin() as session:
        job_id = jobs.create_job(session, STUDY, {}, "digest", "demonstration").id

    run(context, job_id, error)
    with context.ledger.begin() as session:
        return session.get_one(Job, job_id), get_case(session, STUDY)


def run(context: WorkerContext, job_id: str, error: Exception) -> None:
    def compute(_context: WorkerContext, _job: Job) -> Any:
        raise error

    celery = make_celery("redis+socket:///nowhere/broker.sock", context.settings.broker)
    run_step(celery, context, job_id, "volumes", compute)


def test_a_study_that_cannot_be_scored_is_refused_with_its_reason(context: WorkerContext) -> None:
    job, case = end_of(context, IneligibleStudyError("missing_slice", "a gap of 9 mm"))
    assert (job.state, job.error_code) == ("done", "missing_slice")
    assert (case.state, case.reasons) == ("refused", [{"code": "missing_slice", "text": "a gap of 9 mm"}])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelBundleError("expected sha256 a, found b"), "model_bundle"),
        (InvalidReportError("the SR reads back differently"), "invalid_report"),
        (InputError("3 of 40 instances are no longer stored"), "cannot_compute"),
    ],
)
def test_an_error_that_trying_again_cannot_change_fails_at_once(
    context: WorkerContext, error: Exception, code: str
) -> None:
    job, case = end_of(context, error)
    assert (job.state, job.error_code) == ("failed", code)
    assert (case.state, case.reasons[0]["code"]) == ("failed", code)
    assert str(error) in case.reasons[0]["text"]


def test_an_unexpected_error_is_tried_again(context: WorkerContext) -> None:
    job, case = end_of(context, RuntimeError("out of memory"))
    assert job.state == "queued"
    assert "out of memory" in (job.error_text or "")
    assert case.state == "running"


@pytest.mark.parametrize("error", [StorageFullError("0.001 GB are free"), OSError(errno.ENOSPC, "No space left")])
def test_a_full_disk_is_waited_for_visibly_and_never_counts_against_the_study(
    context: WorkerContext, error: Exception
) -> None:
    job, case = end_of(context, error)
    assert (job.state, job.error_code) == ("queued", "out_of_space")
    assert (case.state, case.reasons[0]["code"]) == ("queued", "out_of_space")
    for _ in range(2 * jobs.MAX_ATTEMPTS):
        run(context, job.id, error)
    with context.ledger.begin() as session:
        assert session.get_one(Job, job.id).state == "queued"
        assert job_recovery.resume_after_full_disk(session) == 1
        assert session.get_one(Job, job.id).not_before <= now_utc()
        assert pending_ids(session, ["cptdn.volumes"]) == {job.id}


def test_a_storage_below_its_reserve_starts_no_step(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StudyStore, "free_bytes", lambda _self: 1000)
    job, case = end_of(context, AssertionError("this step must not begin"))
    assert job.error_code == "out_of_space"
    assert "the storage is full" in case.reasons[0]["text"]


def test_missing_artefacts_start_the_job_again_once(context: WorkerContext) -> None:
    error = ArtefactsMissingError("the prepared study is missing")
    job, case = end_of(context, error)
    assert (job.state, job.step) == ("queued", "volumes")
    assert case.state == "running"
    run(context, job.id, error)
    with context.ledger.begin() as session:
        assert session.get_one(Job, job.id).state == "failed"
        assert get_case(session, STUDY).reasons[0]["code"] == "artefacts_gone"
