"""The door: who may come in, how many, how fast, and how rude they may be."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from config.settings import NodeSettings, PacsSettings
from node.dicom.network.contexts import STORAGE_CLASSES, STORAGE_COMMITMENT_PUSH, TRANSFER_SYNTAXES
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.admission import Admission, Request, admit, is_loopback
from tests.dicom.raw_scu import EXPLICIT, IMPLICIT, MR, RawSender, associate_request, store_request
from tests.dicom.scenes import Scene, encoded, mr_slice, scene

VERIFICATION = "1.2.840.10008.1.1"
ECHO = [(VERIFICATION, [IMPLICIT])]
CT = "1.2.840.10008.5.1.4.1.1.2"


def check_echo(port: int) -> None:
    """A C-ECHO is answered before the sender's own timeout of 20 s."""
    with RawSender(port, ECHO) as sender:
        answer = sender.echo(1)
        assert answer is not None
        assert answer.status == 0
        sender.release()


@pytest.mark.parametrize(
    ("allowed", "calling", "address", "decision"),
    [
        ((), "ANY", "127.0.0.1", Admission.FULL),
        ((), "ANY", "::1", Admission.FULL),
        ((), "ANY", "::ffff:127.0.0.1", Admission.FULL),
        ((), "ANY", "10.0.0.5", Admission.CALLING_AE_UNKNOWN),
        (("MOD",), "MOD", "10.0.0.5", Admission.FULL),
        (("MOD ",), " MOD", "10.0.0.5", Admission.FULL),
        (("MOD",), "OTHER", "127.0.0.1", Admission.CALLING_AE_UNKNOWN),
        (("MOD",), "mod", "10.0.0.5", Admission.CALLING_AE_UNKNOWN),
        (("MOD",), "ARCHIVE", "192.0.2.7", Admission.RESULTS_ONLY),
        (("MOD",), "ARCHIVE", "192.0.2.8", Admission.CALLING_AE_UNKNOWN),
        ((), "ARCHIVE", "192.0.2.7", Admission.RESULTS_ONLY),
    ],
)
def test_who_is_admitted(allowed: tuple[str, ...], calling: str, address: str, decision: Admission) -> None:
    node = NodeSettings(allowed_calling_aes=allowed)
    archive = PacsSettings(ae_title="ARCHIVE", host="192.0.2.7")
    assert admit(Request(calling, "CPTDN", address), node, (archive,)) is decision


def test_the_called_title_counts_unless_it_is_switched_off() -> None:
    request = Request("ANY", "OTHER", "127.0.0.1")
    assert admit(request, NodeSettings(), ()) is Admission.CALLED_AE_UNKNOWN
    assert admit(request, NodeSettings(require_called_ae=False), ()) is Admission.FULL


def test_an_address_that_is_none_is_not_loopback() -> None:
    assert not is_loopback("localhost.example.org")


def test_unknown_titles_are_rejected_on_the_wire(tmp_path: Path) -> None:
    with scene(tmp_path / "data", allowed_calling_aes=("MOD",)) as node:
        with RawSender(node.port, ECHO, calling="RAW") as sender:
            assert sender.rejection == (1, 1, 3)
        with RawSender(node.port, ECHO, calling="MOD", called="ELSE") as sender:
            assert sender.rejection == (1, 1, 7)
        with RawSender(node.port, ECHO, calling="MOD") as sender:
            assert sender.rejection is None


def test_a_pacs_that_is_not_on_the_list_may_report_commitments_and_nothing_else(tmp_path: Path) -> None:
    with scene(tmp_path / "data", pacs=(PacsSettings(),), allowed_calling_aes=("MOD",)) as node:
        wanted = [(MR, [EXPLICIT]), (STORAGE_COMMITMENT_PUSH, [IMPLICIT])]
        with RawSender(node.port, wanted, calling="PACS") as sender:
            assert sender.accepted == {3: IMPLICIT}


def test_every_class_and_syntax_that_a_case_can_be_made_of_is_accepted(node: Scene) -> None:
    for syntax in TRANSFER_SYNTAXES:
        with RawSender(node.port, [(uid, [syntax]) for uid in STORAGE_CLASSES]) as sender:
            assert set(sender.accepted.values()) == {syntax}
            assert len(sender.accepted) == len(STORAGE_CLASSES)


