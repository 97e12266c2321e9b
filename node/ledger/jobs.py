"""Jobs: one computation of one case, step by step, each step under a lease.

queued --claim--> running --advance--> queued (next step) ... --finish--> done
                     |--fail--> failed        |--lease ends--> queued again, or failed after MAX_ATTEMPTS
                     |--wait_for_space--> queued again, as long as the disk is full

A writer that needs a case and its job locks them in this order, so that no two writers wait for each other. What ends
a step without an answer (a dead worker, an emptied broker, a full disk, lost files) is in `job_recovery`.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from config.messages.message import message
from config.messages.stored import named
from node.ledger.backoff import backoff_s
from node.ledger.cases import get_case, record, set_state
from node.ledger.database import now_utc
from node.ledger.outbox import enqueue
from node.ledger.state_counts import count_states
from node.ledger.tables import Case, Job
from node.messaging.messages import TASK_OF_STEP

STEPS = ("volumes", "features", "report")
ACTIVE = ("queued", "running")
STATES = ("queued", "running", "done", "failed", "cancelled")
LEASE = timedelta(seconds=60)
# A crash of a worker counts as an attempt, too (`claim` counts, not `fail`): a study that kills every process that
# computes it would otherwise be computed for ever.
MAX_ATTEMPTS = 5
# At most 2, 4, 8 and 16 s after the first four failures: the case says within a minute of lost time what is wrong. The
# longer waits are for a full disk (`job_recovery.wait_for_space`), which only an administrator can help.
RETRY_FIRST_S, RETRY_LONGEST_S = 2.0, 300.0


def create_job(
    session: Session,
    study_instance_uid: str,
    request: dict[str, Any],
    request_digest: str,
    bundle: str,
    send: bool = True,
    computation: str | None = None,
    bulk: bool = False,
) -> Job:
    """Queue a computation: its row and its first message in one transaction.

    Parameters
    ----------
    request : dict
        The frozen inputs as JSON values: series, contour, clinical facts, decision settings.
    request_digest : str
        Digest of `request`.
    bundle : str
        Name of the model bundle.
    send : bool
        False computes for a comparison only: the case is not touched and no report is made.
    computation : str, optional
        For a comparison, the digest by which `find_comparison` finds its result.
    bulk : bool
        One of many that were requested at once; studies that have just arrived go first.
    """
    now = now_utc()
    job = Job(
        id=str(uuid.uuid4()), study_instance_uid=study_instance_uid, state="queued", step=STEPS[0], request=request,
        request_digest=request_digest, bundle=bundle, computation=computation, send=send, bulk=bulk, not_before=now,
        seconds={},
        created_at=now, updated_at=now,
    )  # fmt: skip
    # Row and message in one transaction: a crash between two would leave a job without a message, or a message without
    # a job. The broker gets the message later, from the outbox.
    session.add(job)
    enqueue_step(session, job)
    return job


def get_job(session: Session, job_id: str) -> Job:
    """Return a job.

    Raises
    ------
    InputError
        When there is no such job.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise InputError(message("form.no_job", id=job_id))
    return job


def active_jobs(session: Session, study_instance_uid: str) -> list[Job]:
    """Return the queued and running jobs of a study, the oldest first; comparisons do not count.

    Returns
    -------
    list of Job
        Usually one at most; two for the moment in which a superseded job is replaced.
    """
    query = select(Job).where(Job.study_instance_uid == study_instance_uid, Job.state.in_(ACTIVE), Job.send.is_(True))
    return list(session.scalars(query.order_by(Job.created_at)))


