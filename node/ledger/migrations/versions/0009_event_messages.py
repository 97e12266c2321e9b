"""Lines of a history and errors of jobs as messages, so that a page shows them in its language."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_event_messages"
down_revision = "0008_withdrawals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add key and parameters; lines of earlier versions have their English text only."""
    with op.batch_alter_table("case_events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("message", sa.JSON(), nullable=True))
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("error_message", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Remove keys and parameters; the English text stays."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("error_message")
    with op.batch_alter_table("case_events", schema=None) as batch_op:
        batch_op.drop_column("message")
