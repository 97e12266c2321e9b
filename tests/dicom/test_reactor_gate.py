"""No response is lost between pynetdicom's reactor thread and a request, and the thread pauses when it has no work."""

from __future__ import annotations

import threading
import time

import pytest

from node.dicom.network.reactor_gate import CHECK_TIMERS_EVERY_S, ReactorGate


def test_the_reactor_never_runs_while_a_request_waits_for_its_response() -> None:
    """The rule of pynetdicom's reactor: a round between two waits. A request owns the queue from `clear` to `set`."""
    gate, ended = ReactorGate(lambda: True, lambda: None), threading.Event()
    requesting = False
    overlaps = []

    def reactor() -> None:
        while not ended.is_set():
            gate.wait()
            overlaps.append(requesting)

    thread = threading.Thread(target=reactor, daemon=True)
    thread.start()
    for _ in range(2000):
        gate.clear()
        requesting = True
        requesting = False
        gate.set()
    ended.set()
    thread.join(10)
    assert not any(overlaps)
    assert not thread.is_alive()


def test_it_pauses_until_there_is_work() -> None:
    work: list[str] = []
    gate = ReactorGate(lambda: bool(work), lambda: None)
    thread = threading.Thread(target=gate.wait, args=(30.0,), daemon=True)
    thread.start()
    gate.notify()  # without work
    thread.join(0.2)
    assert thread.is_alive()
    work.append("a message")
    gate.notify()
    thread.join(10)
    assert not thread.is_alive()


def test_a_pause_without_work_ends_in_time_for_the_timers() -> None:
    begun = time.monotonic()
    ReactorGate(lambda: False, lambda: None).wait()
    assert time.monotonic() - begun >= 0.9 * CHECK_TIMERS_EVERY_S


def test_it_stays_paused_while_a_request_waits_whatever_work_there_is() -> None:
    gate = ReactorGate(lambda: True, lambda: None)
    left = threading.Event()

    def reactor() -> None:
        gate.wait()
        left.set()

    gate.close_without_waiting()
    threading.Thread(target=reactor, daemon=True).start()
    gate.notify()
    assert not left.wait(2 * CHECK_TIMERS_EVERY_S)
    gate.set()
    assert left.wait(10)


def test_a_pause_is_marked_again_when_another_thread_removes_the_mark() -> None:
    """pynetdicom serves an N-EVENT-REPORT in a thread of its own, which at its end says that the reactor is not paused;
    the next request would wait for ever."""
    marked = threading.Event()
    gate, ended = ReactorGate(lambda: False, marked.set), threading.Event()

    def reactor() -> None:
        while not ended.is_set():
            gate.wait()

    threading.Thread(target=reactor, daemon=True).start()
    assert marked.wait(10)
    for _ in range(3):
        marked.clear()
        gate.clear()
        assert marked.is_set()
        marked.clear()
        assert marked.wait(10)
        gate.set()
    ended.set()


def test_the_reactor_itself_may_send_a_request_while_it_serves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores of a C-GET: it would wait for its own pause."""
    monkeypatch.setattr("node.dicom.network.reactor_gate.PAUSES_WITHIN_S", 100.0)
    gate = ReactorGate(lambda: True, lambda: None)

    def reactor() -> None:
        for _ in range(3):
            gate.wait()
            gate.clear()
            gate.set()

    thread = threading.Thread(target=reactor, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_closing_without_waiting_does_not_wait_for_the_reactor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that receives closes the gate of the reactor, which may be waiting for that thread to end."""
    monkeypatch.setattr("node.dicom.network.reactor_gate.PAUSES_WITHIN_S", 100.0)
    thread = threading.Thread(target=ReactorGate(lambda: True, lambda: None).close_without_waiting, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
