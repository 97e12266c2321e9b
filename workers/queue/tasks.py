"""What the queue runs: each task claims its work in the ledger, lets the pipeline do it, and writes down the outcome.

Every task is safe to run twice, at once or after a crash: a claim is refused when the step is done or in another
worker's hands, and results are written only while the lease is held.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery

from config.errors import CptdnError, IneligibleStudyError, ModelBundleError, StorageFullError
from dicom_sr.report.errors import ReportError
from node.ledger import jobs
from node.ledger.cases import get_case
from node.ledger.database import now_utc
from node.ledger.deliveries import job_of
from node.ledger.jobs import STEPS
from node.ledger.lease import extending_lease
from node.ledger.outbox import relay
from node.ledger.reports import StoredObject
from node.ledger.tables import Job
from node.messaging.messages import DELIVER_REPORT, EXTRACT_FEATURES, PREPARE_VOLUMES, WRITE_REPORT, Queue
from node.messaging.queue import room_in_queues, send
from node.store.study_store import FULL
from node.workflow.delivery import deliver
from workers.pipeline.artefacts import ArtefactsMissingError
from workers.pipeline.context import WorkerContext

if TYPE_CHECKING:
    from workers.queue.steps import StepOutcome

log = structlog.get_logger("cptdn.tasks")

Step = Callable[[WorkerContext, Job], "StepOutcome"]


def register(app: Celery, context: WorkerContext, queues: Collection[str]) -> None:
    """Give the application the tasks of these queues; to deliver or to answer the pages no worker imports torch."""
    if set(queues) - {Queue.DELIVERY, Queue.WEB}:
        _register_steps(app, context)
    if Queue.WEB in queues:
        from workers.web.web_queries import register_queries

        register_queries(app, context)

    @app.task(name=DELIVER_REPORT)
    def delivery(delivery_id: int) -> None:
        """C-STORE one report's objects to one PACS, with storage commitment."""
        with context.ledger.begin() as session:
            job_id = job_of(session, delivery_id)
        with context.tracer.span("delivery", job_id, delivery=delivery_id):
            deliver(
                context.ledger, context.settings, context.store, delivery_id, context.name,
                partial(_other_form, context),
            )  # fmt: skip
        relay_messages(app, context)


def _register_steps(app: Celery, context: WorkerContext) -> None:
    from workers.queue import steps

    @app.task(name=PREPARE_VOLUMES)
    def volumes(job_id: str) -> None:
        """Read the series, draw the contour on their grids, cut the patches, and keep them."""
        run_step(app, context, job_id, "volumes", steps.prepare_volumes)

    @app.task(name=EXTRACT_FEATURES)
    def features(job_id: str) -> None:
        """Patches to features, scores and nomogram."""
        run_step(app, context, job_id, "features", steps.extract_features)

    @app.task(name=WRITE_REPORT)
    def report(job_id: str) -> None:
        """The result as DICOM objects, stored once, and its deliveries owed."""
        run_step(app, context, job_id, "report", steps.write_report)


def _other_form(context: WorkerContext, report_id: int, kind: str, refused_class: str) -> StoredObject | None:
    """Another form of an object that a PACS refuses; made only then, since it needs what computes."""
    from workers.queue.steps import fallback_sr

    try:
        return fallback_sr(context, report_id, kind, refused_class)
    except ArtefactsMissingError as error:
        log.warning("no other form can be made", report=report_id, error=str(error))
        return None


