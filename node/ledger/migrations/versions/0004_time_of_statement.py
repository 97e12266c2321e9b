"""When the sender of a clinical fact wrote it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_time_of_statement"
down_revision = "0003_discarded_objects"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; facts of earlier versions have none and count by their order of recording, as before."""
    with op.batch_alter_table("clinical_facts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stated_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Remove the column."""
    with op.batch_alter_table("clinical_facts", schema=None) as batch_op:
        batch_op.drop_column("stated_at")
