"""Drift: the statistic is SciPy's, and a shift is named only where there is one that matters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from workers.bundles.drift import FEWEST, compare, ks_statistic, quantiles_of


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_the_statistic_agrees_with_scipy_on_the_whole_samples(shift: float) -> None:
    rng = np.random.default_rng(7)
    training, incoming = rng.normal(size=4000), np.sort(rng.normal(loc=shift, size=150))
    kept = quantiles_of(training)
    expected = ks_2samp(incoming, training, method="asymp")
    assert ks_statistic(np.array(kept["quantiles"]), incoming) == pytest.approx(expected.statistic, abs=0.011)
    found = compare("x", kept, incoming.tolist())
    assert found.p_value is not None
    if shift:
        assert found.p_value < 0.05
        assert expected.pvalue < 0.05
    else:
        assert found.p_value == pytest.approx(expected.pvalue, abs=0.15)


def test_a_shift_that_matters_is_named() -> None:
    rng = np.random.default_rng(1)
    kept = quantiles_of(rng.normal(size=600))
    assert compare("x", kept, rng.normal(loc=0.8, size=80).tolist()).verdict == "shifted"
    assert compare("x", kept, rng.normal(size=80).tolist()).verdict == "as_training"


def test_a_difference_that_is_certain_but_small_is_not_named() -> None:
    rng = np.random.default_rng(2)
    kept = quantiles_of(rng.normal(size=100_000))
    found = compare("x", kept, rng.normal(loc=0.15, size=5000).tolist())
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.verdict == "as_training"


def test_with_few_results_no_statement_is_made() -> None:
    found = compare("x", quantiles_of(np.linspace(0, 1, 500)), [9.0] * (FEWEST - 1))
    assert (found.verdict, found.statistic, found.n) == ("too_few", None, FEWEST - 1)


def test_false_alarms_are_rare() -> None:
    """At p < 0.01 and D > 0.15 fewer than one look in a hundred at unchanged data may name a shift."""
    rng = np.random.default_rng(3)
    kept = quantiles_of(rng.uniform(size=600))
    alarms = sum(compare("x", kept, rng.uniform(size=60).tolist()).verdict == "shifted" for _ in range(600))
    assert alarms <= 12