def run_step(app: Celery, context: WorkerContext, job_id: str, step: str, compute: Step) -> None:
    """Claim one step of a job, compute it, and write the outcome down in one transaction."""
    owner = f"{context.name}/{uuid.uuid4().hex[:8]}"  # of this very try: forked children share the name
    lease = timedelta(seconds=context.settings.jobs.lease_s)
    with context.ledger.begin() as session:
        job = jobs.claim(session, job_id, step, owner, lease)
    if job is None:
        return
    extend = partial(jobs.extend_lease, job_id=job_id, worker=owner, lease=lease)
    with structlog.contextvars.bound_contextvars(job=job_id, study=job.study_instance_uid, step=step):
        started = time.perf_counter()
        try:
            if step == STEPS[0] and job.attempts <= 1:
                _record_arrival(context, job)
            with (
                extending_lease(context.ledger, extend, lease),
                context.tracer.span(step, job_id, study=job.study_instance_uid, attempt=job.attempts),
            ):
                context.store.require_room_for_work()
                outcome = compute(context, job)
        except (CptdnError, ReportError) as error:
            _write_failure(context, job_id, owner, error)
        except Exception as error:  # whatever it was, the case must not hang: it is named, and tried again
            log.exception("the step failed unexpectedly")
            _write_failure(context, job_id, owner, error)
        else:
            seconds = {step: round(time.perf_counter() - started, 4), **outcome.seconds}
            with context.ledger.begin() as session:
                held = jobs.get_leased(session, job_id, owner)
                if held is None:
                    log.warning("the lease was lost meanwhile; the outcome is dropped")
                    return
                outcome.write(session, held)
                if held.state == "running":
                    jobs.advance(session, held, seconds, outcome.result)
                else:
                    held.seconds = {**held.seconds, **seconds}
            log.info("the step is done", seconds=seconds[step])
    relay_messages(app, context)


def _record_arrival(context: WorkerContext, job: Job) -> None:
    """The first spans of a job's trace: its study came in, then it waited for a worker."""
    with context.ledger.begin() as session:
        case = get_case(session, job.study_instance_uid)
        came, complete = case.received_at, case.last_instance_at
    context.tracer.record("receive", job.id, came, complete, study=job.study_instance_uid)
    context.tracer.record("queue", job.id, job.created_at, now_utc(), study=job.study_instance_uid)


def _write_failure(context: WorkerContext, job_id: str, owner: str, error: Exception) -> None:
    """A study that cannot be scored is refused; a wrong model waits for the physicist; a full disk is waited for; the
    rest is tried again."""
    result = _refusal_result(context, job_id, error) if isinstance(error, IneligibleStudyError) else None
    with context.ledger.begin() as session:
        job = jobs.get_leased(session, job_id, owner)
        if job is None:
            return
        if result is not None:
            jobs.skip_to_report(session, job, result)
        elif isinstance(error, IneligibleStudyError):
            jobs.refuse(session, job, error.code, error.text)
        elif isinstance(error, StorageFullError) or (isinstance(error, OSError) and error.errno in FULL):
            jobs.wait_for_space(session, job, str(error))
        elif isinstance(error, ArtefactsMissingError):
            jobs.restart_job(session, job, str(error))
        elif isinstance(error, ModelBundleError):
            jobs.fail(session, job, "model_bundle", str(error), retry=False)
        elif isinstance(error, ReportError):
            jobs.fail(session, job, "invalid_report", str(error), retry=False)
        elif isinstance(error, CptdnError):
            jobs.fail(session, job, "cannot_compute", str(error), retry=False)
        else:
            jobs.fail(session, job, "unexpected", f"{type(error).__name__}: {error}", retry=True)
    log.warning("the step did not succeed", error=str(error))


def _refusal_result(context: WorkerContext, job_id: str, error: IneligibleStudyError) -> dict[str, Any] | None:
    """For sites that want a report of what was not computed, too."""
    if not context.settings.case.report_refusals:
        return None
    from workers.queue.steps import refusal_result

    with context.ledger.begin() as session:
        job = session.get_one(Job, job_id)
    return refusal_result(context, job, error) if job.send else None


def relay_messages(app: Celery, context: WorkerContext) -> None:
    """Hand the messages that this step made necessary to the broker at once; the node's relay is the safety net."""
    room = partial(room_in_queues, context.broker, context.settings.broker.waiting_most)
    relay(context.ledger, partial(send, app), room)
