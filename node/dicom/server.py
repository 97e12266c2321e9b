"""The listening side of an application entity: pynetdicom's server with the guards that a hospital's network needs.

- A connection has a read timeout, so half of a PDU never holds a thread for ever.
- A PDU that claims more than was negotiated closes its connection before anything is allocated.
- A TLS handshake happens in the connection's own thread, so a silent client does not stop the door.
- Connections are limited before anything is read from them.
- TCP_NODELAY: a response of 150 bytes leaves at once.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation, AssociationSocket, RequestHandler, ThreadedAssociationServer

from node.dicom.fast_store import StoreReceiver
from node.dicom.upper_layer import GuardedProvider

log = structlog.get_logger("cptdn.network")

HANDSHAKE_TIMEOUT_S = 10.0
LARGEST_OTHER_PDU = 1 << 20  # of association requests and the like; real ones have a few kB
_RECEIVE_BYTES = 1 << 18


class GuardedSocket(AssociationSocket):
    """Reads whole pieces with one system call where it can, and never more than one PDU may have."""

    _pushed = b""

    def push_back(self, data: bytes | bytearray | memoryview) -> None:
        """Let the next `recv` begin with these bytes."""
        self._pushed = bytes(data) + self._pushed

    def take_pushed(self) -> bytes:
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


class GuardedRequestHandler(RequestHandler):
    """Gives each accepted association a guarded socket and upper layer."""

    def _create_association(self) -> Association:
        assoc = super()._create_association()
        provider = GuardedProvider(assoc)
        make_receiver = cast(GuardedServer, self.server).make_receiver
        if make_receiver is not None:
            provider.receiver = make_receiver(provider)
        assoc.dul = provider
        assoc.acse.negotiate_association = provider.guarded(assoc.acse.negotiate_association)  # type: ignore[method-assign]
        assoc._run_reactor = provider.guarded(assoc._run_reactor)  # type: ignore[method-assign]
        assoc.set_socket(GuardedSocket(assoc, client_socket=cast(socket.socket, self.request)))
        return assoc


class GuardedServer(ThreadedAssociationServer):
    """A threaded server whose accept loop cannot be blocked by a client."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        *args: Any,
        most_connections: int = 128,
        make_receiver: Callable[[GuardedProvider], StoreReceiver] | None = None,
        may_connect: Callable[[str, int], bool] = lambda _address, _n_open: True,
        **kwargs: Any,
    ) -> None:
        """may_connect : asked with an address and how many connections from there are open, before anything is read."""
        self.most_connections = most_connections
        self.may_connect = may_connect
        self.make_receiver = make_receiver
        kwargs["request_handler"] = GuardedRequestHandler
        super().__init__(*args, **kwargs)

    def start_thread(self) -> None:
        """Run the accept loop in a daemon thread."""
        self.ae._servers.append(self)  # where pynetdicom's own start_server keeps them; shutdown() looks there
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="accept", daemon=True).start()

    def stop(self, grace_s: float) -> list[Association]:
        """Take no new connection, let open associations finish for `grace_s`, then abort what is left; returns all
        associations that were open. Safe to call twice."""
        if self not in self.ae._servers:
            return []
        active = self.active_associations
        self.shutdown()
        end = time.monotonic() + grace_s
        while any(assoc.is_alive() for assoc in active) and time.monotonic() < end:
            time.sleep(0.02)
        for assoc in active:
            if assoc.is_alive():
                assoc.abort()
        self.ae.shutdown()
        return active

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = cast(socket.socket, self.socket).accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(self.ae.network_timeout)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        active = self.active_associations
        if len(active) >= self.most_connections:
            log.warning("too_many_connections", limit=self.most_connections, peer=client_address[0])
            return False
        return self.may_connect(client_address[0], sum(a.requestor.address == client_address[0] for a in active))

    def end_older_than(self, seconds: float) -> None:
        """Abort associations that have lasted longer, however busy they look."""
        now = time.monotonic()
        for assoc in self.active_associations:
            if now - cast(GuardedProvider, assoc.dul).begun_at > seconds:
                log.warning("association_too_long", limit_s=seconds, peer=assoc.requestor.address)
                assoc._abort_nonblocking()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.ssl_context is None:  # nothing waits for the peer, so no thread is needed for it
            self.process_request_thread(request, client_address)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if self.ssl_context is not None:
            try:
                request.settimeout(HANDSHAKE_TIMEOUT_S)
                request = self.ssl_context.wrap_socket(request, server_side=True)
                request.settimeout(self.ae.network_timeout)
            except (ssl.SSLError, OSError) as error:
                log.warning("tls_handshake_failed", peer=client_address[0], reason=str(error))
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("connection_failed", peer=client_address[0])
