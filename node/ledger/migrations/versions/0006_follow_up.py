"""Follow-up of reported patients: the regimen that was given, and its outcome."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_follow_up"
down_revision = "0005_differences"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; facts of earlier versions stay where they are, since none of them is an outcome."""
    op.create_table(
        "follow_up_facts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("regimen", sa.String(length=16), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("set_by", sa.String(length=255), nullable=False),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("follow_up_facts", schema=None) as batch_op:
        batch_op.create_index("ix_follow_up_facts_patient", ["patient_id", "name", "id"], unique=False)


def downgrade() -> None:
    """Remove the table with all follow-up."""
    op.drop_table("follow_up_facts")
