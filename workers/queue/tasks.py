"""Celery tasks: each claims a step of a job in the ledger, computes it, and records the outcome.

A message contains the id of a job or delivery and nothing else. Every task may run twice, at once or after a crash: a
claim is refused when the step is done or another worker has its lease, and an outcome is recorded only while this
worker still has the lease.
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
from config.messages.message import text_of
from dicom_sr.report.errors import ReportError
from node.ledger import job_recovery, jobs
from node.ledger.cases import get_case
from node.ledger.database import now_utc
from node.ledger.deliveries import job_of
from node.ledger.jobs import STEPS
from node.ledger.lease import extending_lease
from node.ledger.outbox import relay
from node.ledger.reports import StoredObject
from node.ledger.supersession import Held
from node.ledger.tables import Job
from node.ledger.withdrawals import is_withdrawal
from node.messaging.messages import DELIVER_REPORT, EXTRACT_FEATURES, PREPARE_VOLUMES, WRITE_REPORT, Queue
from node.messaging.queue import room_in_queues, send
from node.store.study_store import DISK_FULL_ERRORS
from node.workflow.delivery import deliver
from workers.pipeline.artefacts import ArtefactsMissingError
from workers.pipeline.context import WorkerContext

if TYPE_CHECKING:
    from workers.queue.steps import StepOutcome

log = structlog.get_logger("cptdn.tasks")

Step = Callable[[WorkerContext, Job], "StepOutcome"]


def register(app: Celery, context: WorkerContext, queues: Collection[str]) -> None:
    """Register the tasks of these queues with the application.

    Parameters
    ----------
    app : Celery
        The application.
    context : WorkerContext
        Shared by all tasks of the process.
    queues : collection of str
        Names of queues. A worker that only delivers or answers pages does not import torch.
    """
    if set(queues) - {Queue.DELIVERY, Queue.WEB}:
        _register_steps(app, context)
    if Queue.WEB in queues:
        from workers.web.web_queries import register_queries

        register_queries(app, context)

    @app.task(name=DELIVER_REPORT)
    def delivery(delivery_id: int) -> None:
        """Send the objects of one report to one PACS by C-STORE, with storage commitment."""
        with context.ledger.read() as session:
            job_id = job_of(session, delivery_id)
        with context.tracer.span("delivery", job_id, delivery=delivery_id):
            deliver(
                context.ledger, context.settings, context.store, delivery_id, context.name,
                partial(_fallback_object, context),
            )  # fmt: skip
        relay_messages(app, context)


def _register_steps(app: Celery, context: WorkerContext) -> None:
    from workers.queue import steps

    @app.task(name=PREPARE_VOLUMES)
    def volumes(job_id: str) -> None:
        """Read the series, rasterise the contour on their grids, cut the patches, and save them."""
        run_step(app, context, job_id, "volumes", steps.prepare_volumes)

    @app.task(name=EXTRACT_FEATURES)
    def features(job_id: str) -> None:
        """Compute features, scores, and survival under both arms."""
        run_step(app, context, job_id, "features", steps.extract_features)

    @app.task(name=WRITE_REPORT)
    def report(job_id: str) -> None:
        """Build the objects of the report, save them, and queue their deliveries."""
        run_step(app, context, job_id, "report", steps.write_report)


def _fallback_object(
    context: WorkerContext, report_id: int, kind: str, refused_class: str, held: Held | None
) -> StoredObject | None:
    """Build another form of an object that a PACS refuses."""
    # Imported here: it needs torch, which a worker that only delivers loads in this rare case alone.
    from workers.queue.steps import fallback_sr

    try:
        return fallback_sr(context, report_id, kind, refused_class, held)
    except ArtefactsMissingError as error:
        log.warning("the fallback SR cannot be built", report=report_id, error=str(error))
        return None


def run_step(app: Celery, context: WorkerContext, job_id: str, step: str, compute: Step) -> None:
    """Claim one step of a job, compute it, and record the outcome in one transaction.

    Parameters
    ----------
    app : Celery
        Sends the messages that the outcome makes due.
    context : WorkerContext
        Settings, ledger and store.
    job_id, step : str
        Which step. Nothing happens when it is done or another worker has its lease.
    compute : callable
        The step: context and leased job -> StepOutcome. Its errors are recorded, never raised.
    """
    # Unique to this attempt: forked children share the context's name, and an attempt that lost its lease must not
    # take a later attempt of the same process for itself.
    owner = f"{context.name}/{uuid.uuid4().hex[:8]}"
    lease = timedelta(seconds=context.settings.jobs.lease_s)
    with context.ledger.begin() as session:
        job = jobs.claim(session, job_id, step, owner, lease)
    if job is None:
        return
    extend = partial(jobs.extend_lease, job_id=job_id, worker=owner, lease=lease)
    with structlog.contextvars.bound_contextvars(job=job_id, study=job.study_instance_uid, step=step):
        started = time.perf_counter()
        try:
            if step == STEPS[0] and job.attempts <= 1:  # once for a job
                _record_arrival(context, job)
            with (
                extending_lease(context.ledger, extend, lease),
                context.tracer.span(step, job_id, study=job.study_instance_uid, attempt=job.attempts),
            ):
                # A withdrawal may use the reserve: an answer that does not hold must not stay outside.
                if not is_withdrawal(job):
                    context.store.require_room_for_work()
                outcome = compute(context, job)
        except (CptdnError, ReportError) as error:
            _write_failure(context, job_id, owner, error)
        except Exception as error:  # of any kind: the case must not hang, so the job fails by name or is tried again
            log.exception("the step failed unexpectedly")
            _write_failure(context, job_id, owner, error)
        else:
            seconds = {step: round(time.perf_counter() - started, 4), **outcome.seconds}
            with context.ledger.begin() as session:
                leased = jobs.get_leased(session, job_id, owner)
                if leased is None:
                    log.warning("the lease was lost during the computation; the outcome is not recorded")
                    return
                outcome.write(session, leased)
                if leased.state == "running":
                    jobs.advance(session, leased, seconds, outcome.result)
                else:  # `write` has finished the job
                    leased.seconds = {**leased.seconds, **seconds}
            log.info("the step is done", seconds=seconds[step])
    relay_messages(app, context)


def _record_arrival(context: WorkerContext, job: Job) -> None:
    """Record the first spans of a job's trace: receiving the study, and waiting for a worker."""
    with context.ledger.read() as session:
        case = get_case(session, job.study_instance_uid)
        first_instance_at, last_instance_at = case.received_at, case.last_instance_at
    context.tracer.record("receive", job.id, first_instance_at, last_instance_at, study=job.study_instance_uid)
    context.tracer.record("queue", job.id, job.created_at, now_utc(), study=job.study_instance_uid)


