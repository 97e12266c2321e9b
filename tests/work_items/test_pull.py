"""Work items of a worklist manager (UPS Pull by DIMSE, and UPS-RS): claim, progress, end, conflicts and outages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.errors import PacsUnavailableError
from config.settings import TlsSettings, WorklistSettings
from node.dicom.scu.worklist_check import check_worklist
from node.ledger.database import now_utc
from node.ledger.work_item_tables import WorkItem
from node.ledger.work_items import list_items
from node.workflow.worklists import Worklist
from tests.work_items.manager import (
    Manager,
    dimse_manager,
    is_complete,
    report_cancel_request,
    web_manager,
    work_item,
)
from tests.work_items.scenes import REASON, Scene, scene, settings_for, worklist

KINDS: dict[str, Callable[[Manager, int], AbstractContextManager[int]]] = {"dimse": dimse_manager, "web": web_manager}


@dataclass
class Pulled:
    """A node, a manager, and the worklist between them."""

    node: Scene
    manager: Manager
    source: WorklistSettings
    pull: Worklist

    def go(self) -> None:
        """One turn: what is due is asked, judged and told."""
        self.due()
        self.pull.run_due()
        self.node.judge()
        self.due()
        self.pull.run_due()

    def due(self) -> None:
        with self.node.ledger.begin() as session:
            for item in list_items(session):
                item.not_before = now_utc()
        self.pull = Worklist(self.node.ledger, self.node.settings, self.source)

    def item(self, uid: str) -> WorkItem:
        return self.node.item(uid, self.source.name)


@pytest.fixture(params=list(KINDS))
def pulled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pulled]:
    manager = Manager()
    with KINDS[request.param](manager, 0) as port:
        yield from _pulled(tmp_path, manager, port, request.param == "web")


def _pulled(root: Path, manager: Manager, port: int, is_web: bool) -> Iterator[Pulled]:
    source = worklist(port, url=f"http://127.0.0.1:{port}" if is_web else None)
    with scene(root / "data", worklist=(source,)) as node:
        yield Pulled(node, manager, source, Worklist(node.ledger, node.settings, source))


def test_a_scheduled_work_item_is_claimed_told_of_and_completed_with_its_outputs(pulled: Pulled) -> None:
    study = pulled.node.open("queued")
    uid = pulled.manager.schedule(work_item(study))
    pulled.go()
    listed = pulled.manager.items[uid]
    assert (listed.state, listed.by) == ("IN PROGRESS", ["node"])
    assert listed.transaction_uid == pulled.item(uid).transaction_uid
    pulled.node.become(study, "running")
    pulled.go()
    objects = pulled.node.report(study)
    pulled.go()
    assert (listed.state, listed.ends) == ("COMPLETED", ["COMPLETED"])
    assert listed.progress == ["The computation is queued.", "The computation is running.", "The result is stored."]
    step = listed.ds.UnifiedProcedureStepPerformedProcedureSequence[0]
    outputs = [ref.ReferencedSOPInstanceUID for o in step.OutputInformationSequence for ref in o.ReferencedSOPSequence]
    assert outputs == objects
    assert pulled.item(uid).state == "COMPLETED"


def test_a_refused_study_cancels_the_work_item_at_the_manager_with_the_reason(pulled: Pulled) -> None:
    study = pulled.node.open("refused")
    pulled.node.become(study, "refused", REASON)
    uid = pulled.manager.schedule(work_item(study))
    pulled.go()
    listed = pulled.manager.items[uid]
    assert (listed.state, is_complete(listed.ds, "CANCELED")) == ("CANCELED", True)
    assert REASON["text"] in listed.ds.ProcedureStepProgressInformationSequence[0].ReasonForCancellation


def test_work_items_of_another_code_or_state_are_left_alone(pulled: Pulled) -> None:
    other = pulled.manager.schedule(work_item(pulled.node.open(), code=("110003", "DCM")))
    taken = pulled.manager.schedule(work_item(pulled.node.open()))
    pulled.manager.change(taken, "IN PROGRESS", "1.2.3", by="another")
    pulled.go()
    assert pulled.manager.items[other].state == "SCHEDULED"
    with pulled.node.ledger.begin() as session:
        assert list_items(session) == []


def test_a_work_item_that_another_performer_claims_first_is_left_alone(pulled: Pulled) -> None:
    study = pulled.node.open("reported")
    pulled.node.report(study)
    uid = pulled.manager.schedule(work_item(study))
    pulled.manager.snatch.add(uid)
    pulled.go()
    pulled.go()
    assert (pulled.item(uid).state, pulled.manager.items[uid].by) == ("TAKEN", ["another"])
    assert (pulled.manager.items[uid].state, pulled.manager.items[uid].progress) == ("IN PROGRESS", [])


def test_a_work_item_that_the_manager_cancels_before_the_claim_is_left_alone(pulled: Pulled) -> None:
    uid = pulled.manager.schedule(work_item(pulled.node.open()))
    pulled.manager.items[uid].ds.ProcedureStepState = "SCHEDULED"
    original = pulled.manager.change

    def cancel_first(which: str, wanted: str, *args: Any, **values: Any) -> int:
        pulled.manager.request_cancel(which)
        return original(which, wanted, *args, **values)

    pulled.manager.change = cancel_first  # type: ignore[method-assign]
    pulled.go()
    assert (pulled.item(uid).state, pulled.manager.items[uid].by) == ("TAKEN", [])


def test_a_work_item_that_the_manager_has_forgotten_is_lost_visibly(pulled: Pulled) -> None:
    study = pulled.node.open("queued")
    uid = pulled.manager.schedule(work_item(study))
    pulled.go()
    del pulled.manager.items[uid]
    pulled.node.report(study)
    pulled.go()
    assert pulled.item(uid).state == "LOST"
    assert pulled.item(uid).error_text


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_lost_answers_double_nothing(pulled: Pulled, seed: int) -> None:
    """Of a third of all changes the manager's answer is lost: the association ends before it."""
    pulled.manager.draw(seed, lose=0.33)
    studies = [pulled.node.open("queued") for _ in range(4)]
    uids = [pulled.manager.schedule(work_item(study)) for study in studies]
    for study in studies:
        pulled.node.report(study)
    for _ in range(60):
        pulled.go()
        if known(pulled) == dict.fromkeys(uids, "COMPLETED"):
            break
    listed = [pulled.manager.items[uid] for uid in uids]
    assert [(each.state, each.by, each.ends) for each in listed] == [("COMPLETED", ["node"], ["COMPLETED"])] * 4
    assert [pulled.item(uid).state for uid in uids] == ["COMPLETED"] * 4


