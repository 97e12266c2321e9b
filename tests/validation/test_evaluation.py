"""`cptdn nomogram fit|evaluate` and `cptdn match` on the small cohort that R simulated."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from config.errors import InputError
from node.cli.app import main
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram, write_nomogram
from workers.survival.cohort import Cohort, Outcome, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.survival.kaplan_meier import kaplan_meier
from workers.validation.calibration import calibrate
from workers.validation.decision_curve import decision_curve
from workers.validation.evaluation import evaluate
from workers.validation.evaluation_options import EvaluationOptions
from workers.validation.evaluation_report import report_html
from workers.validation.figures import figures_of, not_unseen
from workers.validation.matching import match, propensity_scores
from workers.validation.survival_comparison import compare_survival, subgroup_masks, total_points_received

REFERENCE = Path(__file__).parents[1] / "reference"
COHORT_CSV = REFERENCE / "statistics_cohort.csv"
R = json.loads((REFERENCE / "statistics.json").read_text())


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert (stopped.value.code or 0, err) == (0, "")
    return json.loads(out)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return read_cohort(COHORT_CSV)


@pytest.fixture(scope="module")
def nomogram(tmp_path_factory: pytest.TempPathFactory) -> CoxNomogram:
    folder = tmp_path_factory.mktemp("nomogram")
    with pytest.raises(SystemExit):
        main(["nomogram", "fit", str(COHORT_CSV), "--out", str(folder), "--json"])
    return load_nomogram(folder)


def test_fit_as_the_contract_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = run_json(capsys, "nomogram", "fit", str(COHORT_CSV), "--out", str(tmp_path))
    names = ["age_per_10_years", "prognostic_score", "predictive_score", "treatment_ict", "ebv_dna_gt_4000"]
    assert list(found["coefficients"]) == [*names, "predictive_score:treatment_ict"]
    per_unit = [found["coefficients"][name]["coef"] for name in found["coefficients"]]
    per_unit[0] /= 10
    assert per_unit == pytest.approx(R["cptdn"]["coef"], abs=1e-9)
    assert (found["n"], found["log_likelihood"]) == (240, pytest.approx(R["cptdn"]["loglik"][1]))
    at_60 = [h for d, h in zip(R["baseline"]["days"], R["baseline"]["cumhaz"], strict=True) if d <= 1800][-1]
    assert found["baseline_survival"]["60"] == pytest.approx(np.exp(-at_60))
    scored = run_json(
        capsys, "nomogram", "score", "--nomogram", str(tmp_path), "--age", "40", "--ebv-dna", ">4000",
        "--prognostic-score", "0", "--predictive-score", "-0.4",
    )  # fmt: skip
    assert scored["dfs"]["ICT+CCRT"]["60"]["value"] == pytest.approx(R["survival"]["ict"]["surv"][0][1], abs=1e-10)
    assert scored["nomogram"]["digest"] == found["nomogram"]["digest"]


def test_fit_says_on_whom_it_was_fitted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = COHORT_CSV.read_text().splitlines()
    table = tmp_path / "two.csv"
    table.write_text("\n".join([*lines[:201], *(line.replace(",training,", ",internal,") for line in lines[201:])]))
    with pytest.raises(SystemExit):
        main(["nomogram", "fit", str(table), "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert "200 patients, " in out
    assert "fitted on the patients labelled training; 40 with another label not used" in out


def test_a_penalised_fit_is_written_with_its_penalty(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ridge = json.loads((REFERENCE / "ridge.json").read_text())["fits"][1]  # penalty 20, by R's survival::ridge
    found = run_json(capsys, "nomogram", "fit", str(COHORT_CSV), "--out", str(tmp_path), "--penalty", "20")
    per_unit = [effect["coef"] for effect in found["coefficients"].values()]
    per_unit[0] /= 10
    assert per_unit == pytest.approx(ridge["coef"], abs=1e-7)
    assert (found["penalty"], found["effective_terms"]) == (20, pytest.approx(ridge["df"]))
    written = load_nomogram(tmp_path).document
    assert written["fit"]["penalty_chosen"] == "given"
    np.testing.assert_allclose(np.diag(written["covariance"]), np.diag(ridge["covariance"]), atol=1e-7)
    chosen = run_json(capsys, "nomogram", "fit", str(COHORT_CSV), "--out", str(tmp_path), "--penalty", "auto")
    assert 0.1 <= chosen["penalty"] <= 1000
    with pytest.raises(SystemExit):
        main(["nomogram", "fit", str(COHORT_CSV), "--out", str(tmp_path), "--penalty", "-3"])
    assert "expected auto or a number above 0" in capsys.readouterr().err


def test_written_nomogram_scores_as_before_writing(nomogram: CoxNomogram) -> None:
    again = load_nomogram(json.loads(json.dumps(nomogram.document)))
    patient = PatientCovariates(40, True, 0.0, -0.4)
    assert again.digest == nomogram.digest
    assert again.score(patient).to_json() == nomogram.score(patient).to_json()
    assert set(nomogram.variance_terms) >= {1080.0, 1800.0}


def test_evaluate_as_the_contract_says(
    capsys: pytest.CaptureFixture[str], nomogram: CoxNomogram, tmp_path: Path
) -> None:
    (tmp_path / "nomogram.json").write_text(json.dumps(nomogram.document))
    found = run_json(
        capsys,
        "nomogram",
        "evaluate",
        str(COHORT_CSV),
        "--nomogram",
        str(tmp_path),
        "--subgroup",
        "sex",
        "--bootstrap",
        "4",
    )
    assert found["c_index"]["all"]["value"] == pytest.approx(R["concordance"]["noether"], abs=1e-10)
    assert found["c_index"]["all"]["harrell"]["se"] == pytest.approx(R["concordance"]["harrell_se"], abs=1e-10)
    assert list(found["c_index"]) == ["all", "CCRT", "ICT+CCRT"]
    assert list(found["decision"]) == ["0.00", "0.02", "0.05"]
    groups = found["decision"]["0.00"]
    assert groups["ICT-preferred"]["n"] + groups["CCRT-preferred"]["n"] == 240
    assert groups["ICT-preferred"]["hazard_ratio"] < 1 < groups["CCRT-preferred"]["hazard_ratio"]
    assert {"n", "hazard_ratio", "ci95", "p_log_rank"} <= set(groups["ICT-preferred"])
    assert [sum(g["n"] for g in found["calibration"][month]) for month in ("36", "60")] == [240, 240]
    assert found["calibration_slope"] == pytest.approx(1.0)  # evaluated where it was fitted
    assert list(found["subgroups"]["sex"]) == ["male", "female"]
    assert found["decision_curve"]["treat_all"][0] > 0


def test_unknown_endpoint_and_absent_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, said in (
        (["--endpoint", "pfs"], 2, "dfs, os, dmfs, lrrfs"),
        (["--endpoint", "os"], 1, "missing the column os_days, os_event"),
        (["--subgroup", "shoe_size"], 1, "missing the column shoe_size"),
        (["--subgroup", "patient_id"], 1, "a subgroup column needs 2 to 6 values, found 240"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["nomogram", "evaluate", str(COHORT_CSV), "--bootstrap", "4", *arguments])
        assert stopped.value.code == code
        assert said in capsys.readouterr().err


class Page(HTMLParser):
    """Headings, and everything that a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.tables = 0
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.tables += tag == "table"
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href") and not (value or "").startswith("#")
        ]

    def handle_data(self, data: str) -> None:
        if self.inside in ("h1", "h2", "h3") and data.strip():
            self.headings.append(data)


