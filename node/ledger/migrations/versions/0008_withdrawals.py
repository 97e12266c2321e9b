"""Withdrawals of answers, recalls of bundles, and since when the delivered answer of a case is outdated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_withdrawals"
down_revision = "0007_commitment_requests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table; answers that earlier versions left outdated become due for their withdrawal."""
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("withdrawal", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("outdated_since", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index("ix_cases_outdated", ["outdated_since"], unique=False)
    op.execute(
        "UPDATE cases SET outdated_since = updated_at WHERE current_report_id IS NOT NULL AND state <> 'reported'"
    )
    op.create_table(
        "recalls",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("bundle_digest", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_recalls_bundle", "recalls", ["bundle_digest"], unique=False)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("recalls")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_index("ix_cases_outdated")
        batch_op.drop_column("outdated_since")
        batch_op.drop_column("withdrawal")
