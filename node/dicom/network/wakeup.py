"""Waking a thread that waits for a socket: a pipe to notify it, and a queue that does so."""

from __future__ import annotations

import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any


class WakeupPipe:
    """Wakes the thread that waits for bytes of a connection. Threads share it."""

    def __init__(self) -> None:
        # Without the lock, `notify` could write to a descriptor number that is another socket's after `close`.
        self._lock = threading.Lock()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._is_notified = False

    def notify(self) -> None:
        """Wake the thread that waits, or the next one to wait; safe from any thread, also after `close`."""
        with self._lock:
            # One byte at a time: a pipe without a reader would fill up and block, or raise, in the notifying thread.
            if not self._is_notified and self._writer.fileno() >= 0:
                self._is_notified = True
                self._writer.send(b"\0")

    def wait(self, connection: socket.socket | None, seconds: float) -> None:
        """Wait until notified, until the connection is readable, or until the time is over.

        Parameters
        ----------
        connection : socket.socket or None
            Also wakes when this has bytes to read or was closed by the peer.
        seconds : float
            The longest wait, >= 0. A notification since the last wait ends it at once.
        """
        # A poll object for each wait: the connection may be another one, or closed, than at the last wait. select()
        # would fail for descriptors above 1023.
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if connection is not None and connection.fileno() >= 0:
            poll.register(connection, select.POLLIN)
        poll.poll(seconds * 1000)
        with self._lock:
            if self._is_notified:
                self._is_notified = False
                self._reader.recv(1)

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._reader.close()
            self._writer.close()


class NotifyingQueue(queue.Queue[Any]):
    """A queue that calls `notify` after each item that was put into it."""

    def __init__(self, notify: Callable[[], None]) -> None:
        super().__init__()
        self._notify = notify

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue, then notify: the order matters, the woken thread looks at the queue."""
        super().put(item, block, timeout)
        self._notify()
