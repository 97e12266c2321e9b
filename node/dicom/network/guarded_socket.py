"""The socket of an association: limited in what one PDU may claim, quick for small messages."""

from __future__ import annotations

import contextlib
import socket
from typing import cast

import structlog
from pynetdicom.transport import AddressInformation, AssociationSocket

log = structlog.get_logger("cptdn.network")

LARGEST_OTHER_PDU = 1 << 20  # of association requests and the like; real ones have a few kB
_RECEIVE_BYTES = 1 << 18


class GuardedSocket(AssociationSocket):
    """Reads whole pieces with one system call where it can, and never more than one PDU may have."""

    _pushed = b""

    def push_back(self, data: bytes | bytearray | memoryview) -> None:
        """Let the next `recv` begin with these bytes."""
        self._pushed = bytes(data) + self._pushed

    def take_pushed_back(self) -> bytes:
        """What was pushed back, to be read elsewhere."""
        taken, self._pushed = self._pushed, b""
        return taken

    @property
    def ready(self) -> bool:
        """Whether there is something to read; what was pushed back is."""
        return bool(self._pushed) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly `nr_bytes`, or fewer when the peer closed the connection. Raises OSError (also on a timeout)."""
        assoc = self.assoc
        largest = max(LARGEST_OTHER_PDU, assoc.acceptor.maximum_length or 0)
        if nr_bytes > largest:
            log.warning("pdu_too_large", claimed=nr_bytes, limit=largest, peer=assoc.requestor.address)
            raise OSError(f"a PDU of {nr_bytes} bytes was announced, at most {largest} are taken")
        connection = cast(socket.socket, self.socket)
        received = bytearray()
        if self._pushed:
            received += self._pushed[:nr_bytes]
            self._pushed = self._pushed[nr_bytes:]
        while len(received) < nr_bytes:
            piece = connection.recv(min(_RECEIVE_BYTES, nr_bytes - len(received)))
            if not piece:
                break
            received += piece
        return received

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        """Of a connection that we open: small messages leave at once from the first on."""
        connection = super()._create_socket(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _shutdown_socket(self) -> None:
        """Close, also when the peer has left first; pynetdicom would leave the descriptor to the garbage collector."""
        if self.socket is not None:
            close_socket(self.socket)


def close_socket(connection: socket.socket) -> None:
    """Shut down and close a connection, whatever state it is in."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
