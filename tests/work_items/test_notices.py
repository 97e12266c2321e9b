"""What other application entities are told: events of work items, and instances that a PACS has stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import InstanceAvailabilityNotification, UnifiedProcedureStepEvent
from sqlalchemy import select

from node.dicom.scu.worklist_check import check_notified
from node.ledger.database import now_utc
from node.ledger.work_item_tables import DicomNotice
from node.workflow.dicom_notices import announce_available, send_due
from tests.work_items.manager import work_item
from tests.work_items.scenes import Requester, Scene, notified, scene

ALL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND = 2, 3, 4, 5


@dataclass
class Receiver:
    """An application entity that receives notifications; its answers are `status`."""

    events: list[tuple[str, int, Dataset]] = field(default_factory=list)
    available: list[tuple[str, Dataset]] = field(default_factory=list)
    status: int = 0x0000

    def states(self, uid: str) -> list[str]:
        return [str(ds.ProcedureStepState) for which, kind, ds in self.events if which == uid and kind == 1]


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[int]:
    ae = AE(ae_title="WATCHER")
    ae.add_supported_context(UnifiedProcedureStepEvent, scu_role=True, scp_role=True)
    ae.add_supported_context(InstanceAvailabilityNotification)

    def event(happened: evt.Event) -> tuple[int, None]:
        if receiver.status == 0x0000:
            uid = str(happened.request.AffectedSOPInstanceUID)
            receiver.events.append((uid, happened.event_type, happened.event_information))
        return receiver.status, None

    def create(happened: evt.Event) -> tuple[int, Dataset | None]:
        if receiver.status == 0x0000:
            uid = str(happened.request.AffectedSOPInstanceUID)
            receiver.available.append((uid, happened.attribute_list))
        return receiver.status, None

    handlers = [(evt.EVT_N_EVENT_REPORT, event), (evt.EVT_N_CREATE, create)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


@dataclass
class Watched:
    node: Scene
    ris: Requester
    receiver: Receiver

    def send(self) -> None:
        with self.node.ledger.begin() as session:
            for row in session.scalars(select(DicomNotice).where(DicomNotice.closed_at.is_(None))):
                row.not_before = now_utc()
        announce_available(self.node.ledger, self.node.settings)
        send_due(self.node.ledger, self.node.settings)

    def rows(self) -> list[DicomNotice]:
        with self.node.ledger.begin() as session:
            return list(session.scalars(select(DicomNotice).order_by(DicomNotice.id)))

    def create(self, study: str) -> str:
        status, uid = self.ris.create(work_item(study))
        assert status.Status == 0x0000
        return uid


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    receiver = Receiver()
    with receiving(receiver) as port:
        peer = notified(port, ae_title="WATCHER", instance_availability=True)
        with scene(tmp_path / "data", notified_ae=(peer,)) as node:
            ris = Requester(node.port)
            yield Watched(node, ris, receiver)
            ris.close()


def subscribe(watched: Watched, uid: str, receiver: str = "WATCHER") -> int:
    return int(watched.ris.act(uid, SUBSCRIBE, ReceivingAE=receiver, DeletionLock="FALSE").Status)


def test_a_subscriber_is_told_every_state_of_its_work_item_in_order(watched: Watched) -> None:
    study = watched.node.open("queued")
    uid, other = watched.create(study), watched.create("1.2.3")
    assert subscribe(watched, uid) == 0x0000
    watched.node.judge()
    watched.node.report(study)
    watched.node.judge()
    watched.send()
    assert watched.receiver.states(uid) == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
    assert watched.receiver.states(other) == []
    percents = [
        float(ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress)
        for _, kind, ds in watched.receiver.events
        if kind == 3
    ]
    assert percents == [20.0]
    watched.send()
    assert len(watched.receiver.events) == 4


def test_a_global_subscription_is_about_all_work_items_and_can_be_suspended(watched: Watched) -> None:
    first = watched.create("1.2.3")
    assert subscribe(watched, ALL) == 0x0000
    second = watched.create("1.2.4")
    assert watched.ris.act(ALL, SUSPEND, ReceivingAE="WATCHER").Status == 0x0000
    third = watched.create("1.2.5")
    watched.node.judge()
    watched.send()
    assert [watched.receiver.states(uid) for uid in (first, second, third)] == [
        ["SCHEDULED", "IN PROGRESS"], ["SCHEDULED", "IN PROGRESS"], [],
    ]  # fmt: skip
    assert watched.ris.act(ALL, UNSUBSCRIBE, ReceivingAE="WATCHER").Status == 0x0000
    assert watched.ris.act(first, CANCEL).Status == 0x0000
    watched.node.judge()
    watched.send()
    assert watched.receiver.states(first) == ["SCHEDULED", "IN PROGRESS"]


def test_who_cannot_be_reached_cannot_subscribe(watched: Watched) -> None:
    uid = watched.create("1.2.3")
    assert subscribe(watched, uid, receiver="NOBODY") == 0xC308
    assert subscribe(watched, "1.2.3.4") == 0xC307
    assert subscribe(watched, FILTERED) == 0xC314
    assert watched.ris.act(uid, SUSPEND, ReceivingAE="WATCHER").Status == 0xC314
    assert watched.ris.act("1.2.3.4", UNSUBSCRIBE, ReceivingAE="WATCHER").Status == 0xC307
    assert watched.ris.act(uid, UNSUBSCRIBE, ReceivingAE="WATCHER").Status == 0x0000


def test_a_request_for_cancellation_is_passed_on_with_its_reason(watched: Watched) -> None:
    uid = watched.create(watched.node.open("running"))
    watched.node.judge()
    subscribe(watched, uid)
    assert watched.ris.act(uid, CANCEL, ReasonForCancellation="wrong patient").Status == 0x0000
    watched.node.judge()
    watched.send()
    [asked] = [ds for _, kind, ds in watched.receiver.events if kind == 2]
    assert (asked.RequestingAE, asked.ReasonForCancellation) == ("RIS", "wrong patient")
    [end] = [ds for _, kind, ds in watched.receiver.events if kind == 1 and ds.ProcedureStepState == "CANCELED"]
    assert "wrong patient" in end.ReasonForCancellation


@pytest.mark.parametrize("status", [0x0110, 0x0122])
def test_what_a_receiver_cannot_take_now_comes_again_and_what_it_refuses_does_not(
    watched: Watched, status: int
) -> None:
    uid = watched.create("1.2.3")
    subscribe(watched, uid)
    watched.receiver.status = status
    watched.send()
    [row] = watched.rows()
    assert row.error_text == f"status {status:04X}"
    watched.receiver.status = 0x0000
    watched.send()
    assert watched.receiver.states(uid) == (["SCHEDULED"] if status == 0x0110 else [])


def test_a_receiver_that_is_away_gets_everything_later_and_once(tmp_path: Path) -> None:
    receiver = Receiver()
    with receiving(receiver) as port:
        pass
    peer = notified(port, ae_title="WATCHER", timeout_s=1.0)
    with scene(tmp_path / "data", notified_ae=(peer,)) as node:
        ris = Requester(node.port)
        watched = Watched(node, ris, receiver)
        uid = watched.create("1.2.3")
        subscribe(watched, uid)
        node.judge()
        watched.send()
        assert all(row.attempts for row in watched.rows())
        assert all("cannot be reached" in (row.error_text or "") for row in watched.rows())
        with receiving(receiver, port):
            watched.send()
            watched.send()
        ris.close()
    assert receiver.states(uid) == ["SCHEDULED", "IN PROGRESS"]


def test_a_notice_that_is_never_taken_is_given_up_with_its_reason(watched: Watched) -> None:
    subscribe(watched, watched.create("1.2.3"))
    with watched.node.ledger.begin() as session:
        [row] = session.scalars(select(DicomNotice))
        row.created_at = row.created_at.replace(year=2020)
    watched.receiver.status = 0x0110
    watched.send()
    [row] = watched.rows()
    assert (row.closed_at is not None, row.sent_at) == (True, None)


# --- Instance Availability Notification ---


def test_a_stored_report_is_announced_once_with_its_instances_online(watched: Watched) -> None:
    study = watched.node.open()
    objects = watched.node.report(study)
    watched.send()
    watched.send()
    [(_, ds)] = watched.receiver.available
    assert ds.StudyInstanceUID == study
    items = [item for series in ds.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
    told = [(i.ReferencedSOPInstanceUID, i.InstanceAvailability, i.RetrieveAETitle) for i in items]
    assert told == [(uid, "ONLINE", "ARCHIVE") for uid in objects]
    assert ds.ReferencedPerformedProcedureStepSequence == []  # type 2, PS3.4 Table R.3.2-1


@pytest.mark.parametrize("state", ["pending", "sent", "dead"])
def test_a_report_that_is_not_delivered_is_not_announced(watched: Watched, state: str) -> None:
    watched.node.report(watched.node.open(), delivery=state)
    watched.send()
    assert watched.receiver.available == []


def test_an_announcement_that_the_receiver_has_already_is_not_repeated(watched: Watched) -> None:
    watched.node.report(watched.node.open())
    watched.receiver.status = 0x0111  # a process died before it recorded the success
    watched.send()
    [row] = watched.rows()
    assert row.sent_at is not None


def test_nothing_is_announced_unless_it_is_configured(tmp_path: Path) -> None:
    peer: Any = notified(9, ae_title="WATCHER")
    with scene(tmp_path / "data", notified_ae=(peer,)) as node:
        node.report(node.open())
        assert announce_available(node.ledger, node.settings) == 0


def test_the_doctor_proposes_what_a_receiver_would_be_sent(watched: Watched) -> None:
    [peer] = watched.node.settings.notified_ae
    assert check_notified(peer, watched.node.settings) == []
    assert (watched.receiver.events, watched.receiver.available) == ([], [])
    other = peer.model_copy(update={"port": watched.node.port, "ae_title": "CPTDN"})
    refused = ["Unified Procedure Step - Event", "Instance Availability Notification"]
    assert check_notified(other, watched.node.settings) == refused
