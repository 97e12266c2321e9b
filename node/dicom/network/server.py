"""The listening side of an application entity: pynetdicom's server with the guards that a hospital's network needs.

- A connection has a read timeout, so half of a PDU never blocks a thread for ever.
- A PDU that claims more than was negotiated closes its connection before anything is allocated.
- A TLS handshake happens in the connection's own thread, so a silent client does not stop the accept loop.
- Connections are limited before anything is read from them.
- TCP_NODELAY: a response of 150 bytes is sent at once.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from node.dicom.network.dimse import FileDimseProvider
from node.dicom.network.guarded_socket import GuardedSocket
from node.dicom.network.pynetdicom_internals import (
    DataSetWriter,
    RequestHandlerHooks,
    is_registered,
    register_server,
    start_abort,
    wrap_reactor,
)
from node.dicom.network.upper_layer import GuardedUpperLayer, PduReceiver
from node.store.part10 import FileMeta

log = structlog.get_logger("cptdn.network")

HANDSHAKE_TIMEOUT_S = 10.0
POLL_ACCEPT_LOOP_S = 0.1  # how soon the accept loop notices that it shall end
CHECK_ENDED_EVERY_S = 0.02


class GuardedRequestHandler(RequestHandlerHooks):
    """Gives each accepted association a guarded socket and upper layer, and files for its data sets."""

    def create_association(self) -> Association:
        """Create the association of this connection."""
        server = cast(GuardedServer, self.server)
        assoc = super().create_association()
        dimse = None
        if server.open_data_set is not None:
            # Before the upper layer, which replaces the message queue of the provider that it finds.
            assoc.dimse = dimse = FileDimseProvider(assoc, partial(server.open_data_set, assoc))
        upper_layer = GuardedUpperLayer(assoc)
        if server.make_receiver is not None:
            upper_layer.receiver = server.make_receiver(upper_layer)
        assoc.dul = upper_layer
        assoc.acse.negotiate_association = upper_layer.guarded(assoc.acse.negotiate_association)  # type: ignore[method-assign]
        wrap_reactor(assoc, upper_layer.guarded)
        if dimse is not None:
            upper_layer.on_end = dimse.discard_unfinished
            wrap_reactor(assoc, partial(_with_end, dimse.discard_unhandled))
        assoc.set_socket(GuardedSocket(assoc, client_socket=cast(socket.socket, self.request)))
        return assoc


def _with_end(end: Callable[[], None], step: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            step()
        finally:
            end()

    return run


class GuardedServer(ThreadedAssociationServer):
    """A threaded server whose accept loop cannot be blocked by a client.

    Parameters
    ----------
    *args, **kwargs
        As for pynetdicom's server; see `AE.make_server`.
    max_connections : int
        Connections beyond this are closed before anything is read from them.
    make_receiver : callable, optional
        Makes the receiver of PDUs that takes the fast path of an association.
    open_data_set : callable, optional
        Opens the file for a data set that an association announces; without it data sets are collected in memory.
    may_connect : callable
        Called with an address and the number of open connections from there; False closes the connection unread.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        *args: Any,
        max_connections: int = 128,
        make_receiver: Callable[[GuardedUpperLayer], PduReceiver] | None = None,
        open_data_set: Callable[[Association, FileMeta], DataSetWriter] | None = None,
        may_connect: Callable[[str, int], bool] = lambda _address, _n_open: True,
        **kwargs: Any,
    ) -> None:
        self.max_connections = max_connections
        self.may_connect = may_connect
        self.make_receiver = make_receiver
        self.open_data_set = open_data_set
        kwargs["request_handler"] = GuardedRequestHandler
        super().__init__(*args, **kwargs)

    def start_thread(self) -> None:
        """Run the accept loop in a daemon thread."""
        register_server(self.ae, self)
        options = {"poll_interval": POLL_ACCEPT_LOOP_S}
        threading.Thread(target=self.serve_forever, kwargs=options, name="accept", daemon=True).start()

    def stop(self, grace_s: float) -> list[Association]:
        """Accept no new connection, let open associations finish, then abort those that are left.

        Parameters
        ----------
        grace_s : float
            Seconds that open associations have to finish.

        Returns
        -------
        list of Association
            All associations that were open; empty when the server was stopped before.
        """
        if not is_registered(self.ae, self):
            return []
        active = self.active_associations
        self.shutdown()
        end = time.monotonic() + grace_s
        while any(assoc.is_alive() for assoc in active) and time.monotonic() < end:
            time.sleep(CHECK_ENDED_EVERY_S)
        for assoc in active:
            if assoc.is_alive():
                assoc.abort()
        self.ae.shutdown()
        return active

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection and set its options, the read timeout among them."""
        connection, address = cast(socket.socket, self.socket).accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that was switched off sends no FIN: without keepalive its idle association would count until its
        # timeout.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(self.ae.network_timeout)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether to read from a new connection at all.

        Parameters
        ----------
        request : socket.socket
            Accepted, nothing is read from it.
        client_address : tuple
            IP address and port.

        Returns
        -------
        bool
            False closes the connection without an A-ASSOCIATE-RJ, for which a request would have to be read first.
        """
        active = self.active_associations
        if len(active) >= self.max_connections:
            log.warning("too_many_connections", limit=self.max_connections, peer=client_address[0])
            return False
        n_open = sum(assoc.requestor.address == client_address[0] for assoc in active)
        return self.may_connect(client_address[0], n_open)

    def end_older_than(self, seconds: float) -> None:
        """Abort associations that have lasted longer than a time, also when they are busy.

        Parameters
        ----------
        seconds : float
            Longest duration of an association. Does not wait for the aborted ones to end.
        """
        now = time.monotonic()
        for assoc in self.active_associations:
            if now - cast(GuardedUpperLayer, assoc.dul).started_at > seconds:
                log.warning("association_too_long", limit_s=seconds, peer=assoc.requestor.address)
                start_abort(assoc)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin the association of a connection, in a thread of its own where there is a TLS handshake first."""
        if self.ssl_context is None:  # nothing waits for the peer here
            self.process_request_thread(request, client_address)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake, if any, and begin the association."""
        if self.ssl_context is not None:
            try:
                # Shorter than the network timeout: a handshake needs no disk and no operator.
                request.settimeout(HANDSHAKE_TIMEOUT_S)
                request = self.ssl_context.wrap_socket(request, server_side=True)
                request.settimeout(self.ae.network_timeout)
            except (ssl.SSLError, OSError) as error:
                log.warning("tls_handshake_failed", peer=client_address[0], reason=str(error))
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error of a connection; socketserver would print it."""
        log.exception("connection_failed", peer=client_address[0])
