"""The threads of an association wait until something happens, and are woken by everything that does."""

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
from node.dicom.network.upper_layer import EventDrivenUpperLayer
from node.dicom.network.wakeup import NotifyingQueue, WakeupPipe
from tests.dicom.raw_scu import EXPLICIT, IMPLICIT, MR, RawSender, store_request
from tests.dicom.scenes import Scene, encoded, mr_slice, scene

LONG_S = 30.0  # longer than anything waits in these tests, unless something is wrong


def ends(thread: threading.Thread) -> bool:
    thread.join(LONG_S / 3)
    return not thread.is_alive()


def waiting(pipe: WakeupPipe, connection: socket.socket | None = None) -> threading.Thread:
    thread = threading.Thread(target=pipe.wait, args=(connection, LONG_S), daemon=True)
    thread.start()
    return thread


# --- the wakeup pipe ---


@pytest.fixture
def pipe() -> Iterator[WakeupPipe]:
    wakeup_pipe = WakeupPipe()
    yield wakeup_pipe
    wakeup_pipe.close()


def test_a_notification_wakes_the_thread_that_waits(pipe: WakeupPipe) -> None:
    thread = waiting(pipe)
    pipe.notify()
    assert ends(thread)


def test_notifications_before_a_wait_end_one_wait(pipe: WakeupPipe) -> None:
    for _ in range(100_000):  # more than a socket buffers
        pipe.notify()
    assert ends(waiting(pipe))
    begun = time.monotonic()
    pipe.wait(None, 0.05)
    assert time.monotonic() - begun >= 0.045


def test_bytes_of_the_connection_wake_the_thread_that_waits(pipe: WakeupPipe) -> None:
    ours, peers = socket.socketpair()
    thread = waiting(pipe, ours)
    peers.send(b"x")
    assert ends(thread)
    ours.close()
    assert ends(waiting(pipe, peers))  # the peer has closed it
    peers.close()


def test_notifying_a_closed_pipe_writes_to_no_other_socket(pipe: WakeupPipe) -> None:
    pipe.close()
    others = [end for _ in range(4) for end in socket.socketpair()]  # they get its descriptors
    pipe.notify()
    for end in others:
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)
    for end in others:
        end.close()


def test_a_queue_notifies_after_the_item_is_in_it() -> None:
    seen: list[object] = []
    notifying: NotifyingQueue = NotifyingQueue(lambda: seen.append(notifying.queue[0]))
    notifying.put("a primitive")
    assert seen == ["a primitive"]


# --- an association ---


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of the two threads of all associations has gone through its loop."""
    counted: Counter[str] = Counter()
    has_transport_event, wait = EventDrivenUpperLayer.has_transport_event, ReactorGate.wait

    def counted_event(layer: EventDrivenUpperLayer) -> bool:
        counted["upper layer"] += 1
        return has_transport_event(layer)

    def counted_wait(gate: ReactorGate, timeout: float | None = None) -> bool:
        counted["reactor"] += 1
        return wait(gate, timeout)

    monkeypatch.setattr(EventDrivenUpperLayer, "has_transport_event", counted_event)
    monkeypatch.setattr(ReactorGate, "wait", counted_wait)
    return counted


def test_the_threads_of_an_idle_association_wait(node: Scene, rounds: Counter[str]) -> None:
    """pynetdicom's threads would go through their loops 900 times a second each."""
    with RawSender(node.port, [(VERIFICATION, [IMPLICIT])]):
        time.sleep(0.3)
        rounds.clear()
        time.sleep(1.0)
        most = 1.0 / CHECK_TIMERS_EVERY_S + 2
        assert 1 <= rounds["upper layer"] <= most
        assert 1 <= rounds["reactor"] <= most


def test_the_threads_of_our_own_idle_association_wait(tmp_path: Path, rounds: Counter[str]) -> None:
    with scene(tmp_path / "data") as node:
        pacs = PacsSettings(ae_title="CPTDN", port=node.port)
        with association(pacs, "RAW", [build_context(VERIFICATION, [IMPLICIT])]) as assoc:
            assert assoc.send_c_echo().Status == 0x0000
            time.sleep(0.3)
            rounds.clear()
            time.sleep(1.0)
            most = 2 * (1.0 / CHECK_TIMERS_EVERY_S + 2)  # both ends are in this process
            assert rounds["upper layer"] <= most
            assert rounds["reactor"] <= most
            assert assoc.send_c_echo().Status == 0x0000


def test_an_idle_association_receives_what_comes(node: Scene) -> None:
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
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever does not notify a thread is missed: nothing is found by checking now and then."""
    for module in (reactor_gate, upper_layer):
        monkeypatch.setattr(module, "CHECK_TIMERS_EVERY_S", 100.0)


@pytest.mark.usefixtures("no_polling")
@pytest.mark.parametrize("fast", [True, False])
def test_every_event_notifies_the_thread_that_waits_for_it(tmp_path: Path, fast: bool) -> None:
    """Requests one after the other, a release, the end of the threads, a node that stops: on both sides."""
    threads_before = threading.active_count()
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
        node.store.close()  # on a slow disk it has threads of its own
        until = time.monotonic() + 5.0
        while threading.active_count() > threads_before and time.monotonic() < until:
            time.sleep(0.05)
        assert threading.active_count() <= threads_before


@pytest.mark.usefixtures("no_polling")
@pytest.mark.parametrize("fast", [True, False])
def test_bytes_that_were_read_already_are_not_waited_for(tmp_path: Path, fast: bool) -> None:
    """Several PDUs in one piece: the command in two fragments, which the fast path leaves to pynetdicom, and data."""
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


@pytest.mark.parametrize("fast", [True, False])
def test_associations_leave_no_descriptor_and_no_thread(tmp_path: Path, fast: bool) -> None:
    with scene(tmp_path / "data", fast=fast, allowed_calling_aes=("RAW",)) as node:

        def one_of_each() -> None:
            pacs = PacsSettings(ae_title="CPTDN", port=node.port)
            echo(pacs, "RAW")
            with pytest.raises(PacsUnavailableError):
                echo(pacs, "ELSE")  # rejected
            with pytest.raises(PacsUnavailableError):
                echo(PacsSettings(port=1, timeout_s=1.0), "RAW")  # no server
            with RawSender(node.port, [(MR, [EXPLICIT])], calling="RAW") as sender:
                sender.release()
            with RawSender(node.port, [(MR, [EXPLICIT])], calling="RAW"):
                pass  # closed without a release
            with RawSender(node.port, [(MR, [EXPLICIT])], calling="RAW") as sender:
                sender.send_pdvs(1, store_request(MR, "1.2.3"), command=True)
                sender.socket.sendall(p_data(1, bytes(1000), 0))  # closed in the middle of an object
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
        assert [name for name in node.files() if name.startswith("incoming/")] == []
