"""Work items that a requester creates at the node (UPS Push and Watch): what it answers, and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import update

from config.settings import PacsSettings
from node.cli.app import main
from node.ledger.cases import get_case
from node.ledger.database import now_utc
from node.ledger.fetches import fetches_of
from node.ledger.work_item_tables import WorkItem
from node.workflow.casework import assess_case
from tests.work_items.manager import is_complete, work_item
from tests.work_items.scenes import REASON, Requester, Scene, scene

CHANGE, CANCEL, SUBSCRIBE, UNSUBSCRIBE = 1, 2, 3, 4


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("node") / "data") as running:
        yield running


@pytest.fixture
def ris(node: Scene) -> Iterator[Requester]:
    requester = Requester(node.port)
    yield requester
    requester.close()


def created(ris: Requester, study: str | None, **values: Any) -> str:
    status, uid = ris.create(work_item(study, **values))
    assert status.Status == 0x0000
    return uid


def state_of(ris: Requester, uid: str) -> str:
    status, ds = ris.get(uid)
    assert status == 0x0000
    assert ds is not None
    return str(ds.ProcedureStepState)


def test_a_study_that_is_computed_completes_its_work_item_with_the_stored_objects(node: Scene, ris: Requester) -> None:
    study = node.open("queued")
    uid = created(ris, study)
    assert state_of(ris, uid) == "SCHEDULED"
    node.judge()
    assert state_of(ris, uid) == "IN PROGRESS"
    objects = node.report(study)
    node.judge()
    status, ds = ris.get(uid)
    assert status == 0x0000
    assert ds is not None
    assert ds.ProcedureStepState == "COMPLETED"
    assert is_complete(ds, "COMPLETED")
    outputs = ds.UnifiedProcedureStepPerformedProcedureSequence[0].OutputInformationSequence
    assert [each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in outputs] == objects
    assert {each.DICOMRetrievalSequence[0].RetrieveAETitle for each in outputs} == {"ARCHIVE"}
    assert {each.StudyInstanceUID for each in outputs} == {study}
    # PS3.4 CC.2.7.3: the Transaction UID is a secret of the performer.
    assert "TransactionUID" not in ds


def test_a_dicomweb_server_is_named_by_its_url(tmp_path: Path) -> None:
    pacs = PacsSettings(name="main", stow_url="https://pacs.example/dicom-web/")
    with scene(tmp_path / "data", pacs=(pacs,)) as node:
        ris = Requester(node.port)
        study = node.open()
        uid = created(ris, study)
        node.report(study)
        node.judge()
        _, ds = ris.get(uid)
        ris.close()
    assert ds is not None
    output = ds.UnifiedProcedureStepPerformedProcedureSequence[0].OutputInformationSequence[0]
    url = f"https://pacs.example/dicom-web/studies/{study}/series/{output.SeriesInstanceUID}"
    assert output.WADORSRetrievalSequence[0].RetrieveURL == url
    assert "DICOMRetrievalSequence" not in output


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"ProcedureStepState": "IN PROGRESS"}, 0xC309, "SCHEDULED, found IN PROGRESS"),
        ({"code": ("110003", "DCM")}, 0x0106, "found 110003^DCM"),
        ({"study": None}, 0x0121, "expected a study"),
    ],
)
def test_a_work_item_that_is_none_of_ours_is_refused_with_a_sentence(
    node: Scene, ris: Requester, changes: dict[str, Any], status: int, said: str
) -> None:
    values = {"study": "1.2.3", **changes}
    answer, uid = ris.create(work_item(values.pop("study"), **values))
    assert (answer.Status, said in answer.ErrorComment) == (status, True)
    assert ris.get(uid)[0] == 0xC307


def test_a_repeated_creation_is_a_duplicate_and_changes_nothing(node: Scene, ris: Requester) -> None:
    uid = created(ris, "1.2.3")
    node.judge()
    answer, _ = ris.create(work_item("1.2.4"), uid)
    assert answer.Status == 0x0111
    assert node.item(uid).inputs == [{"study": "1.2.3", "series": []}]
    assert state_of(ris, uid) == "IN PROGRESS"


def test_a_requester_may_leave_the_uid_to_the_node(node: Scene, ris: Requester) -> None:
    status, _ = ris.assoc.send_n_create(work_item("1.2.3", "N-1"), "1.2.840.10008.5.1.4.34.6.1", None)
    assert status.Status == 0x0000
    [found] = ris.find(PatientID="N-1")
    assert state_of(ris, found.SOPInstanceUID) == "SCHEDULED"


@pytest.mark.parametrize(
    ("state", "code"), [("refused", "110513"), ("failed", "110501"), ("withdrawn", "110513")]
)  # DCM, PS3.16 CID 9300
def test_a_study_without_an_answer_cancels_its_work_item_with_the_reason(
    node: Scene, ris: Requester, state: str, code: str
) -> None:
    study = node.open("queued")
    uid = created(ris, study)
    node.become(study, state, REASON)
    node.judge()
    _, ds = ris.get(uid)
    assert ds is not None
    assert (ds.ProcedureStepState, is_complete(ds, "CANCELED")) == ("CANCELED", True)
    said = ds.ProcedureStepProgressInformationSequence[0]
    assert REASON["text"] in said.ReasonForCancellation
    assert said.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == code


def test_a_held_study_keeps_its_work_item_open_until_a_person_decides(node: Scene, ris: Requester) -> None:
    study = node.open("queued")
    uid = created(ris, study)
    node.become(study, "held", {"code": "stage_unknown", "text": "The stage is not known."})
    node.judge()
    _, ds = ris.get(uid)
    assert ds is not None
    assert ds.ProcedureStepState == "IN PROGRESS"
    text = ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgressDescription
    assert "The stage is not known." in text
    node.report(study)
    node.judge()
    assert state_of(ris, uid) == "COMPLETED"


def test_a_study_that_is_held_too_long_cancels_its_work_item(node: Scene, ris: Requester) -> None:
    study = node.open("held")
    uid = created(ris, study)
    grow_old(node, uid, days=7.1)
    node.judge()
    assert node.item(uid).state == "CANCELED"
    assert "7.0 days" in (node.item(uid).ending or {})["because"]


def test_a_study_that_never_comes_cancels_its_work_item_as_incomplete(node: Scene, ris: Requester) -> None:
    uid = created(ris, "1.2.3")
    node.judge()
    assert "not arrived" in node.item(uid).progress["text"]
    grow_old(node, uid, days=7.1)
    node.judge()
    assert (node.item(uid).ending or {})["code"][0] == "110523"


def grow_old(node: Scene, uid: str, days: float) -> None:
    with node.ledger.begin() as session:
        session.execute(
            update(WorkItem).where(WorkItem.uid == uid).values(received_at=now_utc() - timedelta(days=days))
        )


def test_a_work_item_of_another_patient_is_canceled(node: Scene, ris: Requester) -> None:
    study = node.open("queued", patient_id="P-2")
    node.report(study)
    uid = created(ris, study, patient_id="P-1")
    node.judge()
    assert (node.item(uid).ending or {})["code"][0] == "110514"
    assert (node.item(uid).ending or {})["outputs"] == []


def test_a_result_without_a_pacs_that_stored_it_does_not_complete(node: Scene, ris: Requester) -> None:
    study = node.open()
    uid = created(ris, study)
    node.report(study, delivery="pending")
    node.judge()
    assert (state_of(ris, uid), node.item(uid).progress["percent"]) == ("IN PROGRESS", 90)
    other = node.open()
    uid = created(ris, other)
    node.report(other, delivery="dead")
    node.judge()
    assert (node.item(uid).ending or {})["code"][0] == "110527"


def test_named_series_are_awaited_before_an_earlier_report_counts(node: Scene, ris: Requester) -> None:
    study = node.open()
    node.report(study)
    ds = work_item(study)
    ds.InputInformationSequence[0].SeriesInstanceUID = str(generate_uid())
    status, uid = ris.create(ds)
    assert status.Status == 0x0000
    node.judge()
    assert "1 of the series" in node.item(uid).progress["text"]
    grow_old(node, uid, days=61 / 86400)  # [case] stable_after_s: a series of another class is never stored
    node.judge()
    assert state_of(ris, uid) == "COMPLETED"


def test_an_unknown_study_is_requested_from_a_pacs_that_may_be_queried(tmp_path: Path) -> None:
    pacs = PacsSettings(name="main", query_retrieve=True)
    with scene(tmp_path / "data", pacs=(pacs,)) as node:
        ris = Requester(node.port)
        study = str(generate_uid())
        uid = created(ris, study)
        node.judge()
        assert "requested from the PACS" in node.item(uid).progress["text"]
        with node.ledger.begin() as session:
            case = get_case(session, study)
            case.last_instance_at -= timedelta(hours=1)
            assess_case(session, node.settings, study)
        with node.ledger.begin() as session:
            [fetch] = fetches_of(session, study)
            assert (get_case(session, study).state, fetch["state"]) == ("incomplete", "waiting")
        ris.close()


# --- cancellation and attempts of others ---


def test_a_request_for_cancellation_ends_a_work_item_before_the_computation_has_ended(
    node: Scene, ris: Requester
) -> None:
    study = node.open("running")
    uid = created(ris, study)
    node.judge()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "110500", "DCM", "Doctor canceled procedure"
    reason = {"ReasonForCancellation": "wrong study", "ProcedureStepDiscontinuationReasonCodeSequence": [code]}
    assert ris.act(uid, CANCEL, **reason).Status == 0x0000
    node.judge()
    _, ds = ris.get(uid)
    assert ds is not None
    said = ds.ProcedureStepProgressInformationSequence[0]
    assert (ds.ProcedureStepState, said.ReasonForCancellation) == (
        "CANCELED",
        "Canceled as requested by RIS: wrong study",
    )
    assert said.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110500"
    assert ris.act(uid, CANCEL).Status == 0xB304
    node.report(study)  # the computation was started by routing, and goes on
    node.judge()
    assert state_of(ris, uid) == "CANCELED"


def test_a_request_that_comes_after_the_computation_is_too_late(node: Scene, ris: Requester) -> None:
    study = node.open("running")
    uid = created(ris, study)
    node.judge()
    node.report(study)
    assert ris.act(uid, CANCEL).Status == 0x0000
    node.judge()
    assert state_of(ris, uid) == "COMPLETED"
    assert ris.act(uid, CANCEL).Status == 0xC311


def test_nobody_else_can_change_the_state_of_a_work_item(node: Scene, ris: Requester) -> None:
    uid = created(ris, node.open())
    lock = {"TransactionUID": str(generate_uid())}
    assert ris.act(uid, CHANGE, ProcedureStepState="IN PROGRESS", **lock).Status == 0x0124
    node.judge()
    states = {"IN PROGRESS": 0xC301, "COMPLETED": 0xC301, "CANCELED": 0xC301, "SCHEDULED": 0xC303, "DONE": 0x0115}
    for state, status in states.items():
        assert ris.act(uid, CHANGE, ProcedureStepState=state, **lock).Status == status
    assert ris.act("1.2.3.4", CHANGE, ProcedureStepState="COMPLETED", **lock).Status == 0xC307
    assert ris.act("1.2.3.4", CANCEL).Status == 0xC307
    assert ris.act(uid, 9).Status == 0x0123


def test_work_items_are_found_by_state_code_and_uid(node: Scene, ris: Requester) -> None:
    node.judge()
    first, second = created(ris, "1.2.3", patient_id="F-1"), created(ris, "1.2.3", patient_id="F-2")
    assert {ds.SOPInstanceUID for ds in ris.find(ProcedureStepState="SCHEDULED")} == {first, second}
    assert [ds.SOPInstanceUID for ds in ris.find(SOPInstanceUID=second, PatientID="")] == [second]
    assert [ds.PatientID for ds in ris.find(PatientID="F-2")] == ["F-2"]
    assert [ds.SOPInstanceUID for ds in ris.find(PatientName="Phantom*", PatientID="F-1")] == [first]
    code, other = Dataset(), Dataset()
    code.CodeValue, other.CodeValue = "NPC-TREATMENT", "110003"
    assert len(ris.find(PatientID="F-*", ScheduledWorkitemCodeSequence=[code])) == 2
    assert ris.find(PatientID="F-*", ScheduledWorkitemCodeSequence=[other]) == []
    node.judge()
    assert ris.find(ProcedureStepState="SCHEDULED") == []


def test_only_the_attributes_that_are_named_are_returned(node: Scene, ris: Requester) -> None:
    uid = created(ris, "1.2.3")
    _, ds = ris.get(uid, 0x00741000)
    assert ds is not None
    assert {element.keyword for element in ds} == {"ProcedureStepState", "SpecificCharacterSet"}


# --- what people see ---


def test_the_commands_list_show_and_cancel_work_items(
    node: Scene, ris: Requester, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = created(ris, node.open("running"))
    node.judge()
    config = tmp_path / "cptdn.toml"
    config.write_text(f'[storage]\nroot = "{node.settings.storage.root}"\n[audit]\nenabled = false\n')

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()  # the node of this test logs to the same place
        with pytest.raises(SystemExit) as ended:
            main(["worklist", *arguments, "--config", str(config)])
        assert ended.value.code == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    items = json.loads(run("list", "--state", "IN PROGRESS", "--json"))
    [listed] = [item for item in items if item["uid"] == uid]
    assert (listed["worklist"], listed["progress"]["text"]) == (None, "The computation is running.")
    assert "transaction_uid" not in listed
    assert uid in run("list")
    assert json.loads(run("cancel", uid, "--because", "wrong study", "--json"))["cancel_requested"] is True
    node.judge()
    assert json.loads(run("show", uid, "--json"))["ending"]["because"].endswith(": wrong study")
    assert "wrong study" in run("show", uid)
    assert state_of(ris, uid) == "CANCELED"
    assert "found it CANCELED" in run("cancel", uid, "--because", "again", code=1)
    assert "expected one work item" in run("show", "1.2.3.4", code=1)
