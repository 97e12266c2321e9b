"""Keeping the lease of a job while its step runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from node.ledger.database import Ledger
from node.ledger.jobs import LEASE, extend_lease

log = structlog.get_logger(__name__)


@contextmanager
def kept_lease(ledger: Ledger, job_id: str, worker: str) -> Iterator[None]:
    """Extend the lease from a thread of its own; a worker that dies stops extending, and the watchdog notices."""
    stopped = threading.Event()

    def extend() -> None:
        while not stopped.wait(LEASE.total_seconds() / 4):
            try:
                with ledger.begin() as session:
                    if not extend_lease(session, job_id, worker):
                        return
            except SQLAlchemyError as error:
                log.warning("the lease could not be extended; tried again", job=job_id, error=type(error).__name__)

    thread = threading.Thread(target=extend, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
