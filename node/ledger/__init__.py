"""The ledger: the database that records what was received, decided, computed and delivered.

Everything else may be lost and is built again from here: the broker's messages from the outbox, metrics and pages from
the tables. SQLite (WAL, full synchronisation) serves one machine, PostgreSQL several. `tables.py` has the schema,
`database.py` opens it, and each other module contains the statements about one table or one purpose. Functions take
the session of the caller, so that several of them are one transaction.
"""
