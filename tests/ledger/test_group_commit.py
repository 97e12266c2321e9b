"""Rows of many threads in shared transactions: each thread gets the answer about its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from node.ledger.database import Ledger, open_ledger
from node.ledger.group_commit import InstanceWriter
from node.ledger.tables import Instance, Row
from tests.benchmarks.growth import study_rows
from tests.faults.servers import postgres
from tests.ledger.commits import watch_commits


def row(uid: str, **changes: Any) -> Row:
    template = next(values for table, values in study_rows(1) if table is Instance)
    return {**template, "sop_instance_uid": uid, **changes}


def lost(path: str) -> None:
    if path == "lost":
        raise FileNotFoundError(path)


@pytest.fixture
def writer(ledger: Ledger) -> Iterator[InstanceWriter]:
    instance_writer = InstanceWriter(ledger, lost)
    yield instance_writer
    instance_writer.close()


def stored(ledger: Ledger) -> set[str]:
    with ledger.begin() as session:
        return set(session.scalars(select(Instance.sop_instance_uid)))


def test_a_row_is_added_once_as_the_mapped_class_would_add_it(ledger: Ledger, writer: InstanceWriter) -> None:
    values = row("1.2.1")
    assert writer.add(values) is True
    assert writer.add(row("1.2.1", digest="0" * 64)) is False
    with ledger.begin() as session:
        instance = session.get_one(Instance, "1.2.1")
        assert {name: getattr(instance, name) for name in values} == values


def test_threads_that_wait_share_a_transaction_and_get_their_own_answers(
    ledger: Ledger, writer: InstanceWriter
) -> None:
    commits: list[int] = []
    held, go = threading.Event(), threading.Event()

    def slow_first() -> None:
        commits.append(1)
        if len(commits) == 1:
            held.set()
            go.wait(20)

    watch_commits(ledger, slow_first)
    answers: dict[str, bool | str] = {}

    def add(name: str, values: Row) -> None:
        try:
            answers[name] = writer.add(values)
        except OSError as error:
            answers[name] = str(error)

    work = {f"new {n}": row(f"1.2.{n}") for n in range(9)}
    work |= {"again": row("1.2.0"), "file lost": row("1.2.99", path="lost")}
    threads = {name: threading.Thread(target=add, args=(name, values)) for name, values in work.items()}
    threads["new 0"].start()
    assert held.wait(20)
    for name, thread in threads.items():
        if name != "new 0":
            thread.start()
    while len(writer._waiting) < len(work) - 1:
        threading.Event().wait(0.01)
    go.set()
    for thread in threads.values():
        thread.join()
    assert answers == {**{f"new {n}": True for n in range(9)}, "again": False, "file lost": "lost"}
    assert stored(ledger) == {f"1.2.{n}" for n in range(9)}


def write_together(writer: InstanceWriter, threads: list[threading.Thread]) -> None:
    """Each adds a row; none is written before all of them wait."""
    with writer._write_lock:
        for thread in threads:
            thread.start()
        while len(writer._waiting) < len(threads):
            threading.Event().wait(0.01)
    for thread in threads:
        thread.join(30)


def test_rows_that_wait_are_written_in_one_transaction(ledger: Ledger, writer: InstanceWriter) -> None:
    commits: list[int] = []
    watch_commits(ledger, lambda: commits.append(1))
    threads = [threading.Thread(target=writer.add, args=(row(f"1.3.{n}"),)) for n in range(40)]
    write_together(writer, threads)
    assert len(stored(ledger)) == 40
    assert len(commits) == 2  # the rows, and the reading above


def test_a_locked_ledger_is_an_operational_error_and_leaves_nothing_locked(tmp_path: Path) -> None:
    """The driver's error as SQLAlchemy's, and the writer goes on once the lock is gone."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}?timeout=0.05")
    writer = InstanceWriter(opened, lost)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="database is locked"):
        writer.add(row("1.4.1"))
    other.execute("ROLLBACK")
    assert writer.add(row("1.4.1")) is True
    other.close()
    writer.close()
    opened.close()


def test_a_value_that_no_column_accepts_locks_nothing(ledger: Ledger, writer: InstanceWriter) -> None:
    with pytest.raises(UnicodeEncodeError):
        writer.add(row("1.6.1", patient_id="\udcff"))
    with ledger.begin() as session:  # takes the lock of writers
        assert session.scalar(select(Instance.sop_instance_uid)) is None
    assert writer.add(row("1.6.2")) is True


def test_a_value_that_no_column_accepts_is_an_error_of_its_own_thread_only(
    ledger: Ledger, writer: InstanceWriter
) -> None:
    """Also when another thread writes its row."""
    answers: dict[str, bool | type[Exception]] = {}

    def add(uid: str, patient_id: str) -> None:
        try:
            answers[uid] = writer.add(row(uid, patient_id=patient_id))
        except Exception as error:
            answers[uid] = type(error)

    values = {f"1.7.{n}": "\udcff" if n == 3 else "P" for n in range(8)}
    threads = [threading.Thread(target=add, args=item) for item in values.items()]
    write_together(writer, threads)
    assert answers == {uid: True if patient_id == "P" else UnicodeEncodeError for uid, patient_id in values.items()}
    assert stored(ledger) == {uid for uid, patient_id in values.items() if patient_id == "P"}


def test_on_postgresql_rows_outlive_a_crash_of_the_database() -> None:
    with postgres() as running:
        opened = open_ledger(running.url("rows"))
        writer = InstanceWriter(opened, lost)
        assert writer.add(row("1.5.1")) is True
        assert writer.add(row("1.5.1", digest="0" * 64)) is False
        with pytest.raises(FileNotFoundError):
            writer.add(row("1.5.2", path="lost"))
        running.crash()
        with pytest.raises(OperationalError):  # no server listens
            writer.add(row("1.5.3"))
        running.start()
        assert writer.add(row("1.5.3")) is True
        running.crash()
        running.start()
        assert writer.add(row("1.5.4")) is True  # the connection that it held is broken: the next one serves
        assert writer.add(row("1.5.1")) is False
        assert stored(opened) == {"1.5.1", "1.5.3", "1.5.4"}
        writer.close()
        opened.close()
