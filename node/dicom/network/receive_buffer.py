"""Bytes that arrive over one association: read from the socket in large pieces, consumed in small ones."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from typing import cast

from node.dicom.network.guarded_socket import GuardedSocket
from node.dicom.network.protocol_errors import ConnectionLostError

BUFFER_BYTES = 1 << 18


def _do_nothing() -> None:
    pass


class ReceiveBuffer:
    """One buffer of fixed size, allocated with the first byte; bytes from `_start` to `_end` are not consumed yet."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(0))
        self._start = self._end = 0
        self._connection: socket.socket | None = None
        self._poll: select.poll | None = None
        self._before_overwrite = _do_nothing

    def attach(self, guarded: GuardedSocket) -> None:
        """Read from this socket from now on, beginning with what was pushed back into it.

        Parameters
        ----------
        guarded : GuardedSocket
            Connected; nothing else may read from it until `detach`.
        """
        # The poll object is made once: this is called for each time that bytes arrive.
        if self._connection is not guarded.socket or self._poll is None:
            self._connection = cast(socket.socket, guarded.socket)
            self._poll = select.poll()
            self._poll.register(self._connection, select.POLLIN)
        pushed_back = guarded.take_pushed_back()
        if pushed_back:
            self._make_room(len(pushed_back))
            self._buffer[: len(pushed_back)] = pushed_back
            self._start, self._end = 0, len(pushed_back)

    def detach(self, guarded: GuardedSocket) -> None:
        """Push bytes that were not consumed back into the socket, so that its next reader begins with them.

        Parameters
        ----------
        guarded : GuardedSocket
            The one of `attach`.
        """
        if self._end > self._start:
            guarded.push_back(self._buffer[self._start : self._end])
        self._start = self._end = 0

    def before_overwrite(self, use: Callable[[], None] | None) -> None:
        """Set what is called before bytes that `peek_available` returned may be overwritten; None: nothing."""
        self._before_overwrite = use or _do_nothing

    def fill(self, count: int) -> bool:
        """Read until a number of bytes is in the buffer.

        Parameters
        ----------
        count : int
            Bytes, at most `BUFFER_BYTES`.

        Returns
        -------
        bool
            False when the peer closed the connection before.

        Raises
        ------
        OSError
            The connection failed, or nothing arrived within the network timeout.
        """
        while self._end - self._start < count:
            self._before_overwrite()
            # Bytes are moved only when the rest does not fit, not with each read.
            if self._start + count > len(self._buffer):
                self._make_room(count)
            # As much as fits and not `count`: one system call brings the next fragments, too.
            received = cast(socket.socket, self._connection).recv_into(self._buffer[self._end :])
            if received == 0:
                return False
            self._end += received
        return True

    def require(self, count: int) -> None:
        """Read until a number of bytes is in the buffer, as `fill`.

        Raises
        ------
        ConnectionLostError
            The peer closed the connection before.
        OSError
            The connection failed, or nothing arrived within the network timeout.
        """
        if not self.fill(count):
            raise ConnectionLostError("the connection was closed in the middle of an object")

    def peek(self, count: int) -> memoryview:
        """Return the next bytes, which must be in the buffer, without consuming them; valid until more is read.

        Parameters
        ----------
        count : int
            Bytes, which `fill` or `require` has read.

        Returns
        -------
        memoryview of bytes
            Into the buffer; it changes with the next read.
        """
        return self._buffer[self._start : self._start + count]

    def peek_available(self, max_bytes: int) -> memoryview:
        """Return at least one of the next bytes and at most `max_bytes`, without consuming them.

        The view is valid until more is read; `before_overwrite` is called before that happens.

        Parameters
        ----------
        max_bytes : int
            At least 1.

        Returns
        -------
        memoryview of bytes
            1 to `max_bytes` bytes.

        Raises
        ------
        ConnectionLostError
            The peer closed the connection.
        OSError
            The connection failed, or nothing arrived within the network timeout.
        """
        if self._start == self._end:
            self._start = self._end = 0
            self.require(1)
        return self._buffer[self._start : min(self._end, self._start + max_bytes)]

    def consume(self, count: int) -> None:
        """Skip bytes that have been used."""
        self._start += count

    def is_readable_within(self, seconds: float) -> bool:
        """Return whether the next byte is in the buffer or arrives within a time.

        Parameters
        ----------
        seconds : float
            The longest wait, >= 0.

        Returns
        -------
        bool
            True also when the peer has closed the connection: the next read finds out.
        """
        if self._end > self._start:
            return True
        # TLS decrypts whole records: bytes may be in the library although the socket has none.
        if isinstance(self._connection, ssl.SSLSocket) and self._connection.pending():
            return True
        return bool(cast(select.poll, self._poll).poll(seconds * 1000))

    def _make_room(self, count: int) -> None:
        """Move bytes that are not consumed to the front, so that `count` bytes from there fit in."""
        if not self._buffer.nbytes:
            self._buffer = memoryview(bytearray(BUFFER_BYTES))
        if count > BUFFER_BYTES:
            raise ValueError(f"expected at most {BUFFER_BYTES} bytes to be looked at together, found {count}")
        # Copied first, because the two ranges may overlap.
        pending = bytes(self._buffer[self._start : self._end])
        self._buffer[: len(pending)] = pending
        self._start, self._end = 0, len(pending)
