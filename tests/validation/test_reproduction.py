"""The paper's printed values beside ours, on rows that every clone has: which values come, and with which reason."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.cli.app import main
from workers.survival.cohort import Cohort, read_cohort
from workers.validation.reproduction.comparison import NO_COPY, beside_printed, computed_values, reproduce
from workers.validation.reproduction.printed import PrintedValue, read_printed_values
from workers.validation.reproduction.published_cohort import PublishedCohort, published_cohort

REFERENCE = Path(__file__).parents[1] / "reference"
STATISTICS = REFERENCE / "statistics_cohort.csv"
R = json.loads((REFERENCE / "reproduction.json").read_text(encoding="utf-8"))
ROWS = list(csv.DictReader(STATISTICS.read_text(encoding="utf-8").splitlines()))


def table(folder: Path, name: str, rows: Sequence[Mapping[Any, Any]], label: str, **changes: str) -> Path:
    """A cohort file of these rows under one label, with columns changed or, where empty, left out."""
    path = folder / name
    columns = [column for column in rows[0] if changes.get(column) != ""]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, **changes, "cohort": label} for row in rows)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """120 patients as training, 60 as internal, 60 as external, of whom ten have an unknown EBV DNA."""
    folder = tmp_path_factory.mktemp("cohorts")
    unknown = [{**row, "ebv_dna_gt_4000": ""} for row in ROWS[180:190]]
    return {
        "training": table(folder, "training.csv", ROWS[:120], "training"),
        "internal": table(folder, "internal.csv", ROWS[120:180], "internal_test"),
        "external": table(folder, "external.csv", [*unknown, *ROWS[190:]], "external"),
    }


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["nomogram", "reproduce", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def read(path: Path) -> Cohort:
    return read_cohort(path, need_scores=False, need_ebv_dna=False, endpoints=())


def by_key(*paths: Path, printed: Path | None = None) -> dict[str, Any]:
    return {value.printed.key: value for value in reproduce([read(path) for path in paths], printed)}


@pytest.fixture(scope="module")
def published(files: dict[str, Path]) -> PublishedCohort:
    return published_cohort([read(path) for path in files.values()])


@pytest.fixture(scope="module")
def computed(published: PublishedCohort) -> dict[str, Any]:
    return computed_values(published)


@pytest.fixture(scope="module")
def all_three(published: PublishedCohort, computed: dict[str, Any]) -> dict[str, Any]:
    return {value.printed.key: value for value in beside_printed(published, computed, read_printed_values())}


def test_every_value_equals_r(computed: dict[str, Any]) -> None:
    """R's answers on the same rows: tests/reference/reproduction.R."""
    assert len(R) > 150
    assert set(R) - set(computed) == set()
    wrong = {
        key: (computed[key][0], value) for key, value in R.items() if computed[key][0] != pytest.approx(value, rel=1e-8)
    }
    assert wrong == {}
    external = {key.replace(".internal.", ".external.") for key in R if ".internal." in key}
    # Every kind of value that the internal cohort has, but for hazard ratios that diverge in one of them.
    assert {key for key in external - set(R) if not re.search(r"\.hr(_lo|_hi)?$", key)} == set()


@pytest.mark.parametrize(
    ("printed", "value", "agrees"),
    [
        ("67.8", 67.84999, True), ("67.8", 67.86, False), ("52.9", 52.85, True), ("684", 684, True),
        ("684", 683, False),
        ("81%", 0.8149, True), ("81%", 0.816, False), ("<0.001", 9e-4, True), ("<0.001", 0.001, False),
        (">0.05", 0.06, True), (">0.05", 0.04, False), ("0.020", 0.0203, True), ("0.020", 0.0206, False),
        ("EBV_4k,age", "age,EBV_4k", True), ("EBV_4k,age", "EBV_4k", False), (None, 1.0, False),
    ],
)  # fmt: skip
def test_agreement_is_at_the_printed_digits(printed: str | None, value: float | str, agrees: bool) -> None:
    assert PrintedValue("key", "Table 1", printed).agrees(value) is agrees


def test_a_recorded_reason_is_about_one_value() -> None:
    value = PrintedValue("key", "Figure 2", "122", "rounded before adding", holds_for=122.6335)
    assert value.reason_for(122.6334) == "rounded before adding"
    assert value.reason_for(121.0) == ""


def test_the_paper_s_file_is_whole() -> None:
    paper = read_printed_values()
    assert paper.n_by_label == {"training": 684, "internal": 324, "external": 198}
    with_reason = [value for value in paper.values.values() if value.reason]
    assert all(not value.agrees(value.holds_for) for value in with_reason if value.holds_for is not None)
    assert all(value.where for value in paper.values.values())


