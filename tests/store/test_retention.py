"""Old images go, what anybody needs stays, and an interruption leaves nothing half-removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.dicom.scu.store_scu import send_folder
from node.ledger import jobs
from node.ledger.associations import Peer, record_study
from node.ledger.cases import get_case, history, set_state
from node.ledger.database import now_utc
from node.ledger.reports import StoredObject, current_report, record_report
from node.ledger.tables import Case, Delivery, Instance, Report
from node.store.consistency import check_consistency
from node.store.retention import empty_or_undo_trash, kept_by_deliveries, retirable, retire_due
from node.store.study_store import StudyStore
from node.workflow.casework import assess_case
from tests.dicom.scenes import Scene, mr_slice, scene, write_file

DAYS = 30


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "data") as running:
        yield running


def arrive(here: Scene, folder: Path, patient: str = "P-1", modality: str = "MR", days_ago: float = 40) -> str:
    """A study of two instances that arrived so many days ago, with artefacts."""
    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    files = [
        write_file(mr_slice(study, series, PatientID=patient, Modality=modality), folder / f"{n}.dcm") for n in range(2)
    ]
    outcomes = send_folder(files, "127.0.0.1", here.port, "PACS", "CPTDN")
    assert {outcome.status for outcome in outcomes} == {0}
    here.wait_released(len(here.associations()))
    (here.store.artefact_folder(study, "ab" * 32) / "material.json").write_text("{}")
    with here.ledger.begin() as session:
        when = now_utc() - timedelta(days=days_ago)
        session.execute(update(Instance).where(Instance.study_instance_uid == study).values(received_at=when))
    return study


def reported(here: Scene, study: str, delivery: str = "delivered", days_ago: float = 39) -> None:
    with here.ledger.begin() as session:
        sop = generate_uid()
        path = here.store.save_report(study, sop, b"report")
        report = record_report(
            session, study_instance_uid=study, job_id="j", identity=sop[-60:], computation="c", request_digest="d",
            bundle_digest="b", revision=1, sop_instance_uid=sop, predecessor=None, result={},
            objects=[StoredObject("sr", "1.2", sop, "1.2", "", path)], destinations=["main"],
        )  # fmt: skip
        report.created_at = now_utc() - timedelta(days=days_ago)
        session.execute(update(Delivery).where(Delivery.report_id == report.id).values(state=delivery))


def would_go(here: Scene) -> list[str]:
    with here.ledger.begin() as session:
        return [one.study_instance_uid for one in retirable(session, now_utc() - timedelta(days=DAYS))]


def retire(here: Scene) -> list[str]:
    return [one.study_instance_uid for one in retire_due(here.ledger, here.store, DAYS)]


def test_old_reported_and_delivered_studies_are_deleted_oldest_first_and_their_reports_stay(
    here: Scene, tmp_path: Path
) -> None:
    newer, older = arrive(here, tmp_path / "a", days_ago=40), arrive(here, tmp_path / "b", days_ago=50)
    for study in (newer, older):
        reported(here, study)
    assert would_go(here) == [older, newer]
    assert retire(here) == [older, newer]
    assert here.instances() == []
    assert not any((here.store.root / room / older).exists() for room in ("studies", "artefacts"))
    assert here.store.studies_in_trash() == []
    with here.ledger.begin() as session:
        report = current_report(session, older)
        assert report is not None
        assert here.store.path(f"reports/{older}/{report.sop_instance_uid}.dcm").is_file()
        assert "Retention removed 2 instances" in history(session, older)[-1]["text"]
    assert list(check_consistency(here.ledger, here.store)) == []


@pytest.mark.parametrize(
    "needs",
    [
        "young",
        "young report",
        "no report",
        "pending delivery",
        "dead delivery",
        "computing",
        "held",
        "open association",
    ],
)
def test_what_is_needed_is_not_deleted(here: Scene, tmp_path: Path, needs: str) -> None:
    study = arrive(here, tmp_path / "a", days_ago=10 if needs == "young" else 40)
    if needs != "no report":
        states = {"pending delivery": "pending", "dead delivery": "dead"}
        reported(here, study, states.get(needs, "delivered"), days_ago=2 if needs == "young report" else 39)
    with here.ledger.begin() as session:
        _make_needed(session, study, needs)
    assert would_go(here) == []
    assert retire(here) == []
    assert len(here.instances()) == 2
    with here.ledger.begin() as session:  # an administrator can see what stays because of a delivery alone
        kept = kept_by_deliveries(session, now_utc() - timedelta(days=DAYS))
    assert [one.study_instance_uid for one in kept] == ([study] if "delivery" in needs else [])


def _make_needed(session: Session, study: str, needs: str) -> None:
    if needs == "computing":
        jobs.create_job(session, study, {}, "other", "demonstration", send=False)
    if needs == "held":
        get_case(session, study).hold = "under review"
    if needs == "open association":
        record_study(session, Peer("a", "n", "PACS", "127.0.0.1", now_utc()), study, now_utc())


def test_contours_of_their_own_study_are_deleted_with_the_last_case_of_their_patient(
    here: Scene, tmp_path: Path
) -> None:
    contours = arrive(here, tmp_path / "contours", modality="RTSTRUCT")
    first, second = arrive(here, tmp_path / "a"), arrive(here, tmp_path / "b", days_ago=5)
    for study in (first, second):
        reported(here, study, days_ago=5 if study == second else 39)
    assert retire(here) == [first]
    assert retire(here) == []  # the second case may still need the contours
    with here.ledger.begin() as session:
        session.execute(update(Instance).values(received_at=now_utc() - timedelta(days=60)))
        session.execute(update(Report).values(created_at=now_utc() - timedelta(days=60)))
    assert retire(here) == [second]
    assert retire(here) == [contours]


def test_a_retired_case_keeps_its_state_when_it_is_assessed_again(here: Scene, tmp_path: Path) -> None:
    study = arrive(here, tmp_path / "a")
    reported(here, study)
    retire(here)
    with here.ledger.begin() as session:
        assess_case(session, here.settings, study)
    with here.ledger.begin() as session:
        assert get_case(session, study).state == "reported"


def test_a_retired_study_that_is_sent_again_is_there_again(here: Scene, tmp_path: Path) -> None:
    study = arrive(here, tmp_path / "a")
    reported(here, study)
    retire(here)
    outcomes = send_folder(sorted((tmp_path / "a").iterdir()), "127.0.0.1", here.port, "PACS", "CPTDN")
    assert {outcome.status for outcome in outcomes} == {0}
    assert len(here.instances()) == 2
    assert list(check_consistency(here.ledger, here.store)) == []


def test_a_removal_that_was_interrupted_before_its_commit_is_undone(here: Scene, tmp_path: Path) -> None:
    study = arrive(here, tmp_path / "a")
    reported(here, study)
    here.store.move_to_trash(study)  # and then the power went
    assert not here.store.path(here.instances()[0].path).exists()
    empty_or_undo_trash(here.ledger, here.store)
    assert list(check_consistency(here.ledger, here.store)) == []
    assert len(here.instances()) == 2
    assert here.store.studies_in_trash() == []


def test_a_removal_that_was_interrupted_after_its_commit_is_finished(
    here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = arrive(here, tmp_path / "a")
    reported(here, study)

    def power_cut(_self: StudyStore, _study: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyStore, "empty_trash", power_cut)
        with pytest.raises(KeyboardInterrupt):
            retire(here)
    assert here.store.studies_in_trash() == [study]
    empty_or_undo_trash(here.ledger, here.store)
    assert here.store.studies_in_trash() == []
    assert here.instances() == []


def test_nothing_is_deleted_under_the_deletion_lock_of_another(here: Scene) -> None:
    with here.store.deletion_lock(wait=False) as first, here.store.deletion_lock(wait=False) as second:
        assert first
        assert not second
    with here.store.deletion_lock(wait=False) as again:
        assert again


def test_a_refused_case_with_a_report_is_deleted_too(here: Scene, tmp_path: Path) -> None:
    study = arrive(here, tmp_path / "a")
    reported(here, study)
    with here.ledger.begin() as session:
        set_state(session, session.get_one(Case, study), "refused", [{"code": "x", "text": "y"}])
    assert retire(here) == [study]
