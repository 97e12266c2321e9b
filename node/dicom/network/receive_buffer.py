"""Bytes that come in over one association: read from the socket as many at a time as there are, used piece by piece."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from typing import cast

from node.dicom.network.guarded_socket import GuardedSocket

BUFFER_BYTES = 1 << 18


def nothing() -> None:
    """Nobody has to be told."""


class ConnectionLostError(OSError):
    """The peer closed the connection in the middle of a message."""


class ReceiveBuffer:
    """One buffer of fixed size, made with the first byte. What lies between `_start` and `_end` is not used yet."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(0))
        self._start = self._end = 0
        self._connection: socket.socket | None = None
        self._poll: select.poll | None = None
        self.before_reading: Callable[[], None] = nothing  # uses what `some` gave, for it will be written over

    def take_over(self, guarded: GuardedSocket) -> None:
        """Read from this socket now, beginning with what was pushed back into it."""
        if self._connection is not guarded.socket or self._poll is None:
            self._connection = cast(socket.socket, guarded.socket)
            self._poll = select.poll()
            self._poll.register(self._connection, select.POLLIN)
        pushed = guarded.take_pushed_back()
        if pushed:
            self._make_room(len(pushed))
            self._buffer[: len(pushed)] = pushed
            self._start, self._end = 0, len(pushed)

    def hand_back(self, guarded: GuardedSocket) -> None:
        """Whoever reads from the socket next begins with what is not used."""
        if self._end > self._start:
            guarded.push_back(self._buffer[self._start : self._end])
        self._start = self._end = 0

    def has(self, count: int) -> bool:
        """Whether so many bytes are here, after waiting for them; False when the peer closes the connection first.

        Raises OSError when it fails or stays silent for too long.
        """
        while self._end - self._start < count:
            self.before_reading()
            if self._start + count > len(self._buffer):
                self._make_room(count)
            got = cast(socket.socket, self._connection).recv_into(self._buffer[self._end :])
            if got == 0:
                return False
            self._end += got
        return True

    def need(self, count: int) -> None:
        """As `has`; raises ConnectionLostError when the peer closes the connection first."""
        if not self.has(count):
            raise ConnectionLostError("the connection was closed in the middle of an object")

    def peek(self, count: int) -> memoryview:
        """The next bytes, which must be here; they stay. Valid until more is read."""
        return self._buffer[self._start : self._start + count]

    def some(self, most: int) -> memoryview:
        """At least one of the next bytes, and as many of them as are here; they stay. Valid until more is read."""
        if self._start == self._end:
            self._start = self._end = 0
            self.need(1)
        return self._buffer[self._start : min(self._end, self._start + most)]

    def skip(self, count: int) -> None:
        """These bytes are used."""
        self._start += count

    def comes_within(self, seconds: float) -> bool:
        """Whether the next byte is here or comes soon."""
        if self._end > self._start:
            return True
        if isinstance(self._connection, ssl.SSLSocket) and self._connection.pending():
            return True
        return bool(cast(select.poll, self._poll).poll(seconds * 1000))

    def _make_room(self, count: int) -> None:
        """Move what is not used to the front, so that `count` bytes from there fit in."""
        if not self._buffer.nbytes:
            self._buffer = memoryview(bytearray(BUFFER_BYTES))
        if count > BUFFER_BYTES:
            raise ValueError(f"at most {BUFFER_BYTES} bytes can be looked at together, {count} were asked for")
        kept = bytes(self._buffer[self._start : self._end])
        self._buffer[: len(kept)] = kept
        self._start, self._end = 0, len(kept)
