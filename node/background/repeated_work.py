"""Work that a process repeats in a thread of its own, and that no error ends.

Every loop that runs in the background is one of these: a thread that dies of one error of the database would leave the
process alive and a part of its work undone, and no status would show it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.errors import CptdnError

log = structlog.get_logger("cptdn.background")

# After an error: this long, doubled with every further one.
RETRY_FIRST_S, RETRY_LONGEST_S = 0.5, 8.0
STOP_WAIT_S = 8.0


@dataclass(frozen=True)
class Failure:
    """Work that fails now, and is tried again.

    Attributes
    ----------
    name : str
        Of the work.
    since : datetime
        When it first failed after its last success; aware, UTC.
    error : str
        What happened last, for an administrator.
    """

    name: str
    since: datetime
    error: str

    def as_json(self) -> dict[str, str]:
        """Return name, since (ISO 8601) and error."""
        return {"name": self.name, "since": self.since.isoformat(), "error": self.error}


_failing: dict[str, Failure] = {}  # by name of the work, of this process


def failing_work() -> list[Failure]:
    """Return the work of this process that fails now.

    Returns
    -------
    list of Failure
        What has failed for the longest time first.
    """
    return sorted(_failing.values(), key=lambda failure: failure.since)


class RepeatedWork:
    """One kind of work, repeated in a thread of its own from `start` to `stop`.

    Work is done at once when it is notified, else after the seconds that it asks for. After an error it is tried again
    with growing waits, and `failing_work` names it until it succeeds.

    Parameters
    ----------
    name : str
        Name of the thread, and of the work in the log.
    work : callable
        Does what is due.
    seconds_to_next : callable
        Returns how many seconds the work may wait when it is not notified.
    retry_longest_s : float
        Longest wait after errors, in seconds.
    """

    def __init__(
        self, name: str, work: Callable[[], Any], seconds_to_next: Callable[[], float],
        retry_longest_s: float = RETRY_LONGEST_S,
    ) -> None:  # fmt: skip
        self.name, self._work, self._seconds_to_next = name, work, seconds_to_next
        self._retry_longest_s = retry_longest_s
        self._notified = threading.Event()
        self._stopping = threading.Event()
        self._n_failed = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called: work of many parts ends after the part in progress."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the thread; the work is done at once for the first time."""
        self._thread.start()

    def notify(self) -> None:
        """Have the work done now, or again when it is being done; may be called from any thread, before `start` too."""
        self._notified.set()

    def stop(self, wait_s: float = STOP_WAIT_S) -> None:
        """Wait for the work in progress, and do no more.

        Parameters
        ----------
        wait_s : float
            Longest time in seconds; work that waits longer, for a silent peer, ends with the process.
        """
        self._stopping.set()
        self.notify()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        _failing.pop(self.name, None)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait_s = self._once()
            # Cleared after the wait: a notification during the work ends the wait at once, so nothing is missed.
            self._notified.wait(wait_s)
            self._notified.clear()

    def _once(self) -> float:
        """Do the work once; return the seconds to wait."""
        try:
            self._work()
            wait_s = self._seconds_to_next()
        except Exception as error:  # whatever it is: the next try may succeed, and other work does not depend on it
            return self._failed(error)
        if self._n_failed:
            log.info("work_succeeds_again", work=self.name, failed=self._n_failed)
        self._n_failed = 0
        _failing.pop(self.name, None)
        return wait_s

    def _failed(self, error: Exception) -> float:
        self._n_failed += 1
        before, described = _failing.get(self.name), _described(error)
        _failing[self.name] = Failure(self.name, before.since if before else datetime.now(UTC), described)
        # One line for each cause, not one for each attempt; a traceback only where it explains something: not for the
        # database, a network or a disk.
        if before is None or before.error != described:
            known = isinstance(error, CptdnError | SQLAlchemyError | OSError)
            log.error("work_failed", work=self.name, error=described, exc_info=None if known else error)
        return min(self._retry_longest_s, RETRY_FIRST_S * 2.0 ** min(self._n_failed - 1, 20))


def _described(error: Exception) -> str:
    """Describe an error without what may be about a patient: the text of a database error quotes the row."""
    if isinstance(error, CptdnError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__
