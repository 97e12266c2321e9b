"""False alarms of the out-of-distribution check at small cohorts: near the rate that the manifest states."""

from __future__ import annotations

import numpy as np
import pytest

from config.arrays import Float32Array
from workers.training.distribution_limits import (
    conformal_quantile,
    distances_from,
    ensemble_distributions,
    mean_and_precision,
)

FOLDS = 5
ROLES = ("T1w", "T2w", "CE-T1w")


def cohort(n: int, c: int, rng: np.random.Generator, mixing: dict[str, np.ndarray]) -> dict[str, Float32Array]:
    """Features of three series that share what they have of the patient, behind a ReLU as networks give them."""
    patient = rng.normal(size=(n, c // 8))
    features = {}
    for role in ROLES:
        own = rng.normal(size=(n, c // 8))
        mixed = np.hstack([patient, own]) @ mixing[role] / np.sqrt(c // 4) + 0.3 * rng.normal(size=(n, c))
        features[role] = np.maximum(mixed, 0).astype(np.float32)
    return features


def false_alarms(n: int, c: int, rate: float, repetitions: int, seed: int, n_new: int = 400) -> float:
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(repetitions):
        mixing = {role: rng.normal(size=(c // 4, c)) for role in ROLES}
        # Networks of the folds do not matter here: all members have the same features.
        fold = 1 + rng.permutation(n) % FOLDS
        members, document = ensemble_distributions([cohort(n, c, rng, mixing)] * FOLDS, fold, rate)
        assert document["false_alarm_rate"] == rate
        assert document["n"] == n
        new = cohort(n_new, c, rng, mixing)
        beyond = [
            np.mean([distances_from(new[role], m[role].mean, m[role].precision) for m in members], axis=0)
            > members[0][role].limit
            for role in ROLES
        ]
        shares.append(np.mean(np.any(beyond, axis=0)))
    return float(np.mean(shares))


def test_the_quantile_has_the_finite_sample_rank() -> None:
    values = np.arange(1.0, 201.0)
    # ceil(201 * 0.99) = 199, ceil(201 * 0.95) = 191; 50 values cannot show 1 %, and the largest one is taken.
    assert conformal_quantile(values, 0.01) == 199.0
    assert conformal_quantile(values, 0.05) == 191.0
    assert conformal_quantile(values[:50], 0.01) == 50.0


def test_a_limit_from_the_patients_that_gave_the_covariance_refuses_new_ones() -> None:
    """What the out-of-fold distances are for: with 128 patients at 128 features the usual limit is far too low."""
    rng = np.random.default_rng(1)
    mixing = {role: rng.normal(size=(32, 128)) for role in ROLES}
    training, new = cohort(128, 128, rng, mixing)["T1w"], cohort(400, 128, rng, mixing)["T1w"]
    mean, precision = mean_and_precision(training)
    usual = float(np.quantile(distances_from(training, mean, precision), 0.99))
    assert np.mean(distances_from(new, mean, precision) > usual) > 0.10


@pytest.mark.parametrize("n", [200, 300])
def test_false_alarms_of_a_small_cohort_are_near_the_stated_rate(n: int) -> None:
    share = false_alarms(n, 64, 0.02, repetitions=6, seed=n)
    print(f"{n} patients, 64 features x 3: stated 2.0 %, found {share:.2%}")
    assert abs(share - 0.02) <= 0.01


@pytest.mark.long
@pytest.mark.parametrize("n", [200, 300, 500])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_alarms_at_512_features_are_within_one_point_of_the_stated_rate(n: int, rate: float) -> None:
    share = false_alarms(n, 512, rate, repetitions=12, seed=n)
    print(f"{n} patients, 512 features x 3: stated {rate:.1%}, found {share:.2%}")
    assert abs(share - rate) <= 0.01
