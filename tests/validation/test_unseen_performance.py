"""Figures of unseen patients: against R (`tests/reference/unseen_performance.R`), by hand, and without events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.arrays import BoolArray, FloatArray
from tests.peers import shared
from workers.survival.cohort import EBV, Cohort, Outcome, read_cohort
from workers.validation.prediction_error import censoring_weights, prediction_error
from workers.validation.smooth_calibration import integrated_calibration_index
from workers.validation.unseen_performance import unseen_performance

REFERENCE = Path(__file__).parents[1] / "reference"
R_DIGITS = 1e-6


def _predictions(cohort: Cohort) -> tuple[FloatArray, dict[int, FloatArray], FloatArray]:
    """The model of the R script: fixed coefficients, another hazard in each of three folds."""
    prognostic, predictive = cohort.column("prognostic_score"), cohort.column("predictive_score")
    fold = np.arange(len(cohort)) % 3
    risk = 0.03 * cohort.column("age_years") + 2 * prognostic - predictive + 2 * predictive * cohort.treated
    hazard = np.array([0.010, 0.012, 0.015])[fold]
    return risk, {month: np.exp(-hazard * month / 36 * np.exp(risk)) for month in (36, 60)}, fold + 1


@pytest.mark.parametrize("name", ["unseen_performance", "unseen_performance_simulated"])
def test_all_figures_agree_with_r(name: str) -> None:
    simulated = name.endswith("simulated")
    cohort = read_cohort(shared("reference/cohort_simulated.csv") if simulated else REFERENCE / "statistics_cohort.csv")
    cohort = cohort.where(~np.isnan(cohort.column(EBV)))
    expected: dict[str, Any] = json.loads((REFERENCE / f"{name}.json").read_text())
    risk, survival, fold = _predictions(cohort)
    outcome = cohort.outcome("dfs")

    def performance(groups: Any, decision_month: int) -> dict[str, Any]:
        return unseen_performance(
            risk, survival, outcome.durations_days, outcome.event_observed, cohort.treated,
            groups=groups, n_bootstrap=0, decision_month=decision_month,
        )  # fmt: skip

    in_folds, together = performance(fold, 60), performance(None, 36)
    assert (in_folds["n"], in_folds["n_events"]) == (expected["n"], expected["n_events"])
    c, se = expected["c_in_folds"]
    assert in_folds["c_index"]["all"]["value"] == pytest.approx(c, abs=R_DIGITS)
    assert in_folds["c_index"]["all"]["ci95"] == pytest.approx([c - 1.959964 * se, c + 1.959964 * se], abs=R_DIGITS)
    assert in_folds["calibration_slope"]["value"] == pytest.approx(expected["slope_in_folds"], abs=R_DIGITS)
    assert together["calibration_slope"]["value"] == pytest.approx(expected["slope"], abs=R_DIGITS)
    assert in_folds["calibration_intercept"]["value"] == pytest.approx(expected["at_60"]["intercept"], abs=R_DIGITS)
    assert together["calibration_intercept"]["value"] == pytest.approx(expected["at_36"]["intercept"], abs=R_DIGITS)
    for month in ("36", "60"):
        for figure in ("ici", "brier", "ipa"):
            assert in_folds[figure][month]["value"] == pytest.approx(expected[f"at_{month}"][figure], abs=R_DIGITS)


def test_weights_and_brier_score_of_four_patients_by_hand() -> None:
    """Event on day 1, censored on 2, event on 3, followed to 9; horizon 5. Of the three at risk of being censored on
    day 2 one is, so G = 2/3 from then on: weights 1, 0, 3/2, 3/2. All predicted 0.6."""
    outcome = Outcome(np.array([1.0, 2, 3, 9]), np.array([True, False, True, False]))
    assert censoring_weights(outcome, 5) == pytest.approx([1, 0, 1.5, 1.5])
    error = prediction_error(np.full(4, 0.6), outcome, 5)
    assert error is not None
    assert error.brier == pytest.approx((0.36 + 1.5 * 0.36 + 1.5 * 0.16) / 4)
    # Kaplan-Meier at 5: 3/4 x 1/2.
    assert error.brier_null == pytest.approx((2.5 * 0.375**2 + 1.5 * 0.625**2) / 4)


def _simulated(n: int, true_hazard: float, slope: float = 1.0) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
    """Exponential survival: hazard of the linear predictor times `slope`; censored between 700 and 3400 days."""
    rng = np.random.default_rng(3)
    risk = rng.normal(0, 1, n)
    event = rng.exponential(1800 / (true_hazard * np.exp(slope * risk)))
    censored = rng.uniform(700, 3400, n)
    return risk, np.minimum(event, censored), event <= censored, rng.random(n) < 0.5


def test_a_model_that_predicts_half_of_the_hazard_has_the_intercept_log_2() -> None:
    risk, days, events, treated = _simulated(3000, 0.2)
    half = {60: np.exp(-0.1 * np.exp(risk))}
    found = unseen_performance(risk, half, days, events, treated, n_bootstrap=40)
    low, high = found["calibration_intercept"]["ci95"]
    assert low < np.log(2) < high
    assert high - low < 0.3
    assert found["calibration_slope"]["value"] == pytest.approx(1, abs=0.1)


def test_predictions_that_are_twice_too_extreme_have_the_slope_one_half() -> None:
    risk, days, events, treated = _simulated(3000, 0.2, slope=0.5)
    extreme = {60: np.exp(-0.2 * np.exp(risk))}
    found = unseen_performance(risk, extreme, days, events, treated, n_bootstrap=0)
    assert found["calibration_slope"]["value"] == pytest.approx(0.5, abs=0.06)
    honest = integrated_calibration_index(np.exp(-0.2 * np.exp(0.5 * risk)), Outcome(days, events), 1800)
    assert honest is not None
    assert honest < 0.02 < 0.05 < found["ici"]["60"]["value"]


def test_a_seed_fixes_the_intervals_and_unknown_risks_are_left_out() -> None:
    risk, days, events, treated = _simulated(200, 0.4)
    survival = {36: np.exp(-0.24 * np.exp(risk)), 60: np.exp(-0.4 * np.exp(risk))}
    more = [np.append(values, values[:1]) for values in (risk, days, events, treated)]
    more[0][-1] = np.nan
    one = unseen_performance(risk, survival, days, events, treated, n_bootstrap=20, seed=7)
    other = unseen_performance(
        more[0], {month: np.append(s, np.nan) for month, s in survival.items()}, *more[1:], n_bootstrap=20, seed=7
    )
    assert one == other
    assert one["ici"]["60"]["ci95"][0] < one["ici"]["60"]["ci95"][1]
    assert one != unseen_performance(risk, survival, days, events, treated, n_bootstrap=20, seed=8)


@pytest.mark.parametrize("absurd", ["no events", "certain", "short follow-up", "separated"])
def test_a_figure_that_does_not_exist_is_null(absurd: str) -> None:
    risk, days, events, treated = _simulated(40, 0.4)
    if absurd == "no events":
        events = np.zeros(40, dtype=bool)
    if absurd == "certain":
        risk = np.zeros(40)
    if absurd == "short follow-up":
        days = np.minimum(days, 900)
    if absurd == "separated":
        risk = -days
    survival = {60: np.ones(40)} if absurd == "certain" else {60: np.exp(-0.4 * np.exp(np.clip(risk, -3, 3)))}
    found = unseen_performance(risk, survival, days, events, treated, n_bootstrap=5)
    nothing = {"value": None, "ci95": None}
    assert (found["calibration_slope"] == nothing) == (absurd != "short follow-up")
    assert (found["ici"]["60"] == nothing) == (absurd in ("no events", "certain", "short follow-up", "separated"))
    assert (found["brier"]["60"] == nothing) == (absurd in ("no events", "short follow-up"))
    assert (found["calibration_intercept"] == nothing) == (absurd in ("no events", "short follow-up"))
    json.dumps(found, allow_nan=False)
