"""Seeing the commits of a SQLite ledger, whether SQLAlchemy makes them or the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from node.ledger.database import Ledger


def watch_commits(ledger: Ledger, on_commit: Callable[[], None]) -> None:
    """Call `on_commit` when a commit begins, on every connection that is taken from the pool from now on."""

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            on_commit()

    @event.listens_for(ledger.engine, "checkout")
    def _taken(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.set_trace_callback(trace)
