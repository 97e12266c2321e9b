"""No answer is lost between pynetdicom's reactor thread and a request."""

from __future__ import annotations

import threading

from node.dicom.checkpoint import Checkpoint


def test_a_round_never_runs_while_a_request_waits_for_its_answer() -> None:
    """The rule of pynetdicom's reactor: a round between two waits. A request owns the queue from `clear` to `set`."""
    checkpoint, ended = Checkpoint(), threading.Event()
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
