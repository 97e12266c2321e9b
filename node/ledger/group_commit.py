"""Rows of new instances, many in one transaction.

A commit waits for the disk. While one association waits for it, others come with rows of their own: whoever gets the
pen next writes all that wait, and each of them goes on once its row is durable. A lone association writes at once.
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

MOST_ROWS = 256  # in one transaction, so that a reader of the log is not held up by a long one


@dataclass
class _Entry:
    """A row on its way. is_new : None until it is settled."""

    row: Row
    is_new: bool | None = None
    error: Exception | None = None

    @property
    def settled(self) -> bool:
        return self.is_new is not None or self.error is not None


class InstanceWriter:
    """Adds rows to `instances`. Threads share it; call `close` at the end."""

    def __init__(self, ledger: Ledger, require: Callable[[str], None]) -> None:
        """require : raises OSError when a path has no file any more; asked before each commit."""
        self._engine = ledger.engine
        self._require = require
        self._pen = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Entry] = []
        self._connection: PoolProxiedConnection | None = None
        self._driver: Any = self._engine.dialect.dbapi
        self._begin = BEGIN_OF.get(self._engine.dialect.name)
        # Compiled once: building and compiling the statement anew would cost more than the insertion.
        compiled = insert(Instance).compile(dialect=self._engine.dialect)
        self._statement = str(compiled)
        self._columns = [column.key for column in Instance.__table__.columns]
        self._positional = compiled.positiontup
        self._to_driver = compiled._bind_processors

    def add(self, row: Row) -> bool:
        """Index an instance whose bytes are durable; on return the row is, too.

        row : every column of `instances`. Returns False, and changes nothing, when its SOP Instance UID is there
        already. Raises SQLAlchemyError when the ledger does not answer, OSError when the file is gone, and what the
        driver raises for a value that no column takes.
        """
        entry = _Entry(row)
        with self._guard:
            self._waiting.append(entry)
        while not entry.settled:
            with self._pen:
                if not entry.settled:
                    with self._guard:
                        batch, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
                    self._write(batch)
        if entry.error is not None:
            raise entry.error
        return bool(entry.is_new)

    def close(self) -> None:
        """Give the connection back; safe to call twice."""
        with self._pen:
            self._forget_connection()

    def _write(self, batch: Sequence[_Entry]) -> None:
        """Settle every entry of the batch: all of them at once, else one by one."""
        try:
            self._insert(batch)
        except Exception as error:  # each thread raises its own; whoever holds the pen must not fail for another one
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
            # After a lost connection it is not known whether the rows were written: if so, they are found now.
            if isinstance(error, IntegrityError) or not (error.connection_invalidated or is_retryable(error)):
                raise
            self._execute(batch, values)

    def _execute(self, batch: Sequence[_Entry], values: Sequence[Any]) -> None:
        """One transaction, by the driver itself: what SQLAlchemy does around statements costs more than they do.

        Its errors come out as SQLAlchemy's. Raises SQLAlchemyError, OSError.
        """
        try:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
            cursor = self._connection.cursor()
            if self._begin:
                cursor.execute(self._begin)
            if len(values) > 1:
                cursor.executemany(self._statement, values)
            else:
                cursor.execute(self._statement, values[0])
            for entry in batch:
                self._require(entry.row["path"])
            self._connection.commit()
        except self._driver.Error as error:
            raise self._gave_up(error) from error
        except BaseException:  # a lost file, a value that no column takes: nothing may stay locked
            self._roll_back()
            raise

    def _gave_up(self, error: Exception) -> DBAPIError:
        """Leave the transaction; the driver's error as SQLAlchemy would raise it."""
        dialect = self._engine.dialect
        lost = dialect.is_disconnect(error, self._connection, None)  # type: ignore[arg-type]
        if lost and self._connection is not None:
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
        """The row as the driver takes it."""
        values = {name: row[name] for name in self._columns}
        for name, convert in self._to_driver.items():
            values[name] = convert(values[name])  # type: ignore[operator]
        return tuple(values[name] for name in self._positional) if self._positional else values

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
