"""Jobs: one computation of one case, step by step, with a lease while a worker has it.

queued --claim--> running --advance--> queued (next step) ... --finish--> done
                     |--fail--> failed        |--lease runs out--> queued again, or failed after MAX_ATTEMPTS
                     |--wait_for_space--> queued again, for as long as the disk is full

A writer that needs a case and its job locks them in this order, so that no two writers wait for each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from config.errors import InputError
from node.ledger.backoff import backoff_s
from node.ledger.cases import get_case, record, set_state
from node.ledger.database import now_utc
from node.ledger.outbox import enqueue, pending_ids
from node.ledger.state_counts import count_states
from node.ledger.tables import Case, Job
from node.messaging.messages import TASK_OF_STEP

STEPS = ("volumes", "features", "report")
ACTIVE = ("queued", "running")
STATES = ("queued", "running", "done", "failed", "cancelled")
LEASE = timedelta(seconds=60)
LOST_AFTER = timedelta(seconds=60)  # a queued job whose message nobody took for so long is sent again
MAX_ATTEMPTS = 5
RETRY_FIRST_S, RETRY_LONGEST_S = 2.0, 300.0
OUT_OF_SPACE, ARTEFACTS_GONE = "out_of_space", "artefacts_gone"


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
    """Queue one computation: the row and its message in one transaction.

    send=False computes for comparison only, and `computation` is then the digest that its answer is found by.
    bulk : it is one of many that were asked for at once; studies that have just arrived go first.
    """
    now = now_utc()
    job = Job(
        id=str(uuid.uuid4()), study_instance_uid=study_instance_uid, state="queued", step=STEPS[0], request=request,
        request_digest=request_digest, bundle=bundle, computation=computation, send=send, bulk=bulk, not_before=now,
        seconds={},
        created_at=now, updated_at=now,
    )  # fmt: skip
    session.add(job)
    _enqueue(session, job)
    return job


def get_job(session: Session, job_id: str) -> Job:
    job = session.get(Job, job_id)
    if job is None:
        raise InputError(f"no job {job_id} is known here; `cptdn jobs list` shows those that are")
    return job


def active_jobs(session: Session, study_instance_uid: str) -> list[Job]:
    """Jobs of a study that are not finished; those that only compare (nothing is sent) do not count."""
    query = select(Job).where(Job.study_instance_uid == study_instance_uid, Job.state.in_(ACTIVE), Job.send.is_(True))
    return list(session.scalars(query.order_by(Job.created_at)))


def latest_job(session: Session, study_instance_uid: str) -> Job | None:
    return session.scalar(
        select(Job)
        .where(Job.study_instance_uid == study_instance_uid, Job.send.is_(True))
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def find_comparison(session: Session, computation: str) -> Job | None:
    """The computation for comparison that answers this question already, or is about to."""
    return session.scalar(
        select(Job)
        .where(Job.computation == computation, Job.state.in_((*ACTIVE, "done")))
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def claim(session: Session, job_id: str, step: str, worker: str, lease: timedelta = LEASE) -> Job | None:
    """Take the lease of one step. None when the work is done, gone on, cancelled, or in another worker's hands.

    worker : of this very try, so that a worker which lost the lease and one that got it are never mistaken.
    """
    job = _locked(session, job_id)
    now = now_utc()
    if job is None or job.step != step or job.state not in ACTIVE:
        return None
    if job.state == "running" and job.lease_until is not None and job.lease_until > now:
        return None
    job.state, job.lease_owner, job.lease_until, job.updated_at = "running", worker, now + lease, now
    job.attempts += 1
    if job.send:
        case = get_case(session, job.study_instance_uid)
        if case.state != "running":
            set_state(session, case, "running")
    return job


def extend_lease(session: Session, job_id: str, worker: str, lease: timedelta = LEASE) -> bool:
    """Keep the lease of a step that takes longer; False when it was lost."""
    extended = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.lease_owner == worker)
        .values(lease_until=now_utc() + lease)
    )
    return bool(extended.rowcount)  # type: ignore[attr-defined]


def get_leased(session: Session, job_id: str, worker: str) -> Job | None:
    """The job, while the lease is still this worker's: the condition for writing down what it computed."""
    job = _locked(session, job_id)
    return job if job is not None and job.state == "running" and job.lease_owner == worker else None


