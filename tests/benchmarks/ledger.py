"""Two parts of the ledger beside their plain form: rows of instances, and the number of cases in each state.

Rows: `InstanceWriter` against one transaction a row and the same groups by SQLAlchemy Core (`executemany`), with
1 and 8 threads that send at once. All of them wait for the disk (WAL, synchronous=FULL) before they return; the CPU
time is compared, too, because the disk's answer varies more than what the writers differ by.

States: the sums that triggers keep against counting the rows by the index on `state`, and what the triggers add to a
change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Protocol

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from node.ledger import cases, jobs, reports
from node.ledger.database import Ledger, open_ledger
from node.ledger.group_commit import InstanceWriter
from node.ledger.tables import Case, Delivery, Instance, Job, Row
from tests.benchmarks.growth import fill, study_rows, study_uid
from tests.benchmarks.measuring import Options, Result, interleaved, seconds, timed

SENDERS = (1, 8)
ROWS, N_STUDIES, CHANGES = 240, 100_000, 50
ROUNDS = 9
GAIN = 1.1  # group commit and triggers are worth their code above this


def run(options: Options) -> Result:
    """Milliseconds a row, a count and a change, and their ratios."""
    result = Result("ledger")
    with TemporaryDirectory() as temporary:
        _rows(result, Path(temporary), options.rounds(ROUNDS))
        _states(result, Path(temporary), options.rounds(ROUNDS), N_STUDIES // 10 if options.quick else N_STUDIES)
    return result


# --- rows of instances ---


class Writer(Protocol):
    """What adds rows: returns whether a row was new."""

    def add(self, row: Row) -> bool:
        """Return once the row is durable."""

    def close(self) -> None:
        """Release the connection."""


class RowByRow:
    """One transaction a row, each thread for itself."""

    def __init__(self, ledger: Ledger, require: Callable[[str], None]) -> None:
        self._engine, self._require = ledger.engine, require

    def add(self, row: Row) -> bool:
        """Insert by SQLAlchemy Core."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(Instance.__table__), [row])  # type: ignore[arg-type]
                self._require(row["path"])
        except IntegrityError:
            return False
        return True

    def close(self) -> None:
        """Do nothing: the pool has the connections."""


class GroupsByCore(InstanceWriter):
    """The groups of `InstanceWriter`, inserted by SQLAlchemy Core's executemany on one connection."""

    def __init__(self, ledger: Ledger, require: Callable[[str], None]) -> None:
        super().__init__(ledger, require)
        self._core = ledger.engine.connect()

    def _insert(self, batch: Sequence[Any]) -> None:
        with self._core.begin():
            self._core.execute(insert(Instance.__table__), [entry.row for entry in batch])  # type: ignore[arg-type]
            for entry in batch:
                self._require(entry.row["path"])

    def close(self) -> None:
        """Release the connection."""
        self._core.close()


def _rows(result: Result, folder: Path, rounds: int) -> None:
    ledger = open_ledger(f"sqlite:///{folder}/rows.db")
    template = next(row for table, row in study_rows(0) if table is Instance)
    numbers = count()

    def write(writer: Writer, n_rows: int) -> None:
        for _ in range(n_rows):
            writer.add({**template, "sop_instance_uid": f"1.2.{next(numbers)}"})

    def turn(name: str, senders: int) -> float:
        writer = kinds[name](ledger, lambda _path: None)
        threads = [Thread(target=write, args=(writer, ROWS // senders)) for _ in range(senders)]

        def all_together() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        begun = time.process_time()
        took = seconds(all_together)
        cpu[name].append(time.process_time() - begun)
        writer.close()
        return took

    kinds: dict[str, Callable[..., Writer]] = {
        "group commit": InstanceWriter, "groups by Core": GroupsByCore, "row by row": RowByRow
    }  # fmt: skip
    for senders in SENDERS:
        cpu: dict[str, list[float]] = {name: [] for name in kinds}
        times = interleaved({name: lambda name=name: turn(name, senders) for name in kinds}, rounds)  # type: ignore[misc]  # noqa: B023
        for name, values in times.items():
            result.figure(f"{name}, {senders} senders", [value / ROWS * 1e3 for value in values], "ms a row")
            used = [value / ROWS * 1e3 for value in cpu[name][1:]]  # without the warm-up
            result.figure(f"{name}, {senders} senders, CPU", used, "ms a row")
        row_by_row = result.ratio(
            f"row by row / group commit, {senders} senders", times["row by row"], times["group commit"]
        )
        core = result.ratio(
            f"groups by Core / group commit, {senders} senders, CPU", cpu["groups by Core"][1:], cpu["group commit"][1:]
        )
        result.at_least(f"groups by Core / group commit, {senders} senders, CPU", core, GAIN)
        if senders > 1:
            result.at_least(f"row by row / group commit, {senders} senders", row_by_row, GAIN)
    ledger.close()


# --- states ---


def _states(result: Result, folder: Path, rounds: int, n_studies: int) -> None:
    ledger = open_ledger(f"sqlite:///{folder}/triggers.db")
    fill(ledger, n_studies)
    ledger.close()  # moves the write-ahead log into the file
    copyfile(folder / "triggers.db", folder / "bare.db")
    ledger, bare = (open_ledger(f"sqlite:///{folder}/{name}.db") for name in ("triggers", "bare"))
    with bare.begin() as session:
        for name in list(session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))):
            session.execute(text(f"DROP TRIGGER {name}"))
    counting = interleaved(
        {"triggers": timed(lambda: _in(ledger, _sums)), "rows": timed(lambda: _in(bare, _count_rows))}, rounds
    )
    for name, values in counting.items():
        result.figure(f"states of {n_studies} studies by {name}", [value * 1e3 for value in values], "ms")
    result.at_least(
        "counting rows / sums", result.ratio("counting rows / sums", counting["rows"], counting["triggers"]), GAIN
    )
    numbers = count()

    def change(session: Session) -> None:
        for _ in range(CHANGES):
            number = next(numbers)
            state = "held" if number // n_studies % 2 == 0 else "reported"
            case = Case.study_instance_uid == study_uid(number % n_studies)
            session.execute(update(Case).where(case).values(state=state))

    changes = interleaved(
        {"triggers": timed(lambda: _in(ledger, change)), "no triggers": timed(lambda: _in(bare, change))}, rounds
    )
    for name, values in changes.items():
        result.figure(f"a change of state, {name}", [value / CHANGES * 1e3 for value in values], "ms")
    for each in (ledger, bare):
        each.close()


def _in(ledger: Ledger, work: Callable[[Session], None]) -> None:
    with ledger.begin() as session:
        work(session)


def _sums(session: Session) -> None:
    cases.count_by_state(session)
    jobs.count_by_state(session)
    reports.count_deliveries(session)


def _count_rows(session: Session) -> None:
    for table in (Case, Job, Delivery):
        session.execute(select(table.state, func.count()).group_by(table.state)).all()
