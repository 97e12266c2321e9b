"""A nomogram with another baseline hazard and other slopes: what followed patients say about it.

With the mean of the linear predictors under both regimens (prognosis m) and the received half of their difference
(effect e = +-delta / 2), the recalibrated linear predictor is ``intercept + slope m + effect_slope e``. That is a CPTDN
again: its coefficients and its baseline follow from the old ones.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.points import (
    AGE,
    EBV,
    INTERACTION,
    PREDICTIVE,
    PROGNOSTIC,
    TERMS,
    TREATMENT,
    PointsScale,
)

RECALIBRATION = "recalibration"  # key of the document
_AT = {term: number for number, term in enumerate(TERMS)}


@dataclass(frozen=True)
class Recalibration:
    """The change of a nomogram.

    Attributes
    ----------
    intercept : float
        Logarithm of the factor of the hazard.
    slope, effect_slope : float
        Of the prognosis, and of the effect of the treatment; 1: unchanged. `effect_slope` >= 0.
    covariance : array, shape (3, 3)
        Of the three estimates, in this order; zero rows for what was not estimated.
    """

    intercept: float
    slope: float
    effect_slope: float
    covariance: FloatArray

    def to_json(self) -> dict[str, Any]:
        """Return the three numbers and the factor of the hazard.

        Returns
        -------
        dict
            ``se`` is None for what was not estimated.
        """
        errors = np.sqrt(np.diag(self.covariance)).tolist()
        numbers = {"intercept": self.intercept, "slope": self.slope, "effect_slope": self.effect_slope}
        return {
            name: {"value": value, "se": error or None}
            for (name, value), error in zip(numbers.items(), errors, strict=True)
        } | {"hazard_factor": float(np.exp(self.intercept))}


def recalibrated(nomogram: CoxNomogram, change: Recalibration, source: str, mean_lp: float) -> CoxNomogram:
    """Return the recalibrated nomogram.

    Parameters
    ----------
    nomogram : CoxNomogram
        The present one.
    change : Recalibration
        As fitted on patients whom it had predicted, independently of those it was fitted on.
    source : str
        One sentence on these patients, for the file.
    mean_lp : float
        Mean new linear predictor of these patients: the cut between low and high risk, where the slopes change.

    Returns
    -------
    CoxNomogram
        Its intervals contain the uncertainty of the old coefficients and of the change.
    """
    old = np.array([nomogram.coefficients[term] for term in TERMS])
    transform, derivative = _transform(change), _derivative(old)
    beta = transform @ old
    covariance = transform @ nomogram.covariance @ transform.T + derivative @ change.covariance @ derivative.T
    log_factor = change.intercept + (change.slope - change.effect_slope) / 2 * old[_AT[TREATMENT]]
    document = deepcopy(dict(nomogram.document))
    # Shown in every report: it must not be mistaken for the nomogram that was published or fitted.
    document["name"] = f"{nomogram.name} (recalibrated)"
    document["population"] = f"{document.get('population', '')}; recalibrated on {source}"
    document["terms"] = list(TERMS)
    document["coefficients"] = dict(zip(TERMS, beta.tolist(), strict=True))
    document["covariance"] = covariance.tolist()
    document["se"] = dict(zip(TERMS, np.sqrt(np.diag(covariance)).tolist(), strict=True))
    document["baseline"] = _baseline(document["baseline"], float(np.exp(log_factor)))
    document["confidence"] = {
        **document["confidence"], **_confidence(nomogram, change, transform, derivative, covariance, log_factor)
    }  # fmt: skip
    unchanged_slopes = change.slope == 1 and change.effect_slope == 1
    _lay_out(document, nomogram, beta, log_factor, None if unchanged_slopes else mean_lp)
    document[RECALIBRATION] = {**change.to_json(), "of": nomogram.digest, "source": source}
    return load_nomogram(document)


def _transform(change: Recalibration) -> FloatArray:
    """Return the matrix that takes the old coefficients to the new ones."""
    s, c = change.slope, change.effect_slope
    matrix = np.zeros((len(TERMS), len(TERMS)))
    for term in (AGE, PROGNOSTIC, EBV, PREDICTIVE):
        matrix[_AT[term], _AT[term]] = s
    matrix[_AT[PREDICTIVE], _AT[INTERACTION]] = (s - c) / 2
    matrix[_AT[TREATMENT], _AT[TREATMENT]] = matrix[_AT[INTERACTION], _AT[INTERACTION]] = c
    return matrix


def _derivative(old: FloatArray) -> FloatArray:
    """Return the derivatives of the new coefficients by intercept, slope and effect slope."""
    by_slope, by_effect = np.zeros(len(TERMS)), np.zeros(len(TERMS))
    for term in (AGE, PROGNOSTIC, EBV, PREDICTIVE):
        by_slope[_AT[term]] = old[_AT[term]]
    by_slope[_AT[PREDICTIVE]] += old[_AT[INTERACTION]] / 2
    by_effect[_AT[PREDICTIVE]] = -old[_AT[INTERACTION]] / 2
    for term in (TREATMENT, INTERACTION):
        by_effect[_AT[term]] = old[_AT[term]]
    return np.column_stack([np.zeros(len(TERMS)), by_slope, by_effect])


def _baseline(baseline: dict[str, Any], factor: float) -> dict[str, Any]:
    changed = {**baseline, "cumulative_hazard": [factor * step for step in baseline["cumulative_hazard"]]}
    # The published file also states rates of its own baseline.
    for name in ("H0", "S0"):
        changed.pop(name, None)
    return changed


def _confidence(
    nomogram: CoxNomogram,
    change: Recalibration,
    transform: FloatArray,
    derivative: FloatArray,
    covariance: FloatArray,
    log_factor: float,
) -> dict[str, Any]:
    """Return A and q of the new nomogram at the horizons of the old one.

    With the old coefficients b, the new ones b' and the three numbers c, the deviation of ``H exp(-x' b')`` is
    ``k e - k q' db + H' d(log k) + (H' x)' db'``, where e has the variance A and k is the factor of the hazard. The
    part without x is regressed on db': its coefficients are -q of the new file, and what is left of it adds to A.
    """
    factor = float(np.exp(log_factor))
    by_old, by_change = np.zeros(len(TERMS)), np.zeros(3)
    by_old[_AT[TREATMENT]] = (change.slope - change.effect_slope) / 2
    by_change[:] = 1.0, nomogram.coefficients[TREATMENT] / 2, -nomogram.coefficients[TREATMENT] / 2
    inverse = np.linalg.pinv(covariance, hermitian=True)
    a, q = {}, {}
    for days, terms in nomogram.variance_terms.items():
        hazard = factor * float(nomogram.baseline_hazard([days / DAYS_PER_MONTH])[0])
        on_old = -factor * terms.q + hazard * by_old
        on_change = hazard * by_change
        with_beta = transform @ nomogram.covariance @ on_old + derivative @ change.covariance @ on_change
        variance = on_old @ nomogram.covariance @ on_old + on_change @ change.covariance @ on_change
        left = float(variance - with_beta @ inverse @ with_beta)
        key = f"{days:g}"
        a[key], q[key] = factor**2 * terms.a + max(left, 0.0), (-inverse @ with_beta).tolist()
    return {"A": a, "q": q}


def _lay_out(
    document: dict[str, Any], nomogram: CoxNomogram, beta: FloatArray, log_factor: float, mean_lp: float | None
) -> None:
    """Write axes, points, rule and cut of the new coefficients into the document."""
    coefficients = dict(zip(TERMS, beta.tolist(), strict=True))
    scale = PointsScale.of(coefficients, nomogram.scale.axis_ranges)
    axes = document["nomogram"]
    axes.pop("points", None)  # of the published file: a copy of what follows from coefficients and axes
    axes |= {"lp_per_point": scale.lp_per_point, "lp_at_zero_points": scale.lp_at_zero_points}
    highest = sum(max(scale.of_factor(term, end) for end in scale.axis_ranges[term]) for term in (AGE, PROGNOSTIC, EBV))
    ends = scale.axis_ranges[PREDICTIVE]
    highest += max(scale.of_predictive_score(arm, end) for arm in TreatmentArm for end in ends)
    axes["axis_ranges"] = {**axes["axis_ranges"], "total_points": [0, 10 * (highest // 10)]}
    axes["total_points_at_ticks"] = {
        days: [
            float(scale.total(float(np.log(-np.log(dfs) / (np.exp(log_factor) * hazard))))) for dfs in axes["dfs_ticks"]
        ]
        for days in axes["total_points_at_ticks"]
        for hazard in nomogram.baseline_hazard([float(days) / DAYS_PER_MONTH])
        if hazard > 0
    }
    interaction = coefficients[INTERACTION]
    equal = -coefficients[TREATMENT] / interaction if interaction else None
    document["decision"] = {**document["decision"], "predictive_score_equal_arms": equal}
    # The baseline is no part of the points: with unchanged slopes the cut stays.
    if mean_lp is not None:
        document["risk_cut"] = {
            "mean_lp_training": mean_lp, "mean_total_points_training": float(scale.total(mean_lp)),
        }  # fmt: skip
