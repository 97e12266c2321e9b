"""No delivery is stuck and no replaced report is sent, whatever the destination, the workers and the reports do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.ledger import commitments
from node.ledger.delivery_machine import DEAD, DUTIES
from node.workflow import delivery
from tests.delivery import model
from tests.delivery.exploration import World
from tests.faults.servers import postgres


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that can be reached in a few steps; their values have tests of their own."""
    monkeypatch.setattr(commitments, "MOST_REQUESTS", 3)
    monkeypatch.setattr(commitments, "LEAST_REQUESTS", 2)
    monkeypatch.setattr(delivery, "LEAST_ATTEMPTS", 2)
    monkeypatch.setattr(delivery, "MOST_UNEXPECTED", 2)


def test_a_model_checker_finds_no_state_without_a_way_out() -> None:
    nodes = model.reachable()
    assert len(nodes) > 200
    steps = model.ends(nodes, frozenset({"step"}))
    assert {node for node in nodes if node.state in DUTIES} <= steps  # a destination that works is enough
    dead = {node for node in nodes if node.state is DEAD}
    assert {node for node in dead if node.is_current} <= model.ends(nodes, frozenset({"step", "person"}))
    assert dead <= model.ends(nodes, frozenset({"step", "person", "report", "result"}))


def test_a_model_checker_finds_no_state_that_says_what_is_not_so() -> None:
    """Delivered is committed (or not to be committed), sent is stored, superseded is replaced, dead is given up."""
    for node in model.reachable():
        assert model.is_true(node), node
        for move in model.moves(node):
            if move.by == "stale":
                assert move.to.state is node.state, (node, move.name)


def test_a_model_checker_finds_no_way_on_which_a_replaced_report_is_sent_or_asked_for() -> None:
    for node in model.reachable():
        for move in model.moves(node):
            assert node.is_current or not (move.sends or move.requests), (node, move.name)


def test_a_model_checker_finds_that_requests_and_transfers_are_bounded() -> None:
    """Accepted requests, and those that count as failed attempts, of which the last one gives up."""
    assert model.most_on_a_way("requests") == model.REQUESTS + model.ATTEMPTS - 1
    assert model.most_on_a_way("sends") == model.REQUESTS + model.ATTEMPTS - 1


@contextmanager
def a_world(folder: Path, **values: Any) -> Iterator[World]:
    world = World(folder, **values)
    try:
        yield world
    finally:
        world.ledger.close()


def walk(world: World, seed: int, n_events: int) -> None:
    rng = random.Random(seed)
    story: list[tuple[str, ...]] = []
    try:
        for _ in range(n_events):
            what = rng.choice(world.events())
            story.append(what)
            world.do(what)
        world.settle()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {story}") from error


def test_random_stories_end_well(tmp_path: Path) -> None:
    with a_world(tmp_path, kinds=("sr", "sc"), most_revisions=3) as world:
        beginning = world.snapshot()
        for seed in range(5):
            world.restore(beginning)
            walk(world, seed, 12)


@pytest.mark.long
def test_many_long_random_stories_end_well(tmp_path: Path) -> None:
    with a_world(tmp_path, kinds=("sr", "sc"), most_revisions=4) as world:
        beginning = world.snapshot()
        for seed in range(1000, 1300):
            world.restore(beginning)
            walk(world, seed, 30)


@pytest.mark.long
def test_random_stories_end_well_on_postgresql(tmp_path: Path) -> None:
    with (
        postgres() as running,
        a_world(tmp_path, kinds=("sr", "sc"), most_revisions=3, url=running.url("stories")) as world,
    ):
        beginning = world.snapshot()
        for seed in range(2000, 2030):
            world.restore(beginning)
            walk(world, seed, 12)


@pytest.mark.long
def test_everything_that_can_happen_first_ends_well(tmp_path: Path) -> None:
    """Every pair of events with the real ledger and `deliver`, each state once (see `World.canonical`)."""
    with a_world(tmp_path, kinds=("sr",), most_revisions=2) as world:
        known = {world.canonical()}
        front = [world.snapshot()]
        n_transitions = 0
        for _depth in range(2):
            following = []
            for state in front:
                world.restore(state)
                for what in world.events():
                    world.restore(state)
                    world.do(what)
                    n_transitions += 1
                    if (found := world.canonical()) not in known:
                        known.add(found)
                        after = world.snapshot()
                        world.settle()
                        following.append(after)
            front = following
        print(f"{len(known)} states, {n_transitions} transitions, {len(front)} at the last depth")
        assert len(known) > 100
