"""The wall clock jumps: no worker loses work that it is doing, and nothing waits for the length of the jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.ledger import clock, database, deliveries, job_recovery, jobs
from node.ledger.associations import Peer, close_abandoned, record_study
from node.ledger.cases import get_case, schedule_assessment
from node.ledger.database import Ledger
from node.ledger.outbox import relay
from node.ledger.processes import DEAD_AFTER, heartbeat, live_processes
from node.ledger.reports import record_report
from node.ledger.tables import Job
from tests.ledger.conftest import STUDY

LEASE = timedelta(seconds=60)


class WallClock:
    """The wall clock of the ledger, which a test may set; the monotonic one goes on."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self, zone: object) -> datetime:
        assert zone is UTC
        return datetime.now(UTC) + self.offset


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(database, "datetime", clock)
    return clock


def running_job(ledger: Ledger) -> str:
    with ledger.begin() as session:
        job_id = jobs.create_job(session, STUDY, {}, "digest", "demonstration").id
    with ledger.begin() as session:
        assert jobs.claim(session, job_id, "volumes", "w", LEASE) is not None
    return job_id


def pending_delivery(ledger: Ledger) -> int:
    with ledger.begin() as session:
        report = record_report(
            session, study_instance_uid=STUDY, job_id="j", identity="i", computation="c", request_digest="d",
            bundle_digest="b", revision=1, sop_instance_uid="1.2", predecessor=None, result={}, objects=[],
            destinations=["main"],
        )  # fmt: skip
        [delivery] = deliveries.deliveries_of(session, report.id)
    relay(ledger, lambda _task, _args: None)  # the broker has its message
    return delivery.id


def claim_delivery(ledger: Ledger, delivery_id: int, owner: str) -> bool:
    with ledger.begin() as session:
        return deliveries.claim(session, delivery_id, owner, database.now_utc(), LEASE) is not None


def reset(ledger: Ledger) -> None:
    with ledger.begin() as session:
        clock.reset_leases_and_due_times(session, LEASE)


@pytest.mark.parametrize("hours", [-5.0, -0.01, 0.01, 5.0, 24 * 365.0])
def test_a_jump_is_reported_once(wall: WallClock, hours: float) -> None:
    watch = clock.ClockWatch()
    assert not watch.jump()
    wall.offset = timedelta(hours=hours)
    assert watch.jump().total_seconds() == pytest.approx(hours * 3600, abs=1)
    assert not watch.jump()


def test_a_correction_is_no_jump(wall: WallClock) -> None:
    watch = clock.ClockWatch()
    wall.offset = timedelta(seconds=2)
    assert not watch.jump()


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_worker_keeps_its_work_over_a_jump_and_a_dead_one_loses_it_a_lease_later(
    ledger: Ledger, wall: WallClock, hours: int
) -> None:
    job_id = running_job(ledger)
    wall.offset = timedelta(hours=hours)
    reset(ledger)
    with ledger.begin() as session:
        assert job_recovery.requeue_lost(session) == 0
        assert jobs.get_leased(session, job_id, "w") is not None
    wall.offset += LEASE + timedelta(seconds=1)
    with ledger.begin() as session:
        assert job_recovery.requeue_lost(session) == 1


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_delivery_keeps_its_lease_over_a_jump_and_is_free_a_lease_after_its_worker_died(
    ledger: Ledger, wall: WallClock, hours: int
) -> None:
    """Forward, a second worker would send the same report at the same time; back, it would wait for hours."""
    delivery_id = pending_delivery(ledger)
    assert claim_delivery(ledger, delivery_id, "first")
    wall.offset = timedelta(hours=hours)
    reset(ledger)
    assert not claim_delivery(ledger, delivery_id, "second")
    with ledger.begin() as session:
        assert deliveries.requeue_due(session, database.now_utc()) == []
        assert deliveries.get_leased(session, delivery_id, "first") is not None
    wall.offset += LEASE + timedelta(seconds=1)
    with ledger.begin() as session:
        assert deliveries.requeue_due(session, database.now_utc()) == [delivery_id]
    assert claim_delivery(ledger, delivery_id, "second")


def test_a_delivery_that_waits_is_due_when_the_clock_has_gone_back(ledger: Ledger, wall: WallClock) -> None:
    delivery_id = pending_delivery(ledger)
    wall.offset = timedelta(hours=-7)
    assert not claim_delivery(ledger, delivery_id, "w")
    reset(ledger)
    assert claim_delivery(ledger, delivery_id, "w")


def test_what_waits_is_due_when_the_clock_has_gone_back(ledger: Ledger, wall: WallClock) -> None:
    job_id = running_job(ledger)
    relay(ledger, lambda _task, _args: None)
    with ledger.begin() as session:
        job = jobs.get_leased(session, job_id, "w")
        assert job is not None
        jobs.fail(session, job, "unexpected", "it broke", retry=True)
        schedule_assessment(session, STUDY)
    wall.offset = timedelta(hours=-7)
    reset(ledger)
    sent: list[object] = []
    relay(ledger, lambda _task, args: sent.append(args[0]))
    assert sent == [job_id]
    with ledger.begin() as session:
        assert session.get_one(Job, job_id).not_before <= database.now_utc()
        due = get_case(session, STUDY).assess_after
        assert due is not None
        assert due <= database.now_utc()


def test_an_open_association_is_not_taken_for_abandoned_after_a_jump(ledger: Ledger, wall: WallClock) -> None:
    with ledger.begin() as session:
        peer = Peer("a", "node", "PACS", "127.0.0.1", database.now_utc())
        record_study(session, peer, STUDY, database.now_utc())
    for jump in (timedelta(hours=2), timedelta(hours=-2)):
        wall.offset += jump
        reset(ledger)
        now = database.now_utc()
        with ledger.begin() as session:
            assert close_abandoned(session, now - DEAD_AFTER, now) == []
    wall.offset += DEAD_AFTER + timedelta(seconds=1)
    now = database.now_utc()
    with ledger.begin() as session:
        assert close_abandoned(session, now - DEAD_AFTER, now) == [STUDY]


def test_a_process_seen_in_the_future_does_not_count_as_alive(ledger: Ledger, wall: WallClock) -> None:
    with heartbeat(ledger, "worker"), ledger.begin() as session:
        assert len(live_processes(session)) == 1
        wall.offset = timedelta(hours=-1)
        assert live_processes(session) == []


def test_a_clock_that_went_back_while_nothing_ran_is_noticed_at_the_start(ledger: Ledger, wall: WallClock) -> None:
    with ledger.begin() as session:
        assert not clock.written_in_the_future(session)
        wall.offset = timedelta(minutes=-30)
        assert clock.written_in_the_future(session)
