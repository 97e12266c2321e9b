"""Patient identifiers that were merged into others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_patient_merges"
down_revision = "0009_event_messages"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; merges before this version are not known."""
    op.create_table(
        "patient_merges",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("prior_patient_id", sa.String(length=255), nullable=False),
        sa.Column("prior_issuer", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_patient_merges_prior", "patient_merges", ["prior_patient_id"], unique=False)


def downgrade() -> None:
    """Remove it."""
    op.drop_table("patient_merges")