def test_other_classes_are_not_accepted(node: Scene) -> None:
    with RawSender(node.port, [(CT, [EXPLICIT]), (MR, [EXPLICIT])]) as sender:
        assert sender.accepted == {3: EXPLICIT}


def test_too_many_associations_are_told_so(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=2) as node:
        open_ones = [RawSender(node.port, ECHO) for _ in range(2)]
        with RawSender(node.port, ECHO) as third:
            assert third.rejection == (2, 3, 2)
        for one in open_ones:
            one.release()
        time.sleep(0.2)
        check_echo(node.port)


def silent_connections(port: int) -> list[socket.socket]:
    """Two that send half of a request and then nothing."""
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    for one in silent:
        one.sendall(associate_request(ECHO, "RAW", "CPTDN", 16384)[:50])
    return silent


def test_silent_connections_do_not_block_the_door(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=3, network_timeout_s=60.0) as node:  # longer than an echo waits
        silent = silent_connections(node.port)
        check_echo(node.port)
        for one in silent:
            one.close()


def test_silent_connections_do_not_stay(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=3, network_timeout_s=1.0) as node:
        for one in silent_connections(node.port):
            one.settimeout(10)
            assert one.recv(100)[:1] in (b"", b"\x07")
            one.close()


def test_more_connections_than_ever_allowed_are_closed_unread(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=2) as node:
        held = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(4)]
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", node.port), 5) as refused:
            assert refused.recv(10) == b""
        for one in held:
            one.close()


@pytest.mark.parametrize(
    "rude",
    [
        struct.pack(">BBI", 0x04, 0, 0xFFFFFFF0) + bytes(64),
        struct.pack(">BBI", 0x01, 0, 0x7FFFFFFF) + bytes(64),
        struct.pack(">BBI", 0x99, 0, 4) + bytes(4),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(200),
        random.Random(8).randbytes(300),
        associate_request([("", [IMPLICIT])], "RAW", "CPTDN", 16384),
    ],
    ids=["4 GB of data", "2 GB of association", "unknown type", "http", "zeros", "noise", "nameless context"],
)
def test_rudeness_before_an_association_ends_the_connection_only(node: Scene, rude: bytes) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 10) as connection:
        connection.sendall(rude)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(100):
                continue
    check_echo(node.port)


@pytest.mark.parametrize(
    "rude",
    [
        struct.pack(">BBI", 0x04, 0, 0xFFFFFFF0) + bytes(64),
        struct.pack(">BBIIBB", 0x04, 0, 6, 0xFFFF, 1, 3),
        struct.pack(">BBIIBB", 0x04, 0, 10, 6, 1, 3) + bytes(4),
        struct.pack(">BBIIBB", 0x04, 0, 10, 6, 77, 3) + bytes(4),
        struct.pack(">BBI", 0x02, 0, 4) + bytes(4),
        struct.pack(">BBI", 0x99, 0, 4) + bytes(4),
    ],
    ids=["4 GB of data", "longer than its PDU", "no command", "unknown context", "acceptance", "unknown type"],
)
def test_rudeness_within_an_association_ends_it_only(node: Scene, rude: bytes) -> None:
    ds = mr_slice()
    with RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=10) as sender:
        answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
        assert answer is not None
        assert answer.status == 0
        sender.socket.sendall(rude)
        assert sender.read_pdu()[0] in (0x07, 0)
    assert node.wait_released()
    assert node.associations()[0].closed_at is not None
    check_echo(node.port)


def test_an_object_beyond_the_limit_is_told_so_and_not_kept(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_object_mb=1) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            answer = sender.store(1, MR, "1.2.3", bytes(4_000_000))
            assert answer is not None
            assert answer.status == StoreStatus.TOO_LARGE
            ds = mr_slice()
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0
        assert len(node.files()) == 1


