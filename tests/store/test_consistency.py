"""Ledger and disk are compared both ways, and only what is safe is repaired."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from node.dicom.scu.store_scu import send_folder
from node.ledger.cases import get_case
from node.store.consistency import Finding, check_consistency
from node.workflow.casework import assess_case
from node.workflow.storage_repair import Repair
from tests.dicom.scenes import Scene, mr_slice, scene, write_file

OLD = (1, 1)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    """A node with one study of three instances, whose association has ended."""
    with scene(tmp_path / "data") as running:
        study, series = generate_uid(), generate_uid()
        files = [write_file(mr_slice(study, series), tmp_path / f"{i}.dcm") for i in range(3)]
        send_folder(files, "127.0.0.1", running.port, "PACS", "CPTDN")
        running.wait_released()
        yield running


def findings(here: Scene) -> list[Finding]:
    return list(check_consistency(here.ledger, here.store))


def kinds(here: Scene) -> list[str]:
    return [finding.kind for finding in findings(here)]


def repair_all(here: Scene) -> list[str]:
    mend = Repair(here.ledger, here.store)
    return [mend(finding) for finding in findings(here)]


def age(path: Path) -> None:
    os.utime(path, OLD)


def again(here: Scene, tmp_path: Path) -> None:
    outcomes = send_folder(sorted(tmp_path.glob("?.dcm")), "127.0.0.1", here.port, "PACS", "CPTDN")
    assert {outcome.status for outcome in outcomes} == {0}


def test_a_healthy_storage_has_no_findings(here: Scene) -> None:
    assert findings(here) == []


def test_a_lost_file_is_found_and_comes_back_when_it_is_sent_again(here: Scene, tmp_path: Path) -> None:
    row = here.instances()[1]
    here.store.path(row.path).unlink()
    (found,) = findings(here)
    assert (found.kind, found.sop_instance_uid) == ("missing_file", row.sop_instance_uid)
    assert "send" in repair_all(here)[0]
    assert len(here.instances()) == 2
    with here.ledger.begin() as session:
        case = get_case(session, row.study_instance_uid)
        assert case.assess_after is not None
    again(here, tmp_path)
    assert len(here.instances()) == 3
    assert findings(here) == []


def test_a_damaged_file_goes_to_quarantine_and_holds_the_case_until_it_is_sent_again(
    here: Scene, tmp_path: Path
) -> None:
    row = here.instances()[1]
    path = here.store.path(row.path)
    with path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\xff\xfe\xfd")
    assert kinds(here) == ["damaged_file"]
    repair_all(here)
    assert not path.exists()
    (aside,) = here.quarantined()
    assert here.store.path(aside.path).is_file()
    assert aside.sop_instance_uid == row.sop_instance_uid
    with here.ledger.begin() as session:
        assessment = assess_case(session, here.settings, row.study_instance_uid)
        assert "unreadable_instance" in {reason["code"] for reason in assessment.reasons}
    again(here, tmp_path)
    assert findings(here) == []
    with here.ledger.begin() as session:
        assessment = assess_case(session, here.settings, row.study_instance_uid)
        assert "unreadable_instance" not in {reason["code"] for reason in assessment.reasons}


def test_an_orphan_is_accepted_by_the_checks_of_arriving_objects(here: Scene) -> None:
    row = here.instances()[1]
    with here.ledger.begin() as session:
        session.delete(session.get_one(type(row), row.sop_instance_uid))
    assert kinds(here) == []  # young: its row may be on the way
    age(here.store.path(row.path))
    (found,) = findings(here)
    assert (found.kind, found.study_instance_uid) == ("orphan_file", row.study_instance_uid)
    assert repair_all(here) == ["indexed"]
    back = next(one for one in here.instances() if one.sop_instance_uid == row.sop_instance_uid)
    assert (back.digest, back.path, back.header) == (row.digest, row.path, row.header)
    assert findings(here) == []
    assert all(one.closed_at for one in here.associations())


def test_an_orphan_with_other_bytes_of_a_known_uid_is_a_conflict(here: Scene) -> None:
    row = here.instances()[1]
    path = here.store.path(row.path)
    other = path.with_name(f"{row.sop_instance_uid}-{'0' * 16}.dcm")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    age(other)
    assert repair_all(here)[0].startswith("moved to quarantine")
    assert here.quarantined()[0].code == "conflicting_instance"
    assert findings(here) == []
    assert path.is_file()


def test_an_orphan_that_is_no_dicom_file_goes_to_quarantine(here: Scene) -> None:
    study = here.instances()[0].study_instance_uid
    strange = here.store.root / "studies" / study / "notes.txt"
    strange.write_text("whatever")
    age(strange)
    assert repair_all(here) == ["not readable; moved to quarantine"]
    assert not strange.exists()
    assert findings(here) == []


def test_leftovers_and_artefacts_without_a_study_are_removed(here: Scene) -> None:
    leftover = here.store.root / "incoming" / "x.part"
    leftover.write_bytes(b"half")
    folder = here.store.artefact_folder(generate_uid(), "ab" * 32)
    for path in (leftover, folder.parent):
        age(path)
    kept = here.store.artefact_folder(here.instances()[0].study_instance_uid, "cd" * 32)
    age(kept.parent)
    assert sorted(kinds(here)) == ["leftover", "orphan_artefacts"]
    assert repair_all(here) == ["removed", "removed"]
    assert findings(here) == []
    assert kept.is_dir()


def test_reports_are_left_to_an_administrator(here: Scene) -> None:
    path = here.store.save_report("1.2.3", "1.2.3.4", b"a report that no row names")
    age(here.store.path(path))
    (found,) = findings(here)
    assert found.kind == "orphan_report"
    assert repair_all(here) == [""]
    assert here.store.path(path).is_file()
