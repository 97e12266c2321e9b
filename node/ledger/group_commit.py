"""Rows of new instances, several in one transaction.

A commit waits for the disk. While one association waits for it, others arrive with rows of their own; the thread that
next gets the write lock writes all rows that wait, and each thread returns once its row is durable. A single
association writes at once.

Measured on two busy cores (`python -m tests.benchmarks ledger`): with eight senders a row takes 0.6 ms instead of the 4
to 9 ms of one transaction a row (SQLite, 6 to 14 times; PostgreSQL 2.3 times), with one sender the same within 10 %.
Rows go to the driver directly, because the same groups by SQLAlchemy Core's executemany take 1.8 times the CPU, 0.1 ms
a row, which is a tenth of all that an object needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import PoolProxiedConnection, insert
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from node.ledger.database import BEGIN_OF, Ledger, is_retryable
from node.ledger.tables import Instance, Row

MOST_ROWS = 256  # in one transaction: readers of the write-ahead log have to skip what a long one appends


@dataclass
class _Entry:
    """A row that waits to be written; `is_new` is None until it is known."""

    row: Row
    is_new: bool | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.is_new is not None or self.error is not None


class InstanceWriter:
    """Adds rows to `instances`. Threads share it; call `close` at the end.

    Parameters
    ----------
    ledger : Ledger
        One connection of it is used until `close`.
    require : callable
        Raises OSError when the file of a path (relative to the storage root) is gone; called before each commit, since
        retention may have removed it.
    """

    def __init__(self, ledger: Ledger, require: Callable[[str], None]) -> None:
        self._engine = ledger.engine
        self._require = require
        self._write_lock = threading.Lock()
        self._waiting_lock = threading.Lock()
        self._waiting: list[_Entry] = []
        self._connection: PoolProxiedConnection | None = None
        self._driver: Any = self._engine.dialect.dbapi
        self._begin = BEGIN_OF.get(self._engine.dialect.name)
        # Compiled once: building and compiling the statement for each row would cost more than the insertion.
        compiled = insert(Instance).compile(dialect=self._engine.dialect)
        self._statement = str(compiled)
        self._columns = [column.key for column in Instance.__table__.columns]
        self._positional = compiled.positiontup
        self._converters = {
            column.key: convert
            for column in Instance.__table__.columns
            if (convert := column.type.dialect_impl(self._engine.dialect).bind_processor(self._engine.dialect))
        }

    def add(self, row: Row) -> bool:
        """Index an instance whose bytes are durable; on return its row is durable, too.

        Parameters
        ----------
        row : dict
            Every column of `instances`.

        Returns
        -------
        bool
            False, and nothing is changed, when its SOP Instance UID is stored already.

        Raises
        ------
        SQLAlchemyError
            When the ledger does not answer.
        OSError
            When the file of the row is gone.
        Exception
            What the driver raises for a value that no column accepts, for example UnicodeEncodeError.
        """
        entry = _Entry(row)
        with self._waiting_lock:
            self._waiting.append(entry)
        # No condition variable: the write lock is the queue. A thread that gets it either finds its row written by the
        # thread before, or writes all rows that wait, its own among them unless more than `MOST_ROWS` are before it.
        while not entry.is_done:
            with self._write_lock:
                if not entry.is_done:
                    with self._waiting_lock:
                        batch, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
                    self._write(batch)
        if entry.error is not None:
            raise entry.error
        return bool(entry.is_new)

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        with self._write_lock:
            self._close_connection()

    def _write(self, batch: Sequence[_Entry]) -> None:
        """Write all entries at once; where that fails, one by one, so that each gets its own answer."""
        try:
            self._insert(batch)
        except (
            Exception
        ) as error:  # raised by the thread whose row it is: the writing thread must not fail for another's
            # A duplicate or a value that cannot be bound concerns one row of the batch, and the driver does not say
            # which. A lost connection concerns all: one by one, each would wait for the same timeout.
            if len(batch) > 1 and (isinstance(error, IntegrityError) or not isinstance(error, SQLAlchemyError)):
                for entry in batch:
                    self._write([entry])
            elif isinstance(error, IntegrityError):
                batch[0].is_new = False
            else:
                for entry in batch:
                    entry.error = error
        else:
            for entry in batch:
                entry.is_new = True

    def _insert(self, batch: Sequence[_Entry]) -> None:
        values = [self._bound(entry.row) for entry in batch]
        try:
            self._execute(batch, values)
        except DBAPIError as error:
            # After a lost connection it is unknown whether the rows were committed. If they were, the second attempt
            # meets the unique key and reports them as stored already, which is true and harmless.
            if isinstance(error, IntegrityError) or not (error.connection_invalidated or is_retryable(error)):
                raise
            self._execute(batch, values)

    def _execute(self, batch: Sequence[_Entry], values: Sequence[Any]) -> None:
        """Run one transaction by the driver itself, and raise its errors as SQLAlchemy's.

        What SQLAlchemy does around a statement takes longer than SQLite needs for the row.
        """
        try:
            # One connection for all batches: the pool would test it (pool_pre_ping) and reset it for each of them.
            if self._connection is None:
                self._connection = self._engine.raw_connection()
            cursor = self._connection.cursor()
            if self._begin:
                cursor.execute(self._begin)
            if len(values) > 1:
                cursor.executemany(self._statement, values)
            else:
                cursor.execute(self._statement, values[0])
            # After the insertion: from then until the commit SQLite's write lock keeps retention away. On PostgreSQL
            # retention passes over the studies of open associations.
            for entry in batch:
                self._require(entry.row["path"])
            self._connection.commit()
        except self._driver.Error as error:
            raise self._translated(error) from error
        except BaseException:  # a lost file, a value that no column accepts: the write lock of SQLite must be released
            self._roll_back()
            raise

    def _translated(self, error: Exception) -> DBAPIError:
        """Leave the transaction; return the driver's error as SQLAlchemy would raise it."""
        dialect = self._engine.dialect
        lost = dialect.is_disconnect(error, self._connection, None)  # type: ignore[arg-type]
        if lost and self._connection is not None:
            # The pool must not hand a dead connection to a session.
            self._connection.invalidate(error)
            self._connection = None
        self._roll_back()
        wrapped = DBAPIError.instance(
            self._statement, None, error, self._driver.Error, connection_invalidated=lost, dialect=dialect
        )
        return cast(DBAPIError, wrapped)

    def _roll_back(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rollback()
            except self._driver.Error as error:
                self._connection.invalidate(error)
                self._connection = None

    def _bound(self, row: Row) -> Any:
        """Convert a row to the parameters of the driver."""
        values = {name: row[name] for name in self._columns}
        for name, convert in self._converters.items():
            values[name] = convert(values[name])
        return tuple(values[name] for name in self._positional) if self._positional else values

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
