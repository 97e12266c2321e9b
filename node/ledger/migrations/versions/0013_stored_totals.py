"""Totals of metrics, kept by triggers as the numbers of states are: instances, bytes, reports, deliveries by PACS.

`state_counts` is made anew with room for sums of bytes and names of PACS; all that it says follows from other tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_stored_totals"
down_revision = "0012_named_reasons"
branch_labels = None
depends_on = None

_STATE = "('{table}', {row}.state, {sign}1)"
_INSTANCE = "('instances', 'stored', {sign}1), ('instances', 'bytes', {sign}{row}.size_bytes)"
_REPORT = "('reports', 'made', {sign}1)"
_DELIVERY = f"{_STATE}, ('destinations', {{row}}.state || ' ' || {{row}}.pacs, {{sign}}1)"
COUNTED = {"cases": _STATE, "jobs": _STATE, "deliveries": _DELIVERY, "instances": _INSTANCE, "reports": _REPORT}
WITH_STATE = ("cases", "jobs", "deliveries")
SUMS = (
    *(f"SELECT '{table}', state, count(*) FROM {table} GROUP BY state" for table in WITH_STATE),  # noqa: S608 - names from above
    "SELECT 'destinations', state || ' ' || pacs, count(*) FROM deliveries GROUP BY state, pacs",
    "SELECT 'instances', 'stored', count(*) FROM instances",
    "SELECT 'instances', 'bytes', coalesce(sum(size_bytes), 0) FROM instances",
    "SELECT 'reports', 'made', count(*) FROM reports",
)


def upgrade() -> None:
    """Make the table and its triggers anew, and count what is there."""
    _drop_triggers(WITH_STATE)
    op.drop_table("state_counts")
    op.create_table(
        "state_counts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for query in SUMS:
        op.execute(f"INSERT INTO state_counts (kind, state, n) {query}")
    for table, values in COUNTED.items():
        _count(table, values)


def _count(table: str, values: str) -> None:
    add = "INSERT INTO state_counts (kind, state, n) VALUES "
    new, old = (add + values.format(table=table, row=row, sign=sign) + ";" for row, sign in (("NEW", ""), ("OLD", "-")))
    changed = "OLD.state <> NEW.state"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION count_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP <> 'INSERT' THEN {old} END IF; IF TG_OP <> 'DELETE' THEN {new} END IF; RETURN NULL; END $$"
        )
        run = f"EXECUTE FUNCTION count_{table}()"
        op.execute(f"CREATE TRIGGER counted AFTER INSERT OR DELETE ON {table} FOR EACH ROW {run}")
        if table in WITH_STATE:
            op.execute(
                f"CREATE TRIGGER counted_again AFTER UPDATE OF state ON {table} FOR EACH ROW WHEN ({changed}) {run}"
            )
        return
    op.execute(f"CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN {new} END")
    op.execute(f"CREATE TRIGGER {table}_removed AFTER DELETE ON {table} BEGIN {old} END")
    if table in WITH_STATE:
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER UPDATE OF state ON {table} WHEN {changed} BEGIN {old} {new} END"
        )


def _drop_triggers(tables: tuple[str, ...]) -> None:
    for table in tables:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP FUNCTION count_{table}() CASCADE")
            continue
        for what in ("added", "removed", *(["changed"] if table in WITH_STATE else [])):
            op.execute(f"DROP TRIGGER {table}_{what}")


def downgrade() -> None:
    """Remove triggers and sums that the version before does not know."""
    _drop_triggers(("instances", "reports"))
    op.execute("DELETE FROM state_counts WHERE kind IN ('instances', 'reports', 'destinations')")
