"""Where the thread of an association rests: while nothing is to be done, and while we wait for a peer's answer.

pynetdicom's thread looks for incoming messages, and before a request it is asked to rest, because it would otherwise
take the answer away from the request. With pynetdicom's own event a thread that has just been let go may still run on
after the next request was sent, and on a busy machine an answer is lost now and then. Here the request waits until the
thread really rests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CHECK_TIMERS_EVERY_S = 0.2  # at timers, which nobody rings for
PAUSES_WITHIN_S = 2.0  # a thread that has ended never does


class ReactorGate(threading.Event):
    """Stands in for the event in `Association._reactor_checkpoint`: `clear` returns once the waiting thread rests."""

    def __init__(self, is_wanted: Callable[[], bool], says_that_it_rests: Callable[[], None]) -> None:
        """is_wanted : whether there is something to do; asked again after each `ring`.
        says_that_it_rests : sets what pynetdicom looks at (`Association._is_paused`). It has to be said again and
        again: where pynetdicom serves a request in a thread of its own (N-EVENT-REPORT), that one takes it back.
        """
        super().__init__()
        self._is_wanted = is_wanted
        self._says_that_it_rests = says_that_it_rests
        self._changed = threading.Condition()
        self._resting = False
        self._reactor: int | None = None  # the thread that rests here
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Rest while it is cleared or there is nothing to do; the reactor calls this in each of its rounds.

        timeout : how long to rest at most when there is nothing to do (default: `CHECK_TIMERS_EVERY_S`).
        """
        until = time.monotonic() + (CHECK_TIMERS_EVERY_S if timeout is None else timeout)
        with self._changed:
            self._reactor = threading.get_ident()
            self._resting = True
            self._changed.notify_all()
            while not self.is_set() or not (self._is_wanted() or time.monotonic() >= until):
                self._says_that_it_rests()
                self._changed.wait(max(0.0, until - time.monotonic()) if self.is_set() else CHECK_TIMERS_EVERY_S)
            self._resting = False
        return True

    def ring(self) -> None:
        """There may be something to do."""
        with self._changed:
            self._changed.notify_all()

    def set(self) -> None:
        with self._changed:
            super().set()
            self._changed.notify_all()

    def hold(self) -> None:
        """Let the thread rest from its next round on, without waiting for it: it may be waiting for the caller."""
        with self._changed:
            super().clear()

    def clear(self) -> None:
        with self._changed:
            super().clear()
            if threading.get_ident() == self._reactor:  # it serves a request, and sends one of its own for that
                return
            if self._changed.wait_for(lambda: self._resting, PAUSES_WITHIN_S):
                self._says_that_it_rests()
