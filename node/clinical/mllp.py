"""A server for HL7 v2 over MLLP (HL7 v2.5.1 Appendix C.4): one thread per connection, with limits of size and time."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import traceback
from pathlib import Path

import structlog

from config.addresses import is_loopback, is_within
from config.errors import CptdnError
from config.settings import Hl7Settings, Settings
from node.clinical.hl7_acknowledgement import acknowledge
from node.clinical.hl7_messages import handle_message
from node.ledger.database import Ledger

START_BLOCK, END_BLOCK, CARRIAGE_RETURN = b"\x0b", b"\x1c", b"\r"
CHUNK_BYTES = 65536
MAX_CONNECTIONS = 64
POLL_S = 0.05  # longest time that a stop waits for the accept loop
log = structlog.get_logger(__name__)


class MllpServer:
    """Receives ORU messages and records their facts.

    Each message is acknowledged after its facts are durable; a repeated message changes nothing.

    Parameters
    ----------
    ledger : Ledger
        Receives the facts.
    settings : Settings
        `[hl7]`: address, allowed senders, limits, TLS.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use; with `port = 0` the one that the system chose."""
        if self._server is None:
            return self.settings.hl7.port
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen in a thread of its own; CptdnError when the port cannot be bound."""
        hl7 = self.settings.hl7
        try:
            self._server = _Server((hl7.bind, hl7.port), self.ledger, self.settings)
        except OSError as error:
            raise CptdnError(f"cannot listen for HL7 on {hl7.bind}:{hl7.port}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="hl7", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and end the open connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.close_connections()
        if self._thread is not None:
            self._thread.join()
        self._server = self._thread = None


class _Server(socketserver.ThreadingTCPServer):
    # Otherwise the port stays in use for a minute after a restart.
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.tls = _tls_context(settings.hl7)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Return whether the sender is on the configured list, or on loopback where the list is empty."""
        # Before anything is read: a thread for each connection, and no more of them than this.
        if len(self._open) >= MAX_CONNECTIONS:
            log.warning("too many HL7 connections", limit=MAX_CONNECTIONS)
            return False
        address = str(client_address[0])  # type: ignore[index]
        allowed = self.settings.hl7.allowed_addresses
        return is_within(address, allowed) if allowed else is_loopback(address)

    def opened(self, connection: socket.socket) -> None:
        """Count a connection as open."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Count a connection as closed."""
        with self._lock:
            self._open.discard(connection)

    def close_connections(self) -> None:
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        hl7 = self.server.settings.hl7
        connection: socket.socket = self.request
        connection.settimeout(hl7.idle_timeout_s)
        self.server.opened(connection)
        try:
            if self.server.tls is not None:  # here, so that a slow handshake does not stop the accept loop
                connection = self.server.tls.wrap_socket(connection, server_side=True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._converse(connection, hl7.max_message_kb * 1024)
        except OSError:
            log.info("an HL7 connection ended")
        finally:
            self.server.closed(self.request)

    def _converse(self, connection: socket.socket, limit: int) -> None:
        buffer = b""
        while chunk := connection.recv(CHUNK_BYTES):
            buffer += chunk
            while (end := buffer.find(END_BLOCK)) >= 0:
                # The last start block before the end: a sender that gave up within a message begins another one.
                start = buffer.rfind(START_BLOCK, 0, end)
                message, buffer = buffer[start + 1 : end], buffer[end + 1 :].lstrip(CARRIAGE_RETURN)
                if start >= 0:
                    connection.sendall(START_BLOCK + self._answer(message) + END_BLOCK + CARRIAGE_RETURN)
            # Without an end block the buffer would grow as long as something is sent.
            if len(buffer) > limit:
                answer = acknowledge(
                    buffer.partition(START_BLOCK)[2], "AR", [f"the message is larger than {limit} bytes"]
                )
                connection.sendall(START_BLOCK + answer + END_BLOCK + CARRIAGE_RETURN)
                return

    def _answer(self, message: bytes) -> bytes:
        try:
            return handle_message(message, self.server.ledger, self.server.settings)
        except Exception as error:  # the laboratory gets an answer to any message, and no content enters the log
            last = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "an HL7 message was not recorded",
                error=type(error).__name__, where=f"{Path(last.filename).name}:{last.lineno}",
            )  # fmt: skip
            return acknowledge(message, "AE", ["the message could not be recorded; send it again later"])


def _tls_context(hl7: Hl7Settings) -> ssl.SSLContext | None:
    if hl7.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(hl7.tls.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(hl7.tls.certificate), str(hl7.tls.private_key))
    context.verify_mode = ssl.CERT_REQUIRED if hl7.tls.require_client_certificate else ssl.CERT_NONE
    return context
