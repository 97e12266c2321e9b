"""States are counted as they change, whatever changes them."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update

from node.ledger import cases, jobs, reports
from node.ledger.database import Ledger, now_utc
from node.ledger.state_counts import COMPACT_AFTER, compact, count_states
from node.ledger.tables import Case, Delivery, Job, StateCount
from tests.benchmarks.growth import fill, study_uid


def by_rows(ledger: Ledger) -> dict[str, dict[str, int]]:
    """By counting every row."""
    with ledger.begin() as session:
        return {
            table.__tablename__: {
                row.state: row[1] for row in session.execute(select(table.state, func.count()).group_by(table.state))
            }
            for table in (Case, Job, Delivery)
        }


def by_triggers(ledger: Ledger) -> dict[str, dict[str, int]]:
    with ledger.begin() as session:
        counts = {
            "cases": cases.count_by_state(session), "jobs": jobs.count_by_state(session),
            "deliveries": reports.count_deliveries(session),
        }  # fmt: skip
    return {kind: {state: n for state, n in counts_of_kind.items() if n} for kind, counts_of_kind in counts.items()}


def test_counts_are_those_of_the_rows_however_they_change(ledger: Ledger) -> None:
    fill(ledger, 120)
    assert by_triggers(ledger) == by_rows(ledger)
    with ledger.begin() as session:  # a statement over many rows, a row by its object, a row removed
        session.execute(update(Delivery).where(Delivery.id <= 40).values(state="dead"))
        session.execute(update(Job).values(state="done"))
        cases.set_state(session, cases.get_case(session, study_uid(3)), "held")
        session.execute(delete(Delivery).where(Delivery.id == 100))
    assert by_triggers(ledger) == by_rows(ledger)
    assert by_triggers(ledger)["deliveries"] == {"dead": 40, "delivered": 79}


def test_compacted_changes_give_the_same_counts(ledger: Ledger) -> None:
    fill(ledger, COMPACT_AFTER)
    before = by_triggers(ledger)
    for _ in range(2):
        with ledger.begin() as session:
            compact(session)
            of_states = select(func.count()).where(StateCount.kind.in_(("cases", "jobs", "deliveries")))
            assert session.scalar(of_states) == 4  # cases: receiving and reported
        assert by_triggers(ledger) == before == by_rows(ledger)


def test_a_change_that_is_rolled_back_does_not_count(ledger: Ledger) -> None:
    try:
        with ledger.begin() as session:
            cases.open_case(session, "1.9", "P", "")
            session.flush()
            assert count_states(session, "cases", ("receiving",)) == {"receiving": 2}
            raise KeyError(now_utc())
    except KeyError:
        pass
    assert by_triggers(ledger)["cases"] == {"receiving": 1}
