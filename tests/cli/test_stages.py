"""Progress of long work: lines for a log, bars for a person."""

from __future__ import annotations

import io
import os
import pty
import re

import pytest

from node.cli.progress import stages, time_left


def test_lines_come_now_and_then_and_at_the_end() -> None:
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
        shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "CE-T1w" in shown
    assert "4/4" in shown
    assert "left" in shown
    assert "loss 0.5" in shown


@pytest.mark.parametrize(("seconds", "text"), [(11.6, "12 s"), (250, "4 min 10 s"), (7500, "2 h 05 min")])
def test_durations_for_a_person(seconds: float, text: str) -> None:
    assert time_left(seconds) == text
