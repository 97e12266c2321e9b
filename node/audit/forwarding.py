"""Forward the local trail to the audit repository: in order, later when it is unreachable, each line at least once.

The trail is the spool: a small file records how far it has been forwarded. Every long-running process of a machine may
forward; the one that has the lock does, and another one continues when it ends.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from config.atomic_files import write_atomically
from config.errors import SettingsError
from config.settings import Settings
from node.audit.syslog import Repository, RepositoryError
from node.audit.trail_file import TrailFile
from node.background.repeated_work import RepeatedWork

log = structlog.get_logger("cptdn.audit")

CHECK_EVERY_S = 0.5
TRY_AGAIN_S, TRY_AGAIN_LONGEST_S = 1.0, 30.0
BATCH_BYTES = 256 * 1024
POSITION = "forwarded.json"


@dataclass(frozen=True)
class Position:
    """How far the trail has been forwarded.

    Attributes
    ----------
    number : int
        Number of the file.
    offset : int
        Bytes of that file, from its beginning, that the repository has; all earlier files it has as well.
    """

    number: int
    offset: int


class Forwarder:
    """Forwards what the repository does not have yet; one object for one repository.

    Parameters
    ----------
    keep_days : int, optional
        Closed files older than this are removed once they are forwarded; None keeps all.
    """

    def __init__(self, trail: TrailFile, repository: Repository, keep_days: int | None = None) -> None:
        self._trail, self._repository, self._keep_days = trail, repository, keep_days

    def forward(self) -> int:
        """Send everything that was not forwarded yet; return the number of messages.

        The position is saved after each batch: when it cannot be saved, the batch is sent again, never skipped.

        Raises
        ------
        RepositoryError
            When the repository does not accept messages.
        OSError
            When the trail cannot be read or the position not saved.
        """
        n_sent, position = 0, read_position(self._trail)
        while True:
            messages, following = self._next(position)
            if messages:
                self._repository.send(messages)
                n_sent += len(messages)
            if following == position:
                return n_sent
            position = following
            _write_position(self._trail, position)

    def close(self) -> None:
        """Close the connection."""
        self._repository.close()

    def prune(self) -> None:
        """Remove old files that are forwarded, where the site wants that."""
        if self._keep_days is not None:
            self._trail.prune(self._keep_days, read_position(self._trail).number)

    def _next(self, position: Position) -> tuple[list[bytes], Position]:
        """Return the next complete messages, and the position behind them."""
        path = self._trail.path(position.number)
        data = b""
        if path.exists():
            with path.open("rb") as stream:
                stream.seek(position.offset)
                data = stream.read(BATCH_BYTES)
        # Only whole lines: another process may be writing the last one at this moment.
        whole = data[: data.rfind(b"\n") + 1]
        if whole:
            # Half a line that a power cut left does not begin with "<" and is no message.
            messages = [line for line in whole.split(b"\n") if line.startswith(b"<")]
            return messages, Position(position.number, position.offset + len(whole))
        # A later file exists only after this one was closed: nothing will be added to it any more.
        later = [number for number in self._trail.numbers() if number > position.number]
        return [], Position(later[0], 0) if later else position


def read_position(trail: TrailFile) -> Position:
    """Return where forwarding continues.

    That is the beginning of the trail when nothing was forwarded, and when the saved position cannot be read: sending a
    line twice is better than never.
    """
    try:
        saved = json.loads((trail.folder / POSITION).read_text(encoding="ascii"))
        return Position(int(saved["number"]), int(saved["offset"]))
    except (OSError, ValueError, KeyError, TypeError):
        # Numbers begin above 1 where old files were removed.
        return Position(min(trail.numbers(), default=1), 0)


def backlog_bytes(trail: TrailFile) -> int:
    """Return how much of the trail the repository does not have.

    Returns
    -------
    int
        Bytes of all lines after the saved position.
    """
    position = read_position(trail)
    sizes = {n: trail.path(n).stat().st_size for n in trail.numbers() if n >= position.number}
    return max(0, sum(sizes.values()) - (position.offset if position.number in sizes else 0))


@contextmanager
def forwarding(settings: Settings, trail: TrailFile) -> Iterator[None]:
    """Forward in a thread of its own until the block ends; do nothing where no repository is configured.

    At the end, one more attempt sends what was recorded last.
    """
    syslog = settings.audit.syslog
    if syslog is None or not settings.audit.enabled:
        yield
        return
    stop = threading.Event()
    forwarder = Forwarder(trail, Repository(syslog), settings.audit.keep_days)
    forwarding = RepeatedWork("audit", partial(_forward_as_one, forwarder, trail, stop), lambda: CHECK_EVERY_S)
    forwarding.start()
    try:
        yield
    finally:
        stop.set()
        # One attempt to connect and one to send; what was not sent is in the trail for the next start.
        forwarding.stop(2 * syslog.timeout_s)
        forwarder.close()


def _forward_as_one(forwarder: Forwarder, trail: TrailFile, stop: threading.Event) -> None:
    try:
        # Two forwarders would send each line twice and overwrite each other's position.
        with trail.locked("forward.lock", wait=False):
            _forward_until(forwarder, stop)
    except (BlockingIOError, FileNotFoundError):
        return  # another process forwards, or the folder does not exist yet


def _forward_until(forwarder: Forwarder, stop: threading.Event) -> None:
    wait, last = CHECK_EVERY_S, False
    while True:
        try:
            forwarder.forward()
            forwarder.prune()
            if wait != CHECK_EVERY_S:
                log.info("audit_repository_reachable")
            wait = CHECK_EVERY_S
        except (RepositoryError, SettingsError, OSError) as error:
            # One warning for each failure of the repository, not one for each attempt.
            if wait == CHECK_EVERY_S:
                log.warning("audit_repository_unreachable", reason=str(error))
            wait = TRY_AGAIN_S if wait == CHECK_EVERY_S else min(TRY_AGAIN_LONGEST_S, 2 * wait)
        if last:
            return
        last = stop.wait(wait)  # one attempt more, so that what was recorded last is sent, too


def _write_position(trail: TrailFile, position: Position) -> None:
    document = {"number": position.number, "offset": position.offset}
    write_atomically(trail.folder / POSITION, json.dumps(document), durable=True)
