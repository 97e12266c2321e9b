"""`cptdn nomogram score|plot` as a person or a program calls it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.cli.app import main
from workers.phantoms.population import draw_patient, published_nomogram

EXAMPLE = ["--age", "40", "--prognostic-score", "0", "--predictive-score", "-0.4"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["nomogram", *arguments])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_json_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "score", *EXAMPLE, "--ebv-dna", "5000")
    assert found["points"]["predictive_score"]["CCRT"] == pytest.approx(70.0)
    assert found["total_points"]["ICT+CCRT"] == pytest.approx(122.63351218038405)
    assert found["dfs"]["ICT+CCRT"]["60"]["value"] == pytest.approx(0.8348210141141814)
    assert found["dfs"]["CCRT"]["36"]["ci95"] == pytest.approx([0.6659156227131336, 0.8393369362318573])
    assert found["difference"]["60"] == pytest.approx(0.20637348820617185)
    assert (found["recommendation"], found["threshold"]) == ("ICT+CCRT", 0.0)
    assert found["nomogram"]["digest"].startswith("sha256:")
    assert "by_ebv_dna_category" not in found


def test_unknown_ebv_dna_reports_both_categories(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "score", *EXAMPLE, "--ebv-dna", "unknown")
    assert found["dfs"] is None
    assert found["recommendation"] == "ICT+CCRT"
    assert set(found["by_ebv_dna_category"]) == {"<=threshold", ">threshold"}


def test_threshold_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    """The example gains 20.7 points (8.3 to 33.0): more than 5, not clearly more or less than 21, less than 40."""
    for threshold, answer in (("0.05", "ICT+CCRT"), ("0.21", "no_reliable_difference"), ("0.4", "CCRT")):
        found = run_json(capsys, "score", *EXAMPLE, "--ebv-dna", ">4000", "--threshold", threshold)
        assert found["recommendation"] == answer
        assert "+20.7 percentage points (95 % CI +8.3 to +33.0)" in found["sentence"]


def test_answer_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "score", "--age", "80", *EXAMPLE[2:], "--ebv-dna", "not-detected", "--horizon", "60")
    assert code == 0
    assert out.startswith("No reliable difference: the result is not valid for this patient")
    assert "A regimen is recommended when the 95 % CI of the difference in 5-year DFS excludes zero" in out
    assert "age_years 80 is outside the training cohort 14..72" in out


def test_table_in_table_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    batch = tmp_path / "in.csv"
    batch.write_text(
        "patient_id,age_years,ebv_dna_gt_4000,prognostic_score,predictive_score\nA,40,1,0,-0.4\nB,40,,0,0.4\n"
    )
    found = run_json(capsys, "score", "--batch", str(batch), "--out", str(tmp_path / "out.csv"))
    assert (found["n"], found["recommended"], found["undecided"]) == (2, {"CCRT": 1, "ICT+CCRT": 1}, 0)
    assert (tmp_path / "out.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["score", "--age", "40"], 2, "--ebv-dna"),
        (["score", *EXAMPLE, "--ebv-dna", "some"], 1, "EBV DNA 'some' is not a number"),
        (["score", *EXAMPLE, "--ebv-dna", "5000", "--horizon", "200"], 1, "followed for 115.8 months at most"),
        (["score", "--batch", "absent.csv", "--out", "o.csv"], 1, "cannot read the table absent.csv"),
        (["score", "--batch", "absent.csv"], 2, "--out"),
        (["score", *EXAMPLE, "--ebv-dna", "5000", "--nomogram", "nowhere"], 1, "cannot read the nomogram nowhere"),
        (["plot", *EXAMPLE, "--ebv-dna", "unknown", "--out", "x.png"], 1, "known EBV DNA category"),
        (["plot", "--style", "pink", "--out", "x.png"], 2, "light or dark"),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert said in err


def test_plot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, _ = run(capsys, "plot", *EXAMPLE, "--ebv-dna", "5000", "--out", str(tmp_path / "n.png"))
    assert code == 0
    assert (tmp_path / "n.png").stat().st_size > 20_000


def test_scoring_imports_neither_pandas_nor_lifelines_nor_matplotlib() -> None:
    """`cptdn nomogram score` answers in less than a second because it reads numpy alone."""
    program = (
        "import sys; from node.cli.app import main\n"
        "try: main(['nomogram', 'score', *sys.argv[1:]])\n"
        "except SystemExit: pass\n"
        "heavy = {'pandas', 'lifelines', 'matplotlib', 'scipy', 'torch', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *EXAMPLE, "--ebv-dna", "5000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def cohort_with_events(path: Path, n: int, n_events: int) -> Path:
    """Patients of the published survival model; all events after the first ones are hidden."""
    patients = [draw_patient(3, number, published_nomogram()) for number in range(n)]
    rows = [{**p.record, "prognostic_score": p.prognostic, "predictive_score": p.predictive} for p in patients]
    for row in [row for row in rows if row["dfs_event"]][n_events:]:
        row["dfs_event"] = 0
    assert sum(row["dfs_event"] for row in rows) == n_events
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_fit_with_too_few_events_is_refused_or_marked_wherever_it_is_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    few, out = cohort_with_events(tmp_path / "few.csv", 60, 4), tmp_path / "fitted"
    code, printed, err = run(capsys, "fit", str(few), "--out", str(out))
    assert (code, printed, out.exists()) == (1, "", False)
    assert "Expected at least 5 events per parameter of the Cox model (30 for its 6 parameters), found 0.7 (4 ev" in err
    more = cohort_with_events(tmp_path / "more.csv", 300, 25)
    assert run(capsys, "fit", str(more), "--out", str(out))[0] == 1
    fitted = run_json(capsys, "fit", str(more), "--out", str(out), "--few-events")
    assert [mark["code"] for mark in fitted["marked"]] == ["events_per_parameter"]
    scored = run_json(capsys, "score", *EXAMPLE, "--ebv-dna", "5000", "--nomogram", str(out))
    # The file of the nomogram keeps code and sentence; a fresh mark also has its message and parameters.
    assert scored["nomogram"]["marked"] == [{key: mark[key] for key in ("code", "text")} for mark in fitted["marked"]]
    shown = run(capsys, "score", *EXAMPLE, "--ebv-dna", "5000", "--nomogram", str(out))[1]
    assert "Marked: Expected at least 5 events per parameter" in shown


def test_a_fit_with_8_events_per_parameter_is_marked_and_with_10_it_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for n_events, codes in ((48, ["events_per_parameter"]), (60, [])):
        table = cohort_with_events(tmp_path / "cohort.csv", 500, n_events)
        fitted = run_json(capsys, "fit", str(table), "--out", str(tmp_path / "fitted"))
        assert [mark["code"] for mark in fitted["marked"]] == codes
        assert fitted["events_per_parameter"] == n_events / 6
