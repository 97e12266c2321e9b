"""Storage commitment that comes late, in parts, twice, elsewhere, or never: over sockets, with a driven clock.

The expected times are counted by hand: `commitment_wait_s` is an hour here, and each wait is twice the one before it,
at most a day, so requests are made 0, 1, 3, 7, 15, 31, 55, 79, 103, 127 and 151 hours after the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from node.dicom.network.commitment import CommitmentResult
from node.ledger import commitments, deliveries
from node.ledger.database import now_utc, open_ledger
from node.small_pacs.pacs import Behaviour, SmallPacs
from node.workflow.channels import dicom
from node.workflow.delivery import DeliveryOutcome, deliver
from tests.delivery.scenes import SC, DeliveryScene

HOUR = timedelta(hours=1)
REQUEST_HOURS = [0, 1, 3, 7, 15, 31, 55, 79, 103, 127, 151]


@dataclass
class Night:
    """One delivery, and a clock that is moved to the time at which something is due."""

    here: DeliveryScene
    pacs: SmallPacs
    hours: list[float] = field(default_factory=list)  # at which commitment was requested

    def __post_init__(self) -> None:
        self.delivery = self.here.report()
        self.now = self.began = now_utc()

    def step(self) -> DeliveryOutcome:
        before = len(self.pacs.commitments)
        outcome = deliver(
            self.here.ledger, self.here.settings, self.here.store, self.delivery, "w", clock=lambda: self.now
        )
        if len(self.pacs.commitments) > before:
            self.hours.append((self.now - self.began) / HOUR)
        return outcome

    def until(self, hours: float) -> None:
        """Do what is due until this time."""
        while (row := self.here.row(self.delivery)).state in ("pending", "sent"):
            due = max(row.not_before, self.now)
            if due > self.began + hours * HOUR:
                break
            self.now = due
            self.step()
        self.now = self.began + hours * HOUR

    def state(self) -> str:
        return self.here.row(self.delivery).state

    def uid(self, kind: str) -> str:
        return self.here.objects(self.delivery)[kind].sop_instance_uid

    def requested(self) -> list[float]:
        return [round(hour, 2) for hour in self.hours]


@pytest.fixture
def night(here: DeliveryScene, pacs: SmallPacs, monkeypatch: pytest.MonkeyPatch) -> Night:
    monkeypatch.setattr(dicom, "SAME_ASSOCIATION_WAIT_S", 0.01)
    pacs.behaviour = Behaviour(commitment="held")
    return Night(here, pacs)


def test_a_nightly_archive_answers_the_first_request_after_eleven_hours(night: Night) -> None:
    """Found: each new request made the ledger forget the one before, so that its result was refused for ever."""
    night.until(11)
    assert night.requested() == REQUEST_HOURS[:4]
    night.pacs.report_held(night.pacs.commitments[0])
    assert night.state() == "delivered"
    assert night.here.row(night.delivery).committed_at is not None
    night.pacs.report_held()  # the later requests are answered, too, and change nothing
    assert night.state() == "delivered"
    assert {stored.times_received for stored in night.pacs.stored.values()} == {1}


def test_a_commitment_that_never_comes_ends_dead_with_its_reason_and_may_still_come(night: Night) -> None:
    night.until(24 * 30)
    row = night.here.row(night.delivery)
    assert night.requested() == REQUEST_HOURS
    assert row.state == "dead"
    assert (row.error_text or "").startswith("stored, never committed: 11 requests for storage commitment")
    assert f"cptdn jobs retry delivery-{row.id}" in (row.error_text or "")
    night.pacs.report_held(night.pacs.commitments[4])
    assert night.state() == "delivered"
    assert night.here.row(night.delivery).error_text is None


def test_an_administrator_can_have_it_asked_for_again(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitments, "MOST_REQUESTS", 1)
    night.until(2)
    assert (night.requested(), night.state()) == ([0], "dead")
    with night.here.ledger.begin() as session:
        deliveries.retry_delivery(session, night.delivery, night.now)
    night.now += timedelta(seconds=1)
    night.step()
    night.pacs.report_held(night.pacs.commitments[-1])
    assert night.state() == "delivered"
    assert {stored.times_received for stored in night.pacs.stored.values()} == {1}


def test_a_partial_result_leaves_the_rest_to_be_asked_for(night: Night) -> None:
    night.until(2)
    night.pacs.report_held(night.pacs.commitments[0], only=[night.uid("sr")])
    assert night.state() == "sent"
    night.until(4)
    assert [uid for _, uid in night.pacs.held[-1].references] == [night.uid("sc")]
    night.pacs.report_held(night.pacs.commitments[1], only=[night.uid("sc")])
    assert night.state() == "delivered"


def test_a_result_of_an_earlier_request_on_the_association_of_the_next_one_counts(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: the association of a request accepted results of its own transaction only."""
    night.step()
    monkeypatch.setattr(dicom, "SAME_ASSOCIATION_WAIT_S", 0.3)
    night.pacs.behaviour = Behaviour(commitment="previous")
    night.until(1.5)
    assert night.state() == "delivered"
    assert night.requested() == REQUEST_HOURS[:2]


