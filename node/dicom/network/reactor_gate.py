"""Where the reactor thread of an association pauses: while there is no work, and while a request of ours is pending.

pynetdicom's reactor polls for incoming messages. Before a request it is told to pause, because it would otherwise take
the response from the queue. With pynetdicom's own event a thread that has just been released may still be running when
the next request is sent: on a busy machine one response in some hundreds was lost. Here the request waits until the
thread is really paused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CHECK_TIMERS_EVERY_S = 0.2  # nothing notifies the threads of an association of a timer that has expired
PAUSES_WITHIN_S = 2.0  # a reactor that has ended never pauses


class ReactorGate(threading.Event):
    """Replaces the event of pynetdicom's association at which its reactor waits.

    Parameters
    ----------
    has_work : callable
        Whether the reactor has something to do; called again after each `notify`.
    mark_paused : callable
        Records that the reactor is paused, where pynetdicom looks for it. It is called again and again: where
        pynetdicom serves a request in a thread of its own (N-EVENT-REPORT), that thread removes the mark at its end.
    """

    def __init__(self, has_work: Callable[[], bool], mark_paused: Callable[[], None]) -> None:
        super().__init__()
        self._has_work = has_work
        self._mark_paused = mark_paused
        self._changed = threading.Condition()
        self._reactor_is_paused = False
        self._reactor: int | None = None  # identifier of the thread that pauses here
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Pause while the gate is closed or there is no work; the reactor calls this in each of its rounds.

        Parameters
        ----------
        timeout : float, optional
            Longest pause in seconds while the gate is open and there is no work; `CHECK_TIMERS_EVERY_S` by default.

        Returns
        -------
        bool
            Always True, as `threading.Event.wait` returns for an event that is set.
        """
        until = time.monotonic() + (CHECK_TIMERS_EVERY_S if timeout is None else timeout)
        with self._changed:
            self._reactor = threading.get_ident()
            self._reactor_is_paused = True
            self._changed.notify_all()
            while not self.is_set() or not (self._has_work() or time.monotonic() >= until):
                self._mark_paused()
                # While the gate is closed the time does not end the pause; the mark is only renewed.
                self._changed.wait(max(0.0, until - time.monotonic()) if self.is_set() else CHECK_TIMERS_EVERY_S)
            self._reactor_is_paused = False
        return True

    def notify(self) -> None:
        """Let the reactor check again whether there is work."""
        with self._changed:
            self._changed.notify_all()

    def set(self) -> None:
        """Open the gate."""
        with self._changed:
            super().set()
            self._changed.notify_all()

    def close_without_waiting(self) -> None:
        """Close the gate; the reactor pauses from its next round on.

        For the upper layer's thread: the reactor may be waiting for that thread, so it must not wait for the reactor.
        """
        with self._changed:
            super().clear()

    def clear(self) -> None:
        """Close the gate and wait until the reactor is paused, at most `PAUSES_WITHIN_S`."""
        with self._changed:
            super().clear()
            # The reactor itself serves a request and sends one of its own for it: it cannot wait for itself.
            if threading.get_ident() == self._reactor:
                return
            # Without success the request goes on all the same: the association has ended, and sending reports it.
            if self._changed.wait_for(lambda: self._reactor_is_paused, PAUSES_WITHIN_S):
                self._mark_paused()
