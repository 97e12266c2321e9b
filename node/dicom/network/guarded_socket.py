"""The socket of an association: limited in what one PDU may announce, quick for small messages."""

from __future__ import annotations

import contextlib
import socket
from typing import cast

import structlog
from pynetdicom.transport import AddressInformation

from node.dicom.network.pynetdicom_internals import SocketHooks

log = structlog.get_logger("cptdn.network")

LARGEST_OTHER_PDU = 1 << 20  # bytes of association requests and the like; real ones have a few kB
_RECEIVE_BYTES = 1 << 18


class GuardedSocket(SocketHooks):
    """Reads large pieces with one system call where it can, and never more than one PDU may have."""

    _pushed_back = b""

    def push_back(self, data: bytes | bytearray | memoryview) -> None:
        """Let the next `recv` begin with these bytes."""
        self._pushed_back = bytes(data) + self._pushed_back

    def take_pushed_back(self) -> bytes:
        """Return the bytes that were pushed back and forget them."""
        taken, self._pushed_back = self._pushed_back, b""
        return taken

    @property
    def ready(self) -> bool:
        """Whether there are bytes to read, from the connection or pushed back."""
        return bool(self._pushed_back) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a number of bytes, waiting for them at most the network timeout.

        Parameters
        ----------
        nr_bytes : int
            Bytes to read, >= 0.

        Returns
        -------
        bytearray
            Exactly `nr_bytes`, or fewer when the peer closed the connection.

        Raises
        ------
        OSError
            The connection failed, the network timeout is over, or a PDU announced more bytes than one may have:
            pynetdicom would allocate up to 4 GB for the length field of a PDU (PS3.8 section 9.3.1).
        """
        assoc = self.assoc
        # The negotiated maximum counts for P-DATA only (PS3.8 section D.1.1); an association request may be longer than
        # it.
        largest = max(LARGEST_OTHER_PDU, assoc.acceptor.maximum_length or 0)
        if nr_bytes > largest:
            log.warning("pdu_too_large", claimed=nr_bytes, limit=largest, peer=assoc.requestor.address)
            raise OSError(f"expected a PDU of at most {largest} bytes, found one of {nr_bytes}")
        connection = cast(socket.socket, self.socket)
        received = bytearray()
        if self._pushed_back:
            received += self._pushed_back[:nr_bytes]
            self._pushed_back = self._pushed_back[nr_bytes:]
        while len(received) < nr_bytes:
            # In pieces: the memory grows with what has arrived, not with what a length field claims.
            piece = connection.recv(min(_RECEIVE_BYTES, nr_bytes - len(received)))
            if not piece:
                break
            received += piece
        return received

    def create_connection(self, address: AddressInformation) -> socket.socket:
        """Create the socket of a connection that we open, without Nagle's delay for small messages."""
        connection = super().create_connection(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close_connection(self) -> None:
        """Close the socket, also when the peer has closed its end first.

        pynetdicom closes only what it could shut down, and leaves other descriptors to the garbage collector.
        """
        if self.socket is not None:
            close_socket(self.socket)


def close_socket(connection: socket.socket) -> None:
    """Shut down and close a connection in any state; safe to call twice."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
