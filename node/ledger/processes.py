"""Running processes: each refreshes its row every `BEAT_S` seconds, so that all of them know which have died."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from node.background.repeated_work import RepeatedWork, failing_work
from node.ledger.database import Ledger, now_utc
from node.ledger.tables import Process

# Four beats: a checkpoint of the ledger or a busy disk may delay two or three of them, although the process runs.
BEAT_S = 5.0
DEAD_AFTER = timedelta(seconds=20)
FORGET_AFTER = timedelta(days=1)


class Heartbeat:
    """The row of this process, refreshed by a thread of its own until `stop`.

    The row also says which background work of the process fails now (`info["failing"]`), so that every status shows it.
    """

    def __init__(self, ledger: Ledger, kind: str, info: dict[str, Any]) -> None:
        self.id = str(uuid.uuid4())
        self._ledger = ledger
        self._failing: list[dict[str, str]] = []  # as the row says
        now = now_utc()
        row = Process(
            id=self.id, kind=kind, host=socket.gethostname(), pid=os.getpid(), info=info, started_at=now, seen_at=now
        )  # fmt: skip
        with ledger.begin() as session:
            session.add(row)
        self._beating = RepeatedWork("heartbeat", self._beat, lambda: BEAT_S)
        self._beating.start()

    def ready(self, **info: Any) -> None:
        """Record that this process can do its work now; `info` is added to what its row says.

        Parameters
        ----------
        **info
            JSON values, for example the active bundle; equal keys replace those of the start.
        """
        with self._ledger.begin() as session:
            # None after a restored backup or a pause longer than `FORGET_AFTER`: the process works on without a row.
            row = session.get(Process, self.id)
            if row is not None:
                row.ready, row.info = True, {**row.info, **info}

    def stop(self) -> None:
        """End the thread and delete the row, so that the process does not seem to have died."""
        self._beating.stop()
        with self._ledger.begin() as session:
            session.execute(delete(Process).where(Process.id == self.id))

    def _beat(self) -> None:
        failing = [failure.as_json() for failure in failing_work()]
        with self._ledger.begin() as session:
            session.execute(update(Process).where(Process.id == self.id).values(seen_at=now_utc()))
            if failing != self._failing and (row := session.get(Process, self.id)) is not None:
                row.info = {**row.info, "failing": failing}
        self._failing = failing


@contextmanager
def heartbeat(ledger: Ledger, kind: str, **info: Any) -> Iterator[Heartbeat]:
    """Return the heartbeat of this process, which runs until the block ends.

    Parameters
    ----------
    kind : str
        ``node``, ``worker`` or ``web``.
    **info
        JSON values that status pages show.
    """
    beat = Heartbeat(ledger, kind, info)
    try:
        yield beat
    finally:
        beat.stop()


def live_processes(session: Session, kind: str | None = None) -> list[Process]:
    """Return the processes that were seen within `DEAD_AFTER`.

    A time in the future does not count as seen: after the clock went back, a process that had died would otherwise seem
    to run until the clock reaches that time again.

    Parameters
    ----------
    kind : str, optional
        ``node``, ``worker`` or ``web``; None: all.

    Returns
    -------
    list of Process
        Those that have run longest first.
    """
    now = now_utc()
    seen = (Process.seen_at > now - DEAD_AFTER, Process.seen_at < now + DEAD_AFTER)
    query = select(Process).where(*seen).order_by(Process.started_at)
    return list(session.scalars(query.where(Process.kind == kind) if kind else query))


def delete_dead_processes(session: Session) -> None:
    """Delete the rows of processes that have not been seen for `FORGET_AFTER`."""
    session.execute(delete(Process).where(Process.seen_at < now_utc() - FORGET_AFTER))
