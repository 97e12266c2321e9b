"""Files that are durable, names that cannot escape, and our own objects that never change."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.config import IGNORE
from pydicom.uid import UID, generate_uid

from config.errors import InputError
from node.store.free_space import BYTES_PER_GB
from node.store.names import digest_name, is_uid, uid_name
from node.store.part10 import FileMeta, file_header, skip_file_header
from node.store.study_store import StudyStore
from tests.dicom.scenes import encoded, mr_slice

EXPLICIT = "1.2.840.10008.1.2.1"
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudyStore]:
    with StudyStore(tmp_path / "data") as study_store:
        study_store.prepare()
        yield study_store


def meta(sop_instance_uid: str = "1.2.3") -> FileMeta:
    return FileMeta(MR, sop_instance_uid, EXPLICIT, "MODALITY")


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_stored_instance_is_a_dicom_file_with_the_bytes_as_received(store: StudyStore) -> None:
    ds = mr_slice()
    data = encoded(ds)
    with store.open_incoming(meta(ds.SOPInstanceUID)) as incoming:
        for i in range(0, len(data), 100):
            incoming.write(data[i : i + 100])
        kept = store.store_instance(incoming, ds.StudyInstanceUID, ds.SeriesInstanceUID)
    assert kept.digest == blake3(data).hexdigest()
    assert kept.size_bytes == len(data)
    path = store.path(kept.path)
    assert path.parts[-4:-1] == ("studies", ds.StudyInstanceUID, ds.SeriesInstanceUID)
    with open(path, "rb") as file:
        offset = skip_file_header(file)
        assert file.read() == data
    read = pydicom.dcmread(path)
    assert read.file_meta.FileMetaInformationGroupLength == offset - 144
    assert read.file_meta.MediaStorageSOPClassUID == MR
    assert files(store.root) == {kept.path}


def test_the_file_header_is_what_pydicom_would_write() -> None:
    from io import BytesIO

    from pydicom.filewriter import write_file_meta_info

    head = file_header(meta("1.2.3.4"))
    again = BytesIO()
    read = pydicom.dcmread(BytesIO(head + encoded(mr_slice())), stop_before_pixels=True).file_meta
    write_file_meta_info(again, read)
    assert again.getvalue() == head[132:]
    assert UID(read.ImplementationClassUID).is_valid


def test_storing_again_gives_the_same_file(store: StudyStore) -> None:
    kept = []
    for _ in range(2):
        with store.open_incoming(meta()) as incoming:
            incoming.write(b"the same bytes")
            kept.append(store.store_instance(incoming, "1.2", "1.3"))
    assert kept[0] == kept[1]
    assert files(store.root) == {kept[0].path}


def test_other_bytes_of_one_uid_never_overwrite(store: StudyStore) -> None:
    kept = []
    for data in (b"first", b"second"):
        with store.open_incoming(meta()) as incoming:
            incoming.write(data)
            kept.append(store.store_instance(incoming, "1.2", "1.3").path)
    assert len(set(kept)) == 2


def test_an_error_while_receiving_leaves_nothing(store: StudyStore) -> None:
    def fail() -> None:
        with store.open_incoming(meta()) as incoming:
            incoming.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert files(store.root) == set()


def test_a_quarantined_object_keeps_its_bytes_and_its_reason(store: StudyStore) -> None:
    with store.open_incoming(meta("../../../etc/passwd")) as incoming:
        incoming.write(b"whatever")
        kept = store.quarantine(incoming, "unreadable_instance", "not a data set")
    digest = blake3(b"whatever").hexdigest()
    assert files(store.root) == {f"quarantine/unreadable_instance/{digest}.{end}" for end in ("dcm", "txt")}
    assert "not a data set" in store.path(kept.path).with_suffix(".txt").read_text()


def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk, and what gets its final name, in order."""
    steps: list[str] = []
    fsync, link, replace = os.fsync, os.link, os.replace

    def after_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)
        steps.append("bytes" if path.suffix == ".part" else path.name)

    monkeypatch.setattr("os.fsync", after_fsync)
    monkeypatch.setattr("os.link", lambda a, b: (link(a, b), steps.append("link")))
    monkeypatch.setattr("os.replace", lambda a, b: (replace(a, b), steps.append("replace")))
    return steps


@pytest.mark.parametrize("sync_took_s", [0.0, 1.0], ids=["a fast disk", "a slow disk"])
def test_bytes_name_and_folders_reach_the_disk(
    store: StudyStore, monkeypatch: pytest.MonkeyPatch, sync_took_s: float
) -> None:
    store._sync_took_s = sync_took_s
    steps = traced(monkeypatch)
    with store.open_incoming(meta()) as incoming:
        incoming.write(b"x")
        store.store_instance(incoming, "1.2", "1.3")
    assert steps[:3] == ["studies", "1.2", "link"]  # parents of new folders, the name
    assert sorted(steps[3:]) == ["1.3", "bytes"]  # the folder of the file, and what is in it


