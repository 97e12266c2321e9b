"""Whatever a destination does, a delivery has a named state with a sentence; a replaced report is not sent."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from config.errors import InputError
from config.settings import TlsSettings
from node.dicom.scu import store_scu
from node.ledger import deliveries
from node.ledger.database import now_utc
from node.ledger.reports import StoredObject
from node.ledger.supersession import Held, held_before
from node.ledger.tables import Delivery, Report
from node.small_pacs.pacs import Behaviour, SmallPacs
from node.workflow.delivery import deliver, requeue_overdue
from tests.delivery.scenes import SC, SR, SR_ENHANCED, DeliveryScene


def replace_report(here: DeliveryScene, delivery_id: int, supersede: bool = True) -> int:
    """Record revision 2 of the delivery's study; return its delivery. Without `supersede`, as earlier versions did."""
    from node.ledger.supersession import supersede as supersede_delivery

    newer = here.report()
    with here.ledger.begin() as session:
        old = session.get_one(Delivery, delivery_id)
        report = session.get_one(Report, session.get_one(Delivery, newer).report_id)
        report.revision = 2
        report.study_instance_uid = session.get_one(Report, old.report_id).study_instance_uid
        if supersede:
            supersede_delivery(old, "replaced by revision 2")
    return newer


def test_tls_files_that_are_missing_are_named_and_tried_again(here: DeliveryScene, tmp_path: Path) -> None:
    """Found: the step raised, and the delivery stayed pending with no attempt and no reason."""
    nothing = tmp_path / "nothing.pem"
    tls = TlsSettings(certificate=nothing, private_key=nothing, ca=nothing)
    main = here.settings.pacs[0].model_copy(update={"tls": tls})
    here.settings = here.settings.model_copy(update={"pacs": (main,)})
    delivery = here.report()
    assert here.deliver(delivery).state == "pending"
    row = here.row(delivery)
    assert (row.attempts, row.lease_owner) == (1, None)
    assert row.error_text == f"[tls] expected a PEM file at {nothing}, found none"


