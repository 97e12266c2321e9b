"""The table of the states of a delivery: complete, without a dead end, and obeyed by the ledger."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from node.ledger import delivery_machine as machine
from node.ledger.database import Ledger, now_utc
from node.ledger.deliveries import apply
from node.ledger.delivery_machine import DUTIES, OPEN_STATES, TABLE, Event, Facts, IllegalTransitionError, State
from node.ledger.tables import Delivery

FACTS = [Facts(current, patience) for current, patience in product((True, False), repeat=2)]
ROWS = [machine.transition(state, event, facts) for state, event, facts in product(State, Event, FACTS)]


def test_every_state_has_an_answer_to_every_event() -> None:
    assert len(ROWS) == len(State) * len(Event) * len(FACTS)


def test_every_row_can_apply() -> None:
    assert set(map(id, TABLE)) == set(map(id, ROWS))


def test_from_every_state_a_delivery_can_end_without_an_administrator() -> None:
    """Backwards from the states in which a report needs nobody; `dead` ends by a newer report or a late result."""
    ends = {State.DELIVERED, State.SUPERSEDED}
    reached = set(ends)
    while True:
        before = {row.state for row in TABLE if row.to in reached and row.event is not Event.RETRIED}
        if before <= reached:
            break
        reached |= before
    assert reached == set(State)


def test_only_the_current_report_is_sent() -> None:
    """No event leads a replaced delivery to a state in which objects are sent, except one that is sending already."""
    for row in TABLE:
        if row.to is State.PENDING and row.state is not State.PENDING:
            replaced = machine.transition(row.state, row.event, Facts(is_current=False))
            assert replaced.to is not State.PENDING, row
    assert not [row for row in TABLE if row.state is State.SUPERSEDED and row.to is not State.SUPERSEDED]


def test_an_administrator_can_retry_what_is_open_or_dead_and_current() -> None:
    current = {state: machine.transition(state, Event.RETRIED, Facts()).to.value for state in State}
    assert current == {
        "pending": "pending", "sent": "sent", "dead": "pending", "delivered": "delivered", "superseded": "superseded",
    }  # fmt: skip
    replaced = {state: machine.transition(state, Event.RETRIED, Facts(is_current=False)) for state in State}
    assert all(row.to is state and row.effect == machine.RETRY_REFUSED for state, row in replaced.items())


def test_patience_ends_every_open_state() -> None:
    assert set(DUTIES) == set(OPEN_STATES)
    for state in OPEN_STATES:
        for event in (Event.FAILED, Event.REQUESTED):
            assert machine.transition(state, event, Facts(has_patience=False)).to is State.DEAD


def test_the_ledger_refuses_what_the_table_does_not_have(ledger: Ledger) -> None:
    row = Delivery(report_id=1, pacs="main", state="pending", not_before=now_utc(), objects={}, created_at=now_utc())
    with pytest.raises(IllegalTransitionError, match="cannot become 'lost' from 'pending'"):
        row.state = "lost"
    row.state = "superseded"
    with pytest.raises(IllegalTransitionError, match="cannot become 'pending' from 'superseded'"):
        row.state = "pending"
    assert row.state == "superseded"


def test_a_dead_delivery_needs_a_reason() -> None:
    row = Delivery(id=7, report_id=1, pacs="main", state="pending", objects={})
    with pytest.raises(ValueError, match="expected a reason for giving up delivery 7"):
        apply(row, Event.REFUSED, Facts(), "")
    apply(row, Event.REFUSED, Facts(), "the PACS refuses the SR")
    assert (row.state, row.error_text) == ("dead", "the PACS refuses the SR")
    apply(row, Event.FAILED, Facts(), "too late")  # of a step that began before
    assert row.error_text == "the PACS refuses the SR"


def test_the_readme_has_the_table() -> None:
    """Written by `python -c "from node.ledger.delivery_machine import as_markdown; print(as_markdown())"`."""
    assert machine.as_markdown() in Path("node/README.md").read_text(encoding="utf-8")
