"""Jobs: one worker at a time, nothing lost when a worker or the broker is."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from config.errors import InputError
from node.ledger import job_recovery, jobs
from node.ledger.cases import get_case
from node.ledger.database import Ledger, now_utc
from node.ledger.outbox import is_empty, relay
from node.ledger.tables import Job
from node.messaging.messages import EXTRACT_FEATURES, PREPARE_VOLUMES

STUDY = "1.2.3.4"


def new_job(ledger: Ledger, **changes: Any) -> str:
    with ledger.begin() as session:
        return jobs.create_job(session, STUDY, {"a": 1}, "digest", "demonstration", **changes).id


def sent(ledger: Ledger) -> list[tuple[str, list[Any]]]:
    messages: list[tuple[str, list[Any]]] = []
    relay(ledger, lambda task, args: messages.append((task, args)))
    return messages


def claim(ledger: Ledger, job_id: str, step: str, worker: str) -> Job | None:
    with ledger.begin() as session:
        return jobs.claim(session, job_id, step, worker)


def test_a_job_and_its_message_come_together(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    assert sent(ledger) == [(PREPARE_VOLUMES, [job_id])]
    with ledger.begin() as session:
        assert is_empty(session)


def test_a_transaction_that_fails_leaves_neither(ledger: Ledger) -> None:
    def interrupted() -> None:
        with ledger.begin() as session:
            jobs.create_job(session, STUDY, {}, "digest", "demonstration")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power"):
        interrupted()
    assert sent(ledger) == []


def test_only_one_of_many_workers_gets_a_step(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    got: list[str] = []

    def work(name: str) -> None:
        if claim(ledger, job_id, "volumes", name) is not None:
            got.append(name)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_repeated_message_finds_nothing_to_do(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    claim(ledger, job_id, "volumes", "w")
    with ledger.begin() as session:
        job = jobs.get_leased(session, job_id, "w")
        assert job is not None
        jobs.advance(session, job, {"volumes": 1.0})
    assert claim(ledger, job_id, "volumes", "w") is None
    assert sent(ledger) == [(PREPARE_VOLUMES, [job_id]), (EXTRACT_FEATURES, [job_id])]


def test_a_dead_workers_step_is_queued_again(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    claim(ledger, job_id, "volumes", "dead")
    sent(ledger)
    with ledger.begin() as session:
        session.get_one(Job, job_id).lease_until = now_utc() - timedelta(seconds=1)
    with ledger.begin() as session:
        assert job_recovery.requeue_lost(session) == 1
        job = session.get_one(Job, job_id)
        assert job.state == "queued"
        assert "dead" in (job.error_text or "")
        assert jobs.get_leased(session, job_id, "dead") is None


def test_a_living_workers_step_is_left_alone(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    claim(ledger, job_id, "volumes", "alive")
    with ledger.begin() as session:
        assert job_recovery.requeue_lost(session) == 0
        assert jobs.get_leased(session, job_id, "alive") is not None


def test_an_emptied_broker_gets_its_message_again(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    sent(ledger)  # the broker had it, and lost it
    with ledger.begin() as session:
        session.get_one(Job, job_id).updated_at = now_utc() - job_recovery.LOST_AFTER - timedelta(seconds=1)
    with ledger.begin() as session:
        job_recovery.requeue_lost(session)
    assert sent(ledger) == [(PREPARE_VOLUMES, [job_id])]


def test_a_step_that_fails_is_tried_again_with_growing_waits_and_then_stops_visibly(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    waits = []
    for _ in range(jobs.MAX_ATTEMPTS):
        claim(ledger, job_id, "volumes", "w")
        with ledger.begin() as session:
            job = jobs.get_leased(session, job_id, "w")
            assert job is not None
            jobs.fail(session, job, "unexpected", "it broke", retry=True)
            waits.append((job.not_before - now_utc()).total_seconds())
    assert waits[0] < waits[1] < waits[2]
    with ledger.begin() as session:
        assert session.get_one(Job, job_id).state == "failed"
        case = get_case(session, STUDY)
        assert (case.state, case.reasons) == ("failed", [{"code": "unexpected", "text": "it broke"}])


def test_a_failed_job_can_be_tried_again(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    claim(ledger, job_id, "volumes", "w")
    with ledger.begin() as session:
        job = jobs.get_leased(session, job_id, "w")
        assert job is not None
        jobs.fail(session, job, "model_bundle", "wrong digest", retry=False)
    sent(ledger)
    with ledger.begin() as session:
        jobs.retry(session, job_id)
    assert sent(ledger) == [(PREPARE_VOLUMES, [job_id])]
    with ledger.begin() as session, pytest.raises(InputError, match="only failed and cancelled"):
        jobs.retry(session, job_id)


@pytest.mark.parametrize("code", ["worker_lost", "ineligible"])
def test_a_failed_job_is_remembered_with_its_inputs_and_code(ledger: Ledger, code: str) -> None:
    """The node compares both before it queues a study again: the same inputs would fail again, and again."""
    job_id = new_job(ledger)
    claim(ledger, job_id, "volumes", "w")
    with ledger.begin() as session:
        job = jobs.get_leased(session, job_id, "w")
        assert job is not None
        jobs.fail(session, job, code, "it broke", retry=False)
    new_job(ledger, send=False)  # a comparison is no answer about the study
    with ledger.begin() as session:
        latest = jobs.latest_job(session, STUDY)
        assert latest is not None
        assert (latest.id, latest.state, latest.request_digest, latest.error_code) == (job_id, "failed", "digest", code)
        assert jobs.active_jobs(session, STUDY) == []
        assert job_recovery.requeue_lost(session, timedelta(0)) == 0


def test_what_a_cancelled_job_computed_is_dropped(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    claim(ledger, job_id, "volumes", "w")
    with ledger.begin() as session:
        jobs.cancel(session, job_id, "wrong contour")
    with ledger.begin() as session:
        assert jobs.get_leased(session, job_id, "w") is None
    assert claim(ledger, job_id, "volumes", "other") is None


def test_a_comparison_never_touches_the_case(ledger: Ledger) -> None:
    job_id = new_job(ledger, send=False)
    claim(ledger, job_id, "volumes", "w")
    with ledger.begin() as session:
        assert get_case(session, STUDY).state == "receiving"
        assert jobs.active_jobs(session, STUDY) == []