def test_values_come_from_the_rows_of_their_cohort(all_three: dict[str, Any], files: dict[str, Path]) -> None:
    assert all_three["table1.external.n"].computed == 60
    assert all_three["table1.external.EBV_4k.unknown"].computed == 10
    positive = sum(row["ebv_dna_gt_4000"] == "1" for row in ROWS[190:])
    assert all_three["table1.external.EBV_4k.ebvH.pct"].computed == pytest.approx(100 * positive / 50)
    assert all_three["events.internal.DFS.n"].computed == sum(row["dfs_event"] == "1" for row in ROWS[120:180])
    assert all_three["balance.centre1.n_ict"].computed == sum(row["treatment"] == "ICT+CCRT" for row in ROWS[:180])
    assert all_three["between_cohorts.treatment.p"].computed < 1
    # The columns os_days and haemoglobin_abnormal are not given.
    assert not [key for key in all_three if "followup" in key or "HGBcut" in key or key.startswith("step")]


def test_a_cohort_alone_gives_its_own_values(all_three: dict[str, Any], files: dict[str, Path]) -> None:
    alone = by_key(files["external"])
    assert {key.split(".")[0] for key in alone} == {
        "table1", "events", "predictive_interaction", "cindex", "risk", "decision", "balance"
    }  # fmt: skip
    assert not [key for key in alone if "training" in key or "internal" in key or "centre1" in key]
    # Without training rows the published nomogram is applied; what needs no model is the same.
    for key in ("table1.external.age.median", "cindex.prog.external.all.c", "balance.external.sex.p"):
        assert alone[key].computed == all_three[key].computed
    assert alone["cindex.cptdn.external.all.c"].computed != all_three["cindex.cptdn.external.all.c"].computed


def test_one_file_has_the_same_cohorts_as_several(files: dict[str, Path], tmp_path: Path) -> None:
    rows = [row for path in files.values() for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
    one = tmp_path / "all.csv"
    with one.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    together, apart = published_cohort([read(one)]), published_cohort([read(path) for path in files.values()])
    assert list(together.parts) == list(apart.parts) == ["training", "internal", "external"]
    for label, part in together.parts.items():
        assert part.patient_ids == apart.parts[label].patient_ids
        np.testing.assert_array_equal(part.column("ebv_dna_gt_4000"), apart.parts[label].column("ebv_dna_gt_4000"))
    whole = together.whole("training", "external")
    assert whole is not None
    assert whole.patient_ids == (*together.parts["training"].patient_ids, *together.parts["external"].patient_ids)
    assert whole.labels == ("training",) * 120 + ("external",) * 60


def test_other_rows_than_the_paper_s_are_named(all_three: dict[str, Any]) -> None:
    differing = [value for value in all_three.values() if value.agrees is False]
    assert differing
    assert all("patients labelled" in value.reason and "the paper has" in value.reason for value in differing)
    assert all_three["cindex.cptdn.external.ccrt.c"].reason.startswith("other rows: 120 patients labelled training")


def test_other_events_than_the_paper_s_are_named(tmp_path: Path) -> None:
    """As many patients as the internal test cohort, every one of them without an event."""
    rows = [{**ROWS[at % 240], "patient_id": f"R{at}", "dfs_event": "0"} for at in range(324)]
    found = by_key(table(tmp_path, "other.csv", rows, "internal"))
    reason = "other rows: 0 DFS events among the patients labelled internal, the paper has 55"
    assert found["table1.internal.n"].agrees
    assert {value.reason for value in found.values() if not value.agrees} == {reason}


def test_printed_values_can_be_given(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = tmp_path / "printed.json"
    printed.write_text('{"table1.external.n": "60", "table1.external.sex.male.n": "1"}')
    found = by_key(files["external"], printed=printed)
    assert found["table1.external.n"].agrees is True
    assert found["table1.external.sex.male.n"].agrees is False
    assert (found["table1.external.age.min"].agrees, found["table1.external.age.min"].reason) == (None, NO_COPY)
    printed.write_text('{"table1.elsewhere.n": "60"}')
    code, out, err = run(capsys, files["external"], "--printed", printed)
    assert (code, out) == (1, "")
    assert "expected keys of the paper's values, found 'table1.elsewhere.n'" in err


def test_json_of_the_contract(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, files["external"], "--json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert all(list(value) == ["key", "where", "printed", "computed", "agrees", "reason"] for value in values)
    assert next(value for value in values if value["key"] == "table1.external.n")["computed"] == 60


def test_text_for_a_person(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, files["external"])
    assert code == 0
    assert "Table 1, external test cohort" in out
    assert "printed values come out at the printed digits" in out
    assert "more values are computed, but the program has no copy of what the paper prints" in out


def test_tables_without_the_paper_s_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, table(tmp_path, "site.csv", ROWS, "our hospital"))
    assert code == 1
    assert "expected patients labelled training, internal or external in the column cohort, found our hospital" in err


def test_a_patient_given_twice_is_refused(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, files["external"], files["external"])
    assert code == 1
    assert "expected each patient labelled external once, found S181 twice" in err


def test_a_table_without_scores_gives_table_1(tmp_path: Path) -> None:
    path = table(tmp_path, "no_scores.csv", ROWS[:60], "external", prognostic_score="", predictive_score="")
    assert {key.split(".")[0] for key in by_key(path)} == {"table1", "events", "balance"}
