"""A backup that is taken while objects arrive is whole, and restores only into empty places."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from config.errors import InputError
from config.settings import Settings, StorageSettings
from node.dicom.scu.store_scu import send_folder
from node.ledger.database import open_ledger
from node.ledger.tables import Instance
from node.store.backup import MANIFEST, back_up, read_manifest, restore
from node.store.consistency import check_consistency
from node.store.study_store import StudyStore
from tests.dicom.scenes import Scene, mr_slice, scene, write_file


def settings_at(root: Path) -> Settings:
    return Settings(storage=StorageSettings(root=root, min_free_gb=0))


def send(running: Scene, folder: Path, n: int) -> None:
    folder.mkdir(exist_ok=True)
    study, series = generate_uid(), generate_uid()
    files = [write_file(mr_slice(study, series), folder / f"{i}.dcm") for i in range(n)]
    outcomes = send_folder(files, "127.0.0.1", running.port, "PACS", "CPTDN")
    assert {outcome.status for outcome in outcomes} == {0}


def test_a_backup_during_reception_is_complete_and_can_be_restored(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as running:
        send(running, tmp_path / "before", 5)
        sending = threading.Thread(target=send, args=(running, tmp_path / "during", 40))
        sending.start()
        manifest = back_up(running.settings, tmp_path / "backup")
        sending.join()
    assert manifest.missing == []
    assert 5 <= manifest.files <= 45
    settings = settings_at(tmp_path / "elsewhere")
    restored = restore(settings, tmp_path / "backup")
    assert restored == manifest
    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root)
    assert list(check_consistency(ledger, store)) == []
    with ledger.begin() as session:
        assert session.query(Instance).count() == manifest.files
    ledger.close()


def test_hard_links_share_the_bytes_and_survive_the_removal_of_the_original(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as running:
        send(running, tmp_path / "files", 2)
        back_up(running.settings, tmp_path / "backup", hard_links=True)
        (row, _) = running.instances()
        kept, original = tmp_path / "backup" / "files" / row.path, running.store.path(row.path)
        assert kept.samefile(original)
        original.unlink()
    assert kept.is_file()


def test_a_lost_file_is_named_and_does_not_stop_the_backup(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as running:
        send(running, tmp_path / "files", 3)
        lost = running.instances()[0].path
        running.store.path(lost).unlink()
        manifest = back_up(running.settings, tmp_path / "backup")
    assert manifest.missing == [lost]
    assert manifest.files == 2


def test_restoring_never_overwrites(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as running:
        send(running, tmp_path / "files", 1)
        back_up(running.settings, tmp_path / "backup")
        with pytest.raises(InputError, match="expected an empty storage root"):
            restore(running.settings, tmp_path / "backup")
        with pytest.raises(InputError, match="expected an empty folder"):
            back_up(running.settings, tmp_path / "backup")


def test_half_a_backup_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as running:
        send(running, tmp_path / "files", 1)
        back_up(running.settings, tmp_path / "backup")
    settings = settings_at(tmp_path / "elsewhere")
    with (tmp_path / "backup" / "ledger.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    with pytest.raises(InputError, match="is damaged"):
        restore(settings, tmp_path / "backup")
    assert json.loads((tmp_path / "backup" / MANIFEST).read_text())["files"] == 1
    (tmp_path / "backup" / MANIFEST).unlink()
    with pytest.raises(InputError, match="expected a finished backup"):
        read_manifest(tmp_path / "backup")
    assert not (settings.storage.root / "ledger.db").exists()
