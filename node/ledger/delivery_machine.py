"""The states of a delivery as a table: what may happen to it, under which condition, and what follows.

A delivery is all objects of one report for one destination. The rows of `TABLE` are read from above: the first one
whose state, event and guard fit is the transition. What is missing cannot happen: `transition` raises, and so does
writing a state to the ledger that no row leads to (`node.ledger.tables.Delivery`).

Something is sent in two states only, when the delivery is due, leased, and its report is the current one (`DUTIES`).
`node/README.md` has this table for people; a test compares both, and `tests/delivery/` explores it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of a delivery, as in the ledger."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPERSEDED = "superseded"


class Event(StrEnum):
    """What happens to a delivery."""

    STORED = "stored"
    REQUESTED = "commitment due"
    COMMITTED = "committed"
    PARTLY_COMMITTED = "partly committed"
    LOST = "not committed"
    NOT_OFFERED = "commitment not offered"
    FAILED = "attempt failed"
    REFUSED = "refused"
    UNCONFIGURED = "destination removed"
    SUPERSEDED = "superseded"
    RETRIED = "retried"


@dataclass(frozen=True)
class Facts:
    """What guards ask for.

    Attributes
    ----------
    is_current : bool
        Whether the report is the newest one of its study.
    has_patience : bool
        Whether attempts, days and requests for commitment are not used up.
    """

    is_current: bool = True
    has_patience: bool = True


@dataclass(frozen=True)
class Guard:
    """A condition of a transition, with its name for people."""

    name: str
    holds: Callable[[Facts], bool]


ALWAYS = Guard("", lambda facts: True)
REPLACED = Guard("a newer report exists", lambda facts: not facts.is_current)
CURRENT = Guard("the report is current", lambda facts: facts.is_current)
PATIENT = Guard("patience is left", lambda facts: facts.has_patience)
EXHAUSTED = Guard("patience is used up", lambda facts: not facts.has_patience)


@dataclass(frozen=True)
class Transition:
    """One row: in this state, after this event and under this guard, the delivery is in the next state."""

    state: State
    event: Event
    guard: Guard
    to: State
    effect: str


PENDING, SENT, DELIVERED, DEAD, SUPERSEDED = State
RETRY_REFUSED = "refused with the reason"
_NOTHING = "nothing: a step that began before, or a repeated result"
_RECORDED = "what the result says of objects is recorded"
# The events of a step, for the states in which a step finds that its delivery has ended meanwhile.
_OF_A_STEP = (
    Event.STORED, Event.REQUESTED, Event.NOT_OFFERED, Event.FAILED, Event.REFUSED, Event.UNCONFIGURED,
)  # fmt: skip
_OF_A_RESULT = (Event.COMMITTED, Event.PARTLY_COMMITTED, Event.LOST)


TABLE: tuple[Transition, ...] = (
    # pending: something has to be sent
    Transition(PENDING, Event.STORED, ALWAYS, DELIVERED, "delivered, with a remark where commitment is not offered"),
    Transition(PENDING, Event.REQUESTED, EXHAUSTED, DEAD, "given up: stored, never committed"),
    Transition(PENDING, Event.REQUESTED, ALWAYS, SENT, "N-ACTION under a new Transaction UID; due again after a wait"),
    Transition(PENDING, Event.COMMITTED, ALWAYS, DELIVERED, "committed, by a result of a request before a retry"),
    Transition(PENDING, Event.PARTLY_COMMITTED, ALWAYS, PENDING, _RECORDED),
    Transition(PENDING, Event.LOST, ALWAYS, PENDING, "the objects are sent again with the rest"),
    Transition(PENDING, Event.NOT_OFFERED, ALWAYS, PENDING, _NOTHING),
    Transition(PENDING, Event.FAILED, EXHAUSTED, DEAD, "given up, with the last reason"),
    Transition(PENDING, Event.FAILED, ALWAYS, PENDING, "the reason is recorded; due again after a growing wait"),
    Transition(PENDING, Event.REFUSED, ALWAYS, DEAD, "the destination will never take the document"),
    Transition(PENDING, Event.UNCONFIGURED, ALWAYS, DEAD, "no such destination in the settings"),
    Transition(PENDING, Event.SUPERSEDED, ALWAYS, SUPERSEDED, "a step that is sending stops before its next object"),
    Transition(PENDING, Event.RETRIED, REPLACED, PENDING, RETRY_REFUSED),
    Transition(PENDING, Event.RETRIED, ALWAYS, PENDING, "due now"),
    # sent: everything the destination takes is stored, its commitment is awaited
    Transition(SENT, Event.STORED, ALWAYS, DELIVERED, "commitment is no longer configured, or nothing is left of it"),
    Transition(SENT, Event.REQUESTED, REPLACED, SUPERSEDED, "not asked again: the report was replaced"),
    Transition(SENT, Event.REQUESTED, EXHAUSTED, DEAD, "given up: stored, never committed"),
    Transition(
        SENT, Event.REQUESTED, ALWAYS, SENT, "N-ACTION under a new Transaction UID; the earlier ones stay valid"
    ),
    Transition(SENT, Event.COMMITTED, ALWAYS, DELIVERED, "committed"),
    Transition(SENT, Event.PARTLY_COMMITTED, ALWAYS, SENT, "the rest is awaited"),
    Transition(SENT, Event.LOST, REPLACED, SUPERSEDED, "not sent again: the report was replaced"),
    Transition(SENT, Event.LOST, EXHAUSTED, DEAD, "given up: sent again and again, not committed"),
    Transition(SENT, Event.LOST, ALWAYS, PENDING, "the objects are sent again after a growing wait"),
    Transition(SENT, Event.NOT_OFFERED, ALWAYS, DELIVERED, "stored, with a remark"),
    Transition(SENT, Event.FAILED, EXHAUSTED, DEAD, "given up: stored, never committed"),
    Transition(SENT, Event.FAILED, ALWAYS, SENT, "the reason is recorded; due again after a growing wait"),
    Transition(SENT, Event.REFUSED, ALWAYS, DEAD, "the destination will never take the document"),
    Transition(SENT, Event.UNCONFIGURED, ALWAYS, DEAD, "no such destination in the settings"),
    Transition(SENT, Event.SUPERSEDED, ALWAYS, SENT, "results are still accepted; nothing more is asked or sent"),
    Transition(SENT, Event.RETRIED, REPLACED, SENT, RETRY_REFUSED),
    Transition(SENT, Event.RETRIED, ALWAYS, SENT, "due now, with full patience"),
    # dead: given up, with the reason
    Transition(DEAD, Event.COMMITTED, ALWAYS, DELIVERED, "the commitment came after all"),
    Transition(DEAD, Event.PARTLY_COMMITTED, ALWAYS, DEAD, _RECORDED),
    Transition(DEAD, Event.LOST, ALWAYS, DEAD, _RECORDED),
    Transition(DEAD, Event.SUPERSEDED, ALWAYS, SUPERSEDED, "the reason stays in the text"),
    Transition(DEAD, Event.RETRIED, REPLACED, DEAD, RETRY_REFUSED),
    Transition(DEAD, Event.RETRIED, ALWAYS, PENDING, "due now, with full patience; what was refused is tried again"),
    *(Transition(DEAD, event, ALWAYS, DEAD, _NOTHING) for event in _OF_A_STEP),
    # delivered and superseded: ended
    *(Transition(DELIVERED, event, ALWAYS, DELIVERED, _NOTHING) for event in _OF_A_STEP),
    Transition(DELIVERED, Event.COMMITTED, ALWAYS, DELIVERED, _RECORDED),
    Transition(DELIVERED, Event.PARTLY_COMMITTED, ALWAYS, DELIVERED, _RECORDED),
    # What counted as delivered without a commitment, and is not there.
    Transition(DELIVERED, Event.LOST, REPLACED, SUPERSEDED, "not sent again: the report was replaced"),
    Transition(DELIVERED, Event.LOST, EXHAUSTED, DEAD, "given up: sent again and again, not committed"),
    Transition(DELIVERED, Event.LOST, ALWAYS, PENDING, "the objects are sent again after a growing wait"),
    Transition(DELIVERED, Event.SUPERSEDED, ALWAYS, DELIVERED, "the newer report has a delivery of its own"),
    Transition(DELIVERED, Event.RETRIED, ALWAYS, DELIVERED, RETRY_REFUSED),
    *(Transition(SUPERSEDED, event, ALWAYS, SUPERSEDED, _NOTHING) for event in _OF_A_STEP),
    *(Transition(SUPERSEDED, event, ALWAYS, SUPERSEDED, _RECORDED) for event in _OF_A_RESULT),
    Transition(SUPERSEDED, Event.SUPERSEDED, ALWAYS, SUPERSEDED, _NOTHING),
    Transition(SUPERSEDED, Event.RETRIED, ALWAYS, SUPERSEDED, RETRY_REFUSED),
)

# What is done in a state when the delivery is due; only for the current report, and only by the owner of the lease.
DUTIES: dict[State, str] = {
    PENDING: "send the objects that are not stored yet, then ask for commitment where it is configured",
    SENT: "ask again for commitment of what is not committed",
}
OPEN_STATES: tuple[State, ...] = tuple(DUTIES)
ENDED_STATES: tuple[State, ...] = (DELIVERED, DEAD, SUPERSEDED)
INITIAL = PENDING

_WRITES = frozenset((row.state, row.to) for row in TABLE)


class IllegalTransitionError(RuntimeError):
    """The table of deliveries has no such transition: a fault of the program."""


def transition(state: str, event: Event, facts: Facts) -> Transition:
    """Return the row that applies; the table has one for each state, event and facts.

    Parameters
    ----------
    state : str
        Of the delivery now.
    event : Event
        What has happened.
    facts : Facts
        For the guards.

    Raises
    ------
    IllegalTransitionError
        When there is none.
    """
    for row in TABLE:
        if row.state == state and row.event is event and row.guard.holds(facts):
            return row
    raise IllegalTransitionError(f"expected an event that a delivery in state {state!r} has, found {event.value!r}")


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
    if after not in set(State) or (before is not None and before != after and (before, after) not in _WRITES):
        raise IllegalTransitionError(f"a delivery cannot become {after!r} from {before!r}")


def as_markdown() -> str:
    """Return the table as `node/README.md` contains it."""
    lines = ["| state | event | if | next | what follows |", "|---|---|---|---|---|"]
    # Rows that only differ in the event are one row for people.
    merged: dict[tuple[State, str, State, str], list[str]] = {}
    for row in TABLE:
        merged.setdefault((row.state, row.guard.name, row.to, row.effect), []).append(row.event.value)
    for (state, guard, to, effect), events in merged.items():
        lines.append(f"| {state} | {', '.join(events)} | {guard} | {to} | {effect} |")
    return "\n".join(lines)
