"""Ridge-penalised Cox regression against R's survival::ridge (`tests/reference/ridge.R`), and its limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.errors import InputError
from workers.nomogram.fitting import TrainingData, design_matrix
from workers.nomogram.points import TERMS
from workers.survival.cohort import read_cohort
from workers.survival.cox import fit_cox
from workers.survival.partial_likelihood import SeparationError
from workers.survival.ridge import (
    PENALTIES,
    cross_validated_likelihood,
    cross_validated_penalty,
    fit_ridge_cox,
    folds_of,
)

REFERENCE = Path(__file__).parents[1] / "reference"
R: dict[str, Any] = json.loads((REFERENCE / "ridge.json").read_text())
COHORT = read_cohort(REFERENCE / "statistics_cohort.csv")
DAYS, EVENTS = COHORT.outcome("dfs").durations_days, COHORT.outcome("dfs").event_observed
X = design_matrix(TrainingData(COHORT.covariates(), COHORT.treated, DAYS, EVENTS))


@pytest.mark.parametrize("expected", R["fits"], ids=lambda fit: f"penalty {fit['penalty']}")
def test_effects_covariance_and_effective_terms_are_those_of_r(expected: dict[str, Any]) -> None:
    fit = fit_ridge_cox(X, TERMS, DAYS, EVENTS, expected["penalty"])
    np.testing.assert_allclose(fit.coefficients, expected["coef"], atol=1e-8)
    np.testing.assert_allclose(fit.covariance, expected["covariance"], atol=1e-8)
    assert fit.log_likelihood == pytest.approx(expected["loglik"], abs=1e-7)
    assert fit.degrees_of_freedom == pytest.approx(expected["df"], abs=1e-7)
    assert fit.aic == pytest.approx(2 * expected["df"] - 2 * expected["loglik"], abs=1e-6)


def test_cross_validated_likelihood_and_the_best_penalty_are_those_of_r() -> None:
    found = cross_validated_likelihood(X, TERMS, DAYS, EVENTS, np.arange(len(COHORT)) % 5)
    np.testing.assert_allclose(found, R["cross_validated"], atol=1e-6)
    assert PENALTIES[int(found.argmax())] == pytest.approx(R["best_penalty"])


def test_a_small_penalty_is_the_plain_fit_and_a_large_one_leaves_no_effect() -> None:
    plain = fit_cox(X, TERMS, DAYS, EVENTS)
    np.testing.assert_allclose(fit_ridge_cox(X, TERMS, DAYS, EVENTS, 1e-9).coefficients, plain.coefficients, rtol=1e-6)
    assert np.abs(fit_ridge_cox(X, TERMS, DAYS, EVENTS, 1e6).coefficients * X.std(axis=0)).max() < 1e-3


def test_separated_events_have_a_penalised_fit() -> None:
    marker = np.column_stack((X[:, 0], EVENTS))
    with pytest.raises(SeparationError):
        fit_cox(marker, ["age", "marker"], DAYS, EVENTS)
    penalty = cross_validated_penalty(marker, ["age", "marker"], DAYS, EVENTS)
    fit = fit_ridge_cox(marker, ["age", "marker"], DAYS, EVENTS, penalty)
    assert 0 < fit.coefficients[1] < 20
    assert np.isfinite(fit.covariance).all()


def test_folds_share_the_events_evenly() -> None:
    fold = folds_of(EVENTS, 10, seed=3)
    events, patients = np.bincount(fold[EVENTS]), np.bincount(fold)
    assert (events.max() - events.min(), patients.max() - patients.min()) <= (1, 2)
    assert not np.array_equal(fold, folds_of(EVENTS, 10, seed=4))


@pytest.mark.parametrize(
    ("penalty", "events", "said"),
    [(0.0, EVENTS, "above 0"), (1.0, np.zeros(len(EVENTS), dtype=bool), "no event among 240 patients")],
)
def test_what_cannot_be_fitted_is_refused(penalty: float, events: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_ridge_cox(X, TERMS, DAYS, events, penalty)
