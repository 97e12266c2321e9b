"""Wrong cohorts get a sentence each, at the door and through the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config.errors import InputError
from node.cli.app import main
from workers.survival.cohort import ENDPOINTS, Cohort, read_cohort, require_events, unusable_cells

GOOD = Path(__file__).parents[1] / "reference" / "statistics_cohort.csv"
Edit = Callable[[list[list[str]], dict[str, int]], None]


def edited(folder: Path, edit: Edit) -> Path:
    """The good cohort with one thing changed; `edit` gets the rows (header first) and the places of the columns."""
    rows = [line.split(",") for line in GOOD.read_text().splitlines()]
    edit(rows, {name: at for at, name in enumerate(rows[0])})
    path = folder / "cohort.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    return path


def put(column: str, value: str, row: int = 3) -> Edit:
    def edit(rows: list[list[str]], at: dict[str, int]) -> None:
        rows[row][at[column]] = value

    return edit


def everywhere(column: str, value: str) -> Edit:
    def edit(rows: list[list[str]], at: dict[str, int]) -> None:
        for row in rows[1:]:
            row[at[column]] = value

    return edit


def no_event_with(treatment: str) -> Edit:
    def edit(rows: list[list[str]], at: dict[str, int]) -> None:
        for row in rows[1:]:
            if row[at["treatment"]] == treatment:
                row[at["dfs_event"]] = "0"

    return edit


def without(column: str) -> Edit:
    def edit(rows: list[list[str]], at: dict[str, int]) -> None:
        for row in rows:
            del row[at[column]]

    return edit


def in_months(rows: list[list[str]], at: dict[str, int]) -> None:
    for row in rows[1:]:
        row[at["dfs_days"]] = str(float(row[at["dfs_days"]]) / 30)


def twice(rows: list[list[str]], at: dict[str, int]) -> None:
    rows.append(list(rows[5]))


def score_is_the_outcome(rows: list[list[str]], at: dict[str, int]) -> None:
    """The Prognostic-score orders the patients exactly as their events came, and nobody else had one."""
    for row in rows[1:]:
        days, event = float(row[at["dfs_days"]]), row[at["dfs_event"]] == "1"
        row[at["prognostic_score"]] = repr(round(0.99 - days / 4000, 6) if event else -0.9)
        if not event:
            row[at["dfs_days"]] = "3390"


AT_THE_DOOR = [
    (without("dfs_event"), "missing the column dfs_event; found patient_id"),
    (without("predictive_score"), "missing the column predictive_score"),
    (put("treatment", "ICT"), r"patient S003, column treatment: expected CCRT or ICT\+CCRT, found 'ICT'"),
    (everywhere("treatment", "CCRT"), r"both arms are needed, no patient has the treatment ICT\+CCRT"),
    (put("dfs_days", "-5"), "patient S003, column dfs_days: expected days of follow-up, 0 or more, found '-5'"),
    (put("dfs_event", "2"), r"column dfs_event: expected 1 \(event\) or 0 \(censored\), found '2'"),
    (put("age_years", ""), "column age_years: expected a number from 0 to 130, found ''"),
    (put("age_years", "forty"), "found 'forty'"),
    (put("age_years", "nan"), "column age_years: expected a number from 0 to 130, found 'nan'"),
    (put("prognostic_score", "1.5"), "column prognostic_score: expected a number from -1 to 1, found '1.5'"),
    (put("sex", "female"), "column sex: expected M or F, found 'female'"),
    (put("ebv_dna_gt_4000", "5000"), "column ebv_dna_gt_4000: expected 0 or 1, found '5000'"),
    (in_months, "dfs_days ends at 113: expected days, at least one patient followed for 360 or more; are these months"),
    (twice, "expected each patient once, found S005 2 times"),
    (put("patient_id", ""), "row 3 has no patient_id"),
    (lambda rows, at: rows[4].pop(), "row 4 has 11 cells, expected 12"),
    (lambda rows, at: rows.__delitem__(slice(1, None)), "needs a header line and at least one patient"),
    (lambda rows, at: rows[0].__setitem__(1, "patient_id"), "has the column patient_id twice"),
]


@pytest.mark.parametrize(("edit", "said"), AT_THE_DOOR, ids=[said[:45] for _, said in AT_THE_DOOR])
def test_wrong_cohorts_are_named_at_the_door(tmp_path: Path, edit: Edit, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_cohort(edited(tmp_path, edit))


def test_all_wrong_cells_are_found_and_the_rest_is_read_without_them(tmp_path: Path) -> None:
    def edit(rows: list[list[str]], at: dict[str, int]) -> None:
        for row, column, value in ((3, "treatment", "ICT"), (3, "age_years", "451"), (7, "dfs_days", ""),
                                   (9, "patient_id", ""), (12, "dfs_event", "2")):  # fmt: skip
            rows[row][at[column]] = value
        rows.append(list(rows[5]))

    table = edited(tmp_path, edit)
    problems = unusable_cells(table, need_scores=True)
    assert {(problem.patient_id, problem.column, problem.found) for problem in problems} == {
        ("S003", "treatment", "'ICT'"),
        ("S003", "age_years", "'451'"),
        ("S007", "dfs_days", "''"),
        ("", "patient_id", "row 9 has no patient_id"),
        ("S012", "dfs_event", "'2'"),
        ("S005", "patient_id", "S005 2 times"),
    }
    rest = read_cohort(table, without={problem.patient_id for problem in problems})
    assert len(rest) == 240 - 5
    assert not {"S003", "S005", "S007", "S012", ""} & set(rest.patient_ids)
    with pytest.raises(InputError, match="expected patients that can be used, found none"):
        read_cohort(table, without={*rest.patient_ids, "S003", "S005", "S007", "S012", ""})


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (everywhere("dfs_event", "0"), "no patient had an event in dfs_event; a Cox model needs events"),
        (no_event_with("CCRT"), "no patient with CCRT had an event in dfs_event"),
        (everywhere("age_years", "40"), "age_years has the same value in all 240 patients"),
        (score_is_the_outcome, "separate"),
        (without("dfs_days"), "missing the column dfs_days"),
    ],
)
def test_fitting_a_wrong_cohort_ends_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Edit, said: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["nomogram", "fit", str(edited(tmp_path, edit)), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_absent_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the cohort"):
        read_cohort(tmp_path / "absent.csv")
    (tmp_path / "utf16.csv").write_bytes("patient_id,treatment\n1,CCRT\n".encode("utf-16"))
    with pytest.raises(InputError, match="not a CSV table in UTF-8 or GB18030"):
        read_cohort(tmp_path / "utf16.csv")
    (tmp_path / "semicolons.csv").write_text(GOOD.read_text().replace(",", ";"))
    with pytest.raises(InputError, match="expected cells separated by commas, found semicolons"):
        read_cohort(tmp_path / "semicolons.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputError, match="needs a header line and at least one patient, found no line"):
        read_cohort(tmp_path / "empty.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_what_a_spreadsheet_saved_is_read(tmp_path: Path, encoding: str) -> None:
    text = GOOD.read_text().replace("S001,", "患者一,")
    (tmp_path / "cohort.csv").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    cohort = read_cohort(tmp_path / "cohort.csv")
    assert cohort.patient_ids[:2] == ("患者一", "S002")
    assert len(cohort) == 240


def test_what_a_good_cohort_holds(tmp_path: Path) -> None:
    cohort = read_cohort(edited(tmp_path, put("ebv_dna_gt_4000", "")))
    assert len(cohort) == 240
    assert np.isnan(cohort.column("ebv_dna_gt_4000")[2])
    assert len(cohort.with_known_ebv_dna()) == 239
    assert list(cohort.outcomes) == ["dfs"]
    assert set(cohort.column("sex_male")) == {0.0, 1.0}
    with pytest.raises(InputError, match="missing os_days and os_event; endpoints found: dfs"):
        cohort.outcome("os")
    with pytest.raises(InputError, match="no patient has the cohort 'external'; found training"):
        cohort.labelled("external")
    require_events(cohort, "dfs")


def test_rows_stay_together_when_patients_are_chosen() -> None:
    cohort: Cohort = read_cohort(GOOD)
    ict = cohort.where(cohort.treated)
    assert ict.treated.all()
    assert set(ict.texts["treatment"]) == {"ICT+CCRT"}
    at = cohort.patient_ids.index(ict.patient_ids[7])
    assert ict.column("age_years")[7] == cohort.column("age_years")[at]
    assert ict.outcome("dfs").durations_days[7] == cohort.outcome("dfs").durations_days[at]


def test_every_endpoint_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="os_days, os_event, dmfs_days"):
        read_cohort(GOOD, endpoints=ENDPOINTS)
