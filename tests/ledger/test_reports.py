"""A new report takes the place of the one before it: one current report for the case, and one for each PACS."""

from __future__ import annotations

from datetime import timedelta

from node.ledger import deliveries
from node.ledger.cases import get_case
from node.ledger.database import Ledger, now_utc
from node.ledger.outbox import relay
from node.ledger.reports import count_deliveries, current_report, record_report
from node.ledger.tables import Delivery, Report
from node.messaging.messages import DELIVER_REPORT
from tests.ledger.conftest import STUDY

LEASE = timedelta(seconds=60)
DESTINATIONS = ("main", "archive")


def report(ledger: Ledger, revision: int, destinations: tuple[str, ...] = DESTINATIONS) -> dict[str, int]:
    """Record a revision of the study's report; return its deliveries by destination."""
    with ledger.begin() as session:
        recorded = record_report(
            session, study_instance_uid=STUDY, job_id=f"j{revision}", identity=f"i{revision}", computation="c",
            request_digest="d", bundle_digest="b", revision=revision, sop_instance_uid=f"1.2.{revision}",
            predecessor=current_report(session, STUDY), result={}, objects=[], destinations=destinations,
        )  # fmt: skip
        return {row.pacs: row.id for row in deliveries.deliveries_of(session, recorded.id)}


def state_of(ledger: Ledger, delivery_id: int) -> str:
    with ledger.begin() as session:
        return deliveries.get_delivery(session, delivery_id).state


def is_claimed(ledger: Ledger, delivery_id: int) -> bool:
    with ledger.begin() as session:
        return deliveries.claim(session, delivery_id, "w", now_utc(), LEASE) is not None


def test_a_new_report_supersedes_the_pending_deliveries_of_its_predecessor(ledger: Ledger) -> None:
    first, second = report(ledger, 1), report(ledger, 2)
    for pacs in DESTINATIONS:
        assert state_of(ledger, first[pacs]) == "superseded"
        assert not is_claimed(ledger, first[pacs])  # its message may be at the broker already
        assert is_claimed(ledger, second[pacs])
    with ledger.begin() as session:
        assert "revision 2" in (deliveries.get_delivery(session, first["main"]).error_text or "")
        assert count_deliveries(session) == {"pending": 2, "sent": 0, "delivered": 0, "dead": 0, "superseded": 2}


def test_what_a_pacs_has_already_is_not_superseded(ledger: Ledger) -> None:
    """Its commitment is still awaited. What was given up needs nobody any more: the newer report takes its place."""
    first = report(ledger, 1, ("sent", "delivered", "dead", "pending"))
    with ledger.begin() as session:
        for state in ("sent", "delivered", "dead"):
            deliveries.get_delivery(session, first[state]).state = state
    report(ledger, 2)
    states = {name: state_of(ledger, delivery_id) for name, delivery_id in first.items()}
    assert states == {"sent": "sent", "delivered": "delivered", "dead": "superseded", "pending": "superseded"}


def test_only_the_predecessor_is_superseded_and_not_another_study(ledger: Ledger) -> None:
    with ledger.begin() as session:
        other = Report(
            study_instance_uid="1.9", job_id="j", identity="other", computation="c", request_digest="d",
            bundle_digest="b", revision=1, sop_instance_uid="1.9.1", result={}, created_at=now_utc(),
        )  # fmt: skip
        session.add(other)
        session.flush()
        delivery = Delivery(
            report_id=other.id, pacs="main", state="pending", not_before=now_utc(), objects={}, created_at=now_utc()
        )
        session.add(delivery)
        session.flush()
    report(ledger, 1)
    report(ledger, 2)
    assert state_of(ledger, delivery.id) == "pending"


def test_the_newest_report_is_the_current_one_with_a_message_for_each_destination(ledger: Ledger) -> None:
    report(ledger, 1, ())
    new = report(ledger, 2)
    messages: list[tuple[str, int]] = []
    relay(ledger, lambda task, args: messages.append((task, args[0])))
    assert messages == [(DELIVER_REPORT, new[pacs]) for pacs in DESTINATIONS]
    with ledger.begin() as session:
        current = current_report(session, STUDY)
        assert current is not None
        assert (current.revision, get_case(session, STUDY).current_report_id) == (2, current.id)
        assert get_case(session, STUDY).state == "reported"
