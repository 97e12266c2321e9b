"""The distribution of the training features: shrunk as Ledoit and Wolf define it, and useful for small cohorts."""

from __future__ import annotations

import numpy as np
import pytest

from config.arrays import Float32Array, FloatArray
from workers.bundles.feature_distribution import FeatureDistribution
from workers.training.distribution_limits import ensemble_distributions


def feature_distribution(features: Float32Array, folds: int = 10) -> FeatureDistribution:
    """Of the first of ten members, which share their features."""
    fold = 1 + np.random.default_rng(0).permutation(len(features)) % folds
    members, _ = ensemble_distributions([{"": features}] * folds, fold)
    return members[0][""]


def patients(n: int, c: int, seed: int) -> Float32Array:
    """Correlated features behind a ReLU, the first five of which are 0 for all patients."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(c // 4, c))
    features = rng.normal(size=(n, c // 4)) @ mixing / np.sqrt(c // 4) + 0.3 * rng.normal(size=(n, c))
    features[:, :5] = 0
    return np.maximum(features, 0).astype(np.float32)


def ledoit_wolf_by_hand(rows: FloatArray) -> FloatArray:
    """Lemmas 3.2 to 3.5 of Ledoit and Wolf 2004: the sample covariance moved towards its mean variance."""
    centred = rows - rows.mean(axis=0)
    n, p = centred.shape
    sample = centred.T @ centred / n
    mean_variance = np.trace(sample) / p
    d2 = np.sum((sample - mean_variance * np.eye(p)) ** 2) / p
    b2 = min(sum(np.sum((np.outer(row, row) - sample) ** 2) for row in centred) / n**2 / p, d2)
    return b2 / d2 * mean_variance * np.eye(p) + (1 - b2 / d2) * sample


def test_the_covariance_is_shrunk_as_ledoit_and_wolf_define_it() -> None:
    features = patients(44, 24, seed=1)
    # The first member learned from all but the first four patients.
    members, _ = ensemble_distributions([{"": features}] * 2, np.repeat([1, 2], [4, 40]))
    distribution, features = members[0][""], features[4:]
    expected = np.linalg.inv(ledoit_wolf_by_hand(features.astype(np.float64)))
    np.testing.assert_allclose(distribution.precision, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_cohort_smaller_than_the_number_of_features_does_not_refuse_new_patients_like_its_own() -> None:
    distribution = feature_distribution(patients(150, 256, seed=1))
    new = np.array([distribution.distance(row) for row in patients(300, 256, seed=2)])
    shifted = np.array([distribution.distance(row + 2) for row in patients(50, 256, seed=3)])
    assert np.mean(new > distribution.limit) < 0.05
    assert np.all(shifted > distribution.limit)


def test_a_feature_that_is_constant_in_the_training_does_not_decide_alone() -> None:
    features = patients(150, 32, seed=1)
    distribution = feature_distribution(features)
    new = features[0].copy()
    new[0] += 0.01
    assert distribution.distance(new) == pytest.approx(distribution.distance(features[0]), abs=0.05)
