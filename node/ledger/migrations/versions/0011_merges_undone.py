"""When a merge of two patients was written, and when it was undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_merges_undone"
down_revision = "0010_patient_merges"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; merges of earlier versions have no time of writing and count as recorded."""
    with op.batch_alter_table("patient_merges", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stated_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index("ix_patient_merges_surviving", ["patient_id"], unique=False)


def downgrade() -> None:
    """Remove them; merges that were undone are forgotten."""
    op.execute("DELETE FROM patient_merges WHERE undone_at IS NOT NULL")
    with op.batch_alter_table("patient_merges", schema=None) as batch_op:
        batch_op.drop_index("ix_patient_merges_surviving")
        batch_op.drop_column("undone_at")
        batch_op.drop_column("stated_at")
