"""Open the ledger: SQLite (WAL) on one machine, PostgreSQL for several; the schema comes from Alembic migrations."""

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
from sqlalchemy.exc import ArgumentError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from config.errors import LedgerError
from config.messages.message import message

# Far above what a commit takes, even on a disk that needs a second for it: a writer that gives up loses an instance
# that a sender has sent completely.
BUSY_TIMEOUT_S = 30.0  # how long a writer of SQLite waits for another one
BEGIN_OF = {"sqlite": "BEGIN IMMEDIATE"}  # of writers, by dialect; other drivers begin transactions by themselves
DEADLOCK, SERIALIZATION_FAILURE = "40P01", "40001"  # SQLSTATE of PostgreSQL


def now_utc() -> datetime:
    """Return the present; every time in the ledger comes from here.

    Returns
    -------
    datetime
        Aware, UTC, from the wall clock.
    """
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Threads share it; a process that forks opens its own.

    Attributes
    ----------
    engine : sqlalchemy.Engine
        For statements that need no mapped objects, and for the dialect.
    """

    def __init__(self, engine: Engine, reading: Engine) -> None:
        self.engine, self._reading = engine, reading
        # Objects stay readable after the commit: callers return rows from a closed session to code that only reads
        # them.
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._reading_sessions = sessionmaker(reading, expire_on_commit=False)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Begin a transaction: committed at the end, rolled back when an exception leaves the block.

        Yields
        ------
        Session
            For one thread. SQLite's write lock is held from the first statement on: the block must not wait for the
            network.
        """
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Begin a transaction that sees one state of the ledger and cannot change it.

        It waits for no writer and no writer waits for it: what pages, status and periodic looks read never delays
        reception.

        Yields
        ------
        Session
            For one thread. The database refuses a statement that writes, or that locks rows.
        """
        with self._reading_sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._reading.dispose()


def insert_new(session: Session, table: type[DeclarativeBase], values: Mapping[str, Any]) -> bool:
    """Insert a row unless its key exists; return whether it was inserted.

    The row does not become a mapped object, because that costs more than the insertion.

    Parameters
    ----------
    values : mapping
        Value by column; columns with a default may be missing.
    """
    connection = session.connection()
    statement = _inserting(table, connection.dialect.name == "postgresql")
    return connection.execute(statement, dict(values)).rowcount == 1


@lru_cache
def _inserting(table: type[DeclarativeBase], postgresql: bool) -> Any:
    insert = postgresql_insert if postgresql else sqlite_insert
    return insert(table.__table__).on_conflict_do_nothing()  # type: ignore[arg-type]


def as_json(value: Any) -> str:
    """Return the text of a JSON column.

    orjson, because a header is written with every instance; the standard library for what orjson refuses (keys that are
    no text, integers beyond 64 bits, lone surrogates).

    Parameters
    ----------
    value : JSON value
        NaN and infinity become null, as JSON has no number for them.

    Returns
    -------
    str
        Compact JSON.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # keys that are no text, numbers beyond 64 bits, lone surrogates
        return json.dumps(value)


def is_retryable(error: SQLAlchemyError) -> bool:
    """Return whether a transaction failed only because another one ran at the same time.

    Two first instances of one study insert the same case, or two writers wait for each other (PostgreSQL ends one of
    them). Repeated, the transaction finds what the other one has written.

    Returns
    -------
    bool
        True for violated unique keys, deadlocks and serialization failures.
    """
    # Read without importing the driver: psycopg is installed only where PostgreSQL is used.
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, IntegrityError) or code in (DEADLOCK, SERIALIZATION_FAILURE)


def does_not_answer(error: Exception) -> bool:
    """Tell whether an error is of the ledger as a whole, and not of one row that it refuses.

    A loop over studies ends with the first kind, as the others would fail like it, and goes on after the second.

    Returns
    -------
    bool
        True when the database is away, locked or overloaded.
    """
    return isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)


def open_ledger(url: str, migrate: bool = True) -> Ledger:
    """Connect to the ledger and bring its schema up to date.

    Parameters
    ----------
    url : str
        ``sqlite:///FILE`` (``?timeout=SECONDS`` is how long a writer waits for another one) or
        ``postgresql+psycopg://...``.
    migrate : bool
        False only tests the connection: for processes that start after one which has migrated.

    Raises
    ------
    LedgerError
        When the URL is not understood, the database cannot be reached, or its schema is newer than this program. The
        message contains no password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"[ledger.url] expected sqlite:///FILE or postgresql+psycopg://..., found {url!r}") from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    # pool_pre_ping: a server that was restarted must cost one attempt of the pool and not the object that arrives next.
    # hide_parameters: the text of an error enters logs, and the values of a row are about patients.
    engine = create_engine(parsed, pool_pre_ping=True, json_serializer=as_json, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        busy_timeout_ms = round(1000 * float(str(parsed.query.get("timeout", BUSY_TIMEOUT_S))))
        # An engine of its own: that a connection cannot write is set once, when it is opened.
        reading = create_engine(parsed, json_serializer=as_json, hide_parameters=True)
        _use_sqlite_safely(engine, busy_timeout_ms, writes=True)
        _use_sqlite_safely(reading, busy_timeout_ms, writes=False)
    else:
        reading = engine.execution_options(postgresql_readonly=True)
    try:
        if migrate:
            upgrade(engine)
        else:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
    except OperationalError as error:
        raise LedgerError(message("health.ledger_unreachable", url=shown, why=str(error.orig))) from error
    return Ledger(engine, reading)


def _use_sqlite_safely(engine: Engine, busy_timeout_ms: int, writes: bool) -> None:
    """Set WAL with full synchronisation, and transactions that take the write lock when they begin, or never.

    By default SQLite upgrades a read lock to a write lock in mid-transaction, which fails at once when another writer
    was faster; BEGIN IMMEDIATE waits up to the busy timeout instead.
    """
    pragmas = ["journal_mode=WAL", "synchronous=FULL", f"busy_timeout={busy_timeout_ms}", "foreign_keys=ON"]
    if not writes:
        pragmas.append("query_only=ON")  # after the others: WAL is a change of the file

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # autocommit: the driver begins no transaction by itself
        cursor = connection.cursor()
        # FULL, because a sender deletes its copy after our success status: with WAL and NORMAL, SQLite may lose the
        # last commits in a power cut.
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(BEGIN_OF["sqlite"] if writes else "BEGIN")


def alembic_config() -> Any:
    """Return Alembic's configuration, built in memory: the package needs no ``alembic.ini``.

    Returns
    -------
    alembic.config.Config
        With the folder of the migrations; `upgrade` adds the connection.
    """
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@lru_cache
def _newest_revision() -> str | None:
    """Return the version of this program's schema; Alembic compiles all migrations to find it, so only once."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def upgrade(engine: Engine) -> None:
    """Bring the schema to the version of this program; of several processes that start, one does it.

    Raises
    ------
    LedgerError
        When the schema belongs to a newer program.
    """
    from alembic import command
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = alembic_config()
    with engine.begin() as connection:
        # DDL of PostgreSQL is transactional, so a second process waits here and then finds the schema up to date.
        # SQLite's BEGIN IMMEDIATE does the same without a lock of its own.
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7035220)")  # any number, the same for all of us
        current = MigrationContext.configure(connection).get_current_revision()
        if current == _newest_revision():
            return
        script = ScriptDirectory.from_config(config)
        # Alembic would fail with "can't locate revision", which does not tell an administrator that a downgrade is the
        # cause.
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise LedgerError(
                f"the ledger's schema is {current}, newer than this program's {_newest_revision()}: upgrade the program"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
