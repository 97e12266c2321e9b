"""Telling how far long work is, where there is no terminal; the bar itself is seen in tests/flow/test_comparison.py."""

from __future__ import annotations

import pytest

from node.cli.progress import progress, stages


def test_plain_lines_come_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("compared", 45) as done:
        for _ in range(45):
            done()
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert lines[0].split()[:4] == ["compared", "2", "of", "45"]
    assert lines[-1].split() == ["compared", "45", "of", "45"]
    assert len(lines) == 23
    assert not shown.out  # stdout keeps the result alone


def test_stages_tell_every_nth_time_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    with stages({"images": 10}) as tell:
        for n in range(1, 26):
            tell("images", n, 25, "")
        tell("scores", 1, 2, "loss 0.5")
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert [line[1] for line in lines] == ["10", "20", "25", "1"]
    assert lines[-1][-2:] == ["loss", "0.5"]
