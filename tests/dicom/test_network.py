"""Associations: who may open one, how many, how fast, and what protocol violations lead to."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.events import Event

from config.settings import NodeSettings, PacsSettings
from node.dicom.network.contexts import STORAGE_CLASSES, STORAGE_COMMITMENT_PUSH, TRANSFER_SYNTAXES
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.admission import Admission, Request, admit, is_loopback
from node.dicom.scp.handlers import handle_store
from tests.dicom.raw_scu import EXPLICIT, IMPLICIT, MR, RawSender, associate_request, element, store_request
from tests.dicom.scenes import Scene, encoded, mr_slice, scene
from tests.flow.program import wait_for

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


def test_the_called_title_is_checked_unless_that_is_switched_off() -> None:
    request = Request("ANY", "OTHER", "127.0.0.1")
    assert admit(request, NodeSettings(), ()) is Admission.CALLED_AE_UNKNOWN
    assert admit(request, NodeSettings(require_called_ae=False), ()) is Admission.FULL


def test_a_host_name_is_not_a_loopback_address() -> None:
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
        requested = [(MR, [EXPLICIT]), (STORAGE_COMMITMENT_PUSH, [IMPLICIT])]
        with RawSender(node.port, requested, calling="PACS") as sender:
            assert sender.accepted == {3: IMPLICIT}


def test_every_class_and_syntax_that_a_case_can_be_made_of_is_accepted(node: Scene) -> None:
    for syntax in TRANSFER_SYNTAXES:
        with RawSender(node.port, [(uid, [syntax]) for uid in STORAGE_CLASSES]) as sender:
            assert set(sender.accepted.values()) == {syntax}
            assert len(sender.accepted) == len(STORAGE_CLASSES)


def test_other_classes_are_not_accepted_where_the_site_rejects_them(tmp_path: Path) -> None:
    with (
        scene(tmp_path / "data", other_classes="reject") as node,
        RawSender(node.port, [(CT, [EXPLICIT]), (MR, [EXPLICIT])]) as sender,
    ):
        assert sender.accepted == {3: EXPLICIT}


def test_associations_beyond_the_limit_are_rejected_with_the_reason(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=2) as node:
        senders = [RawSender(node.port, ECHO) for _ in range(2)]
        with RawSender(node.port, ECHO) as third:
            assert third.rejection == (2, 3, 2)
        for sender in senders:
            sender.release()
        time.sleep(0.2)
        check_echo(node.port)


def silent_connections(port: int) -> list[socket.socket]:
    """Two that send half of a request and then nothing."""
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    for connection in silent:
        connection.sendall(associate_request(ECHO, "RAW", "CPTDN", 16384)[:50])
    return silent


def test_silent_connections_do_not_block_others(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=3, network_timeout_s=60.0) as node:  # longer than an echo waits
        silent = silent_connections(node.port)
        check_echo(node.port)
        for connection in silent:
            connection.close()


def test_silent_connections_are_closed(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=3, network_timeout_s=1.0) as node:
        for connection in silent_connections(node.port):
            connection.settimeout(10)
            assert connection.recv(100)[:1] in (b"", b"\x07")
            connection.close()


def test_connections_beyond_the_limit_are_closed_unread(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_associations=2) as node:
        held = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(4)]
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", node.port), 5) as refused:
            assert refused.recv(10) == b""
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "violation",
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
def test_a_violation_before_an_association_ends_the_connection_only(node: Scene, violation: bytes) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 10) as connection:
        connection.sendall(violation)
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the node may have ended the connection already
                raise
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(100):
                continue
    check_echo(node.port)


@pytest.mark.parametrize(
    "violation",
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
def test_a_violation_within_an_association_ends_it_only(node: Scene, violation: bytes) -> None:
    ds = mr_slice()
    with RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=10) as sender:
        answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
        assert answer is not None
        assert answer.status == 0
        sender.socket.sendall(violation)
        assert sender.read_pdu()[0] in (0x07, 0)
    assert node.wait_released()
    assert node.associations()[0].closed_at is not None
    check_echo(node.port)


@pytest.mark.parametrize("fast", [True, False])
def test_an_object_beyond_the_limit_gets_a_response_and_is_not_stored(tmp_path: Path, fast: bool) -> None:
    with scene(tmp_path / "data", fast=fast, max_object_mb=1) as node:
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
def test_an_object_far_beyond_the_limit_aborts_its_association(
    tmp_path: Path, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.dicom.scp.instance.DRAINED_BYTES", 1_000_000)
    with scene(tmp_path / "data", fast=fast, max_object_mb=1) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            assert sender.store(1, MR, "1.2.3", bytes(40_000_000)) is None
        assert node.files() == set()
        check_echo(node.port)


def test_a_message_in_memory_far_beyond_the_limit_aborts_its_association(tmp_path: Path) -> None:
    """Only data sets of C-STORE go to files; here it is that of an N-EVENT-REPORT."""
    command = b"".join(
        (
            element(0x0002, STORAGE_COMMITMENT_PUSH.encode()), element(0x0100, struct.pack("<H", 0x0100)),
            element(0x0110, struct.pack("<H", 1)), element(0x0800, struct.pack("<H", 0x0001)),
            element(0x1000, b"1.2.840.10008.1.20.1.1"), element(0x1002, struct.pack("<H", 1)),
        )
    )  # fmt: skip
    with scene(tmp_path / "data", max_object_mb=1) as node:
        with RawSender(node.port, [(STORAGE_COMMITMENT_PUSH, [IMPLICIT])]) as sender:
            sender.send_pdvs(1, element(0x0000, struct.pack("<I", len(command))) + command, command=True)
            with contextlib.suppress(ConnectionError):
                sender.send_pdvs(1, bytes(10_000_000), command=False)
            assert sender.response() is None
        check_echo(node.port)


@pytest.mark.parametrize("in_data_set", [False, True], ids=["as a command", "as a fragment"])
def test_a_pdu_larger_than_negotiated_is_not_waited_for(tmp_path: Path, in_data_set: bool) -> None:
    """It ends its association at once, although the peer sends nothing more and leaves the connection open."""
    with scene(tmp_path / "data", network_timeout_s=60.0) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=10) as sender:
            if in_data_set:
                sender.send_pdvs(1, store_request(MR, "1.2.3"), command=True)
                claimed = sender.peer_max_pdu + 1
            else:
                claimed = 0x7FFFFFFF
            sender.socket.sendall(struct.pack(">BBIIBB", 0x04, 0, claimed, claimed - 4, 1, 0) + bytes(100))
            assert sender.read_pdu()[0] in (0x07, 0)
        check_echo(node.port)


def send_a_byte_at_a_time(sender: RawSender, end: float) -> None:
    while time.monotonic() < end:
        sender.socket.sendall(struct.pack(">BBIIBBB", 0x04, 0, 7, 3, 1, 0, 0))
        time.sleep(0.1)


def test_a_sender_below_the_least_pace_is_aborted(tmp_path: Path) -> None:
    """It is never silent for as long as the network timeout, so no read of the node ends by that."""
    with scene(tmp_path / "data", network_timeout_s=2.0) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            sender.send_pdvs(1, store_request(MR, "1.2.3"), command=True)
            end = time.monotonic() + 10
            with pytest.raises(ConnectionError):
                send_a_byte_at_a_time(sender, end)
        assert node.files() == set()


@pytest.mark.parametrize("fast", [True, False])
def test_an_object_that_takes_longer_than_the_network_timeout_is_received(tmp_path: Path, fast: bool) -> None:
    """The timeout is one of silence, and the sender is slow but above the least pace."""
    ds = mr_slice(rows=128)
    with scene(tmp_path / "data", fast=fast, network_timeout_s=1.0) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            sender.send_pdvs(1, store_request(MR, str(ds.SOPInstanceUID)), command=True)
            data, step = encoded(ds), 2048
            for start in range(0, len(data), step):
                last = 2 if start + step >= len(data) else 0
                pdv = struct.pack(">IBB", len(data[start : start + step]) + 2, 1, last) + data[start : start + step]
                sender.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdv)) + pdv)
                time.sleep(0.15)
            answer = sender.response()
            assert answer is not None
            assert answer.status == 0
            ds = mr_slice()  # the association goes on
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0
        assert len(node.instances()) == 2


@pytest.mark.parametrize("fast", [True, False])
def test_an_abort_in_the_middle_of_an_object_leaves_nothing(tmp_path: Path, fast: bool) -> None:
    with scene(tmp_path / "data", fast=fast) as node:
        ds = mr_slice()
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            sender.send_pdvs(1, store_request(MR, "1.2.3"), command=True)
            sender.socket.sendall(struct.pack(">BBIIBB", 0x04, 0, 106, 102, 1, 0) + bytes(100))
            sender.socket.sendall(struct.pack(">BBIIBB", 0x04, 0, 106, 102, 1, 0) + bytes(100))
            sender.socket.sendall(struct.pack(">BBIBBBB", 0x07, 0, 4, 0, 0, 0, 0))
            assert node.wait_released()
        wait_for(lambda: len(node.files()) == 1, 10, lambda: str(node.files()))


@pytest.mark.parametrize("fast", [True, False])
def test_data_set_fragments_in_the_pdu_of_the_command_are_read(
    tmp_path: Path, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As dcm4che sends them; sizes from a whole object in the first PDU to several PDUs. All take the fast path."""
    slow = []

    def counted(event: Event, *arguments: Any) -> Any:
        slow.append(event.request.AffectedSOPInstanceUID)
        return handle_store(event, *arguments)

    monkeypatch.setattr("node.dicom.scp.ae.handle_store", counted)
    study = mr_slice().StudyInstanceUID
    slices = [mr_slice(study, rows=(8, 64, 300, 512)[number % 4]) for number in range(200)]
    with scene(tmp_path / "data", fast=fast) as node:
        with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
            for number, ds in enumerate(slices):
                send = sender.store if number % 10 == 9 else sender.store_packed  # both forms on one association
                answer = send(1, MR, str(ds.SOPInstanceUID), encoded(ds))
                assert answer is not None
                assert answer.status == 0
        rows = {row.sop_instance_uid: row for row in node.instances()}
        for ds in slices:
            row = rows[ds.SOPInstanceUID]
            assert node.store.path(row.path).read_bytes().endswith(encoded(ds))
    assert len(slow) == (0 if fast else 200)


@pytest.mark.parametrize(
    "second",
    [
        struct.pack(">IBB", 4, 3, 2) + bytes(2),
        struct.pack(">IBB", 4, 1, 3) + bytes(2),
        struct.pack(">IBB", 400, 1, 2) + bytes(2),
        bytes(3),
    ],
    ids=["another context", "a second command", "longer than its PDU", "too short"],
)
def test_a_command_with_a_broken_fragment_behind_it_ends_the_association(node: Scene, second: bytes) -> None:
    command = store_request(MR, "1.2.3")
    pdvs = struct.pack(">IBB", len(command) + 2, 1, 3) + command + second
    with RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=10) as sender:
        sender.socket.sendall(struct.pack(">BBI", 0x04, 0, len(pdvs)) + pdvs)
        sender.socket.shutdown(socket.SHUT_WR)
        answer = sender.response()
        assert answer is None or answer.status != 0
    assert node.instances() == []
    check_echo(node.port)


def test_several_fragments_in_one_pdu_are_read(node: Scene) -> None:
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


def test_an_idle_association_is_ended(tmp_path: Path) -> None:
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