def _write_failure(context: WorkerContext, job_id: str, owner: str, error: Exception) -> None:
    """Record the failure of a step by the kind of its error.

    A study that cannot be scored is refused. A wrong model bundle, contradicting input or an invalid report fails at
    once, since trying again would not help. A full disk makes the job wait for space, missing artefacts start it again.
    Anything else is tried again a few times.
    """
    result = _refusal_result(context, job_id, error) if isinstance(error, IneligibleStudyError) else None
    with context.ledger.begin() as session:
        job = jobs.get_leased(session, job_id, owner)
        if job is None:
            return
        if result is not None:
            jobs.skip_to_report(session, job, result)
        elif isinstance(error, IneligibleStudyError):
            jobs.refuse(session, job, error.code, error.text)
        elif isinstance(error, StorageFullError) or (isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS):
            job_recovery.wait_for_space(session, job, text_of(error))
        elif isinstance(error, ArtefactsMissingError):
            job_recovery.restart_job(session, job, text_of(error))
        elif isinstance(error, ModelBundleError):
            jobs.fail(session, job, "model_bundle", text_of(error), retry=False)
        elif isinstance(error, ReportError):
            jobs.fail(session, job, "invalid_report", text_of(error), retry=False)
        elif isinstance(error, CptdnError):
            jobs.fail(session, job, "cannot_compute", text_of(error), retry=False)
        else:
            jobs.fail(session, job, "unexpected", f"{type(error).__name__}: {error}", retry=True)
    log.warning("the step did not succeed", error=str(error))


def _refusal_result(context: WorkerContext, job_id: str, error: IneligibleStudyError) -> dict[str, Any] | None:
    """Return the draft of a refusal report, for sites that want one."""
    if not context.settings.case.report_refusals:
        return None
    from workers.queue.steps import refusal_result

    with context.ledger.read() as session:
        job = session.get_one(Job, job_id)
    return refusal_result(context, job, error) if job.send else None


def relay_messages(app: Celery, context: WorkerContext) -> None:
    """Send the messages that this task has written to the outbox; the node's relay sends those that fail here.

    Parameters
    ----------
    app : Celery
        Connection to the broker.
    context : WorkerContext
        Ledger, and the number of messages that may wait in a queue.
    """
    room = partial(room_in_queues, context.broker, context.settings.broker.waiting_most)
    relay(context.ledger, partial(send, app), room)
