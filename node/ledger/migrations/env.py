"""Alembic's entry: runs the migrations on the connection that `node.ledger.database.upgrade` passes."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from node.ledger.tables import Base, UtcDateTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Render our datetime type as the plain column type, so that a migration does not import today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
