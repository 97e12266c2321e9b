"""Opening the ledger: schema, versions, writers at once, and a database that is not there."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

import node.ledger.account_tables
import node.ledger.work_item_tables  # noqa: F401 - their tables belong to the schema, too
from config.errors import LedgerError
from node.ledger.cases import get_case, history, open_case, record, set_state
from node.ledger.database import Ledger, open_ledger
from node.ledger.tables import Base, Case

STUDY = "1.2.3.4"


def test_the_migrations_make_the_tables_that_the_code_knows(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_ledger_is_durable_by_its_settings(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_transaction_that_reads_waits_for_no_writer_and_cannot_write(ledger: Ledger) -> None:
    with ledger.begin() as writing:
        open_case(writing, "1.2.3", "PID-1", "")
        writing.flush()
        with ledger.read() as session:  # although the other one has the write lock
            assert session.get(Case, "1.2.3") is None
    with ledger.read() as session, pytest.raises(OperationalError, match="readonly"):
        session.execute(text("DELETE FROM cases"))
    with ledger.read() as session:
        assert session.get(Case, "1.2.3") is not None


def test_an_error_says_nothing_of_the_values_of_a_row(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError) as caught, ledger.begin() as session:
        session.execute(
            text("INSERT INTO cases (study_instance_uid, patient_id) VALUES ('1.2.3', :id)"), {"id": "Wang"}
        )
    assert "Wang" not in str(caught.value)


def test_a_ledger_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with open_ledger(url).begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999_from_the_future'"))
    with pytest.raises(LedgerError, match="newer than this program"):
        open_ledger(url)


@pytest.mark.parametrize("url", ["nonsense", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"])
def test_an_unreachable_ledger_is_named_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    assert "secret" not in str(caught.value)


def test_writers_wait_for_each_other(ledger: Ledger) -> None:
    def write() -> None:
        for _ in range(20):
            with ledger.begin() as session:
                count = len(history(session, STUDY))  # reads before it writes, where an upgrade of the lock would fail
                record(session, STUDY, "test", str(count))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.begin() as session:
        written = [line["text"] for line in history(session, STUDY) if line["kind"] == "test"]
    assert written == [str(n) for n in range(1, 81)]


def test_times_come_back_in_utc(ledger: Ledger) -> None:
    there = datetime(2026, 3, 1, 8, 0, tzinfo=timezone(timedelta(hours=8)))
    with ledger.begin() as session:
        get_case(session, STUDY).received_at = there
    with ledger.begin() as session:
        received_at = session.get_one(Case, STUDY).received_at
    assert received_at == there
    assert received_at.tzinfo is UTC


def test_history_records_a_change_once(ledger: Ledger) -> None:
    with ledger.begin() as session:
        case = get_case(session, STUDY)
        for _ in range(2):
            set_state(session, case, "held", [{"code": "stage_unknown", "text": "The stage is not known."}])
    with ledger.begin() as session:
        texts = [line["text"] for line in history(session, STUDY) if line["kind"] == "held"]
    assert texts == ["receiving -> held: The stage is not known."]