def test_a_result_after_a_restart_counts(night: Night) -> None:
    night.until(2)
    again = open_ledger(night.here.settings.ledger.url or "")
    row = night.here.row(night.delivery)
    first = night.pacs.commitments[0]
    try:
        assert commitments.record_commitment(again)(CommitmentResult(first, tuple(row.objects)))
    finally:
        again.close()
    assert night.state() == "delivered"


def test_a_late_failure_has_the_object_sent_again_once(night: Night) -> None:
    """The results of all requests come at once in the morning; each says that the SC is not there."""
    night.until(8)
    night.pacs.behaviour = Behaviour(commitment="held", lose_classes={SC: 0x0112})
    night.pacs.report_held()
    assert night.state() == "pending"
    night.pacs.behaviour = Behaviour(commitment="held")
    night.until(8.5)
    night.pacs.behaviour = Behaviour(commitment="held", lose_classes={SC: 0x0112})
    night.pacs.report_held(night.pacs.commitments[0])  # repeated: it says nothing about the second copy
    assert night.state() == "sent"
    assert night.pacs.stored[night.uid("sc")].times_received == 2
    assert night.pacs.stored[night.uid("sr")].times_received == 1
    night.pacs.behaviour = Behaviour(commitment="held")
    night.pacs.report_held(night.pacs.commitments[-1])
    assert night.state() == "delivered"


def test_a_pacs_that_loses_every_copy_is_given_up(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "SAME_ASSOCIATION_WAIT_S", 5.0)  # it answers at once
    monkeypatch.setattr(commitments, "MOST_REQUESTS", 4)
    night.pacs.behaviour = Behaviour(commitment="same", lose_classes={SC: 0x0112})
    for _ in range(8):
        night.until((night.now - night.began) / HOUR + 24)
    row = night.here.row(night.delivery)
    assert row.state == "dead"
    assert len(night.pacs.commitments) == night.pacs.stored[night.uid("sc")].times_received == 4
    assert row.error_text == "the PACS could not commit 1 object(s): not committed: no such object instance; given up"


def test_a_commitment_service_that_is_busy_is_tried_again_for_days(night: Night) -> None:
    night.pacs.behaviour = Behaviour(commitment="held", commitment_status=0x0213)
    night.until(0.05)
    row = night.here.row(night.delivery)
    assert (row.state, row.commitment_requests) == ("sent", 0)
    assert "status 0213" in (row.error_text or "")
    night.pacs.behaviour = Behaviour(commitment="held")
    night.until(0.2)
    assert night.state() == "sent"
    night.pacs.report_held()
    assert night.state() == "delivered"


def test_results_about_unknown_objects_change_nothing(night: Night) -> None:
    night.step()
    record = commitments.record_commitment(night.here.ledger)
    assert record(CommitmentResult(night.pacs.commitments[0], ("1.2.3",), {"1.2.4": 0x0112}))
    assert night.state() == "sent"
    assert set(night.here.row(night.delivery).objects) == {night.uid("sr"), night.uid("sc")}