def test_an_existing_file_is_replaced_only_by_durable_bytes(store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        steps = traced(monkeypatch)
        with store.open_incoming(meta()) as incoming:
            incoming.write(b"x")
            kept = store.store_instance(incoming, "1.2", "1.3")
        monkeypatch.undo()
    assert steps == ["bytes", "link", "replace", "1.3"]  # the bytes, then a second name that replaces the first file
    assert files(store.root) == {kept.path}


def test_an_object_must_leave_the_configured_space_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StudyStore(tmp_path, min_free_gb=1.0)
    store.prepare()
    monkeypatch.setattr(StudyStore, "free_bytes", lambda _self: BYTES_PER_GB + 1000)
    assert store.has_room(1000)
    assert not store.has_room(1001)


def test_orphans_of_a_crash_are_removed_and_files_being_received_are_not(store: StudyStore) -> None:
    old, new = store.root / "incoming" / "old.part", store.root / "incoming" / "new.part"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    store.prepare()
    assert files(store.root) == {"incoming/new.part"}


def test_a_report_is_written_once_and_keeps_its_bytes(store: StudyStore) -> None:
    first = store.save_report("1.2", "1.2.3", b"first bytes")
    assert store.save_report("1.2", "1.2.3", b"other bytes") == first
    assert store.path(first).read_bytes() == b"first bytes"
    assert files(store.root) == {first}


def test_workers_that_write_one_report_at_once_agree(store: StudyStore) -> None:
    barrier = threading.Barrier(8)
    seen: list[bytes] = []

    def work(number: int) -> None:
        barrier.wait()
        path = store.save_report("1.2", "1.2.3", bytes([number]) * 10_000)
        seen.append(store.path(path).read_bytes())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert len(seen[0]) == 10_000


def test_artefacts_have_a_folder_for_each_computation(store: StudyStore) -> None:
    folder = store.artefact_folder("1.2", "sha256:" + "ab" * 32)
    assert folder.is_dir()
    assert folder.relative_to(store.root) == Path("artefacts/1.2") / ("ab" * 32)


HOSTILE = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="./\\0123456789~\0 ", max_size=80),
    st.sampled_from(["..", "../..", "/etc", "1.2/../../3", "1..2", ".1", "1.", "01", "1.02", "1.2\n", "²", "1" * 65]),
)  # fmt: skip


@given(text=HOSTILE)
def test_only_uids_become_names(text: str) -> None:
    """Against pydicom's own idea of a valid UID (PS3.5 section 9.1), beside which leading zeros are accepted."""
    without_zeros = UID(re.sub(r"(^|\.)0+(?=[0-9])", r"\1", text), IGNORE)
    assert is_uid(text) == (
        without_zeros.is_valid and text.isascii() and text == text.strip() and len(text) <= 64
    )  # fmt: skip
    if not is_uid(text):
        with pytest.raises(InputError):
            uid_name(text)


@given(study=HOSTILE, series=HOSTILE, uid=HOSTILE, data=st.binary(max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_written_outside_the_root(tmp_path: Path, study: str, series: str, uid: str, data: bytes) -> None:
    with StudyStore(tmp_path / "a" / "b" / "root") as store:
        store.prepare()
        with store.open_incoming(meta(uid)) as incoming:
            incoming.write(data)
            try:
                stored = store.store_instance(incoming, study, series)
            except InputError:
                stored = store.quarantine(incoming, "unreadable_instance", f"{study} {series}")
    assert store.path(stored.path).is_file()
    assert all(name.startswith("a/b/root/") for name in files(tmp_path))
    assert not any(name.startswith("a/b/root/incoming") for name in files(tmp_path))


@given(relative=HOSTILE)
def test_a_path_of_the_ledger_cannot_leave_the_root(relative: str) -> None:
    store = StudyStore(Path("/nonexistent/root"))
    try:
        found = store.path(relative)
    except (InputError, ValueError):
        return
    assert str(found).startswith("/nonexistent/root")


def test_a_digest_is_hexadecimal() -> None:
    assert digest_name("sha256:" + "0f" * 32) == "0f" * 32
    with pytest.raises(InputError, match="hexadecimal digest"):
        digest_name("sha256:../../..")


def test_a_file_without_a_dicom_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.dcm"
    path.write_bytes(bytes(300))
    with open(path, "rb") as file, pytest.raises(InputError, match="DICM"):
        skip_file_header(file)


def test_uids_made_by_others_are_uids() -> None:
    assert all(is_uid(uid) for uid in (generate_uid(), "1.2.840.10008.1.1", "2.25.0", "0.0", "1"))


def test_two_associations_may_quarantine_the_same_bytes_at_once(store: StudyStore) -> None:
    """Both have placed a conflicting object under its digest; the second finds its name removed by the first."""
    ds = mr_slice()
    data = encoded(ds)
    with store.open_incoming(meta(ds.SOPInstanceUID)) as one, store.open_incoming(meta(ds.SOPInstanceUID)) as two:
        for incoming in (one, two):
            incoming.write(data)
            kept = store.store_instance(incoming, ds.StudyInstanceUID, ds.SeriesInstanceUID)
        aside = []
        for incoming in (one, two):
            store.remove_instance(kept.path)
            aside.append(store.quarantine(incoming, "conflicting_instance", "other content"))
    assert aside[0] == aside[1]
    assert not store.path(kept.path).exists()
    assert list((store.root / "incoming").iterdir()) == []
    assert store.path(aside[0].path).read_bytes().endswith(data)


def test_a_closed_store_has_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with StudyStore(tmp_path / "data") as store:
        store.prepare()
        store._sync_took_s = 1.0  # a slow disk, where folders are forced to it in threads
        with store.open_incoming(meta()) as incoming:
            incoming.write(b"x")
            store.store_instance(incoming, "1.2", "1.3")
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before