@pytest.mark.parametrize("fast", [True, False])
def test_an_object_far_beyond_the_limit_ends_its_association_before_memory_does(
    tmp_path: Path, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.dicom.scp.fast_store.DRAINED_BYTES", 1_000_000)
    with scene(tmp_path / "data", fast=fast, max_object_mb=1) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            assert sender.store(1, MR, "1.2.3", bytes(40_000_000)) is None
        assert node.files() == set()
        check_echo(node.port)


def drip(sender: RawSender, end: float) -> None:
    while time.monotonic() < end:
        sender.socket.sendall(struct.pack(">BBIIBBB", 0x04, 0, 7, 3, 1, 0, 0))
        time.sleep(0.1)


def test_a_sender_that_drips_is_cut_off(tmp_path: Path) -> None:
    with scene(tmp_path / "data", network_timeout_s=0.5) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            sender.send_pdvs(1, store_request(MR, "1.2.3"), command=True)
            end = time.monotonic() + 10
            with pytest.raises(ConnectionError):
                drip(sender, end)
        assert node.files() == set()


def test_an_abort_in_the_middle_of_an_object_leaves_nothing(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as node:
        ds = mr_slice()
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            sender.send_pdvs(1, store_request(MR, "1.2.3"), command=True)
            sender.socket.sendall(struct.pack(">BBIIBB", 0x04, 0, 106, 102, 1, 0) + bytes(100))
            sender.socket.sendall(struct.pack(">BBIBBBB", 0x07, 0, 4, 0, 0, 0, 0))
            assert node.wait_released()
        assert len(node.files()) == 1


def test_a_command_and_its_data_in_one_pdu_are_understood(node: Scene) -> None:
    """What some senders do; the fast path leaves it to pynetdicom."""
    ds = mr_slice(rows=8)
    command, data = store_request(MR, str(ds.SOPInstanceUID)), encoded(ds)
    pdvs = struct.pack(">IBB", len(command) + 2, 1, 3) + command + struct.pack(">IBB", len(data) + 2, 1, 2) + data
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        for _ in range(2):
            sender.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdvs)) + pdvs)
            answer = sender.response()
            assert answer is not None
            assert answer.status == 0
            again = sender.store(1, MR, str(ds.SOPInstanceUID), data)
            assert again is not None
            assert again.status == 0
    assert len(node.instances()) == 1


def test_several_fragments_in_one_pdu_are_understood(node: Scene) -> None:
    ds = mr_slice(rows=8)
    data = encoded(ds)
    half = len(data) // 2
    pdvs = struct.pack(">IBB", half + 2, 1, 0) + data[:half]
    pdvs += struct.pack(">IBB", 2, 1, 0) + struct.pack(">IBB", len(data) - half + 2, 1, 2) + data[half:]
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        sender.send_pdvs(1, store_request(MR, str(ds.SOPInstanceUID)), command=True)
        sender.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdvs)) + pdvs)
        answer = sender.response()
        assert answer is not None
        assert answer.status == 0
    assert len(node.instances()) == 1


def test_an_association_that_falls_idle_is_ended(tmp_path: Path) -> None:
    with scene(tmp_path / "data", network_timeout_s=0.5) as node:
        ds = mr_slice()
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert sender.read_pdu()[0] in (0x07, 0)
        assert node.wait_released()


def test_many_senders_at_once_lose_nothing(node: Scene) -> None:
    statuses: list[int] = []

    def modality() -> None:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            study = mr_slice().StudyInstanceUID
            for _ in range(5):
                ds = mr_slice(study)
                answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
                statuses.append(answer.status if answer else -1)
            sender.release()

    threads = [threading.Thread(target=modality) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 40
    assert node.wait_released(8)
    rows = node.instances()
    assert len(rows) == 40
    assert all(node.store.path(row.path).stat().st_size > row.size_bytes for row in rows)


def test_the_node_stops_while_a_sender_is_connected(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as node:
        sender = RawSender(node.port, [(MR, [EXPLICIT])])
        ds = mr_slice()
        sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
        port = node.port
        node.node.stop(0.2)
        assert node.associations()[0].closed_at is not None
        with pytest.raises(OSError, match=r".*"):
            socket.create_connection(("127.0.0.1", port), 1)
        sender.close()
