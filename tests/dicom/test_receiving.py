"""What a success status means, and what every other status does, over real sockets."""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from blake3 import blake3
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.intake import Intake
from node.ledger.associations import close_abandoned, open_on_study
from node.ledger.database import now_utc
from node.store.part10 import skip_file_header
from tests.dicom.raw_scu import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, MR, RawSender, store_request
from tests.dicom.scenes import Scene, encoded, mr_slice, scene
from tests.ledger.commits import watch_commits

VERIFICATION = "1.2.840.10008.1.1"


def send(
    node: Scene, ds: pydicom.Dataset, syntax: str = EXPLICIT, data: bytes | None = None, fragment: int = 0
) -> tuple[int, str]:
    """Status and comment of one C-STORE on an association of its own."""
    with RawSender(node.port, [(MR, [syntax])]) as sender:
        answer = sender.store(
            1, str(ds.SOPClassUID), str(ds.SOPInstanceUID), encoded(ds, syntax) if data is None else data, fragment
        )
        sender.release()
    assert answer is not None
    return answer.status, answer.comment


def stored_bytes(node: Scene, path: str) -> bytes:
    with open(node.store.path(path), "rb") as file:
        skip_file_header(file)
        return file.read()


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
def test_the_stored_bytes_are_those_received(node: Scene, syntax: str) -> None:
    ds = mr_slice()
    data = encoded(ds, syntax)
    assert send(node, ds, syntax, data) == (0x0000, "")
    [row] = node.instances()
    assert stored_bytes(node, row.path) == data
    assert row.digest == blake3(data).hexdigest()
    assert (row.transfer_syntax_uid, row.size_bytes) == (syntax, len(data))
    read = pydicom.dcmread(node.store.path(row.path))
    assert read.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.file_meta.SourceApplicationEntityTitle == "RAW"
    assert (read.pixel_array == pydicom.dcmread(node.store.path(row.path)).pixel_array).all()
    assert read.PatientName == "Phantom^One"


def test_the_ledger_row_has_the_values_of_the_header(node: Scene) -> None:
    ds = mr_slice(IssuerOfPatientID="HOSPITAL", EchoTime=12.5)
    send(node, ds)
    [row] = node.instances()
    assert (row.study_instance_uid, row.series_instance_uid) == (ds.StudyInstanceUID, ds.SeriesInstanceUID)
    assert (row.frame_of_reference_uid, row.modality) == (ds.FrameOfReferenceUID, "MR")
    assert (row.patient_id, row.issuer, row.calling_ae) == ("P-1", "HOSPITAL", "RAW")
    assert row.header["EchoTime"] == 12.5


@pytest.mark.parametrize("fragment", [2, 511, 16378])
def test_any_fragmentation_gives_the_same_file(node: Scene, fragment: int) -> None:
    ds = mr_slice(rows=8)
    data = encoded(ds)
    assert send(node, ds, data=data, fragment=fragment)[0] == 0x0000
    assert stored_bytes(node, node.instances()[0].path) == data


def test_the_same_instance_again_is_a_success_and_changes_nothing(node: Scene) -> None:
    ds = mr_slice()
    assert [send(node, ds)[0] for _ in range(3)] == [0, 0, 0]
    assert len(node.instances()) == 1
    assert node.seen == [ds.StudyInstanceUID]
    assert len([name for name in node.files() if name.startswith("studies/")]) == 1


def test_a_lost_file_is_restored_by_the_same_instance(node: Scene) -> None:
    ds = mr_slice()
    send(node, ds)
    path = node.store.path(node.instances()[0].path)
    path.unlink()
    assert send(node, ds)[0] == 0x0000
    assert path.is_file()


def test_the_same_uid_with_other_bytes_is_quarantined_and_refused(node: Scene) -> None:
    ds = mr_slice()
    first = encoded(ds)
    send(node, ds)
    ds.EchoTime = 99.0
    status, comment = send(node, ds)
    assert status == StoreStatus.CONFLICTING_INSTANCE
    assert "already stored" in comment
    [row], [aside] = node.instances(), node.quarantined()
    assert stored_bytes(node, row.path) == first
    assert stored_bytes(node, aside.path) == encoded(ds)
    assert (aside.code, aside.study_instance_uid) == ("conflicting_instance", ds.StudyInstanceUID)
    assert node.store.path(aside.path).with_suffix(".txt").read_text().startswith("conflicting_instance: ")
    assert send(node, ds)[0] == StoreStatus.CONFLICTING_INSTANCE
    assert len(node.quarantined()) == 1