def test_an_unforeseen_error_is_a_reason_without_its_text_and_ends_after_eight_attempts(
    here: DeliveryScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LookupError("Doe^Jane")

    monkeypatch.setattr("node.workflow.channels.dicom.send", fails)
    delivery = here.report()
    states = []
    for attempts in (0, 6, 7):
        with here.ledger.begin() as session:
            session.get_one(Delivery, delivery).attempts = attempts
        states.append(here.deliver(delivery).state)
        here.due_now(delivery)
    assert states == ["pending", "pending", "dead"]
    text = here.row(delivery).error_text
    assert text == "given up after 8 attempts: unexpected LookupError; the log of the worker has it"


def test_a_missing_file_of_the_report_ends_the_delivery(here: DeliveryScene) -> None:
    delivery = here.report()
    here.store.path(here.objects(delivery)["sr"].path).unlink()
    outcome = here.deliver(delivery)
    assert (outcome.state, "is missing" in outcome.text) == ("dead", True)


def test_sending_stops_when_the_report_is_replaced_and_what_was_sent_is_known(
    here: DeliveryScene, pacs: SmallPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: such a delivery became `delivered`, and the rest of the old report was sent after the new one."""
    delivery = here.report({"sr": SR, "sc": SC})
    newer: list[int] = []
    original = store_scu._send_file

    def replaced_after_the_first(*arguments: object) -> object:
        outcome = original(*arguments)  # type: ignore[arg-type]
        if not newer:
            newer.append(replace_report(here, delivery))
            assert here.deliver(newer[0]).claimed is False  # it waits until the old one has stopped
        return outcome

    monkeypatch.setattr(store_scu, "_send_file", replaced_after_the_first)
    assert here.deliver(delivery).state == "superseded"
    row = here.row(delivery)
    assert row.error_text == "replaced by revision 2 while it was being sent"
    assert [file.sop_class_uid for file in pacs.stored.values()] == [SR]
    sr = here.objects(delivery)["sr"].sop_instance_uid
    with here.ledger.begin() as session:
        held = held_before(session, session.get_one(Delivery, newer[0]).report_id, "main")
    assert [(each.sop_instance_uid, each.is_certain) for each in held if each.is_certain] == [(sr, True)]
    assert here.deliver(newer[0]).state == "delivered"


def test_a_dead_delivery_of_a_replaced_report_is_superseded_and_not_sent(here: DeliveryScene, pacs: SmallPacs) -> None:
    """Found: `jobs retry` of revision 1 sent it after revision 2 was delivered."""
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR, SC}))
    delivery = here.report()
    assert here.deliver(delivery).state == "dead"
    replace_report(here, delivery, supersede=False)
    with here.ledger.begin() as session, pytest.raises(InputError, match="was replaced by revision 2"):
        deliveries.retry_delivery(session, delivery)
    with here.ledger.begin() as session:
        requeue_overdue(session, here.settings)
    row = here.row(delivery)
    assert row.state == "superseded"
    assert (row.error_text or "").startswith("replaced by revision 2; before that: the PACS refuses the SR")


def test_a_pending_delivery_of_a_replaced_report_is_not_sent(here: DeliveryScene, pacs: SmallPacs) -> None:
    delivery = here.report()
    replace_report(here, delivery, supersede=False)
    assert here.deliver(delivery).state == "superseded"
    assert not pacs.stored


def test_a_replaced_report_that_awaits_its_commitment_is_not_asked_again(here: DeliveryScene, pacs: SmallPacs) -> None:
    pacs.behaviour = Behaviour(commitment="held")
    delivery = here.report()
    assert here.deliver(delivery).state == "sent"
    replace_report(here, delivery)
    assert here.row(delivery).state == "sent"  # its commitment may still come
    here.due_now(delivery)
    outcome = here.deliver(delivery)
    assert (outcome.state, outcome.text) == ("superseded", "replaced by revision 2 before it was committed")
    assert len(pacs.commitments) == 1


def test_what_a_dead_worker_was_sending_may_be_at_the_destination(
    here: DeliveryScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("node.workflow.channels.dicom.send", dies)
    delivery = here.report({"sr": SR})
    with pytest.raises(KeyboardInterrupt):
        here.deliver(delivery)
    newer = replace_report(here, delivery)
    with here.ledger.begin() as session:
        held = held_before(session, session.get_one(Delivery, newer).report_id, "main")
        assert [(each.kind, each.is_certain) for each in held] == [("sr", False)]
        # Its lease is not over: the destination must not get the newer report before the older one.
        assert deliveries.claim(session, newer, "w", now_utc(), timedelta(seconds=60)) is None
        later = now_utc() + timedelta(seconds=61)
        assert deliveries.claim(session, newer, "w", later, timedelta(seconds=60)) is not None


def test_a_fallback_names_what_this_pacs_has_of_the_report_before(here: DeliveryScene, pacs: SmallPacs) -> None:
    """Found: it named the SR that this PACS had refused."""
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR}))
    asked: list[str | None] = []

    def other_form(report_id: int, _kind: str, _refused: str, held: Held | None) -> StoredObject:
        asked.append(held.sop_instance_uid if held else None)
        return here.add_object(report_id, "sr_fallback", SR_ENHANCED, generate_uid())

    first = here.report({"sr": SR})
    assert here.deliver(first, other_form).state == "delivered"
    second = replace_report(here, first)
    assert here.deliver(second, other_form).state == "delivered"
    assert asked == [None, here.objects(first)["sr_fallback"].sop_instance_uid]


def test_two_destinations_that_refuse_a_class_each_get_their_own_fallback(here: DeliveryScene, pacs: SmallPacs) -> None:
    """The other form for one PACS names what that PACS has; it must not go to another one."""
    pacs.behaviour = Behaviour(refuse_classes=frozenset({SR}))
    delivery = here.report({"sr": SR})
    foreign = here.add_object(here.row(delivery).report_id, "sr_fallback", SR_ENHANCED, generate_uid())

    def other_form(report_id: int, _kind: str, _refused: str, _held: Held | None) -> StoredObject:
        return here.add_object(report_id, "sr_fallback", SR_ENHANCED, generate_uid())

    assert deliver(here.ledger, here.settings, here.store, delivery, "w", other_form).state == "delivered"
    assert foreign.sop_instance_uid not in pacs.stored
    assert [file.sop_class_uid for file in pacs.stored.values()] == [SR_ENHANCED]
