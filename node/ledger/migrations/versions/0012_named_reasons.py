"""Reasons of deliveries, of quarantined objects and of notices as messages, for pages and mails in their language."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_named_reasons"
down_revision = "0011_merges_undone"
branch_labels = None
depends_on = None

COLUMNS = (("deliveries", "error_message"), ("quarantine", "message"), ("notices", "message"))


def upgrade() -> None:
    """Add key and parameters; rows of earlier versions have their English text only."""
    for table, column in COLUMNS:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column(column, sa.JSON(), nullable=True))


def downgrade() -> None:
    """Remove keys and parameters; the English text stays."""
    for table, column in reversed(COLUMNS):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(column)
