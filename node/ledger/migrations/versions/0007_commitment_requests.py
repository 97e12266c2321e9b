"""All requests for storage commitment of a delivery, where the ledger had only the newest one."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0007_commitment_requests"
down_revision = "0006_follow_up"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, with the newest request of each delivery; a PACS may still answer it."""
    requests = op.create_table(
        "commitment_requests",
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("copies", sa.JSON(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"]),
        sa.PrimaryKeyConstraint("transaction_uid"),
    )
    with op.batch_alter_table("commitment_requests", schema=None) as batch_op:
        batch_op.create_index("ix_commitment_requests_delivery", ["delivery_id"], unique=False)
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("commitment_requests", sa.Integer(), nullable=False, server_default="0"))
    deliveries = sa.table(
        "deliveries", sa.column("id", sa.Integer()), sa.column("transaction_uid", sa.String()),
        sa.column("objects", sa.JSON()), sa.column("sent_at", sa.DateTime(timezone=True)),
        sa.column("created_at", sa.DateTime(timezone=True)), sa.column("commitment_requests", sa.Integer()),
    )  # fmt: skip
    connection = op.get_bind()
    rows = connection.execute(sa.select(deliveries).where(deliveries.c.transaction_uid.is_not(None))).all()
    for row in rows:
        objects = json.loads(row.objects) if isinstance(row.objects, str) else row.objects
        # One copy each: earlier versions did not count how often an object was stored.
        connection.execute(
            requests.insert().values(
                transaction_uid=row.transaction_uid, delivery_id=row.id, copies=dict.fromkeys(objects, 1),
                requested_at=row.sent_at or row.created_at,
            )
        )  # fmt: skip
        connection.execute(deliveries.update().where(deliveries.c.id == row.id).values(commitment_requests=1))


def downgrade() -> None:
    """Remove the table; late results of earlier requests are then unknown."""
    # Not in a batch: SQLite would copy the table, and lose the triggers that count states.
    op.drop_column("deliveries", "commitment_requests")
    op.drop_table("commitment_requests")
