"""Limits of the out-of-distribution check from patients that did not give mean and covariance.

With fewer patients than features the covariance follows its own patients, and they are nearer to the mean than any new
patient of the same population: a limit from their distances refuses most new patients. So the distances are those of
each fold from mean and covariance of the others, with features of the networks that had not seen the fold.
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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf

from config.arrays import Float32Array, FloatArray, IndexArray
from workers.bundles.feature_distribution import FeatureDistribution

FALSE_ALARM_RATE = 0.01


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


def ensemble_distributions(
    features: Sequence[Mapping[str, Float32Array]], fold: IndexArray, rate: float = FALSE_ALARM_RATE
) -> tuple[list[dict[str, FeatureDistribution]], dict[str, Any]]:
    """Return the distributions of each member's training features, with limits from the patients it had not seen.

    Parameters
    ----------
    features : sequence of mapping of str to float32, shape (n, c)
        Of each member k by role, of the same n patients.
    fold : int array, shape (n,)
        Member k (from 1) learned from the patients of all folds but k; 0: not in the training.
    rate : float
        Stated false-alarm rate of a study.

    Returns
    -------
    distributions : list of dict of str to FeatureDistribution
        By member and role; the limit of a role is the same for all members.
    document : dict
        For the manifest: rate, number of patients, and how the limits were taken.
    """
    fitted: list[dict[str, tuple[Float32Array, Float32Array]]] = []
    distances = {role: np.full(len(fold), np.nan) for role in features[0]}
    for number, by_role in enumerate(features, start=1):
        own, held_out = (fold > 0) & (fold != number), fold == number
        fitted.append({role: mean_and_precision(rows[own]) for role, rows in by_role.items()})
        for role, rows in by_role.items():
            distances[role][held_out] = distances_from(rows[held_out], *fitted[-1][role])
    unseen = {role: values[fold > 0] for role, values in distances.items()}
    limits = joint_limits(unseen, rate)
    how = "distances of patients whom the member's networks had not seen"
    document = calibration_document(int((fold > 0).sum()), rate, how)
    members = [
        {role: FeatureDistribution(*moments, limits[role]) for role, moments in by_role.items()} for by_role in fitted
    ]
    return members, document


def calibration_document(n: int, rate: float, how: str) -> dict[str, Any]:
    """Return what the manifest says about the limits."""
    return {"false_alarm_rate": rate, "n": n, "how": how, "of": "a study with all its series"}
