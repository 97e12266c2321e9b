"""Opening the ledger: SQLite (WAL) on one machine, PostgreSQL for many; schema by Alembic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from config.errors import LedgerError

BUSY_TIMEOUT_S = 30.0  # how long a writer of SQLite waits for another one before it gives up
BEGIN_OF = {"sqlite": "BEGIN IMMEDIATE"}  # by dialect; other drivers begin by themselves
DEADLOCK, SERIALIZATION_FAILURE = "40P01", "40001"  # SQLSTATE of PostgreSQL


def now_utc() -> datetime:
    """The present, aware, in UTC: the one clock of the ledger."""
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Threads share it; a process that forks opens its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back when an error passes through."""
        with self._sessions.begin() as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()


def insert_new(session: Session, table: type[DeclarativeBase], values: Mapping[str, Any]) -> bool:
    """Insert a row unless its key is there; whether it was not. Nothing of it becomes a mapped object: that would cost
    more than the insertion.

    values : by column; columns with a default may be left out.
    """
    connection = session.connection()
    statement = _inserting(table, connection.dialect.name == "postgresql")
    return connection.execute(statement, dict(values)).rowcount == 1


@lru_cache
def _inserting(table: type[DeclarativeBase], postgresql: bool) -> Any:
    into = postgresql_insert if postgresql else sqlite_insert
    return into(table.__table__).on_conflict_do_nothing()  # type: ignore[arg-type]


def as_json(value: Any) -> str:
    """The text of a JSON column; a header is written with every instance."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # keys that are no text, numbers beyond 64 bits, lone surrogates
        return json.dumps(value)


def is_retryable(error: SQLAlchemyError) -> bool:
    """Whether the transaction only met another one: two first instances of one study, or writers that waited for each
    other. Done again, it finds what the other one wrote."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, IntegrityError) or code in (DEADLOCK, SERIALIZATION_FAILURE)


def open_ledger(url: str, migrate: bool = True) -> Ledger:
    """Connect, and bring the schema up to date.

    url : `sqlite:///FILE` (`?timeout=SECONDS` to wait for other writers) or `postgresql+psycopg://...`
    Raises LedgerError when the database cannot be reached or its schema is newer than this program.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"[ledger.url] expected sqlite:///FILE or postgresql+psycopg://..., found {url!r}") from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, pool_pre_ping=True, json_serializer=as_json)
    if engine.dialect.name == "sqlite":
        _use_sqlite_safely(engine, round(1000 * float(str(parsed.query.get("timeout", BUSY_TIMEOUT_S)))))
    try:
        if migrate:
            upgrade(engine)
        else:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
    except OperationalError as error:
        raise LedgerError(f"the ledger {shown} cannot be reached: {error.orig}") from error
    return Ledger(engine)


def _use_sqlite_safely(engine: Engine, busy_timeout_ms: int) -> None:
    """WAL with full synchronisation, and transactions that take the write lock when they begin.

    SQLite's default upgrades a read lock to a write lock in mid-transaction, which fails at once when another writer
    was faster; BEGIN IMMEDIATE waits for its turn instead.
    """

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={busy_timeout_ms}", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(BEGIN_OF["sqlite"])


def alembic_config() -> Any:
    """Alembic's configuration, without a file beside the program."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade(engine: Engine) -> None:
    """Bring the schema to this program's version; one process at a time does it.

    Raises LedgerError when the schema belongs to a newer program.
    """
    from alembic import command
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = alembic_config()
    script = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7035220)")
        current = MigrationContext.configure(connection).get_current_revision()
        if current == script.get_current_head():
            return
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise LedgerError(
                f"the ledger's schema is {current}, newer than this program's {script.get_current_head()}: "
                "upgrade the program"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
