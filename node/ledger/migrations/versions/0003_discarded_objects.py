"""Objects of other classes that were discarded, and the association of a quarantined object."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_discarded_objects"
down_revision = "0002_confirmations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of discarded objects and the column of quarantined ones."""
    op.create_table(
        "discarded",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "sop_class_uid"),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.add_column(sa.Column("association_id", sa.String(length=36), nullable=True))
        batch_op.create_index("ix_quarantine_association", ["association_id"], unique=False)


def downgrade() -> None:
    """Remove both."""
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index("ix_quarantine_association")
        batch_op.drop_column("association_id")

    op.drop_table("discarded")
