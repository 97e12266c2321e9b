"""A small model checker of the delivery machine: one object, small limits, and an environment that may do anything.

The transitions are those of `delivery_machine.TABLE`; the rest of a step (which event an outcome is, what limits count)
is modelled here in a few lines. `test_exploration.py` holds the model against the real ledger by random stories.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from node.ledger.delivery_machine import (
    DELIVERED,
    DUTIES,
    PENDING,
    SENT,
    SUPERSEDED,
    Event,
    Facts,
    State,
    transition,
)

STEP_EVENTS = (
    Event.STORED, Event.REQUESTED, Event.NOT_OFFERED, Event.FAILED, Event.REFUSED, Event.UNCONFIGURED,
)  # fmt: skip
ATTEMPTS, REQUESTS = 2, 3  # limits of failed attempts, and of accepted requests for commitment


@dataclass(frozen=True)
class Node:
    """A delivery, and what its destination and its study are like.

    Attributes
    ----------
    state : State
        As in the ledger.
    stored : str
        Of the object: "todo", "stored", "committed" or "uncommittable".
    is_asked : bool
        Whether a request for the commitment of this copy is under way.
    attempts, requests : int
        What is left of the limits.
    is_current : bool
        Whether no newer report exists.
    ground : str
        What the destination has said or the settings say: "refused", "removed", "not offered", "no commitment".
    """

    state: State = PENDING
    stored: str = "todo"
    is_asked: bool = False
    attempts: int = ATTEMPTS
    requests: int = REQUESTS
    is_current: bool = True
    ground: str = ""


@dataclass(frozen=True)
class Move:
    """What may happen to a node.

    Attributes
    ----------
    name : str
        For people.
    to : Node
        Afterwards.
    by : str
        "step" (a worker, when the delivery is due), "stale" (one whose delivery has ended meanwhile), "result" (of a
        request), "report" or "person".
    sends, requests : bool
        Whether objects were transferred, and whether commitment was requested.
    """

    name: str
    to: Node
    by: str
    sends: bool = False
    requests: bool = False


def _apply(node: Node, event: Event, has_patience: bool = True) -> Node:
    return replace(node, state=transition(node.state, event, Facts(node.is_current, has_patience)).to)


def _failed(node: Node) -> Node:
    left = max(0, node.attempts - 1)
    return _apply(replace(node, attempts=left), Event.FAILED, left > 0)


def _replaced(node: Node) -> Node:
    return _apply(replace(node, is_current=False), Event.SUPERSEDED)


@cache
def moves(node: Node) -> tuple[Move, ...]:
    """Return everything that may happen next."""
    return tuple(_moves(node))


def _moves(node: Node) -> Iterator[Move]:
    if node.state in DUTIES:
        yield from _steps(node)
    else:
        for event in STEP_EVENTS:
            yield Move(f"stale: {event.value}", _apply(node, event), "stale")
        if node.state is SUPERSEDED:
            for event in (Event.COMMITTED, Event.LOST):
                yield Move(f"stale: {event.value}", _apply(node, event), "stale")
    if node.is_asked:
        yield from _results(node)
    yield Move("a repeated result", _apply(node, Event.PARTLY_COMMITTED), "result")
    if node.is_current:
        yield Move("a newer report", _replaced(node), "report")
        retried = _apply(node, Event.RETRIED)
        if retried.state in DUTIES:
            fresh = replace(retried, attempts=ATTEMPTS, requests=REQUESTS, ground="")
            yield Move("retried", fresh, "person")
    else:
        yield Move("retried in vain", _apply(node, Event.RETRIED), "stale")
        yield Move("superseded again", _apply(node, Event.SUPERSEDED), "report")


def _steps(node: Node) -> Iterator[Move]:
    if not node.is_current:
        event = Event.SUPERSEDED if node.state is PENDING else Event.REQUESTED
        yield Move("replaced", _apply(node, event), "step")
        return
    yield Move("failed", _failed(node), "step", sends=node.stored == "todo")
    yield Move("removed", replace(_apply(node, Event.UNCONFIGURED), ground="removed"), "step")
    if node.stored == "todo":
        yield Move("refused", replace(_apply(node, Event.REFUSED), ground="refused"), "step", sends=True)
        stored = replace(node, stored="stored", is_asked=False)
        # The newer report comes while the object is transferred; the step that began before records what it did.
        yield Move("replaced in between", _apply(_replaced(stored), Event.STORED), "step", sends=True)
        yield Move("replaced before a request", _apply(_replaced(stored), Event.REQUESTED), "step", sends=True)
        yield from _confirm(stored, sends=True)
    else:
        yield from _confirm(node, sends=False)


def _confirm(node: Node, sends: bool) -> Iterator[Move]:
    yield Move("stored, no commitment", replace(_apply(node, Event.STORED), ground="no commitment"), "step", sends)
    if node.stored != "stored":
        return
    asked = _apply(node, Event.REQUESTED, node.requests > 0)
    if asked.state is not SENT:
        yield Move("stored, no request left", asked, "step", sends)
        return
    under_way = replace(asked, is_asked=True, requests=max(0, node.requests - 1))
    yield Move("requested", under_way, "step", sends, requests=True)
    not_offered = replace(_apply(under_way, Event.NOT_OFFERED), ground="not offered")
    yield Move("not offered", not_offered, "step", sends, requests=True)
    # A request that is not accepted counts as a failed attempt instead.
    yield Move("not accepted", _failed(replace(asked, requests=node.requests)), "step", sends, requests=True)
    for result in _results(under_way):
        yield Move(f"requested, {result.name}", result.to, "step", sends, requests=True)
        yield Move(f"requested, {result.name}, failed", _failed(result.to), "step", sends, requests=True)


def _results(node: Node) -> Iterator[Move]:
    if node.stored != "stored":
        return
    for stored in ("committed", "uncommittable"):
        yield Move(stored, _apply(replace(node, stored=stored), Event.COMMITTED), "result")
    lost = _apply(replace(node, stored="todo", is_asked=False), Event.LOST, node.requests > 0)
    yield Move("lost", lost, "result")


def is_true(node: Node) -> bool:
    """Return whether the state of a node says what is so."""
    if node.state in DUTIES and node.ground in ("refused", "removed"):
        return False
    if node.state is PENDING:
        return node.is_current
    if node.state is SENT:
        return node.stored == "stored"
    if node.state is DELIVERED:
        return node.stored in ("committed", "uncommittable") or (
            node.stored == "stored" and node.ground in ("no commitment", "not offered")
        )
    if node.state is SUPERSEDED:
        return not node.is_current
    is_given_up = node.attempts == 0 or node.requests == 0 or node.ground in ("refused", "removed")
    return is_given_up and node.is_current and node.stored != "committed"


def reachable() -> set[Node]:
    """Return every node that can be reached from a new delivery."""
    known, front = {Node()}, [Node()]
    while front:
        front = list(dict.fromkeys(move.to for node in front for move in moves(node)))
        front = [node for node in front if node not in known]
        known.update(front)
    return known


def most_on_a_way(counted: str) -> int:
    """Return the largest number of moves that transfer (`sends`) or ask (`requests`) on any way without a retry.

    Raises
    ------
    RecursionError
        When some way comes back to where it was: it would have no end.
    """
    most: dict[Node, int] = {}
    on_the_way: set[Node] = set()

    def count(node: Node) -> int:
        if node in on_the_way:
            raise RecursionError(f"a way comes back to {node}")
        if node not in most:
            on_the_way.add(node)
            following = [move for move in moves(node) if move.by != "person"]
            # A move that changes nothing may be repeated; it must not reach the destination.
            if any(move.to == node and getattr(move, counted) for move in following):
                raise RecursionError(f"a move repeats without a limit at {node}")
            changes = [move for move in following if move.to != node]
            most[node] = max((int(getattr(move, counted)) + count(move.to) for move in changes), default=0)
            on_the_way.discard(node)
        return most[node]

    return count(Node())


def ends(nodes: set[Node], allowed: frozenset[str]) -> set[Node]:
    """Return the nodes from which moves of these kinds can lead to `delivered` or `superseded`."""
    good = {node for node in nodes if node.state in (DELIVERED, SUPERSEDED)}
    while True:
        more = {
            node for node in nodes - good if any(move.to in good for move in moves(node) if move.by in allowed)
        }  # fmt: skip
        if not more:
            return good
        good |= more