def known(pulled: Pulled) -> dict[str, str]:
    with pulled.node.ledger.begin() as session:
        return {item.uid: item.state for item in list_items(session)}


def test_a_manager_that_does_not_answer_is_asked_again_with_the_reason_recorded(pulled: Pulled) -> None:
    uid = pulled.manager.schedule(work_item(pulled.node.open("queued")))
    pulled.go()
    pulled.manager.lose = 1.0
    pulled.node.become(pulled.item(uid).study_instance_uid or "", "running")
    for _ in range(3):
        pulled.go()
    assert pulled.item(uid).attempts >= 1
    assert pulled.item(uid).error_text
    assert pulled.item(uid).state == "IN PROGRESS"


def test_a_manager_passes_on_that_a_cancellation_is_requested(tmp_path: Path) -> None:
    manager = Manager()
    with dimse_manager(manager) as port:
        for pulled in itertools.islice(_pulled(tmp_path, manager, port, is_web=False), 1):
            uid = manager.schedule(work_item(pulled.node.open("running")))
            pulled.go()
            assert manager.items[uid].watched_by == {"CPTDN"}
            assert report_cancel_request(pulled.node.port, uid, "patient has died") == 0x0000
            pulled.go()
            said = manager.items[uid].ds.ProcedureStepProgressInformationSequence[0]
            assert manager.items[uid].state == "CANCELED"
            assert said.ReasonForCancellation == "Canceled as requested by RIS: patient has died"


def test_a_wrong_tls_file_is_a_reason_and_not_an_endless_error(tmp_path: Path) -> None:
    manager = Manager()
    with dimse_manager(manager) as port:
        for pulled in itertools.islice(_pulled(tmp_path, manager, port, is_web=False), 1):
            uid = manager.schedule(work_item(pulled.node.open("queued")))
            pulled.go()
            tls = TlsSettings(certificate=tmp_path / "none.pem", private_key=tmp_path / "k", ca=tmp_path / "ca")
            pulled.source = pulled.source.model_copy(update={"tls": tls})
            pulled.node.become(pulled.item(uid).study_instance_uid or "", "running")
            pulled.go()
            pulled.go()
            assert "none.pem" in (pulled.item(uid).error_text or "")


def test_an_ending_that_cannot_be_told_is_given_up_after_the_configured_days(tmp_path: Path) -> None:
    manager = Manager()
    with dimse_manager(manager) as port:
        for pulled in itertools.islice(_pulled(tmp_path, manager, port, is_web=False), 1):
            study = pulled.node.open("queued")
            uid = manager.schedule(work_item(study))
            pulled.go()
            pulled.source = pulled.source.model_copy(update={"ae_title": "ELSEWHERE", "port": 9, "timeout_s": 0.5})
            pulled.node.report(study)
            pulled.go()
            assert (pulled.item(uid).state, bool(pulled.item(uid).ending)) == ("IN PROGRESS", True)
            with pulled.node.ledger.begin() as session:
                [item] = list_items(session)
                item.ending = {**(item.ending or {}), "at": "2020-01-01T00:00:00+00:00"}
            pulled.go()
            assert pulled.item(uid).state == "LOST"
            assert "cannot be reached" in (pulled.item(uid).error_text or "")


def test_a_claim_that_was_answered_before_a_crash_goes_on_under_its_transaction_uid(pulled: Pulled) -> None:
    study = pulled.node.open("queued")
    uid = pulled.manager.schedule(work_item(study))
    pulled.pull.run_due()
    lock = pulled.item(uid).transaction_uid
    with pulled.node.ledger.begin() as session:  # as if the process had died before it recorded the answer
        session.execute(
            WorkItem.__table__.update().values(state="SCHEDULED", claimed_at=None)  # type: ignore[attr-defined]
        )
    pulled.go()
    pulled.node.report(study)
    pulled.go()
    listed = pulled.manager.items[uid]
    assert (listed.state, listed.by, listed.transaction_uid) == ("COMPLETED", ["node"], lock)


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_queries_each_worklist_and_changes_nothing(tmp_path: Path, kind: str) -> None:
    manager = Manager()
    with KINDS[kind](manager, 0) as port:
        source = worklist(port, url=f"http://127.0.0.1:{port}" if kind == "web" else None)
        uid = manager.schedule(work_item("1.2.3"))
        settings = settings_for(tmp_path, worklist=(source,))
        assert check_worklist(source, settings) == 1
        assert manager.items[uid].state == "SCHEDULED"
    with pytest.raises(PacsUnavailableError):
        check_worklist(source, settings)
