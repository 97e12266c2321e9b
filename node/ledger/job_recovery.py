"""Jobs whose step ended without an answer: a dead worker, an emptied broker, a full disk, files that are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from config.messages.message import message
from node.ledger.backoff import backoff_s
from node.ledger.cases import get_case, record, set_state
from node.ledger.database import now_utc
from node.ledger.jobs import (
    MAX_ATTEMPTS,
    RETRY_FIRST_S,
    RETRY_LONGEST_S,
    STEPS,
    enqueue_step,
    fail,
    release,
    requeue_in,
    set_error,
)
from node.ledger.outbox import pending_ids
from node.ledger.tables import Case, Job
from node.messaging.messages import TASK_OF_STEP

LOST_AFTER = timedelta(seconds=60)  # a queued job whose message no worker has taken for this long is sent again
OUT_OF_SPACE, ARTEFACTS_GONE = "out_of_space", "artefacts_gone"


def requeue_lost(session: Session, lost_after: timedelta = LOST_AFTER) -> int:
    """Queue again what a dead worker or an emptied broker has lost; return the number of jobs.

    Several nodes may do this at the same time: each passes over what another one has locked.

    Parameters
    ----------
    lost_after : timedelta
        How long a message may be on its way before it is sent again.
    """
    now = now_utc()
    # A running job whose lease is over lost its worker; a queued job without a claim lost its message. The two
    # differ: only the first one counts as a failed attempt, because a restarted broker says nothing against the study.
    abandoned = (Job.state == "running", Job.lease_until < now)
    lost = (Job.state == "queued", Job.updated_at < now - lost_after, Job.not_before <= now)
    # A message that is still in the outbox is not lost: the broker is only full or does not answer. Without this
    # condition each pass would add one more message for each waiting job of a long queue.
    revived = 0
    for job in _lock_each(session, abandoned):
        fail(session, job, "worker_lost", message("worker_lost.stopped", owner=job.lease_owner), retry=True)
        revived += 1
    for job in _lock_each(session, lost, except_ids=pending_ids(session, TASK_OF_STEP.values())):
        job.updated_at = now
        enqueue_step(session, job)
        revived += 1
    return revived


def _lock_each(
    session: Session, conditions: Sequence[ColumnElement[bool]], except_ids: Collection[str] = frozenset()
) -> Iterator[Job]:
    """Yield the jobs that meet the conditions, each locked after its case; what is locked elsewhere is passed over."""
    # Ids only, then one lock at a time: locking all candidates at once would hold cases that a worker wants to record.
    candidates = select(Job.id, Job.study_instance_uid).where(*conditions).order_by(Job.created_at)
    for job_id, study in session.execute(candidates).all():
        if job_id in except_ids:
            continue
        case = select(Case).where(Case.study_instance_uid == study).with_for_update(skip_locked=True)
        # Locked by a worker or another watchdog, which means that it is being handled: the next pass looks again.
        if session.scalar(case) is None:
            continue
        # The conditions again: another node may have queued the job between the first query and this lock.
        still = select(Job).where(Job.id == job_id, *conditions).with_for_update(skip_locked=True)
        job = session.scalar(still.execution_options(populate_existing=True))
        if job is not None:
            yield job


def wait_for_space(session: Session, job: Job, text: str) -> None:
    """Queue a step again because the disk is full, without end; its case names the reason until then.

    Parameters
    ----------
    text : str
        Reason for people, which the case shows while it is ``queued``.
    """
    set_error(job, OUT_OF_SPACE, text)
    requeue_in(session, job, backoff_s(RETRY_FIRST_S, RETRY_LONGEST_S, job.attempts))
    job.attempts = max(0, min(job.attempts, MAX_ATTEMPTS - 1))  # a full disk must not use up the attempts of a step
    if job.send:
        reason = {"code": OUT_OF_SPACE, "text": text}
        set_state(session, get_case(session, job.study_instance_uid), "queued", [reason])


def resume_after_full_disk(session: Session) -> int:
    """Queue at once the jobs that wait for space, because there is space again.

    Returns
    -------
    int
        Number of these jobs.
    """
    waiting = list(
        session.scalars(
            select(Job)
            .where(Job.state == "queued", Job.error_code == OUT_OF_SPACE, Job.not_before > now_utc())
            .with_for_update(skip_locked=True)
        )
    )
    for job in waiting:
        # Without a time the message is due at once; the one that is due later finds the step done and is ignored.
        job.not_before = now_utc()
        enqueue_step(session, job)
    return len(waiting)


def restart_job(session: Session, job: Job, text: str) -> None:
    """Start a job from its first step, once, because files of an earlier step are gone (power cut, restored backup).

    The second time it fails: something removes the files again.

    Parameters
    ----------
    text : str
        Which files are missing, for the history of the study.
    """
    # `error_code` is the memory of the first restart: `finish` and `retry` clear it.
    if job.error_code == ARTEFACTS_GONE:
        fail(session, job, ARTEFACTS_GONE, message("artefacts_gone.again", text=text), retry=False)
        return
    job.step, job.attempts = STEPS[0], 0
    set_error(job, ARTEFACTS_GONE, text)
    release(job, "queued")
    enqueue_step(session, job)
    record(session, job.study_instance_uid, "begun_again", message("job.starts_again", id=job.id, text=text))
