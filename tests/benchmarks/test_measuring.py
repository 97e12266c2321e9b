"""The benchmarks' own arithmetic: turns, ratios, goals, and what is said about a peer that is not there."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import receive, sending
from tests.benchmarks.figures import draw
from tests.benchmarks.measuring import Options, Result, interleaved, write
from tests.benchmarks.servers import Server
from tests.dicom.scenes import scene
from workers.cli.bench import Benchmark


def test_contestants_take_turns_and_the_first_turn_does_not_count() -> None:
    calls: list[str] = []

    def turn(name: str, value: float) -> float:
        calls.append(name)
        return value

    found = interleaved({"a": lambda: turn("a", 1.0), "b": lambda: turn("b", 2.0)}, rounds=3)
    assert found == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"


def test_ratios_are_taken_within_a_round() -> None:
    result = Result("one")
    # Between the rounds the machine became ten times slower; the ratio did not change.
    assert result.ratio("ours / theirs", [2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == 2.0
    assert result.figures["ours / theirs"] == {"unit": "ratio", "median": 2.0, "low": 2.0, "high": 2.0, "rounds": 3}


def test_goals_say_whether_they_hold(tmp_path: Path) -> None:
    result = Result("one")
    result.at_least("fast", 2.9, 3.0)
    result.at_most("late", 2.0, 2.0)
    result.within("low", 0.91, 0.92, 0.98)
    result.within("inside", 0.98, 0.92, 0.98)
    result.figure("ours", [1.0, 3.0, 2.0], "s")
    result.absent["orthanc"] = "Debian package orthanc"
    result.curve["s by n"] = {"10": 1.0, "100": 12.0}
    document = json.loads(write(result.to_json(), tmp_path).read_text())
    assert {name: one["holds"] for name, one in document["goals"].items()} == {
        "fast": False, "late": True, "low": False, "inside": True,
    }  # fmt: skip
    assert document["figures"]["ours"]["median"] == 2.0
    assert document["machine"]["cores"] >= 1
    assert "orthanc" in document["absent_peers"]
    assert "[ ] fast: 2.9 (goal >= 3)" in result.to_text()
    assert "[ ] low: 0.91 (goal 0.92 to 0.98)" in result.to_text()
    draw(document, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 5000


def test_a_peer_that_is_not_installed_is_named_and_not_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    result = Result("receive")
    with ExitStack() as stack:
        running = receive._start_all(tmp_path, stack, result)
        assert set(running) == {"ours", "ours without fsync", "raw pynetdicom", "floor"}
        receive._warm(running)
        found = receive._throughput(running, 1, "one association", receive._laid_out(1), 1, result)
        receive._judge(1, "one association", found, result)
    assert set(result.absent) == {"dcmtk", "orthanc"}
    assert not any("dcmtk" in name or "orthanc" in name for name in (*result.figures, *result.goals))
    assert "one association: ours / raw pynetdicom" in result.goals


def test_the_sender_sends_new_images_that_the_node_accepts(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as node:
        took, size = sending.send_over(node.port, 2, 6)
        rows = node.instances()
    assert took > 0
    assert size == sum(row.size_bytes for row in rows)
    assert len({row.sop_instance_uid for row in rows}) == 6
    assert Counter(row.study_instance_uid for row in rows).most_common(1)[0][1] == 3
    assert {row.header["Rows"] for row in rows} == {512}


def test_what_a_server_received_is_emptied_and_its_ledger_stays(tmp_path: Path) -> None:
    for name in ("studies/1/2.dcm", "MR.1.2.3", "fa/a0/faa0-1", "ledger.db", "index-wal", "run/lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    Server("s", 1, 1, tmp_path).clear()
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size}
    assert kept == {"ledger.db", "index-wal", "run/lock"}


def test_the_command_offers_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert [one.value for one in Benchmark] == list(program.NAMES)
    assert program.main(["recieve"]) == 2
    assert "expected benchmarks out of receive," in capsys.readouterr().err
    assert all((Path(program.__file__).parent / f"{name}.py").is_file() for name in program.NAMES)
    assert Options(Path(), quick=True).rounds(9) == 4
