"""The states of work items are those of the standard, in the table, in the ledger, and on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid
from pynetdicom.status import UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS as MEANINGS

from node.ledger.delivery_machine import IllegalTransitionError
from node.ledger.work_item_machine import (
    ENDED_STATES,
    NOWHERE,
    OPEN_STATES,
    SUCCESS,
    TABLE,
    Event,
    State,
    as_markdown,
    step,
)
from node.ledger.work_item_tables import WorkItem
from tests.work_items.manager import STANDARD, STATES, Manager, work_item

README = Path(__file__).parents[2] / "node" / "workflow" / "README.md"
ROWS = {
    Event.CREATE: ("create", None), Event.CLAIM: ("IN PROGRESS", True),
    Event.CLAIM_WITHOUT_UID: ("IN PROGRESS", False), Event.SCHEDULE: ("SCHEDULED", None),
    Event.COMPLETE: ("COMPLETED", True), Event.COMPLETE_WITHOUT_UID: ("COMPLETED", False),
    Event.REQUEST_CANCEL: ("request cancel", None), Event.CANCEL: ("CANCELED", True),
    Event.CANCEL_WITHOUT_UID: ("CANCELED", False),
}  # fmt: skip


@pytest.mark.parametrize("event", ROWS)
def test_every_row_is_that_of_the_standard(event: Event) -> None:
    for state, expected in zip(STATES, STANDARD[ROWS[event]], strict=True):
        found = step(state, event)
        assert (found.to if found.status == SUCCESS else found.status) == expected, state
        if found.status != SUCCESS:
            assert found.to == state
            assert found.status in MEANINGS


@given(st.lists(st.sampled_from(list(ROWS)), max_size=30))
def test_any_sequence_of_events_is_answered_as_a_manager_of_the_standard_answers_it(happenings: list[Event]) -> None:
    manager, uid, lock, state = Manager(), "", str(generate_uid()), NOWHERE
    for event in happenings:
        wanted, is_correct = ROWS[event]
        answered = step(state, event)
        if wanted == "create":
            status = SUCCESS if not uid else 0x0111
            uid = uid or manager.schedule(final(work_item("1.2.3")))
        elif wanted == "request cancel":
            status = manager.request_cancel(uid)
        else:
            status = manager.change(uid, wanted, lock if is_correct is not False else "")
        state = answered.to
        assert (status, state) == (answered.status, manager.items[uid].state if uid else NOWHERE)


def final(ds: object) -> object:
    """A work item that fulfils the requirements of both final states from the beginning."""
    from pydicom.dataset import Dataset

    assert isinstance(ds, Dataset)
    said, performed = Dataset(), Dataset()
    said.ProcedureStepCancellationDateTime, said.ReasonForCancellation = "2026", "none"
    said.ProcedureStepDiscontinuationReasonCodeSequence = [Dataset()]
    performed.PerformedStationNameCodeSequence = performed.PerformedWorkitemCodeSequence = [Dataset()]
    performed.PerformedProcedureStepStartDateTime = performed.PerformedProcedureStepEndDateTime = "2026"
    performed.OutputInformationSequence = []
    ds.ProcedureStepProgressInformationSequence = [said]
    ds.UnifiedProcedureStepPerformedProcedureSequence = [performed]
    return ds


def test_every_open_state_has_a_way_out_and_no_ended_one_has() -> None:
    ways = {(before, found.to) for steps in TABLE.values() for before, found in steps.items() if before != found.to}
    for state in OPEN_STATES:
        assert any(before == state and after in ENDED_STATES for before, after in ways)
    assert not any(before in ENDED_STATES for before, _ in ways)


def test_the_ledger_refuses_what_the_table_does_not_have() -> None:
    item = WorkItem(state=State.SCHEDULED)
    with pytest.raises(IllegalTransitionError):
        item.state = State.COMPLETED
    item.state = State.IN_PROGRESS
    with pytest.raises(IllegalTransitionError):
        item.state = State.SCHEDULED
    with pytest.raises(IllegalTransitionError):
        WorkItem(state=State.IN_PROGRESS)
    with pytest.raises(IllegalTransitionError):
        step(State.TAKEN, Event.COMPLETE)


def test_the_readme_has_the_table() -> None:
    assert as_markdown() in README.read_text(encoding="utf-8")
