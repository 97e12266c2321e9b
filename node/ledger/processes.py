"""Which of our processes live: each beats in the ledger, so that any of them can tell who has died."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.ledger.database import Ledger, now_utc
from node.ledger.tables import Process

BEAT_S = 5.0
DEAD_AFTER = timedelta(seconds=20)
FORGET_AFTER = timedelta(days=1)


class Heartbeat:
    """One process's sign of life, beating in a thread of its own until `stop`."""

    def __init__(self, ledger: Ledger, kind: str, info: dict[str, Any]) -> None:
        self.id = str(uuid.uuid4())
        self._ledger = ledger
        self._stopped = threading.Event()
        now = now_utc()
        row = Process(
            id=self.id, kind=kind, host=socket.gethostname(), pid=os.getpid(), info=info, started_at=now, seen_at=now
        )  # fmt: skip
        with ledger.begin() as session:
            session.add(row)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def ready(self, **info: Any) -> None:
        """Say that this process can do its work now."""
        with self._ledger.begin() as session:
            row = session.get(Process, self.id)
            if row is not None:
                row.ready, row.info = True, {**row.info, **info}

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        with self._ledger.begin() as session:
            session.execute(delete(Process).where(Process.id == self.id))

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_S):
            try:
                with self._ledger.begin() as session:
                    session.execute(update(Process).where(Process.id == self.id).values(seen_at=now_utc()))
            except SQLAlchemyError:  # a ledger that is away for a moment: the next beat tries again
                continue


@contextmanager
def heartbeat(ledger: Ledger, kind: str, **info: Any) -> Iterator[Heartbeat]:
    beat = Heartbeat(ledger, kind, info)
    try:
        yield beat
    finally:
        beat.stop()


def live_processes(session: Session, kind: str | None = None) -> list[Process]:
    """Processes that were seen lately (and not later than now: the clock may have gone back)."""
    now = now_utc()
    seen = (Process.seen_at > now - DEAD_AFTER, Process.seen_at < now + DEAD_AFTER)
    query = select(Process).where(*seen).order_by(Process.started_at)
    return list(session.scalars(query.where(Process.kind == kind) if kind else query))


def delete_dead_processes(session: Session) -> None:
    """Remove rows of processes that died long ago."""
    session.execute(delete(Process).where(Process.seen_at < now_utc() - FORGET_AFTER))
