"""What differs in a quarantined object from the stored one of the same SOP Instance UID."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_differences"
down_revision = "0004_time_of_statement"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the sentence of a conflict that an earlier version recorded still names what differs."""
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.add_column(sa.Column("differences", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    """Remove the column."""
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_column("differences")