def _locked(session: Session, job_id: str) -> Job | None:
    """The job, with its case locked before it."""
    study = session.scalar(select(Job.study_instance_uid).where(Job.id == job_id))
    if study is None:
        return None
    session.get(Case, study, with_for_update=True)
    return session.get(Job, job_id, with_for_update=True)


def advance(session: Session, job: Job, seconds: dict[str, float], result: dict[str, Any] | None = None) -> None:
    """This step is finished: queue the next one."""
    job.step = STEPS[STEPS.index(job.step) + 1]
    _release(job, "queued")
    job.attempts = 0
    job.seconds = {**job.seconds, **seconds}
    job.result = result if result is not None else job.result
    _enqueue(session, job)


def skip_to_report(session: Session, job: Job, result: dict[str, Any]) -> None:
    """Nothing can be computed, and the report shall say so."""
    job.step = STEPS[-2]
    advance(session, job, {}, result)


def finish(session: Session, job: Job, seconds: dict[str, float]) -> None:
    """All steps are finished."""
    job.step = "done"
    _release(job, "done")
    job.seconds = {**job.seconds, **seconds}
    job.error_code = job.error_text = None


def finish_comparison(job: Job, seconds: dict[str, float], result: dict[str, Any]) -> None:
    """The answer of a computation for comparison: no report is made of it."""
    job.step, job.result = "done", result
    _release(job, "done")
    job.seconds = {**job.seconds, **seconds}
    job.error_code = job.error_text = None


def fail(session: Session, job: Job, code: str, text: str, retry: bool) -> None:
    """This step failed: try again later (at most MAX_ATTEMPTS times), or stop visibly."""
    job.error_code, job.error_text = code, text
    if retry and job.attempts < MAX_ATTEMPTS:
        _again_in(session, job, backoff_s(RETRY_FIRST_S, RETRY_LONGEST_S, job.attempts))
        return
    _release(job, "failed")
    if job.send:
        set_state(session, get_case(session, job.study_instance_uid), "failed", [{"code": code, "text": text}])


def wait_for_space(session: Session, job: Job, text: str) -> None:
    """The disk is full: the step is tried again until there is room, and the case says so meanwhile."""
    job.error_code, job.error_text = OUT_OF_SPACE, text
    _again_in(session, job, backoff_s(RETRY_FIRST_S, RETRY_LONGEST_S, job.attempts))
    job.attempts = max(0, min(job.attempts, MAX_ATTEMPTS - 1))  # a full disk is not the study's fault
    if job.send:
        reason = {"code": OUT_OF_SPACE, "text": text}
        set_state(session, get_case(session, job.study_instance_uid), "queued", [reason])


def resume_after_full_disk(session: Session) -> int:
    """There is room again: what waits for it goes on at once; returns how many jobs."""
    waiting = list(
        session.scalars(
            select(Job)
            .where(Job.state == "queued", Job.error_code == OUT_OF_SPACE, Job.not_before > now_utc())
            .with_for_update(skip_locked=True)
        )
    )
    for job in waiting:
        job.not_before = now_utc()
        _enqueue(session, job)
    return len(waiting)


def restart_job(session: Session, job: Job, text: str) -> None:
    """What an earlier step kept is gone (a power cut, a restored backup): start from the first step, once."""
    if job.error_code == ARTEFACTS_GONE:
        fail(session, job, ARTEFACTS_GONE, f"{text}; making them again did not help", retry=False)
        return
    job.step, job.attempts, job.error_code, job.error_text = STEPS[0], 0, ARTEFACTS_GONE, text
    _release(job, "queued")
    _enqueue(session, job)
    record(session, job.study_instance_uid, "begun_again", f"Job {job.id} starts again: {text}.")


def refuse(session: Session, job: Job, code: str, text: str) -> None:
    """The study cannot be scored: that is an answer, not a failure."""
    job.error_code, job.error_text = code, text
    _release(job, "done")
    if job.send:
        set_state(session, get_case(session, job.study_instance_uid), "refused", [{"code": code, "text": text}])


