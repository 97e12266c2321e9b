"""The threads of an association rest until something happens, and miss nothing of it."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import build_context

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.dicom.network import reactor_gate, upper_layer
from node.dicom.network.connection import association, echo
from node.dicom.network.contexts import VERIFICATION
from node.dicom.network.reactor_gate import CHECK_TIMERS_EVERY_S, ReactorGate
from node.dicom.network.upper_layer import EventDrivenUpperLayer, NotifyingQueue, WakeupPipe
from tests.dicom.raw_scu import EXPLICIT, IMPLICIT, MR, RawSender, store_request
from tests.dicom.scenes import Scene, encoded, mr_slice, scene

LONG_S = 30.0  # nobody waits so long in these tests, unless something is wrong


def ends(thread: threading.Thread) -> bool:
    thread.join(LONG_S / 3)
    return not thread.is_alive()


def waiting(bell: WakeupPipe, connection: socket.socket | None = None) -> threading.Thread:
    thread = threading.Thread(target=bell.wait, args=(connection, LONG_S), daemon=True)
    thread.start()
    return thread


# --- the bell ---


@pytest.fixture
def bell() -> Iterator[WakeupPipe]:
    made = WakeupPipe()
    yield made
    made.close()


def test_a_bell_wakes_whoever_waits(bell: WakeupPipe) -> None:
    thread = waiting(bell)
    bell.ring()
    assert ends(thread)


def test_a_bell_that_was_rung_before_is_heard_once(bell: WakeupPipe) -> None:
    for _ in range(100_000):  # more than a socket holds
        bell.ring()
    assert ends(waiting(bell))
    begun = time.monotonic()
    bell.wait(None, 0.05)
    assert time.monotonic() - begun >= 0.045


def test_bytes_wake_whoever_waits_for_the_bell(bell: WakeupPipe) -> None:
    ours, peers = socket.socketpair()
    thread = waiting(bell, ours)
    peers.send(b"x")
    assert ends(thread)
    ours.close()
    assert ends(waiting(bell, peers))  # the peer has gone
    peers.close()


def test_a_closed_bell_takes_no_harm_and_does_none(bell: WakeupPipe) -> None:
    bell.close()
    others = [one for _ in range(4) for one in socket.socketpair()]  # they get its descriptors
    bell.ring()
    for one in others:
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(1)
    for one in others:
        one.close()


def test_a_queue_rings_when_it_has_what_was_put_into_it() -> None:
    found: list[object] = []
    ringing: NotifyingQueue = NotifyingQueue(lambda: found.append(ringing.queue[0]))
    ringing.put("a primitive")
    assert found == ["a primitive"]


# --- an association ---


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of the two threads of all associations has looked whether there is something to do."""
    counted: Counter[str] = Counter()
    looks, rests = EventDrivenUpperLayer._is_transport_event, ReactorGate.wait

    def look(provider: EventDrivenUpperLayer) -> bool:
        counted["upper layer"] += 1
        return looks(provider)

    def rest(place: ReactorGate, timeout: float | None = None) -> bool:
        counted["association"] += 1
        return rests(place, timeout)

    monkeypatch.setattr(EventDrivenUpperLayer, "_is_transport_event", look)
    monkeypatch.setattr(ReactorGate, "wait", rest)
    return counted


def test_an_association_that_stands_open_rests(node: Scene, rounds: Counter[str]) -> None:
    """pynetdicom's threads would look 900 times a second each."""
    with RawSender(node.port, [(VERIFICATION, [IMPLICIT])]):
        time.sleep(0.3)
        rounds.clear()
        time.sleep(1.0)
        most = 1.0 / CHECK_TIMERS_EVERY_S + 2
        assert 1 <= rounds["upper layer"] <= most
        assert 1 <= rounds["association"] <= most


def test_our_own_association_rests_while_it_stands_open(tmp_path: Path, rounds: Counter[str]) -> None:
    with scene(tmp_path / "data") as node:
        pacs = PacsSettings(ae_title="CPTDN", port=node.port)
        with association(pacs, "RAW", [build_context(VERIFICATION, [IMPLICIT])]) as assoc:
            assert assoc.send_c_echo().Status == 0x0000
            time.sleep(0.3)
            rounds.clear()
            time.sleep(1.0)
            most = 2 * (1.0 / CHECK_TIMERS_EVERY_S + 2)  # both ends are in this process
            assert rounds["upper layer"] <= most
            assert rounds["association"] <= most
            assert assoc.send_c_echo().Status == 0x0000


