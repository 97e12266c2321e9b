"""Questions about a study that an operator has answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_confirmations"
down_revision = "0001_first_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the answers to each case; none is recorded yet."""
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("confirmations", sa.JSON(), nullable=False, server_default="{}"))