def test_report_is_whole_and_loads_nothing(cohort: Cohort, nomogram: CoxNomogram) -> None:
    found = evaluate(cohort, nomogram, EvaluationOptions(n_bootstrap=4, development=True, subgroup_columns=("sex",)))
    text = report_html(found)
    page = Page()
    page.feed(text)
    assert all(load.startswith("data:image/svg+xml;base64,") for load in page.loads)
    figures = figures_of(found)
    assert len(page.loads) == len(figures) == 13
    assert [figure.name for figure in figures if not re.search(r"n = \d+, \d+ events", figure.caption)] == []
    assert page.headings[1] == "Decision: does following the recommendation help?"
    for heading in (
        "Abstract",
        "Methods",
        "Missing data",
        "Fairness",
        "Participants",
        "Model specification",
        "Open science",
    ):
        assert heading in page.headings
    assert page.tables >= 9
    assert f"{found.whole.c_index['all'].noether.value:.3f}" in text
    assert "nan" not in re.sub(r"base64,[^\"]+", "", text).lower().split()


def test_figures_are_written_in_three_formats(cohort: Cohort, nomogram: CoxNomogram, tmp_path: Path) -> None:
    from workers.validation.figures import draw_evaluation

    written = draw_evaluation(
        evaluate(cohort, nomogram, EvaluationOptions(n_bootstrap=4, thresholds=(0.0,))), tmp_path / "figures"
    )
    assert len(written) == 30
    for path in written:
        begins = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[path.suffix[1:]]
        assert path.read_bytes().startswith(begins)


