"""Work items, who watches them, and what other application entities have to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_work_items"
down_revision = "0013_stored_totals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "work_items",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("worklist", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=True),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=True),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("cancel_request", sa.JSON(), nullable=True),
        sa.Column("ending", sa.JSON(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", time, nullable=False),
        sa.Column("judged_after", time, nullable=False),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("received_at", time, nullable=False),
        sa.Column("claimed_at", time, nullable=True),
        sa.Column("ended_at", time, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("worklist", "uid"),
    )
    op.create_index("ix_work_items_state", "work_items", ["state", "judged_after"], unique=False)
    op.create_index("ix_work_items_study", "work_items", ["study_instance_uid"], unique=False)
    op.create_table(
        "work_item_subscriptions",
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("made_at", time, nullable=False),
        sa.PrimaryKeyConstraint("ae_title", "uid"),
    )
    op.create_table(
        "dicom_notices",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("instance_uid", sa.String(length=64), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", time, nullable=False),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("sent_at", time, nullable=True),
        sa.Column("closed_at", time, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "ae_title", "subject"),
    )
    op.create_index("ix_dicom_notices_open", "dicom_notices", ["closed_at", "not_before"], unique=False)


def downgrade() -> None:
    """Remove them."""
    for table in ("dicom_notices", "work_item_subscriptions", "work_items"):
        op.drop_table(table)
