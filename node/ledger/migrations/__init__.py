"""Alembic migrations of the ledger, run by `node.ledger.database.upgrade`."""
