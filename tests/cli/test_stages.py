"""Progress of long work: lines for a log, bars for a person."""

from __future__ import annotations

import io
import os
import pty
import re

import pytest

from node.cli.progress import stages, time_left


def test_lines_come_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("node.cli.progress.time.monotonic", lambda: next(clock) / 10)
    said = io.StringIO()
    with stages({"images": 10}, said) as tell:
        for done in range(1, 26):
            tell("fold 1/2 images", done, 25, "")
        tell("T1w", 1, 2, "loss 1.0")
    seen = [line.split("  ")[0].rstrip() for line in said.getvalue().splitlines()]
    assert [re.sub(r"\s+", " ", line) for line in seen] == [
        "fold 1/2 images",
        "fold 1/2 images",
        "fold 1/2 images",
        "T1w",
    ]
    assert re.search(r"10 of 25 .* left", said.getvalue())
    assert re.search(r"25 of 25\s*$", said.getvalue(), re.MULTILINE)  # nothing is left at the end
    assert "loss 1.0" in said.getvalue()


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        with stages(stream=terminal) as tell:
            tell("CE-T1w", 1, 4, "loss 2.5")
            tell("CE-T1w", 4, 4, "loss 0.5")
        terminal.flush()
        shown = ""
        while "loss 0.5" not in shown:  # a terminal gives what it has so far
            shown += os.read(leader, 100_000).decode()
    os.close(leader)
    assert "CE-T1w" in shown
    assert "4/4" in shown
    assert "left" in shown
    assert "loss 0.5" in shown


def test_slow_steps_are_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr("node.cli.progress.time.monotonic", lambda: next(clock))
    said = io.StringIO()
    with stages({"landmarks": 25}, said) as tell:
        for done in (1, 2, 3):
            tell("landmarks", done, 8, "")
    assert said.getvalue().splitlines()[-1] == "landmarks       3 of 8    2 min 30 s left"


@pytest.mark.parametrize(("seconds", "text"), [(11.6, "12 s"), (250, "4 min 10 s"), (7500, "2 h 05 min")])
def test_durations_for_a_person(seconds: float, text: str) -> None:
    assert time_left(seconds) == text
