"""One report to one PACS, whatever the PACS does; over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from config.errors import InputError
from config.settings import PacsSettings
from node.dicom.network.commitment import CommitmentResult
from node.ledger import deliveries
from node.ledger.backoff import backoff_s
from node.ledger.database import now_utc
from node.ledger.reports import StoredObject
from node.ledger.tables import Delivery
from node.small_pacs.pacs import Behaviour, Destination, SmallPacs
from node.store.part10 import skip_file_header
from node.workflow.delivery import deliver, requeue_overdue
from tests.delivery.scenes import PDF, SC, SR, SR_ENHANCED, Owed
from tests.dicom.scenes import Scene, scene


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def node(tmp_path: Path, pacs: SmallPacs) -> Iterator[Scene]:
    """The node, which receives commitments that come on a new association."""
    main = PacsSettings(port=pacs.port, timeout_s=5, give_up_after_days=7)
    with scene(tmp_path / "data", pacs=(main,)) as running:
        pacs.destinations["CPTDN"] = Destination("CPTDN", "127.0.0.1", running.port)
        yield running


@pytest.fixture
def owed(node: Scene) -> Owed:
    return Owed(node.ledger, node.store, node.settings)


def wait_for_state(owed: Owed, delivery_id: int, state: str, timeout_s: float = 5.0) -> Delivery:
    import time

    end = time.monotonic() + timeout_s
    while (row := owed.row(delivery_id)).state != state and time.monotonic() < end:
        time.sleep(0.02)
    return row


def test_a_report_is_stored_committed_and_delivered(owed: Owed, pacs: SmallPacs) -> None:
    delivery = owed.report()
    assert owed.deliver(delivery).state == "delivered"
    row = owed.row(delivery)
    assert row.committed_at is not None
    assert row.sent_at is not None
    assert (row.lease_owner, row.error_text) == (None, None)
    assert {entry["status"] for entry in row.objects.values()} == {"stored"}
    assert all(entry["committed"] for entry in row.objects.values())
    for stored in owed.objects(delivery).values():
        with (
            open(owed.store.path(stored.path), "rb") as ours,
            open(pacs.stored[stored.sop_instance_uid].path, "rb") as at,
        ):
            skip_file_header(ours)
            skip_file_header(at)
            assert ours.read() == at.read()
    assert pacs.stored[row.objects and next(iter(row.objects))].calling_ae == "CPTDN"


def test_a_delivered_report_is_not_sent_again(owed: Owed, pacs: SmallPacs) -> None:
    delivery = owed.report()
    owed.deliver(delivery)
    again = owed.deliver(delivery)
    assert (again.state, again.claimed) == ("delivered", False)
    assert {kept.times_received for kept in pacs.stored.values()} == {1}
    assert len(pacs.commitments) == 1


@pytest.mark.parametrize("implicit_only", [False, True])
def test_a_commitment_on_a_new_association_arrives(owed: Owed, pacs: SmallPacs, implicit_only: bool) -> None:
    pacs.behaviour = Behaviour(commitment="new", implicit_only=implicit_only, delay_s=0.2)
    delivery = owed.report()
    owed.deliver(delivery)
    assert wait_for_state(owed, delivery, "delivered").committed_at is not None


def test_a_commitment_that_comes_much_later_arrives(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="new", delay_s=1.5)
    delivery = owed.report()
    assert owed.deliver(delivery).state == "sent"
    assert wait_for_state(owed, delivery, "delivered").state == "delivered"


def test_a_pacs_without_commitment_gets_the_report_delivered(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="none")
    delivery = owed.report()
    assert owed.deliver(delivery).state == "delivered"
    row = owed.row(delivery)
    assert row.committed_at is None
    assert "does not offer storage commitment" in (row.error_text or "")


def test_a_commitment_that_never_comes_is_asked_for_again_and_nothing_is_resent(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="never")
    delivery = owed.report()
    assert owed.deliver(delivery).state == "sent"
    assert owed.deliver(delivery).claimed is False  # nothing to do before the waiting time is over
    owed.due_now(delivery)
    pacs.behaviour = Behaviour()
    assert owed.deliver(delivery).state == "delivered"
    assert len(set(pacs.commitments)) == 2
    assert {kept.times_received for kept in pacs.stored.values()} == {1}


def test_a_pacs_that_is_down_is_tried_again_until_the_days_are_over(owed: Owed, pacs: SmallPacs) -> None:
    pacs.stop()
    delivery = owed.report()
    before = now_utc()
    assert owed.deliver(delivery).state == "pending"
    row = owed.row(delivery)
    assert "cannot be reached" in (row.error_text or "")
    assert (row.attempts, row.lease_owner) == (1, None)
    assert before + timedelta(seconds=2.4) < row.not_before < now_utc() + timedelta(seconds=5.1)
    assert owed.messages() == 1
    with owed.ledger.begin() as session:
        late = session.get_one(Delivery, delivery)
        late.created_at, late.not_before = now_utc() - timedelta(days=8), now_utc()
    assert owed.deliver(delivery).state == "pending"  # days alone may be a clock that jumped
    with owed.ledger.begin() as session:
        late = session.get_one(Delivery, delivery)
        late.attempts, late.not_before = 20, now_utc()
    outcome = owed.deliver(delivery)
    assert outcome.state == "dead"
    assert "given up after 7 days and 21 attempts" in outcome.text


def test_a_dead_delivery_can_be_given_a_new_life(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR}))
    delivery = owed.report()
    assert owed.deliver(delivery).state == "dead"
    pacs.behaviour = Behaviour()
    with owed.ledger.begin() as session:
        deliveries.retry_delivery(session, delivery)
    assert owed.deliver(delivery).state == "delivered"
    with owed.ledger.begin() as session, pytest.raises(InputError, match="cannot be tried again"):
        deliveries.retry_delivery(session, delivery)


def test_a_pacs_that_aborts_halfway_gets_the_rest_later(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(abort_after=1)
    delivery = owed.report({"sr": SR, "sc": SC, "pdf": PDF})
    assert owed.deliver(delivery).state == "pending"
    assert len(pacs.stored) == 1
    pacs.behaviour = Behaviour()
    owed.due_now(delivery)
    assert owed.deliver(delivery).state == "delivered"
    assert {kept.times_received for kept in pacs.stored.values()} == {1}
    assert len(pacs.stored) == 3


@pytest.mark.parametrize(
    ("status", "state"),
    [(0xA700, "pending"), (0x0110, "pending"), (0xC000, "pending"), (0x0117, "dead"), (0xB000, "delivered")],
)  # fmt: skip
def test_a_store_status_decides(owed: Owed, pacs: SmallPacs, status: int, state: str) -> None:
    pacs.behaviour = Behaviour(store_status=status)
    delivery = owed.report()
    assert owed.deliver(delivery).state == state


def test_cannot_understand_is_final_after_some_tries(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(store_status=0xC123)
    delivery = owed.report({"sr": SR})
    states = []
    for _ in range(8):
        states.append(owed.deliver(delivery).state)
        owed.due_now(delivery)
    assert states == ["pending"] * 7 + ["dead"]
    assert "C123" in (owed.row(delivery).error_text or "")


def test_a_refused_companion_does_not_stop_the_report(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SC}))
    delivery = owed.report()
    assert owed.deliver(delivery).state == "delivered"
    row = owed.row(delivery)
    assert row.objects[owed.objects(delivery)["sc"].sop_instance_uid]["status"] == "refused"
    assert [kept.sop_class_uid for kept in pacs.stored.values()] == [SR]


def test_a_refused_sop_class_falls_back_and_says_so(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR}))
    delivery = owed.report()
    asked: list[tuple[int, str, str]] = []

    def other_form(report_id: int, kind: str, refused: str) -> StoredObject:
        asked.append((report_id, kind, refused))
        return owed.add_object(report_id, "sr_fallback", SR_ENHANCED, generate_uid())

    assert owed.deliver(delivery, other_form).state == "delivered"
    assert asked == [(owed.row(delivery).report_id, "sr", SR)]
    assert {kept.sop_class_uid for kept in pacs.stored.values()} == {SC, SR_ENHANCED}
    refused = owed.row(delivery).objects[owed.objects(delivery)["sr"].sop_instance_uid]
    assert SR in refused["note"]


def test_a_refused_report_without_another_form_is_dead_with_its_reason(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR, SC}))
    outcome = owed.deliver(owed.report())
    assert outcome.state == "dead"
    assert outcome.text.startswith("the PACS refuses the SR: SOP class")


def test_what_cannot_be_committed_is_sent_again(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(lose_classes={SC: 0x0112})
    delivery = owed.report()
    assert owed.deliver(delivery).state == "pending"
    sc = owed.objects(delivery)["sc"].sop_instance_uid
    sr = owed.objects(delivery)["sr"].sop_instance_uid
    assert owed.row(delivery).objects[sc]["note"] == "not committed: no such object instance"
    pacs.behaviour = Behaviour()
    owed.due_now(delivery)
    assert owed.deliver(delivery).state == "delivered"
    assert (pacs.stored[sr].times_received, pacs.stored[sc].times_received) == (1, 2)


def test_a_class_that_the_pacs_never_commits_is_not_sent_for_ever(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(lose_classes={SC: 0x0122})
    delivery = owed.report()
    assert owed.deliver(delivery).state == "delivered"
    assert "cannot commit all" in (owed.row(delivery).error_text or "")


def test_two_workers_never_deliver_the_same_thing(owed: Owed, pacs: SmallPacs) -> None:
    delivery = owed.report()
    barrier = threading.Barrier(4)
    claimed: list[bool] = []

    def work(name: str) -> None:
        barrier.wait()
        claimed.append(deliver(owed.ledger, owed.settings, owed.store, delivery, name).claimed)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [False, False, False, True]
    assert {kept.times_received for kept in pacs.stored.values()} == {1}


def test_the_work_of_a_dead_worker_is_taken_up(owed: Owed, pacs: SmallPacs) -> None:
    delivery = owed.report()
    with owed.ledger.begin() as session:
        assert deliveries.claim(session, delivery, "dead", now_utc(), timedelta(seconds=60)) is not None
    assert owed.deliver(delivery).claimed is False
    with owed.ledger.begin() as session:
        session.get_one(Delivery, delivery).lease_until = now_utc() - timedelta(seconds=1)
        assert requeue_overdue(session, owed.settings) == 1
        assert requeue_overdue(session, owed.settings) == 0  # its message waits already
    assert owed.deliver(delivery).state == "delivered"


def test_a_pacs_that_is_no_longer_configured_is_named(owed: Owed) -> None:
    outcome = owed.deliver(owed.report(pacs="gone"))
    assert (outcome.state, outcome.text) == ("dead", "no [[pacs]] named 'gone' is configured")


def test_only_the_kinds_of_the_settings_are_sent(owed: Owed, pacs: SmallPacs) -> None:
    main = owed.settings.pacs[0].model_copy(update={"send": ("sr",)})
    owed = replace(owed, settings=owed.settings.model_copy(update={"pacs": (main,)}))
    owed.deliver(owed.report({"sr": SR, "sc": SC, "pdf": PDF}))
    assert [kept.sop_class_uid for kept in pacs.stored.values()] == [SR]


def test_a_result_for_an_unknown_transaction_changes_nothing(owed: Owed) -> None:
    record = deliveries.record_commitment(owed.ledger)
    assert record(CommitmentResult("1.2.3", ("1.2",))) is False


def test_a_partial_result_leaves_the_rest_awaited(owed: Owed, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="never")
    delivery = owed.report()
    owed.deliver(delivery)
    row = owed.row(delivery)
    first, second = row.objects
    record = deliveries.record_commitment(owed.ledger)
    assert record(CommitmentResult(row.transaction_uid or "", (first,)))
    assert owed.row(delivery).state == "sent"
    assert record(CommitmentResult(row.transaction_uid or "", (second,)))
    assert owed.row(delivery).state == "delivered"
    assert record(CommitmentResult(row.transaction_uid or "", (second,)))  # the same answer again is harmless


@given(first=st.floats(0.1, 60), longest=st.floats(60, 10_000), attempts=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_waiting_doubles_up_to_its_limit(first: float, longest: float, attempts: int, jitter: float) -> None:
    seconds = backoff_s(first, longest, attempts, lambda: jitter)
    full = min(longest, first * 2.0 ** min(attempts - 1, 1000))
    assert full / 2 <= seconds <= full
