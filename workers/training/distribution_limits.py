"""Limits of the out-of-distribution check from patients that did not give mean and covariance.

With fewer patients than features the covariance follows its own patients, and they are nearer to the mean than any new
patient of the same population: a limit from their distances refuses most new patients. So the distances are those of
patients that were left out: a held-out part of the cohort, or each of K folds with mean and covariance of the others.
The limit is the conformal quantile of the study's largest relative distance, so that the stated rate is that of a study
with all its series and not of each series alone.

References
----------
Ledoit and Wolf, J Multivar Anal 2004;88:365-411 (shrunk covariance); Vovk, Cross-conformal predictors, Ann Math Artif
Intell 2015;74:9-28; Papadopoulos et al., Inductive confidence machines for regression, ECML 2002 (the finite-sample
quantile).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf

from config.arrays import Float32Array, FloatArray, IndexArray
from workers.bundles.feature_distribution import FeatureDistribution

FALSE_ALARM_RATE = 0.01
FOLDS = 10


def mean_and_precision(features: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return mean and precision of the shrunk covariance.

    Parameters
    ----------
    features : float32, shape (n, c)
        Deep features of one series.

    Returns
    -------
    mean : float32, shape (c,)
    precision : float32, shape (c, c)
    """
    rows = features.astype(np.float64)
    # A cohort has fewer patients than features, and some features are 0 for all of them: the shrinkage follows from the
    # data, and no direction keeps the variance 0, in which the smallest difference would be an infinite distance.
    precision = LedoitWolf().fit(rows).precision_
    return rows.mean(axis=0).astype(np.float32), precision.astype(np.float32)


def distances_from(features: Float32Array, mean: Float32Array, precision: Float32Array) -> FloatArray:
    """Return the distance of each row, as `FeatureDistribution.distance` gives it: float64, shape (n,)."""
    apart = features.astype(np.float64) - mean
    forms = np.einsum("ij,ij->i", apart @ precision.astype(np.float64), apart)
    return np.asarray(np.sqrt(np.maximum(forms, 0.0) / features.shape[1]))


def out_of_fold_distances(
    features: Mapping[str, Float32Array], folds: int = FOLDS, seed: int = 0
) -> dict[str, FloatArray]:
    """Return the distance of each patient from mean and covariance of the other folds.

    Parameters
    ----------
    features : mapping of str to float32, shape (n, c)
        By role, the same n patients.
    folds : int
        Number of parts, at most n.
    seed : int
        Of the division.

    Returns
    -------
    dict of str to float64, shape (n,)
        By role.
    """
    n = len(next(iter(features.values())))
    parts = np.array_split(np.random.default_rng(seed).permutation(n), min(folds, n))
    distances = {role: np.empty(n) for role in features}
    for part in parts:
        others = np.setdiff1d(np.arange(n), part)
        for role, rows in features.items():
            distances[role][part] = distances_from(rows[part], *mean_and_precision(rows[others]))
    return distances


def conformal_quantile(values: FloatArray, rate: float) -> float:
    """Return the limit that a new value of the same population exceeds with at most this probability.

    Parameters
    ----------
    values : float64, shape (n,)
        Of patients that did not shape the measure.
    rate : float
        In (0, 1).

    Returns
    -------
    float
        The ceil((n + 1) (1 - rate))-th smallest value; the largest one where n is too small for the rate.
    """
    rank = min(math.ceil((len(values) + 1) * (1.0 - rate)), len(values))
    return float(np.sort(values)[rank - 1])


def joint_limits(distances: Mapping[str, FloatArray], rate: float = FALSE_ALARM_RATE) -> dict[str, float]:
    """Return a limit for each series such that this share of studies has a series beyond its limit.

    Parameters
    ----------
    distances : mapping of str to float64, shape (n,)
        By role, of patients that were left out.
    rate : float
        Of studies that are refused although they are of the same population.

    Returns
    -------
    dict of str to float
        By role, in the same ratio as the medians.
    """
    medians = {role: float(np.median(values)) for role, values in distances.items()}
    relative = np.max([values / medians[role] for role, values in distances.items()], axis=0)
    factor = conformal_quantile(relative, rate)
    return {role: factor * median for role, median in medians.items()}


def feature_distributions(
    features: Mapping[str, Float32Array], held_out: IndexArray | None = None, rate: float = FALSE_ALARM_RATE
) -> tuple[dict[str, FeatureDistribution], dict[str, Any]]:
    """Return the distributions of the training features with calibrated limits.

    Parameters
    ----------
    features : mapping of str to float32, shape (n, c)
        By role, of the training patients.
    held_out : int array, optional
        Rows of the patients that the networks did not learn from; used where they are enough for the rate.
    rate : float
        Stated false-alarm rate of a study.

    Returns
    -------
    distributions : dict of str to FeatureDistribution
        By role.
    document : dict
        For the manifest: rate, number of patients, and how the limits were taken.
    """
    n = len(next(iter(features.values())))
    if held_out is not None and len(held_out) >= fewest_patients(rate):
        inside = np.setdiff1d(np.arange(n), held_out)
        fitted = {role: mean_and_precision(rows[inside]) for role, rows in features.items()}
        distances = {role: distances_from(rows[held_out], *fitted[role]) for role, rows in features.items()}
        how = "distances of validation patients, which the networks did not learn from"
    else:
        fitted = {role: mean_and_precision(rows) for role, rows in features.items()}
        distances = out_of_fold_distances(features)
        how = (
            f"out-of-fold distances of {min(FOLDS, n)} folds; the networks had seen these patients, and features of "
            "new patients may be farther"
        )
    limits = joint_limits(distances, rate)
    document = calibration_document(len(next(iter(distances.values()))), rate, how)
    return {role: FeatureDistribution(*fitted[role], limits[role]) for role in features}, document


def fewest_patients(rate: float) -> int:
    """Return the number of patients from which on the conformal quantile is not simply the largest value."""
    return math.ceil(1.0 / rate) - 1


def calibration_document(n: int, rate: float, how: str) -> dict[str, Any]:
    """Return what the manifest says about the limits."""
    return {"false_alarm_rate": rate, "n": n, "how": how, "of": "a study with all its series"}
