"""A small listener for `/metrics`, `/health/live` and `/health/ready`, for nodes without pages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from config.addresses import is_loopback, is_within
from config.errors import SettingsError
from config.settings import MetricsSettings, Settings
from node.audit.metrics import Answer, live, metrics, ready
from node.ledger.database import Ledger

TIMEOUT_S = 5.0  # a client that sends nothing for this long is disconnected


@contextmanager
def serving_metrics(ledger: Ledger, settings: Settings) -> Iterator[int | None]:
    """Listen until the block ends; return the port, or None where `[metrics]` is off.

    Raises
    ------
    SettingsError
        When the address cannot be used.
    """
    if not settings.metrics.enabled:
        yield None
        return
    listener = settings.metrics
    answers: dict[str, Callable[[], Answer]] = {
        "/metrics": lambda: metrics(ledger, settings),
        "/health/live": live,
        "/health/ready": lambda: ready(ledger, settings),
    }
    try:
        server = _Server((listener.bind, listener.port), listener, answers)
    except OSError as error:
        raise SettingsError(f"[metrics] cannot listen on {listener.bind}:{listener.port}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], settings: MetricsSettings, answers: dict[str, Callable[[], Answer]]
    ) -> None:
        self.settings, self.answers = settings, answers
        super().__init__(address, _Handler)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Accept configured addresses, or loopback only where none is configured."""
        # By address and not by a password: what is collected contains nothing about a patient.
        address = str(client_address[0])  # type: ignore[index]
        allowed = self.settings.allowed_addresses
        return is_within(address, allowed) if allowed else is_loopback(address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a client that closed its connection is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S
    server_version, sys_version = "cptdn", ""

    def do_GET(self) -> None:
        respond = self.server.answers.get(self.path.partition("?")[0])
        answer = respond() if respond is not None else Answer(404, "text/plain", b"no such page\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a request for metrics is no event."""