def latest_job(session: Session, study_instance_uid: str) -> Job | None:
    """Return the newest job of a study, whatever became of it; comparisons do not count.

    Returns
    -------
    Job or None
        None before the first. It may be failed or cancelled; the caller reads `state`.
    """
    return session.scalar(
        select(Job)
        .where(Job.study_instance_uid == study_instance_uid, Job.send.is_(True))
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def find_comparison(session: Session, computation: str) -> Job | None:
    """Return the newest comparison, finished or still active, that answers a question.

    Parameters
    ----------
    computation : str
        Digest over all that decides the answer, as in `create_job`.
    """
    return session.scalar(
        select(Job)
        .where(Job.computation == computation, Job.state.in_((*ACTIVE, "done")))
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def claim(session: Session, job_id: str, step: str, worker: str, lease: timedelta = LEASE) -> Job | None:
    """Take the lease of a step.

    Parameters
    ----------
    step : str
        The step that the message names.
    worker : str
        Name of this attempt, unique among all workers, so that one that lost the lease is never taken for the one that
        has it.
    lease : timedelta
        Until when no other worker gets the step, unless `extend_lease` is called.

    Returns
    -------
    Job or None
        None when the job is done, cancelled, at another step, or leased by another worker: messages may come twice.
    """
    job = _locked(session, job_id)
    now = now_utc()
    # The broker delivers at least once, and the watchdog sends messages again: a message of a step that is over, or of
    # a job that another worker computes, is normal and not an error.
    if job is None or job.step != step or job.state not in ACTIVE:
        return None
    if job.state == "running" and job.lease_until is not None and job.lease_until > now:
        return None
    job.state, job.lease_owner, job.lease_until, job.updated_at = "running", worker, now + lease, now
    # Counted before the work, in the transaction of the lease: a process that is killed can record nothing afterwards.
    job.attempts += 1
    if job.send:
        case = get_case(session, job.study_instance_uid)
        if case.state != "running":
            set_state(session, case, "running")
    return job


def extend_lease(session: Session, job_id: str, worker: str, lease: timedelta = LEASE) -> bool:
    """Let the lease of a running step begin again.

    Returns
    -------
    bool
        False when the lease was lost: the worker must record nothing any more.
    """
    # One conditional UPDATE without reading the row first: the condition and the new time cannot be separated by
    # another worker that takes an expired lease.
    extended = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.lease_owner == worker)
        .values(lease_until=now_utc() + lease)
    )
    return bool(extended.rowcount)  # type: ignore[attr-defined]


def get_leased(session: Session, job_id: str, worker: str) -> Job | None:
    """Return the job, locked, while the lease is still this worker's; None otherwise.

    Only a worker with the lease may record a result: one that was suspended must not overwrite its successor's.
    """
    job = _locked(session, job_id)
    return job if job is not None and job.state == "running" and job.lease_owner == worker else None


def _locked(session: Session, job_id: str) -> Job | None:
    """Return the job, locked after its case."""
    # The case is locked before its job, as everywhere: an assessment that supersedes the job locks in the same order,
    # and PostgreSQL would end one of the two as a deadlock otherwise. The study of a job never changes, so reading it
    # unlocked is safe.
    study = session.scalar(select(Job.study_instance_uid).where(Job.id == job_id))
    if study is None:
        return None
    session.get(Case, study, with_for_update=True)
    return session.get(Job, job_id, with_for_update=True)


def advance(session: Session, job: Job, seconds: dict[str, float], result: dict[str, Any] | None = None) -> None:
    """Record the duration of a finished step and queue the next one.

    Parameters
    ----------
    seconds : dict
        Duration in seconds by step; added to those of earlier steps.
    result : dict, optional
        Replaces the job's result.
    """
    job.step = STEPS[STEPS.index(job.step) + 1]
    release(job, "queued")
    # Each step has attempts of its own: five failures of a long way through three steps are not five of one step.
    job.attempts = 0
    job.seconds = {**job.seconds, **seconds}
    job.result = result if result is not None else job.result
    enqueue_step(session, job)


def skip_to_report(session: Session, job: Job, result: dict[str, Any]) -> None:
    """Go to the last step, because nothing could be computed.

    Parameters
    ----------
    result : dict
        Explains why; the report is made of it.
    """
    # `advance` goes to the step after this one, the report.
    job.step = STEPS[-2]
    advance(session, job, {}, result)


def finish(session: Session, job: Job, seconds: dict[str, float]) -> None:
    """Record that all steps are done.

    Parameters
    ----------
    seconds : dict
        Duration in seconds by step; added to those of earlier steps. The caller sets the state of the case, in the
        transaction that records the report.
    """
    job.step = "done"
    release(job, "done")
    job.seconds = {**job.seconds, **seconds}
    set_error(job, None, None)


def finish_comparison(job: Job, seconds: dict[str, float], result: dict[str, Any]) -> None:
    """Record the result of a comparison; no report is made of it.

    Parameters
    ----------
    seconds : dict
        Duration in seconds by step.
    result : dict
        Scores, or a refusal, as JSON values.
    """
    job.step, job.result = "done", result
    release(job, "done")
    job.seconds = {**job.seconds, **seconds}
    set_error(job, None, None)


def set_error(job: Job, code: str | None, text: str | None) -> None:
    """Record why a step failed or was stopped.

    Parameters
    ----------
    code, text : str or None
        Reason for programs and for people; None: nothing is wrong.
    """
    job.error_code, job.error_text = code, text if text is None else str(text)
    job.error_message = None if text is None else named(text)


