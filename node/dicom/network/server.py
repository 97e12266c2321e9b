"""The listening side of an application entity: pynetdicom's server with the guards that a hospital's network needs.

- A connection has a read timeout, so half of a PDU never holds a thread for ever.
- A PDU that claims more than was negotiated closes its connection before anything is allocated.
- A TLS handshake happens in the connection's own thread, so a silent client does not stop the access.
- Connections are limited before anything is read from them.
- TCP_NODELAY: a response of 150 bytes leaves at once.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from node.dicom.network.guarded_socket import GuardedSocket
from node.dicom.network.upper_layer import GuardedUpperLayer, PduReceiver

log = structlog.get_logger("cptdn.network")

HANDSHAKE_TIMEOUT_S = 10.0


class GuardedRequestHandler(RequestHandler):
    """Gives each accepted association a guarded socket and upper layer."""

    def _create_association(self) -> Association:
        assoc = super()._create_association()
        provider = GuardedUpperLayer(assoc)
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
        make_receiver: Callable[[GuardedUpperLayer], PduReceiver] | None = None,
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
            if now - cast(GuardedUpperLayer, assoc.dul).started_at > seconds:
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
