"""The process of `cptdn web`: checks of its exposure, uvicorn, heartbeat."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from starlette.routing import BaseRoute, Route

from config.addresses import is_loopback
from config.errors import SettingsError
from config.settings import Settings
from node.audit.forwarding import forwarding
from node.audit.recorder import Audit, audited, open_audit
from node.ledger.accounts import has_users
from node.ledger.database import open_ledger
from node.ledger.processes import Heartbeat, heartbeat
from node.messaging.broker import broker_url
from node.messaging.questions import WorkerClient
from node.messaging.queue import make_celery
from node.store.study_store import StudyStore
from node.web.app import create_app
from node.web.audit import program_routes, web_audit
from node.web.context import WebContext

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # for TLS 1.2 (RFC 9325); TLS 1.3 has no others
SHUTDOWN_S = 2  # for open streams of live updates
DICOMWEB = "/dicomweb/"
log = structlog.get_logger("cptdn.web")


def check_exposure(settings: Settings, users: bool) -> None:
    """Check that pages which other machines can reach have TLS, a user, and tokens for FHIR and DICOMweb.

    Parameters
    ----------
    settings : Settings
        `[web]`, `[fhir]` and `[dicomweb]`.
    users : bool
        Whether the ledger has a user.

    Raises
    ------
    SettingsError
        When something is missing; it names the setting or the command.
    """
    web = settings.web
    if is_loopback(web.bind):
        return
    if web.tls is None:
        raise SettingsError(
            f"[web] bind = {web.bind!r} can be reached from other machines and needs [web] tls = "
            '{ certificate = "...", private_key = "..." }; or bind to 127.0.0.1'
        )
    if not users:
        raise SettingsError(
            f"[web] bind = {web.bind!r} can be reached from other machines and needs a user: "
            "`cptdn users add NAME --role admin`"
        )
    if settings.fhir.receive and settings.fhir.receive_token is None:
        raise SettingsError(f"[fhir] receive with [web] bind = {web.bind!r} needs [fhir] receive_token")
    if settings.dicomweb.receive and settings.dicomweb.senders_file is None:
        raise SettingsError(f"[dicomweb] receive with [web] bind = {web.bind!r} needs [dicomweb] senders_file")


def run_web(settings: Settings) -> None:
    """Serve the pages until SIGTERM or Ctrl-C.

    Parameters
    ----------
    settings : Settings
        The whole configuration.

    Raises
    ------
    SettingsError
        When `check_exposure` refuses, or address or certificate cannot be used.
    LedgerError
        When the ledger cannot be opened.
    """
    ledger = open_ledger(settings.ledger.url or "")
    with ledger.read() as session:
        users = has_users(session)
    check_exposure(settings, users)
    # Before uvicorn, which would end the process with a traceback for a port that is in use.
    listener = _listen(settings)
    store = StudyStore(settings.storage.root, settings.storage.min_free_gb)
    url = broker_url(settings)
    workers = WorkerClient(make_celery(url, settings.broker), url)
    audit = open_audit(settings, "web")
    context = WebContext(settings, ledger, store, workers, web_audit(audit, ledger))
    tls = _tls(settings)
    with (
        forwarding(settings, audit.trail),
        audited(audit),
        heartbeat(ledger, "web", bind=settings.web.bind) as beat,
        _dicomweb_routes(context, audit, beat) as dicomweb,
    ):
        routes = [*program_routes(ledger, settings), *dicomweb]
        app = create_app(context, routes, large_bodies=DICOMWEB if dicomweb else "")
        config = uvicorn.Config(
            # No access log: paths contain Study Instance UIDs; the audit trail records who saw which study.
            # proxy_headers off: a client could claim any address by X-Forwarded-For.
            app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_S, timeout_keep_alive=30, h11_max_incomplete_event_size=64 * 1024,
            ws="none", **tls,
        )  # fmt: skip
        _serve(config, listener, beat, settings)
    store.close()
    ledger.close()


@contextmanager
def _dicomweb_routes(context: WebContext, audit: Audit, beat: Heartbeat) -> Iterator[list[BaseRoute]]:
    """Return the routes of STOW-RS while the intake behind them is open; none where `[dicomweb] receive` is off."""
    settings = context.settings
    if not settings.dicomweb.receive:
        yield []
        return
    # Imported here: the pages need no DICOM network.
    from node.dicom.dicomweb.reception import Reception
    from node.dicom.network.library_settings import configure_pydicom_pynetdicom
    from node.web.dicomweb_endpoint import STUDIES, dicomweb_endpoint

    configure_pydicom_pynetdicom()
    context.store.prepare()
    reception = Reception(settings, context.ledger, context.store, beat.id, audit)
    try:
        endpoint = dicomweb_endpoint(reception)
        yield [Route(path, endpoint, methods=["POST"]) for path in (STUDIES, STUDIES + "/{study}")]
    finally:
        reception.close()


def _serve(config: uvicorn.Config, listener: socket.socket, beat: Heartbeat, settings: Settings) -> None:
    port = int(listener.getsockname()[1])
    server = _Server(config, lambda: beat.ready(port=port))
    log.info("ready", bind=settings.web.bind, port=port)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server; it calls `ready` when it listens, and returns after a signal."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Return after a signal: the base class raises it again, which would end the process before the heartbeat."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then report it."""
        await super().startup(sockets)
        self._ready()


def _listen(settings: Settings) -> socket.socket:
    web = settings.web
    try:
        family = socket.AF_INET6 if ":" in web.bind else socket.AF_INET
        return socket.create_server((web.bind, web.port), family=family)
    except OSError as error:
        raise SettingsError(f"[web] cannot listen on {web.bind}:{web.port}: {error.strerror}") from error


def _tls(settings: Settings) -> dict[str, Any]:
    """Return the arguments for uvicorn, after trying the certificate: uvicorn would end with a traceback."""
    tls = settings.web.tls
    if tls is None:
        return {}
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.private_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[web] tls: certificate and key cannot be used: {error}") from error
    return {
        "ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.private_key), "ssl_ciphers": CIPHERS,
        "ssl_version": ssl.PROTOCOL_TLS_SERVER,
    }  # fmt: skip
