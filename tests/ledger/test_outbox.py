"""The line before the broker: new studies first, bulk work never starved, little handed over, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from node.ledger.database import Ledger, now_utc
from node.ledger.outbox import BULK_YIELDS, HANDING_OVER, enqueue, is_empty, pending_ids, relay, seconds_to_next
from node.ledger.tables import Outbox
from node.messaging.messages import DELIVER_REPORT, PREPARE_VOLUMES, BrokerUnavailableError


def enqueue_job(ledger: Ledger, name: str, came: datetime | None = None, bulk: bool = False) -> None:
    with ledger.begin() as session:
        enqueue(session, PREPARE_VOLUMES, [name], came, bulk)


def handed_over(ledger: Ledger, most: int = 100) -> list[str]:
    """What a broker with room for `most` messages gets, in order."""
    got: list[str] = []

    def room() -> Mapping[str, int]:
        return {"volumes": most}

    relay(ledger, lambda _task, args: got.append(args[0]), room)
    return got


def test_new_studies_go_before_bulk_work_that_came_earlier(ledger: Ledger) -> None:
    for n in range(3):
        enqueue_job(ledger, f"bulk-{n}", bulk=True)
    enqueue_job(ledger, "new")
    assert handed_over(ledger) == ["new", "bulk-0", "bulk-1", "bulk-2"]


def test_bulk_work_that_has_waited_is_not_overtaken(ledger: Ledger) -> None:
    enqueue_job(ledger, "bulk", now_utc() - BULK_YIELDS - timedelta(seconds=1), bulk=True)
    for n in range(3):
        enqueue_job(ledger, f"new-{n}")
    assert handed_over(ledger, most=1) == ["bulk"]


def test_a_stream_of_new_studies_cannot_starve_bulk_work(ledger: Ledger) -> None:
    """One message a minute is handed over and one new study a minute arrives: bulk work of the start still gets out."""
    begin = now_utc() - timedelta(hours=2)
    enqueue_job(ledger, "bulk", begin, bulk=True)
    got: list[str] = []
    for minute in range(60):
        enqueue_job(ledger, f"new-{minute}", begin + timedelta(minutes=minute))
        got += handed_over(ledger, most=1)
    assert got.index("bulk") == pytest.approx(BULK_YIELDS.total_seconds() / 60, abs=1)


def test_no_more_is_sent_than_the_broker_may_contain(ledger: Ledger) -> None:
    for n in range(10):
        enqueue_job(ledger, str(n))
    assert handed_over(ledger, most=4) == ["0", "1", "2", "3"]
    assert handed_over(ledger, most=0) == []
    assert handed_over(ledger, most=3) == ["4", "5", "6"]


def test_queues_do_not_wait_for_each_other(ledger: Ledger) -> None:
    for n in range(300):
        enqueue_job(ledger, str(n))
    with ledger.begin() as session:
        enqueue(session, DELIVER_REPORT, [7])
    got: list[Any] = []
    relay(ledger, lambda _task, args: got.append(args[0]), lambda: {"volumes": 2, "delivery": 2})
    assert got == ["0", "1", 7]


def test_a_broker_that_goes_away_halfway_leaves_the_rest_due(ledger: Ledger) -> None:
    for n in range(4):
        enqueue_job(ledger, str(n))
    taken: list[str] = []

    def send(_task: str, args: list[Any]) -> None:
        if len(taken) == 2:
            raise BrokerUnavailableError("gone")
        taken.append(args[0])

    assert relay(ledger, send) == 2
    assert handed_over(ledger) == ["2", "3"]


def test_a_relay_that_dies_on_the_way_leaves_its_messages_to_the_next_one(ledger: Ledger) -> None:
    enqueue_job(ledger, "one")

    def die(_task: str, _args: list[Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relay(ledger, die)
    assert handed_over(ledger) == []  # it may still be on its way
    with ledger.begin() as session:
        (row,) = session.query(Outbox)
        assert row.not_before <= now_utc() + HANDING_OVER
        row.not_before = now_utc()
    assert handed_over(ledger) == ["one"]


def test_relays_at_the_same_time_send_nothing_twice(ledger: Ledger) -> None:
    for n in range(40):
        enqueue_job(ledger, str(n))
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.extend(handed_over(ledger, most=5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(n) for n in range(40)]
    with ledger.begin() as session:
        assert is_empty(session)


def test_the_relay_sleeps_until_something_falls_due(ledger: Ledger) -> None:
    with ledger.begin() as session:
        assert seconds_to_next(session, 5.0) == 5.0
    enqueue_job(ledger, "later", now_utc() + timedelta(seconds=2))
    enqueue_job(ledger, "waits for room")
    with ledger.begin() as session:
        assert 1.0 < seconds_to_next(session, 5.0) <= 2.0
        assert pending_ids(session, [PREPARE_VOLUMES]) == {"later", "waits for room"}