def test_an_association_that_rests_is_there_when_something_comes(node: Scene) -> None:
    ds = mr_slice()
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        time.sleep(3 * CHECK_TIMERS_EVERY_S)
        answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
        assert answer is not None
        assert answer.status == 0x0000
        time.sleep(3 * CHECK_TIMERS_EVERY_S)
        sender.release()
    assert node.wait_released()


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not rung for is missed: nothing is found by looking up now and then."""
    for module in (reactor_gate, upper_layer):
        monkeypatch.setattr(module, "CHECK_TIMERS_EVERY_S", 100.0)


@pytest.mark.usefixtures("nobody_looks")
@pytest.mark.parametrize("fast", [True, False])
def test_everything_is_rung_for(tmp_path: Path, fast: bool) -> None:
    """Requests one after the other, a release, the end of the threads, a node that stops: by both sides."""
    ours_before = threading.active_count()
    with scene(tmp_path / "data", fast=fast) as node:
        pacs = PacsSettings(ae_title="CPTDN", port=node.port, timeout_s=5.0)
        for _ in range(3):
            echo(pacs, "RAW")
        with RawSender(node.port, [(MR, [EXPLICIT]), (VERIFICATION, [IMPLICIT])], timeout_s=5.0) as sender:
            for _ in range(3):
                ds = mr_slice()
                stored = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
                answered = sender.echo(3)
                assert stored is not None
                assert answered is not None
                assert (stored.status, answered.status) == (0x0000, 0x0000)
            sender.release()
        assert node.wait_released(1, 5.0)
        with RawSender(node.port, [(VERIFICATION, [IMPLICIT])], timeout_s=5.0):
            node.node.stop(0.1)
        until = time.monotonic() + 5.0
        while threading.active_count() > ours_before and time.monotonic() < until:
            time.sleep(0.05)
        assert threading.active_count() <= ours_before


@pytest.mark.usefixtures("nobody_looks")
@pytest.mark.parametrize("fast", [True, False])
def test_what_was_read_already_is_not_waited_for(tmp_path: Path, fast: bool) -> None:
    """Several PDUs in one piece: the command in two fragments, which is not the fast path's affair, and its data."""
    ds = mr_slice()
    command = store_request(MR, str(ds.SOPInstanceUID))
    pieces = [(command[:20], 1), (command[20:], 3), (encoded(ds), 2)]
    with (
        scene(tmp_path / "data", fast=fast) as node,
        RawSender(node.port, [(MR, [EXPLICIT])], timeout_s=5.0) as sender,
    ):
        sender.socket.sendall(b"".join(p_data(1, piece, control) for piece, control in pieces))
        answer = sender.response()
        assert answer is not None
        assert answer.status == 0x0000


def p_data(context_id: int, data: bytes, control: int) -> bytes:
    """A P-DATA-TF PDU with one fragment, PS3.8 section 9.3.5."""
    return struct.pack(">BBIIBB", 0x04, 0, len(data) + 6, len(data) + 2, context_id, control) + data


def test_associations_leave_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    with scene(tmp_path / "data", allowed_calling_aes=("RAW",)) as node:

        def one_of_each() -> None:
            pacs = PacsSettings(ae_title="CPTDN", port=node.port)
            echo(pacs, "RAW")
            with pytest.raises(PacsUnavailableError):
                echo(pacs, "ELSE")  # rejected
            with pytest.raises(PacsUnavailableError):
                echo(PacsSettings(port=1, timeout_s=1.0), "RAW")  # nobody listens
            with RawSender(node.port, [(MR, [EXPLICIT])], calling="RAW") as sender:
                sender.release()
            with RawSender(node.port, [(MR, [EXPLICIT])], calling="RAW"):
                pass  # gone without a word
            socket.create_connection(("127.0.0.1", node.port)).close()

        def held() -> tuple[int, int]:
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        def settled(most: tuple[int, int]) -> bool:
            until = time.monotonic() + LONG_S / 3
            while time.monotonic() < until:
                if all(now <= before for now, before in zip(held(), most, strict=True)):
                    return True
                time.sleep(0.05)
            return False

        before = held()
        one_of_each()
        assert settled(before)
        for _ in range(5):
            one_of_each()
        assert settled(before), (held(), before)