def fail(session: Session, job: Job, code: str, text: str, retry: bool) -> None:
    """Record that a step failed: it is queued again with growing waits, or the job is ``failed`` and its case says why.

    Parameters
    ----------
    code, text : str
        Reason for programs and for people.
    retry : bool
        Whether another attempt may help; there are at most `MAX_ATTEMPTS`.
    """
    set_error(job, code, text)
    if retry and job.attempts < MAX_ATTEMPTS:
        requeue_in(session, job, backoff_s(RETRY_FIRST_S, RETRY_LONGEST_S, job.attempts))
        return
    release(job, "failed")
    if job.send:
        set_state(session, get_case(session, job.study_instance_uid), "failed", [{"code": code, "text": text}])


def refuse(session: Session, job: Job, code: str, text: str) -> None:
    """End a job whose study the model is not made for. This is a result (``refused``), not a failure.

    Parameters
    ----------
    code, text : str
        Reason for programs and for people, which the case shows.
    """
    set_error(job, code, text)
    release(job, "done")
    if job.send:
        set_state(session, get_case(session, job.study_instance_uid), "refused", [{"code": code, "text": text}])


def retry(session: Session, job_id: str, by: str = "administrator") -> Job:
    """Queue a failed or cancelled job again, at the step where it stopped.

    Raises
    ------
    InputError
        When it is in another state.
    """
    job = get_job(session, job_id)
    if job.state not in ("failed", "cancelled"):
        raise InputError(message("form.job_not_retryable", id=job_id, state=message(f"job_state.{job.state}")))
    now = now_utc()
    job.state, job.attempts = "queued", 0
    set_error(job, None, None)
    job.not_before = job.updated_at = now
    enqueue_step(session, job)
    if job.send:
        set_state(session, get_case(session, job.study_instance_uid), "queued")
    record(session, job.study_instance_uid, "retry", message("job.queued_again", id=job_id), actor=by)
    return job


def cancel(session: Session, job_id: str, because: str) -> Job:
    """Stop a job by order of an administrator; its case then waits for `retry` or for other inputs.

    Raises
    ------
    InputError
        When it is not active.
    """
    return _stop(session, job_id, "cancelled", because, "administrator")


def supersede(session: Session, job_id: str, because: str) -> Job:
    """Stop a job whose inputs have changed.

    Raises
    ------
    InputError
        When it is not active.
    """
    return _stop(session, job_id, "superseded", because, "node")


def _stop(session: Session, job_id: str, code: str, because: str, actor: str) -> Job:
    job = get_job(session, job_id)
    if job.state not in ACTIVE:
        raise InputError(message("form.job_not_cancellable", id=job_id, state=message(f"job_state.{job.state}")))
    # A worker that computes this step now loses its lease, and with it the right to record a result.
    set_error(job, code, because)
    release(job, "cancelled")
    record(session, job.study_instance_uid, code, message("job.stopped", id=job_id, because=because), actor=actor)
    return job


def list_jobs(session: Session, states: tuple[str, ...] = (), limit: int | None = None) -> list[Job]:
    """Return jobs, the newest first, comparisons included.

    Parameters
    ----------
    states : tuple of str
        Empty: all states.
    limit : int, optional
        None: all.
    """
    query = select(Job).order_by(Job.created_at.desc())
    if states:
        query = query.where(Job.state.in_(states))
    return list(session.scalars(query.limit(limit)))


def list_jobs_of(session: Session, study_instance_uid: str) -> list[Job]:
    """Return all jobs of one study, comparisons included, the newest first."""
    query = select(Job).where(Job.study_instance_uid == study_instance_uid).order_by(Job.created_at.desc())
    return list(session.scalars(query))


def count_by_state(session: Session) -> dict[str, int]:
    """Return the number of jobs in each state, in the order of `STATES`."""
    return count_states(session, "jobs", STATES)


def release(job: Job, state: str) -> None:
    """Set the state and end the lease."""
    job.state, job.lease_owner, job.lease_until, job.updated_at = state, None, None, now_utc()


def requeue_in(session: Session, job: Job, seconds: float) -> None:
    """Queue the step of a job again, to be taken after this time."""
    release(job, "queued")
    job.not_before = now_utc() + timedelta(seconds=seconds)
    enqueue_step(session, job, job.not_before)


def enqueue_step(session: Session, job: Job, not_before: datetime | None = None) -> None:
    """Write the message of a job's step into the outbox, due at once or at a time."""
    enqueue(session, TASK_OF_STEP[job.step], [job.id], not_before, job.bulk)
