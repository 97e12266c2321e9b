"""One report to one PACS, whatever the PACS does; over real sockets."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from config.errors import InputError
from node.dicom.network.commitment import CommitmentResult
from node.ledger import commitments, deliveries
from node.ledger.backoff import backoff_s
from node.ledger.database import now_utc
from node.ledger.reports import StoredObject
from node.ledger.supersession import Held
from node.ledger.tables import Delivery
from node.small_pacs.pacs import Behaviour, SmallPacs
from node.store.part10 import skip_file_header
from node.workflow.delivery import deliver, requeue_overdue
from tests.delivery.scenes import PDF, SC, SR, SR_ENHANCED, DeliveryScene


def wait_for_state(here: DeliveryScene, delivery_id: int, state: str, timeout_s: float = 5.0) -> Delivery:
    import time

    end = time.monotonic() + timeout_s
    while (row := here.row(delivery_id)).state != state and time.monotonic() < end:
        time.sleep(0.02)
    return row


def test_a_report_is_stored_committed_and_delivered(here: DeliveryScene, pacs: SmallPacs) -> None:
    delivery = here.report()
    assert here.deliver(delivery).state == "delivered"
    row = here.row(delivery)
    assert row.committed_at is not None
    assert row.sent_at is not None
    assert (row.lease_owner, row.error_text) == (None, None)
    assert {entry["status"] for entry in row.objects.values()} == {"stored"}
    assert all(entry["committed"] for entry in row.objects.values())
    for stored in here.objects(delivery).values():
        with (
            open(here.store.path(stored.path), "rb") as ours,
            open(pacs.stored[stored.sop_instance_uid].path, "rb") as at,
        ):
            skip_file_header(ours)
            skip_file_header(at)
            assert ours.read() == at.read()
    assert pacs.stored[row.objects and next(iter(row.objects))].calling_ae == "CPTDN"


def test_a_delivered_report_is_not_sent_again(here: DeliveryScene, pacs: SmallPacs) -> None:
    delivery = here.report()
    here.deliver(delivery)
    again = here.deliver(delivery)
    assert (again.state, again.claimed) == ("delivered", False)
    assert {stored.times_received for stored in pacs.stored.values()} == {1}
    assert len(pacs.commitments) == 1


@pytest.mark.parametrize("implicit_only", [False, True])
def test_a_commitment_on_a_new_association_arrives(here: DeliveryScene, pacs: SmallPacs, implicit_only: bool) -> None:
    pacs.behaviour = Behaviour(commitment="new", implicit_only=implicit_only, delay_s=0.2)
    delivery = here.report()
    here.deliver(delivery)
    assert wait_for_state(here, delivery, "delivered").committed_at is not None


def test_a_commitment_that_comes_much_later_arrives(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="new", delay_s=1.5)
    delivery = here.report()
    assert here.deliver(delivery).state == "sent"
    assert wait_for_state(here, delivery, "delivered").state == "delivered"


def test_a_pacs_without_commitment_gets_the_report_delivered(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="none")
    delivery = here.report()
    assert here.deliver(delivery).state == "delivered"
    row = here.row(delivery)
    assert row.committed_at is None
    assert "does not offer storage commitment" in (row.error_text or "")


def test_a_commitment_that_never_comes_is_asked_for_again_and_nothing_is_resent(
    here: DeliveryScene, pacs: SmallPacs
) -> None:
    pacs.behaviour = Behaviour(commitment="never")
    delivery = here.report()
    assert here.deliver(delivery).state == "sent"
    assert here.deliver(delivery).claimed is False  # nothing to do before the waiting time is over
    here.due_now(delivery)
    pacs.behaviour = Behaviour()
    assert here.deliver(delivery).state == "delivered"
    assert len(set(pacs.commitments)) == 2
    assert {stored.times_received for stored in pacs.stored.values()} == {1}


def test_a_pacs_that_is_down_is_tried_again_until_the_days_are_over(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.stop()
    delivery = here.report()
    before = now_utc()
    assert here.deliver(delivery).state == "pending"
    row = here.row(delivery)
    assert "cannot be reached" in (row.error_text or "")
    assert (row.attempts, row.lease_owner) == (1, None)
    assert before + timedelta(seconds=2.4) < row.not_before < now_utc() + timedelta(seconds=5.1)
    assert here.messages() == 1
    with here.ledger.begin() as session:
        late = session.get_one(Delivery, delivery)
        late.created_at, late.not_before = now_utc() - timedelta(days=8), now_utc()
    assert here.deliver(delivery).state == "pending"  # days alone may be a clock that jumped
    with here.ledger.begin() as session:
        late = session.get_one(Delivery, delivery)
        late.attempts, late.not_before = 20, now_utc()
    outcome = here.deliver(delivery)
    assert outcome.state == "dead"
    assert "given up after 7 days and 21 attempts" in outcome.text


def test_a_dead_delivery_can_be_retried_from_the_beginning(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR}))
    delivery = here.report()
    assert here.deliver(delivery).state == "dead"
    pacs.behaviour = Behaviour()
    with here.ledger.begin() as session:
        deliveries.retry_delivery(session, delivery)
    assert here.deliver(delivery).state == "delivered"
    with here.ledger.begin() as session, pytest.raises(InputError, match="cannot be tried again"):
        deliveries.retry_delivery(session, delivery)


def test_a_pacs_that_aborts_halfway_gets_the_rest_later(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(abort_after=1)
    delivery = here.report({"sr": SR, "sc": SC, "pdf": PDF})
    assert here.deliver(delivery).state == "pending"
    assert len(pacs.stored) == 1
    pacs.behaviour = Behaviour()
    here.due_now(delivery)
    assert here.deliver(delivery).state == "delivered"
    assert {stored.times_received for stored in pacs.stored.values()} == {1}
    assert len(pacs.stored) == 3


@pytest.mark.parametrize(
    ("status", "state"),
    [(0xA700, "pending"), (0x0110, "pending"), (0xC000, "pending"), (0x0117, "dead"), (0xB000, "delivered")],
)  # fmt: skip
def test_a_store_status_decides(here: DeliveryScene, pacs: SmallPacs, status: int, state: str) -> None:
    pacs.behaviour = Behaviour(store_status=status)
    delivery = here.report()
    assert here.deliver(delivery).state == state


def test_cannot_understand_is_final_after_some_tries(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(store_status=0xC123)
    delivery = here.report({"sr": SR})
    states = []
    for _ in range(8):
        states.append(here.deliver(delivery).state)
        here.due_now(delivery)
    assert states == ["pending"] * 7 + ["dead"]
    assert "C123" in (here.row(delivery).error_text or "")


def test_a_refused_companion_does_not_stop_the_report(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SC}))
    delivery = here.report()
    assert here.deliver(delivery).state == "delivered"
    row = here.row(delivery)
    assert row.objects[here.objects(delivery)["sc"].sop_instance_uid]["status"] == "refused"
    assert [stored.sop_class_uid for stored in pacs.stored.values()] == [SR]


def test_a_refused_sop_class_falls_back_and_says_so(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR}))
    delivery = here.report()
    asked: list[tuple[int, str, str]] = []

    def other_form(report_id: int, kind: str, refused: str, _held: Held | None) -> StoredObject:
        asked.append((report_id, kind, refused))
        return here.add_object(report_id, "sr_fallback", SR_ENHANCED, generate_uid())

    assert here.deliver(delivery, other_form).state == "delivered"
    assert asked == [(here.row(delivery).report_id, "sr", SR)]
    assert {stored.sop_class_uid for stored in pacs.stored.values()} == {SC, SR_ENHANCED}
    refused = here.row(delivery).objects[here.objects(delivery)["sr"].sop_instance_uid]
    assert SR in refused["note"]


def test_a_refused_report_without_another_form_is_dead_with_its_reason(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR, SC}))
    outcome = here.deliver(here.report())
    assert outcome.state == "dead"
    assert outcome.text.startswith("the PACS refuses the SR: SOP class")


def test_what_cannot_be_committed_is_sent_again(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(lose_classes={SC: 0x0112})
    delivery = here.report()
    assert here.deliver(delivery).state == "pending"
    sc = here.objects(delivery)["sc"].sop_instance_uid
    sr = here.objects(delivery)["sr"].sop_instance_uid
    assert here.row(delivery).objects[sc]["note"] == "not committed: no such object instance"
    pacs.behaviour = Behaviour()
    here.due_now(delivery)
    assert here.deliver(delivery).state == "delivered"
    assert (pacs.stored[sr].times_received, pacs.stored[sc].times_received) == (1, 2)


def test_a_class_that_the_pacs_never_commits_is_not_sent_for_ever(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(lose_classes={SC: 0x0122})
    delivery = here.report()
    assert here.deliver(delivery).state == "delivered"
    assert "cannot commit all" in (here.row(delivery).error_text or "")


def test_two_workers_never_deliver_the_same_thing(here: DeliveryScene, pacs: SmallPacs) -> None:
    delivery = here.report()
    barrier = threading.Barrier(4)
    claimed: list[bool] = []

    def work(name: str) -> None:
        barrier.wait()
        claimed.append(deliver(here.ledger, here.settings, here.store, delivery, name).claimed)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [False, False, False, True]
    assert {stored.times_received for stored in pacs.stored.values()} == {1}


def test_the_delivery_of_a_dead_worker_is_queued_again(here: DeliveryScene, pacs: SmallPacs) -> None:
    delivery = here.report()
    with here.ledger.begin() as session:
        assert deliveries.claim(session, delivery, "dead", now_utc(), timedelta(seconds=60)) is not None
    assert here.deliver(delivery).claimed is False
    with here.ledger.begin() as session:
        session.get_one(Delivery, delivery).lease_until = now_utc() - timedelta(seconds=1)
        assert requeue_overdue(session, here.settings) == 1
        assert requeue_overdue(session, here.settings) == 0  # its message waits already
    assert here.deliver(delivery).state == "delivered"


def test_a_pacs_that_is_no_longer_configured_is_named(here: DeliveryScene) -> None:
    outcome = here.deliver(here.report(pacs="gone"))
    assert (outcome.state, outcome.text) == ("dead", "no [[pacs]] named 'gone' is configured")


def test_only_the_kinds_of_the_settings_are_sent(here: DeliveryScene, pacs: SmallPacs) -> None:
    main = here.settings.pacs[0].model_copy(update={"send": ("sr",)})
    here = replace(here, settings=here.settings.model_copy(update={"pacs": (main,)}))
    here.deliver(here.report({"sr": SR, "sc": SC, "pdf": PDF}))
    assert [stored.sop_class_uid for stored in pacs.stored.values()] == [SR]


def test_a_result_for_an_unknown_transaction_changes_nothing(here: DeliveryScene) -> None:
    record = commitments.record_commitment(here.ledger)
    assert record(CommitmentResult("1.2.3", ("1.2",))) is False


def test_a_partial_result_leaves_the_rest_awaited(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="never")
    delivery = here.report()
    here.deliver(delivery)
    row = here.row(delivery)
    first, second = row.objects
    record = commitments.record_commitment(here.ledger)
    assert record(CommitmentResult(row.transaction_uid or "", (first,)))
    assert here.row(delivery).state == "sent"
    assert record(CommitmentResult(row.transaction_uid or "", (second,)))
    assert here.row(delivery).state == "delivered"
    assert record(CommitmentResult(row.transaction_uid or "", (second,)))  # the same answer again is harmless


@given(first=st.floats(0.1, 60), longest=st.floats(60, 10_000), attempts=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_waiting_doubles_up_to_its_limit(first: float, longest: float, attempts: int, jitter: float) -> None:
    seconds = backoff_s(first, longest, attempts, lambda: jitter)
    full = min(longest, first * 2.0 ** min(attempts - 1, 1000))
    assert full / 2 <= seconds <= full