def retry(session: Session, job_id: str, by: str = "administrator") -> Job:
    """Queue a failed or cancelled job again, from the step where it stopped."""
    job = get_job(session, job_id)
    if job.state not in ("failed", "cancelled"):
        raise InputError(f"job {job_id} is {job.state}; only failed and cancelled jobs can be tried again")
    now = now_utc()
    job.state, job.attempts, job.error_code, job.error_text = "queued", 0, None, None
    job.not_before = job.updated_at = now
    _enqueue(session, job)
    if job.send:
        set_state(session, get_case(session, job.study_instance_uid), "queued")
    record(session, job.study_instance_uid, "retry", f"Job {job_id} was queued again.", actor=by)
    return job


def cancel(session: Session, job_id: str, because: str) -> Job:
    """An administrator stops a job; its study waits for `retry` or for other inputs."""
    return _stop(session, job_id, "cancelled", because, "administrator")


def supersede(session: Session, job_id: str, because: str) -> Job:
    """The node stops a job that other inputs have made pointless."""
    return _stop(session, job_id, "superseded", because, "node")


def _stop(session: Session, job_id: str, code: str, because: str, actor: str) -> Job:
    """What a worker computes for a stopped job meanwhile is dropped, because it lost the lease."""
    job = get_job(session, job_id)
    if job.state not in ACTIVE:
        raise InputError(f"job {job_id} is {job.state}; only queued and running jobs can be cancelled")
    job.error_code, job.error_text = code, because
    _release(job, "cancelled")
    record(session, job.study_instance_uid, code, f"Job {job_id} was stopped: {because}.", actor=actor)
    return job


def watchdog(session: Session, lost_after: timedelta = LOST_AFTER) -> int:
    """Queue again what a dead worker or an emptied broker has lost; returns how many jobs.

    lost_after : how long a message may be on its way before it is sent again. Any number of nodes may do it at the same
    time: what one of them looks at, the others pass over.
    """
    now = now_utc()
    abandoned = (Job.state == "running", Job.lease_until < now)
    lost = (Job.state == "queued", Job.updated_at < now - lost_after, Job.not_before <= now)
    revived = 0
    for job in _taken(session, abandoned):
        fail(session, job, "worker_lost", f"the worker {job.lease_owner} stopped while it had this job", retry=True)
        revived += 1
    for job in _taken(session, lost, leave=pending_ids(session, TASK_OF_STEP.values())):
        job.updated_at = now
        _enqueue(session, job)
        revived += 1
    return revived


def _taken(
    session: Session, conditions: Sequence[ColumnElement[bool]], leave: Collection[str] = frozenset()
) -> Iterator[Job]:
    """Jobs that fit, each locked after its case; what someone else has in hand is left to him."""
    fitting = select(Job.id, Job.study_instance_uid).where(*conditions).order_by(Job.created_at)
    for job_id, study in session.execute(fitting).all():
        if job_id in leave:
            continue
        case = select(Case).where(Case.study_instance_uid == study).with_for_update(skip_locked=True)
        if session.scalar(case) is None:
            continue
        still = select(Job).where(Job.id == job_id, *conditions).with_for_update(skip_locked=True)
        job = session.scalar(still.execution_options(populate_existing=True))
        if job is not None:
            yield job


def list_jobs(session: Session, states: tuple[str, ...] = (), limit: int | None = None) -> list[Job]:
    query = select(Job).order_by(Job.created_at.desc())
    if states:
        query = query.where(Job.state.in_(states))
    return list(session.scalars(query.limit(limit)))


def list_jobs_of(session: Session, study_instance_uid: str) -> list[Job]:
    """All computations of one study, the newest first."""
    query = select(Job).where(Job.study_instance_uid == study_instance_uid).order_by(Job.created_at.desc())
    return list(session.scalars(query))


def count_by_state(session: Session) -> dict[str, int]:
    return count_states(session, "jobs", STATES)


def _release(job: Job, state: str) -> None:
    job.state, job.lease_owner, job.lease_until, job.updated_at = state, None, None, now_utc()


def _again_in(session: Session, job: Job, seconds: float) -> None:
    _release(job, "queued")
    job.not_before = now_utc() + timedelta(seconds=seconds)
    _enqueue(session, job, job.not_before)


def _enqueue(session: Session, job: Job, not_before: datetime | None = None) -> None:
    enqueue(session, TASK_OF_STEP[job.step], [job.id], not_before, job.bulk)
