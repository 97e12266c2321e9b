"""Keeping a lease while its work is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.ledger.database import Ledger

log = structlog.get_logger(__name__)


@contextmanager
def extending_lease(ledger: Ledger, extend: Callable[[Session], bool], lease: timedelta) -> Iterator[None]:
    """Call `extend` four times a lease from a thread of its own, until it says that the lease is lost.

    A process that dies stops extending, and the watchdog notices. The thread waits by the monotonic clock, so a wall
    clock that jumps does not stop it.
    """
    stopped = threading.Event()

    def keep() -> None:
        while not stopped.wait(lease.total_seconds() / 4):
            try:
                with ledger.begin() as session:
                    if not extend(session):
                        return
            except SQLAlchemyError as error:
                log.warning("the lease could not be extended; tried again", error=type(error).__name__)

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