def sent_at_once(node: Scene, ds: Dataset, versions: list[bytes]) -> list[int]:
    """The statuses of as many senders as there are versions of one instance."""
    statuses: list[int] = []
    start = threading.Barrier(len(versions))

    def one(data: bytes) -> None:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            start.wait()
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), data)
            statuses.append(answer.status if answer else -1)
            sender.release()

    threads = [threading.Thread(target=one, args=(data,)) for data in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


def test_two_senders_of_one_uid_at_once_leave_one_instance(node: Scene) -> None:
    ds = mr_slice(rows=64)
    versions = []
    for echo_time in range(6):
        ds.EchoTime = float(echo_time)
        versions.append(encoded(ds))
    assert sent_at_once(node, ds, versions) == [0x0000] + [StoreStatus.CONFLICTING_INSTANCE] * 5
    [row] = node.instances()
    assert blake3(stored_bytes(node, row.path)).hexdigest() == row.digest
    assert len(node.quarantined()) == 5


def test_the_same_other_bytes_from_many_senders_at_once_are_one_conflict(node: Scene) -> None:
    ds = mr_slice(rows=64)
    send(node, ds)
    ds.EchoTime = 99.0
    for _ in range(8):
        assert sent_at_once(node, ds, [encoded(ds)] * 6) == [StoreStatus.CONFLICTING_INSTANCE] * 6
    assert len(node.quarantined()) == 1


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"SOPInstanceUID": generate_uid()}, StoreStatus.SOP_INSTANCE_MISMATCH, "another SOP Instance"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, StoreStatus.SOP_CLASS_MISMATCH, "another SOP Class"),
        ({"StudyInstanceUID": "1.2..3"}, StoreStatus.UNREADABLE, "expected a UID in StudyInstanceUID"),
        ({"StudyInstanceUID": "1." * 32 + "12"}, StoreStatus.UNREADABLE, "more than 64 characters"),
        ({"SeriesInstanceUID": "../../etc"}, StoreStatus.UNREADABLE, "expected a UID in SeriesInstanceUID"),
        ({"StudyInstanceUID": ""}, StoreStatus.UNREADABLE, "missing or empty"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_data_set_that_is_not_what_was_announced_is_refused(
    node: Scene, change: dict[str, str], status: StoreStatus, reason: str
) -> None:
    ds = mr_slice()
    announced = (str(ds.SOPClassUID), str(ds.SOPInstanceUID))
    for keyword, value in change.items():
        setattr(ds, keyword, value)
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        answer = sender.store(1, *announced, encoded(ds))
    assert answer is not None
    assert answer.status == status
    assert reason in node.quarantined()[0].text
    assert node.instances() == []
    assert {name.split("/")[0] for name in node.files()} == {"quarantine"}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uids_with_leading_zeros_are_stored_as_they_are(node: Scene) -> None:
    """PS3.5 section 9.1 forbids them, and scanners write them."""
    ds = mr_slice(study="1.2.03", series="1.2.03.004", SOPInstanceUID="01.2.3", FrameOfReferenceUID="1.2.00")
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        answer = sender.store(1, MR, "01.2.3", encoded(ds))
    assert answer is not None
    assert answer.status == StoreStatus.SUCCESS
    [row] = node.instances()
    assert (row.sop_instance_uid, row.study_instance_uid, row.series_instance_uid, row.frame_of_reference_uid) == (
        "01.2.3", "1.2.03", "1.2.03.004", "1.2.00",
    )  # fmt: skip
    assert node.store.path(row.path).is_file()


def damaged(name: str) -> tuple[str, bytes]:
    data = encoded(mr_slice())
    before_pixels = data[: data.index(b"\xe0\x7f\x10\x00")]
    if name == "deflated bomb":
        bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return DEFLATED, bomb.compress(bytes(2_000_000)) + bomb.flush()
    return {
        "empty": (EXPLICIT, b""),
        "noise": (EXPLICIT, bytes(range(256)) * 20),
        "cut in the pixels": (EXPLICIT, data[:-10]),
        "cut in the header": (EXPLICIT, data[:100]),
        "other transfer syntax": (IMPLICIT, data),
        "claims 4 GB": (EXPLICIT, before_pixels + b"\xe0\x7f\x10\x00OW\0\0\xfe\xff\xff\xff" + b"12"),
        "nesting bomb": (EXPLICIT, NESTED * 3000),
        "not deflated": (DEFLATED, data),
    }[name]


NESTED = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
DAMAGES = (
    "empty", "noise", "cut in the pixels", "cut in the header", "other transfer syntax", "claims 4 GB", "nesting bomb",
    "deflated bomb", "not deflated",
)  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_with_a_reason_and_nothing_is_lost(
    node: Scene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.dicom.headers.structure.MAX_INFLATED_BYTES", 1_000_000)
    syntax, data = damaged(name)
    with RawSender(node.port, [(MR, [syntax]), (VERIFICATION, [IMPLICIT])]) as sender:
        answer = sender.store(1, MR, "1.2.3.4", data)
        assert answer is not None
        assert answer.status == StoreStatus.UNREADABLE
        assert answer.comment
        echo = sender.echo(3)
        assert echo is not None
        assert echo.status == 0
    [aside] = node.quarantined()
    assert aside.code == "unreadable_instance"
    assert stored_bytes(node, aside.path) == data
    assert node.instances() == []


def test_zeros_behind_the_pixels_are_padding(node: Scene) -> None:
    ds = mr_slice()
    assert send(node, ds, data=encoded(ds) + bytes(126))[0] == 0x0000


def test_with_too_little_free_space_an_instance_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with scene(tmp_path / "data", min_free_gb=1e6) as node:
        status, comment = send(node, mr_slice())
        assert status == StoreStatus.OUT_OF_RESOURCES
        assert "free-space" in comment
        assert (node.instances(), node.files()) == ([], set())


def test_a_full_disk_is_not_a_success(node: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("node.store.incoming.os.fsync", full)
    assert send(node, mr_slice())[0] == StoreStatus.OUT_OF_RESOURCES
    assert (node.instances(), node.files()) == ([], set())
    monkeypatch.undo()
    assert send(node, mr_slice())[0] == StoreStatus.SUCCESS


def test_a_ledger_that_does_not_answer_is_not_a_success(node: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def locked(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    ds = mr_slice()
    monkeypatch.setattr("node.dicom.scp.index.instances.add_instance", locked)
    assert send(node, ds)[0] == StoreStatus.OUT_OF_RESOURCES
    monkeypatch.undo()
    assert send(node, ds)[0] == StoreStatus.SUCCESS
    assert len([name for name in node.files() if name.startswith("studies/")]) == 1


def test_success_comes_after_fsync_of_file_and_folder_and_the_commit(
    node: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the first object of a study in an association and for those that follow it."""
    order: list[str] = []
    fsync, link = os.fsync, os.link

    def traced_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)
        order.append("file synced" if path.suffix == ".part" else f"folder {path.name} synced")

    def traced_link(source: Path, target: str) -> None:
        link(source, target)
        order.append("named")

    monkeypatch.setattr("os.fsync", traced_fsync)
    monkeypatch.setattr("os.link", traced_link)
    watch_commits(node.ledger, lambda: order.append("commit"))
    study, series = generate_uid(), generate_uid()
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        for _ in range(2):
            order.clear()
            ds = mr_slice(study, series)
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            order.append("answer")
            assert answer is not None
            assert answer.status == StoreStatus.SUCCESS
            steps = [step for step in order if step in ("named", "file synced", f"folder {series} synced")]
            assert steps[0] == "named"
            assert set(steps[1:]) == {"file synced", f"folder {series} synced"}
            assert order[-2:] == ["commit", "answer"]
            assert order.count("commit") == 1


def test_a_file_whose_bytes_do_not_reach_the_disk_leaves_no_name(node: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ds, fsync = mr_slice(), os.fsync

    def failing(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part"):
            raise OSError(errno.EIO, "input/output error")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", failing)
    assert send(node, ds)[0] == StoreStatus.OUT_OF_RESOURCES
    assert node.instances() == []
    assert node.files() == set()


def test_no_row_is_lost_when_many_associations_send_at_once(node: Scene) -> None:
    """Their rows share transactions; each sender gets its own answer."""
    study, series = generate_uid(), generate_uid()
    slices = [[mr_slice(study, series) for _ in range(6)] for _ in range(8)]
    statuses: list[int | None] = []

    def send_all(mine: list[Dataset]) -> None:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            for ds in (*mine, mine[0]):  # the first one twice
                answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
                statuses.append(answer.status if answer else None)

    threads = [threading.Thread(target=send_all, args=(mine,)) for mine in slices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [StoreStatus.SUCCESS] * 56
    assert {row.sop_instance_uid for row in node.instances()} == {
        str(ds.SOPInstanceUID) for mine in slices for ds in mine
    }


def test_an_association_is_open_on_its_studies_until_it_ends(node: Scene) -> None:
    study = generate_uid()
    sender = RawSender(node.port, [(MR, [EXPLICIT])])
    for _ in range(2):
        ds = mr_slice(study)
        sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
    with node.ledger.begin() as session:
        assert open_on_study(session, study) == 1
    sender.release()
    assert node.wait_released()
    assert node.released == [{study}]
    with node.ledger.begin() as session:
        assert open_on_study(session, study) == 0
    [association] = node.associations()
    assert (association.calling_ae, association.address, association.node_id) == ("RAW", "127.0.0.1", "test-node")


def test_a_connection_that_breaks_ends_its_association(node: Scene) -> None:
    ds = mr_slice()
    sender = RawSender(node.port, [(MR, [EXPLICIT])])
    sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
    sender.send_pdvs(1, b"half a command", command=True)
    sender.close()
    assert node.wait_released()
    assert node.associations()[0].closed_at is not None


def test_an_echo_leaves_no_row(node: Scene) -> None:
    with RawSender(node.port, [(VERIFICATION, [IMPLICIT])]) as sender:
        echo = sender.echo(1)
        assert echo is not None
        assert echo.status == 0
        sender.release()
    assert node.associations() == []


def test_associations_of_a_dead_process_are_closed_by_another(node: Scene) -> None:
    ds = mr_slice()
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
        before = now_utc()
        node.node.heartbeat()
        with node.ledger.begin() as session:
            assert close_abandoned(session, before, now_utc()) == []
            assert close_abandoned(session, now_utc(), now_utc()) == [ds.StudyInstanceUID]
            assert open_on_study(session, ds.StudyInstanceUID) == 0


def test_the_case_of_an_mr_study_is_opened_with_its_first_instance(node: Scene) -> None:
    from node.ledger.cases import get_case

    ds = mr_slice()
    send(node, ds)
    with node.ledger.begin() as session:
        assert get_case(session, ds.StudyInstanceUID).patient_id == "P-1"


def test_the_intake_works_without_a_network(node: Scene) -> None:
    from node.ledger.associations import Peer
    from node.store.part10 import FileMeta

    ds = mr_slice()
    intake = Intake(node.ledger, node.store, "other")
    sender = intake.senders.open(Peer("a", "other", "X", "127.0.0.1", now_utc()))
    outcome = intake.receive(FileMeta(MR, str(ds.SOPInstanceUID), EXPLICIT), encoded(ds), sender)
    assert outcome.status is StoreStatus.SUCCESS
    intake.senders.close(sender)


LARGE_BYTES = 200_000_000


def large_object(ds: Dataset) -> Iterator[bytes]:
    """The data set of an MR image whose pixels are replaced by 200 MB of zeros, in pieces."""
    data = encoded(ds)
    pixels = data.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    yield data[:pixels] + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, LARGE_BYTES)
    for _ in range(LARGE_BYTES // 50_000):
        yield bytes(50_000)


def peak_kilobytes() -> int:
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line).split()[1])


def test_a_large_object_is_never_in_memory_as_a_whole(node: Scene) -> None:
    """By either way; pynetdicom alone would need its size, twice while it grows."""
    ds = mr_slice(sop_class=MR)
    ds["PixelData"].VR = "OW"
    with RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=60) as sender:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = peak_kilobytes()
        sender.send_pdvs(1, store_request(MR, str(ds.SOPInstanceUID)), command=True)
        for piece in large_object(ds):
            pdv = struct.pack(">IBB", len(piece) + 2, 1, 0) + piece
            sender.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdv)) + pdv)
        sender.send_pdvs(1, b"", command=False)
        answer = sender.response()
        assert answer is not None
        assert answer.status == StoreStatus.SUCCESS
        assert peak_kilobytes() - before < 20_000
    assert node.instances()[0].size_bytes > LARGE_BYTES