def test_no_event_in_one_group_gives_a_reason_in_place_of_a_ratio() -> None:
    days = np.array([100.0, 200, 300, 400, 500, 600])
    events = np.array([False, False, False, True, True, False])
    second = np.array([False, True, False, True, True, False])
    found = compare_survival(Outcome(days, events), second, ("a", "b"))
    assert found.fit is None
    assert found.reason == "the hazard ratio diverges: no event in a"
    assert found.log_rank is not None  # by hand: at 400 two of three at risk are b, at 500 one of two
    assert found.log_rank.expected == pytest.approx((2 - 2 / 3 - 1 / 2, 2 / 3 + 1 / 2))
    assert found.to_json()["hazard_ratio"] is None
    assert (
        compare_survival(Outcome(days, events), np.zeros(6, dtype=bool), ("a", "b")).reason
        == "no patient in the group b"
    )


def test_kaplan_meier_by_hand() -> None:
    """Four patients: event 10, censored 20, events 30 and 30: S = 3/4, then 0."""
    curve = kaplan_meier(np.array([10.0, 20, 30, 30]), np.array([True, False, True, True]))
    assert (curve.at(9).value, curve.at(10).value, curve.at(29).value, curve.at(30).value) == (1, 0.75, 0.75, 0)
    assert curve.at(10).se == pytest.approx(np.sqrt(0.75**2 * 1 / (4 * 3)))
    assert (curve.at(20).n_at_risk, curve.at(21).n_at_risk) == (3, 2)
    assert curve.quantile(0.5) == 30


