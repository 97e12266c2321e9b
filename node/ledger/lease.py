"""Extending a lease while its work is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from node.ledger.database import Ledger

log = structlog.get_logger(__name__)


@contextmanager
def extending_lease(ledger: Ledger, extend: Callable[[Session], bool], lease: timedelta) -> Iterator[None]:
    """Call `extend` four times a lease, from a thread of its own, until the block ends or the lease is lost.

    A process that dies extends nothing, and the watchdog gives its work to another one. The thread waits by the
    monotonic clock, so a jump of the wall clock does not stop it.

    Parameters
    ----------
    extend : callable
        Extends the lease in the given session; returns False when it was lost.
    lease : timedelta
        Length of the lease.
    """
    stopped = threading.Event()

    def extend_until_stopped() -> None:
        # A quarter: two extensions in a row may fail, or wait for a busy ledger, and the lease is still not over.
        while not stopped.wait(lease.total_seconds() / 4):
            try:
                with ledger.begin() as session:
                    if not extend(session):
                        return
            except Exception as error:  # a thread that ended here would lose the lease of work that goes on
                # Whether the lease was lost is decided when the result is recorded (`get_leased`), not here.
                log.warning("lease_not_extended", error=type(error).__name__)

    thread = threading.Thread(target=extend_until_stopped, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
