"""The states of a work item as a table: what may happen to it, and what a requester of DICOM is answered.

The first four states, and the events from `CREATE` to `CANCEL_WITHOUT_UID`, are those of the Unified Procedure Step
(PS3.4 Table CC.1.1-2). Work items that were pushed to this node change by them alone. Of a work item of a worklist the
manager decides; its row here follows what the manager answers, and has two more states: `TAKEN` and `LOST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from node.ledger.delivery_machine import IllegalTransitionError


class State(StrEnum):
    """State of a work item, as in the ledger; the first four are values of Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    TAKEN = "TAKEN"  # another performer has it, or its manager has canceled it: left alone
    LOST = "LOST"  # the manager does not know it any more, or did not answer for too long


class Event(StrEnum):
    """What happens to a work item; the values are those of the README."""

    CREATE = "N-CREATE"
    CLAIM = "change to IN PROGRESS, with a Transaction UID"
    CLAIM_WITHOUT_UID = "change to IN PROGRESS, without the correct Transaction UID"
    SCHEDULE = "change to SCHEDULED"
    COMPLETE = "change to COMPLETED, with the correct Transaction UID"
    COMPLETE_WITHOUT_UID = "change to COMPLETED, without the correct Transaction UID"
    REQUEST_CANCEL = "request for cancellation"
    CANCEL = "change to CANCELED, with the correct Transaction UID"
    CANCEL_WITHOUT_UID = "change to CANCELED, without the correct Transaction UID"
    TAKEN = "the manager says that another performer has it, or that it is not scheduled any more"
    GONE = "the manager does not know it, or patience is used up"


SUCCESS = 0x0000
DUPLICATE = 0x0111
ALREADY_CANCELED, ALREADY_COMPLETED = 0xB304, 0xB306
ENDED, WRONG_UID, ALREADY_IN_PROGRESS, NOT_BY_ACTION = 0xC300, 0xC301, 0xC302, 0xC303
NOT_READY_TO_END, UNKNOWN_ITEM, UNKNOWN_RECEIVER, NOT_SCHEDULED = 0xC304, 0xC307, 0xC308, 0xC309
NOT_IN_PROGRESS, IS_COMPLETED = 0xC310, 0xC311

NOWHERE = ""  # the state of a work item that does not exist


@dataclass(frozen=True)
class Step:
    """What an event means in a state.

    Attributes
    ----------
    to : str
        State afterwards; the same one where nothing changes.
    status : int
        Of the DIMSE response.
    """

    to: str
    status: int


_ENDS = (State.COMPLETED, State.CANCELED)
_STANDARD = (State.SCHEDULED, State.IN_PROGRESS, *_ENDS)


def _refused(status: int, *states: State) -> dict[str, Step]:
    return {state: Step(state, status) for state in states}


def _without_uid() -> dict[str, Step]:
    return {NOWHERE: Step(NOWHERE, UNKNOWN_ITEM), **_refused(WRONG_UID, *_STANDARD)}


_KNOWN_NOT = {NOWHERE: Step(NOWHERE, UNKNOWN_ITEM)}

TABLE: Mapping[Event, Mapping[str, Step]] = {
    Event.CREATE: {NOWHERE: Step(State.SCHEDULED, SUCCESS), **_refused(DUPLICATE, *_STANDARD)},
    Event.CLAIM: {
        **_KNOWN_NOT, State.SCHEDULED: Step(State.IN_PROGRESS, SUCCESS),
        **_refused(ALREADY_IN_PROGRESS, State.IN_PROGRESS), **_refused(ENDED, *_ENDS),
    },
    Event.CLAIM_WITHOUT_UID: _without_uid(),
    Event.SCHEDULE: {**_KNOWN_NOT, **_refused(NOT_BY_ACTION, *_STANDARD)},
    Event.COMPLETE: {
        **_KNOWN_NOT, **_refused(NOT_IN_PROGRESS, State.SCHEDULED),
        State.IN_PROGRESS: Step(State.COMPLETED, SUCCESS),
        **_refused(ALREADY_COMPLETED, State.COMPLETED), **_refused(ENDED, State.CANCELED),
    },
    Event.COMPLETE_WITHOUT_UID: _without_uid(),
    Event.REQUEST_CANCEL: {
        **_KNOWN_NOT, State.SCHEDULED: Step(State.CANCELED, SUCCESS),
        # The performer decides; the request is recorded, and those who watch are told.
        State.IN_PROGRESS: Step(State.IN_PROGRESS, SUCCESS),
        **_refused(IS_COMPLETED, State.COMPLETED), **_refused(ALREADY_CANCELED, State.CANCELED),
    },
    Event.CANCEL: {
        **_KNOWN_NOT, **_refused(NOT_IN_PROGRESS, State.SCHEDULED),
        State.IN_PROGRESS: Step(State.CANCELED, SUCCESS),
        **_refused(ENDED, State.COMPLETED), **_refused(ALREADY_CANCELED, State.CANCELED),
    },
    Event.CANCEL_WITHOUT_UID: _without_uid(),
    # Of work items of a worklist only.
    Event.TAKEN: {
        State.SCHEDULED: Step(State.TAKEN, SUCCESS), State.IN_PROGRESS: Step(State.TAKEN, SUCCESS),
    },
    Event.GONE: {
        State.SCHEDULED: Step(State.LOST, SUCCESS), State.IN_PROGRESS: Step(State.LOST, SUCCESS),
    },
}  # fmt: skip

OPEN_STATES = (State.SCHEDULED, State.IN_PROGRESS)
ENDED_STATES = (State.COMPLETED, State.CANCELED, State.TAKEN, State.LOST)
_WRITES = frozenset((before, step.to) for steps in TABLE.values() for before, step in steps.items())


def step(state: str, event: Event) -> Step:
    """Return what an event means in a state.

    Parameters
    ----------
    state : str
        Of the work item now; `NOWHERE` where there is none.
    event : Event
        What has happened.

    Raises
    ------
    IllegalTransitionError
        When the table has no such row: a fault of the program.
    """
    try:
        return TABLE[event][state]
    except KeyError:
        raise IllegalTransitionError(
            f"expected an event that a work item in state {state!r} has, found {event}"
        ) from None


def check_write(before: str | None, after: str) -> None:
    """Check a change of the column `state` before it is written.

    Parameters
    ----------
    before : str or None
        None for a new row.
    after : str
        The new value.

    Raises
    ------
    IllegalTransitionError
        When no row of the table leads from one to the other.
    """
    if before != after and (before or NOWHERE, after) not in _WRITES:
        raise IllegalTransitionError(f"a work item cannot become {after!r} from {before!r}")


def as_markdown() -> str:
    """Return the table as `node/workflow/README.md` contains it."""
    states = (NOWHERE, *State)
    head = ("event", "does not exist", *(str(state) for state in State))
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for event, steps in TABLE.items():
        lines.append("| " + " | ".join((event.value, *(_cell(state, steps.get(state)) for state in states))) + " |")
    return "\n".join(lines)


def _cell(state: str, found: Step | None) -> str:
    if found is None:
        return ""
    if found.status != SUCCESS:
        return f"{found.status:04X}"
    return found.to if found.to != state else "recorded"