def test_net_benefit_by_hand() -> None:
    """Ten patients without censoring, three events; the rule acts on two with and one without an event."""
    outcome = Outcome(np.full(10, 2000.0), np.zeros(10, dtype=bool))
    outcome.durations_days[:3], outcome.event_observed[:3] = 500.0, True
    risk = np.array([0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    found = decision_curve({"rule": risk}, outcome, 1800, [0.2])
    assert found.by_rule["rule"][0] == pytest.approx(2 / 10 - 1 / 10 * 0.2 / 0.8)
    assert found.treat_all[0] == pytest.approx(3 / 10 - 7 / 10 * 0.2 / 0.8)


def test_calibration_merges_groups_with_few_events() -> None:
    random = np.random.default_rng(3)
    predicted = random.uniform(0.2, 0.99, 200)
    events = random.uniform(size=200) > predicted
    days = np.where(events, random.uniform(10, 1700, 200), 2500.0)
    found = calibrate(predicted, Outcome(days, events), 1800, 5)
    assert all(group.events >= 5 for group in found.merged)
    assert sum(group.n for group in found.merged) == sum(group.n for group in found.groups) == 200
    assert found.hosmer_lemeshow().p > 0.001  # the predictions are true by construction


def test_subgroups_cut_where_the_paper_cuts(cohort: Cohort) -> None:
    ages = subgroup_masks(cohort, "age_years")
    assert list(ages) == ["age_years <= 42", "age_years > 42"]
    assert sum(mask.sum() for mask in ages.values()) == len(cohort)
    assert list(subgroup_masks(cohort, "smoking")) == ["smoking = 0", "smoking = 1"]


def test_match_writes_partners_side_by_side(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    covariates = ("sex_male", "age_years", "smoking", "tumour_volume_ml", "ebv_dna_gt_4000")
    options = [word for name in covariates for word in ("--covariate", name)]
    source, out = REFERENCE / "statistics_unmatched.csv", tmp_path / "matched.csv"
    found = run_json(capsys, "match", str(source), "--out", str(out), "--exact", "centre", *options)
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    pairs = [[rows[at]["patient_id"], rows[at + 1]["patient_id"]] for at in range(0, len(rows), 2)]
    assert pairs == R["matching"]["centres"]
    assert found["n_pairs"] == len(pairs)
    for at in range(0, len(rows), 2):
        one, other = rows[at], rows[at + 1]
        assert one["pair"] == other["pair"]
        assert one["centre"] == other["centre"]
        assert {one["treatment"], other["treatment"]} == {"CCRT", "ICT+CCRT"}
    assert read_cohort(out, endpoints=()).texts["pair"][0] == "1"


def test_matching_refuses_what_it_cannot_do(cohort: Cohort) -> None:
    with pytest.raises(InputError, match="missing the column hospital"):
        match(cohort, ("age_years",), exact="hospital")
    with pytest.raises(InputError, match="separate the arms"):
        propensity_scores(cohort.treated.astype(float)[:, None], cohort.treated)
    with pytest.raises(InputError, match="same value in all patients"):
        propensity_scores(np.ones((len(cohort), 1)), cohort.treated)


@pytest.fixture(scope="module")
def two_cohorts(cohort: Cohort, nomogram: CoxNomogram) -> dict[str, Any]:
    """An evaluation of the first 150 patients as one cohort and the others as another, risk cut at 90 points."""
    labels = ("training",) * 150 + ("external",) * 90
    return evaluate(replace(cohort, labels=labels), nomogram, EvaluationOptions(risk_cut=90.0)).to_json()


def test_risk_groups_at_a_chosen_cut(two_cohorts: dict[str, Any], cohort: Cohort, nomogram: CoxNomogram) -> None:
    points = total_points_received(nomogram.score(cohort.covariates()), cohort.treated)
    groups = two_cohorts["risk_groups"]["all"]["groups"]
    assert two_cohorts["risk_cut_total_points"] == 90.0
    assert groups["high risk"]["n"] == int((points > 90).sum()) != int((points > nomogram.mean_total_points).sum())


def test_what_the_scores_do_alone_in_each_cohort(two_cohorts: dict[str, Any]) -> None:
    assert two_cohorts["predictive_interaction"]["p"] == pytest.approx(R["interaction"]["p"], rel=1e-8)
    external = two_cohorts["cohorts"]["external"]
    assert external["predictive_interaction"]["coef"] != two_cohorts["predictive_interaction"]["coef"]
    assert external["c_index_prognostic_score"]["all"]["n"] == 90


def test_every_factor_of_the_arms_and_of_the_cohorts_is_compared(two_cohorts: dict[str, Any], cohort: Cohort) -> None:
    assert set(two_cohorts["balance_of_arms"]) == {
        "sex_male", "age_years", "smoking", "tumour_volume_ml", "ebv_dna_gt_4000"
    }  # fmt: skip
    first = np.arange(240) < 150
    male, events = cohort.column("sex_male"), cohort.outcome("dfs").event_observed
    for factor, values in (("sex_male", male), ("dfs_event", events), ("treatment_ict", cohort.treated)):
        table = [[int(((values == value) & (first == part)).sum()) for value in (0, 1)] for part in (True, False)]
        by_hand = stats.chi2_contingency(table, correction=False).pvalue
        assert two_cohorts["difference_of_cohorts"][factor] == pytest.approx(by_hand, rel=1e-10)


def test_the_text_says_what_the_tables_do_not(
    capsys: pytest.CaptureFixture[str], nomogram: CoxNomogram, tmp_path: Path
) -> None:
    lines = COHORT_CSV.read_text().splitlines()
    ebv = lines[0].split(",").index("ebv_dna_gt_4000")
    first = lines[1].split(",")
    first[ebv] = ""
    table = tmp_path / COHORT_CSV.name
    table.write_text("\n".join([lines[0], ",".join(first), *lines[2:]]))
    write_nomogram(nomogram, tmp_path)
    with pytest.raises(SystemExit):
        main(["nomogram", "evaluate", str(table), "--nomogram", str(tmp_path), "--bootstrap", "0"])
    out = capsys.readouterr().out
    assert f"High risk: more than {nomogram.mean_total_points:.1f} total points" in out
    assert "Unknown EBV DNA: 1; C-index and risk groups are of the others" in out
    # One of the patients has no EBV DNA in this table, so they are not those of the fit.
    assert "was fitted on" not in out
    with pytest.raises(SystemExit):
        main(["nomogram", "evaluate", str(COHORT_CSV), "--nomogram", str(tmp_path), "--bootstrap", "0"])
    out = capsys.readouterr().out
    assert "The nomogram was fitted on the patients labelled training: these figures are not of unseen ones" in out
    with pytest.raises(SystemExit) as stopped:
        main(["nomogram", "evaluate", str(COHORT_CSV), "--threshold", "2"])
    assert stopped.value.code == 2
    assert "Invalid value for '--threshold'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"fit": {"patients_digest": "aa", "n": 9, "events": 3}}, "was fitted on these patients: these figures"),
        ({"fit": {"patients_digest": "bb", "n": 9, "events": 3}, "data_source": "table.csv"}, None),
        ({"fit": {"n": 9, "events": 3}}, "as many patients with as many events; whether they are these .* is unknown"),
        ({"fit": {"n": 8, "events": 3}, "data_source": "table.csv"}, "same name and label; whether .* is unknown"),
        ({"fit": {"n": 8, "events": 3}}, None),
    ],
)  # fmt: skip
def test_whether_patients_are_unseen_is_certain_or_said_to_be_unknown(document: dict, said: str | None) -> None:
    evaluation: Any = SimpleNamespace(
        nomogram=SimpleNamespace(document=document),
        source="/data/table.csv",
        parts={},
        whole=SimpleNamespace(n=9, n_events=3),
        patients_digests={"": "aa"},
    )
    warnings = not_unseen(evaluation)
    assert list(warnings) == ([] if said is None else [""])
    assert said is None or re.search(said, warnings[""])
