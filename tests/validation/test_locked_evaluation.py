"""An evaluation applies models and fits none; patients of unknown EBV DNA stay where it is not needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.errors import ModelBundleError
from tests.validation.test_evaluation import COHORT_CSV, run_json
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.survival.cohort import EBV, Cohort, read_cohort
from workers.survival.comparison_models import (
    FILE_NAME,
    ComparisonModels,
    fit_comparison_models,
    read_comparison_models,
)
from workers.survival.cox_models import fit_compared_models
from workers.validation.evaluation import NO_MODELS, Evaluation, evaluate
from workers.validation.evaluation_options import EvaluationOptions
from workers.validation.part_evaluation import compared_concordances
from workers.validation.performance_figures import concordance_figure
from workers.validation.report_tables import bounds_table, performance_tables


@pytest.fixture(scope="module")
def halves() -> tuple[Cohort, Cohort]:
    """The patients to fit, and the others."""
    cohort = read_cohort(COHORT_CSV).with_known_ebv_dna()
    first = np.arange(len(cohort)) % 2 == 0
    return cohort.where(first), cohort.where(~first)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, halves: tuple[Cohort, Cohort]) -> tuple[CoxNomogram, Path]:
    """A nomogram of the first half, as `cptdn nomogram fit` writes it."""
    from node.cli.app import main

    folder = tmp_path_factory.mktemp("first-half")
    lines = COHORT_CSV.read_text().splitlines()
    inside = set(halves[0].patient_ids)
    rows = [line for line in lines[1:] if line.split(",")[0] in inside]
    (folder / "first.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    with pytest.raises(SystemExit) as stopped:
        main(["nomogram", "fit", str(folder / "first.csv"), "--out", str(folder), "--few-events", "--json"])
    assert not stopped.value.code
    return load_nomogram(folder), folder


@pytest.fixture(scope="module")
def models(fitted: tuple[CoxNomogram, Path]) -> ComparisonModels:
    found = read_comparison_models(fitted[1], fitted[0].digest)
    assert found is not None
    return found


def unknown_ebv_dna(cohort: Cohort, n: int, value: float = np.nan) -> Cohort:
    ebv = cohort.column(EBV).copy()
    ebv[:n] = value
    return replace(cohort, values={**cohort.values, EBV: ebv})


def figures_of_the_nomogram(evaluation: Evaluation) -> dict[str, Any]:
    document = evaluation.to_json()
    about_models = ("comparison_models", "c_index_models", "c_index_refitted_models", "decision_curve", "development")
    return {name: value for name, value in document.items() if name not in (*about_models, "patients_in_analyses")}


def test_the_models_of_a_nomogram_are_those_of_its_training_cohort(
    models: ComparisonModels, halves: tuple[Cohort, Cohort]
) -> None:
    by_fit, _ = fit_compared_models(halves[0])
    assert set(models.models) == set(by_fit) - {"cptdn"}
    assert models.fitted_on == "first.csv, cohort training"
    for name, model in models.models.items():
        assert model.coefficients.tolist() == by_fit[name].fit.coefficients.tolist()
        np.testing.assert_allclose(model.survival(halves[1], 1800), by_fit[name].survival(halves[1], 1800), rtol=1e-12)
        assert model.n == len(halves[0].arm(model.arm) if model.arm else halves[0])


def test_an_evaluation_fits_nothing_unless_asked(
    fitted: tuple[CoxNomogram, Path], models: ComparisonModels, halves: tuple[Cohort, Cohort], monkeypatch: Any
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a model was fitted")

    nomogram, other = fitted[0], halves[1]
    refitted = evaluate(other, nomogram, EvaluationOptions(n_bootstrap=4, refit=True), models)
    monkeypatch.setattr("workers.validation.evaluation.fit_compared_models", refuse)
    monkeypatch.setattr("workers.survival.cox_models.fit_terms", refuse)
    locked = evaluate(other, nomogram, EvaluationOptions(n_bootstrap=4), models)
    alone = evaluate(other, nomogram, EvaluationOptions(n_bootstrap=4))
    # The given nomogram's figures are the same whatever else is in the table.
    assert figures_of_the_nomogram(locked) == figures_of_the_nomogram(refitted) == figures_of_the_nomogram(alone)
    # Harrell's C-index of a comparison model by its definition, with the coefficients of the training cohort.
    model = models.models["clinical_all"]
    risk = other.column("age_years") * model.coefficients[0] + other.column(EBV) * model.coefficients[1]
    outcome = other.outcome("dfs")
    before = (outcome.durations_days[:, None] < outcome.durations_days) & outcome.event_observed[:, None]
    pairs = np.sign(risk[:, None] - risk)[before]
    found = locked.whole.c_index_of_models["clinical_all"]["all"].harrell.value
    tied_days = (outcome.durations_days[:, None] == outcome.durations_days) & outcome.event_observed[:, None]
    usable = tied_days & ~outcome.event_observed
    pairs = np.concatenate((pairs, np.sign(risk[:, None] - risk)[usable]))
    assert found == pytest.approx(((pairs > 0).sum() + (pairs == 0).sum() / 2) / len(pairs))
    assert refitted.whole.c_index_of_refitted["clinical_all"]["all"].harrell.value != found


def test_refits_are_marked_in_json_tables_and_figures(
    fitted: tuple[CoxNomogram, Path], models: ComparisonModels, halves: tuple[Cohort, Cohort]
) -> None:
    locked = evaluate(halves[1], fitted[0], EvaluationOptions(n_bootstrap=4), models)
    cohort = unknown_ebv_dna(halves[1], 15)
    refitted = evaluate(cohort, fitted[0], EvaluationOptions(n_bootstrap=4, refit=True, thresholds=(0.0,)), models)
    assert locked.to_json()["comparison_models"]["refitted"] is None
    assert locked.to_json()["c_index_refitted_models"] == {}
    document = refitted.to_json()
    assert document["comparison_models"]["given"]["fitted_on"] == "first.csv, cohort training"
    assert document["comparison_models"]["refitted"]["fitted_on"] == "this cohort (patients labelled training)"
    assert "cptdn" in document["c_index_refitted_models"]
    assert "cptdn" not in document["c_index_models"]
    shown = [row[0] for table in performance_tables("all", refitted.whole, (36, 60)) for row in table.rows]
    assert "CPTDN, fitted on this cohort" in shown
    bars = concordance_figure(compared_concordances(refitted.whole)).axes[0].patches
    # Three arms of 14 models: the nomogram and its six models, then the seven that were fitted here.
    assert [bar.get_hatch() for bar in bars] == [*[""] * 7, *["///"] * 7] * 3
    bounds = bounds_table("all", refitted.whole)
    assert bounds is not None
    assert bounds.rows[-1][0] == "all patients, unknown EBV DNA taken as >threshold"
    rows = [row[0] for table in performance_tables("all", locked.whole, (36, 60)) for row in table.rows]
    assert "CPTDN, as given" in rows
    assert "Clinical (all)" in rows
    assert not any("fitted on this cohort" in row for row in rows)


def test_a_nomogram_without_comparison_models_evaluates_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "nomogram", "evaluate", str(COHORT_CSV), "--bootstrap", "4")
    assert found["comparison_models"]["given"] is None
    assert found["comparison_models"]["text"] == NO_MODELS


def test_a_model_whose_factor_the_cohort_does_not_have_is_named(
    fitted: tuple[CoxNomogram, Path], models: ComparisonModels, halves: tuple[Cohort, Cohort]
) -> None:
    values = {name: column for name, column in halves[1].values.items() if name != "tumour_volume_ml"}
    found = evaluate(replace(halves[1], values=values), fitted[0], EvaluationOptions(n_bootstrap=4), models)
    assert list(found.models.not_evaluated) == ["clinical_ccrt"]
    assert "missing the numeric column tumour_volume_ml" in found.models.not_evaluated["clinical_ccrt"]
    assert "clinical_ccrt" not in found.whole.c_index_of_models


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 9}, "expected the schema 1, found 9"),
        ({"nomogram": "sha256:0"}, "found those of sha256:0; fit the nomogram again, or remove this file"),
        ({"models": {"clinical_all": {}}}, "has no comparison models: KeyError"),
    ],
)
def test_a_file_that_does_not_belong_to_the_nomogram_is_refused(
    fitted: tuple[CoxNomogram, Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    document = json.loads((fitted[1] / FILE_NAME).read_text())
    (tmp_path / FILE_NAME).write_text(json.dumps(document | change))
    with pytest.raises(ModelBundleError, match=said):
        read_comparison_models(tmp_path, fitted[0].digest)


def test_patients_of_unknown_ebv_dna_stay_where_it_is_not_needed(
    fitted: tuple[CoxNomogram, Path], halves: tuple[Cohort, Cohort]
) -> None:
    other = halves[1]
    cohort = unknown_ebv_dna(other, 15)
    found = evaluate(cohort, fitted[0], EvaluationOptions(n_bootstrap=4, thresholds=(0.0, 0.05)))
    document = found.to_json()
    assert (found.n_ebv_dna_unknown, document["n"], document["table_1"]["n"]) == (15, len(other), len(other))
    # At threshold 0 the recommendation does not depend on EBV DNA: the effect is that of the complete table.
    complete = evaluate(other, fitted[0], EvaluationOptions(n_bootstrap=4, thresholds=(0.0, 0.05))).to_json()
    assert document["decision"]["0.00"] == complete["decision"]["0.00"]
    # At 5 points it can: those patients are counted, and named in the flow.
    at_5 = sum(group["n"] for group in document["decision"]["0.05"].values())
    flow = {each["analysis"]: each for each in document["patients_in_analyses"]}
    at_5_in_flow = flow["treatment effect by recommendation at 5 %"]
    assert at_5_in_flow["n"] == at_5
    assert at_5 + sum(each["n"] for each in at_5_in_flow["left_out"]) == len(other)
    # Percentages are of the known values.
    known = cohort.column(EBV)[15:]
    assert document["table_1"][EBV]["yes"] == {"n": int(known.sum()), "percent": pytest.approx(100 * known.mean())}
    assert document["table_1"][EBV]["unknown"] == 15
    # What needs a value has the patients whose value is known, and both categories as bounds.
    in_c_index = flow["C-index, calibration and risk groups of the nomogram"]
    assert in_c_index["left_out"] == [{"reason": "EBV DNA unknown", "n": 15}]
    alone = evaluate(cohort.with_known_ebv_dna(), fitted[0], EvaluationOptions(n_bootstrap=4)).to_json()
    assert document["c_index"] == alone["c_index"]
    assert document["calibration"] == alone["calibration"]
    for category, value in (("<=threshold", 0.0), (">threshold", 1.0)):
        assumed = evaluate(unknown_ebv_dna(other, 15, value), fitted[0], EvaluationOptions(n_bootstrap=4)).to_json()
        bound = document["ebv_dna_unknown_taken_as"][category]
        assert bound["c_index"] == assumed["c_index"]
        assert bound["risk_groups"] == assumed["risk_groups"]
        assert bound["calibration_slope"] == assumed["calibration_slope"]


def test_a_column_of_unknown_values_alone_is_evaluated_by_its_recommendations(
    fitted: tuple[CoxNomogram, Path], halves: tuple[Cohort, Cohort]
) -> None:
    cohort = unknown_ebv_dna(halves[1], len(halves[1]))
    document = evaluate(cohort, fitted[0], EvaluationOptions(n_bootstrap=4)).to_json()
    assert sum(group["n"] for group in document["decision"]["0.00"].values()) == len(cohort)
    assert document["c_index"]["all"]["n"] == 0
    assert document["calibration"] == {}


def test_comparison_models_are_fitted_where_they_can_be(halves: tuple[Cohort, Cohort]) -> None:
    values = {name: column for name, column in halves[0].values.items() if name != "tumour_volume_ml"}
    found = fit_comparison_models(replace(halves[0], values=values), "without volumes")
    assert list(found.not_fitted) == ["clinical_ccrt"]
