"""No answer is lost between pynetdicom's reactor thread and a request, and the thread rests when there is none."""

from __future__ import annotations

import threading
import time

import pytest

from node.dicom.network.reactor_gate import CHECK_TIMERS_EVERY_S, ReactorGate


def test_a_round_never_runs_while_a_request_waits_for_its_answer() -> None:
    """The rule of pynetdicom's reactor: a round between two waits. A request owns the queue from `clear` to `set`."""
    checkpoint, ended = ReactorGate(lambda: True, lambda: None), threading.Event()
    requesting = False
    overlaps = []

    def reactor() -> None:
        while not ended.is_set():
            checkpoint.wait()
            overlaps.append(requesting)

    thread = threading.Thread(target=reactor, daemon=True)
    thread.start()
    for _ in range(2000):
        checkpoint.clear()
        requesting = True
        requesting = False
        checkpoint.set()
    ended.set()
    thread.join(10)
    assert not any(overlaps)
    assert not thread.is_alive()


def test_it_rests_until_something_is_to_be_done() -> None:
    work: list[str] = []
    checkpoint = ReactorGate(lambda: bool(work), lambda: None)
    thread = threading.Thread(target=checkpoint.wait, args=(30.0,), daemon=True)
    thread.start()
    checkpoint.ring()  # for nothing
    thread.join(0.2)
    assert thread.is_alive()
    work.append("a message")
    checkpoint.ring()
    thread.join(10)
    assert not thread.is_alive()


def test_it_looks_up_now_and_then_for_what_nobody_rings_for() -> None:
    begun = time.monotonic()
    ReactorGate(lambda: False, lambda: None).wait()
    assert time.monotonic() - begun >= 0.9 * CHECK_TIMERS_EVERY_S


def test_it_stays_while_a_request_waits_however_much_is_to_be_done() -> None:
    checkpoint = ReactorGate(lambda: True, lambda: None)
    gone = threading.Event()

    def reactor() -> None:
        checkpoint.wait()
        gone.set()

    checkpoint.hold()
    threading.Thread(target=reactor, daemon=True).start()
    checkpoint.ring()
    assert not gone.wait(2 * CHECK_TIMERS_EVERY_S)
    checkpoint.set()
    assert gone.wait(10)


def test_that_it_rests_is_said_again_when_another_thread_takes_it_back() -> None:
    """pynetdicom serves an N-EVENT-REPORT in a thread of its own, which says at its end that the association's thread
    does not rest; whoever asks for it next would wait for ever."""
    said = threading.Event()
    checkpoint, ended = ReactorGate(lambda: False, said.set), threading.Event()

    def reactor() -> None:
        while not ended.is_set():
            checkpoint.wait()

    threading.Thread(target=reactor, daemon=True).start()
    assert said.wait(10)
    for _ in range(3):
        said.clear()
        checkpoint.clear()
        assert said.is_set()
        said.clear()
        assert said.wait(10)
        checkpoint.set()
    ended.set()


def test_the_thread_itself_may_send_a_request_while_it_serves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores of a C-GET: it would wait for itself to rest."""
    monkeypatch.setattr("node.dicom.network.reactor_gate.PAUSES_WITHIN_S", 100.0)
    checkpoint = ReactorGate(lambda: True, lambda: None)

    def reactor() -> None:
        for _ in range(3):
            checkpoint.wait()
            checkpoint.clear()
            checkpoint.set()

    thread = threading.Thread(target=reactor, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_holding_does_not_wait_for_a_thread_that_may_wait_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that receives holds the association's, which may just be waiting for it to end."""
    monkeypatch.setattr("node.dicom.network.reactor_gate.PAUSES_WITHIN_S", 100.0)
    thread = threading.Thread(target=ReactorGate(lambda: True, lambda: None).hold, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
