"""Where pynetdicom's reactor thread rests while we wait for a peer's answer.

An association has a thread that looks for incoming messages; before a request, pynetdicom asks it to rest, because it
would otherwise take the answer away from the request. With its own event a thread that has just been let go may still
run on after the next request was sent, and on a busy machine an answer is lost now and then. Here the request waits
until the thread really rests.
"""

from __future__ import annotations

import threading

COMES_TO_REST_WITHIN_S = 2.0  # a thread that has ended never does


class Checkpoint(threading.Event):
    """Stands in for the event in `Association._reactor_checkpoint`: `clear` returns once the waiting thread rests."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._resting = False
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Rest while it is cleared; the reactor calls this in each of its rounds."""
        with self._changed:
            self._resting = not self.is_set()
            self._changed.notify_all()
            self._changed.wait_for(self.is_set, timeout)
            self._resting = False
            return self.is_set()

    def set(self) -> None:
        with self._changed:
            super().set()
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            super().clear()
            self._changed.wait_for(lambda: self._resting, COMES_TO_REST_WITHIN_S)
