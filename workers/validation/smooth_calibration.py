"""Smooth calibration of predicted survival at a horizon, and the integrated calibration index.

Observed survival as a smooth function of the prediction: a Cox model of eta = log(-log S), the complementary log-log of
the predicted risk, as a restricted cubic spline with three knots. Its survival at the horizon, at each patient's own
prediction, is what patients with that prediction experienced.

References: Austin, Harrell and van Klaveren, Stat Med 2020;39:2714; Harrell, Regression Modeling Strategies, 2.4.5.
"""

from __future__ import annotations

import numpy as np

from config.arrays import FloatArray
from workers.survival.baseline_hazard import step_baseline
from workers.survival.cohort import Outcome
from workers.survival.partial_likelihood import SeparationError, newton

KNOT_QUANTILES = (0.1, 0.5, 0.9)  # Harrell's for three knots
NEAREST_TO_CERTAIN = 1e-9  # a survival of exactly 0 or 1 has no complementary log-log


def log_cumulative_hazard(survival: FloatArray) -> FloatArray:
    """Return log(-log S), the complementary log-log of the risk.

    Parameters
    ----------
    survival : array, shape (n,)
        In [0, 1]; moved to within [1e-9, 1 - 1e-9].

    Returns
    -------
    array, shape (n,)
        Rises with the risk.
    """
    inside = np.clip(survival, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
    return np.asarray(np.log(-np.log(inside)))


def restricted_cubic_spline(values: FloatArray, knots: FloatArray) -> FloatArray:
    """Return the basis of a cubic spline that is linear beyond the outer knots.

    Parameters
    ----------
    values : array, shape (n,)
        Where the spline is evaluated.
    knots : array, shape (k,)
        Ascending, k >= 3.

    Returns
    -------
    array, shape (n, k - 1)
        The values, then the k - 2 nonlinear terms divided by the squared distance of the outer knots (as R's
        Hmisc::rcspline.eval).
    """

    def cubed(knot: float) -> FloatArray:
        return np.maximum(values - knot, 0.0) ** 3

    first, before_last, last = knots[0], knots[-2], knots[-1]
    end = cubed(last)
    terms = [
        (
            cubed(knot)
            - cubed(before_last) * (last - knot) / (last - before_last)
            + end * (before_last - knot) / (last - before_last)
        )
        / (last - first) ** 2
        for knot in knots[:-2]
    ]
    return np.column_stack((values, *terms))


def smooth_observed(predicted: FloatArray, outcome: Outcome, horizon_days: float) -> FloatArray | None:
    """Return observed survival at a horizon as a smooth function of the predicted one.

    Parameters
    ----------
    predicted : array, shape (n,)
        Predicted survival at the horizon, in [0, 1].
    outcome : Outcome
        Follow-up of the same patients.
    horizon_days : float
        Days.

    Returns
    -------
    array, shape (n,), or None
        At each patient's own prediction. None where it cannot be fitted: no event by the horizon, nobody followed to
        it, knots that coincide because few predictions differ, or a likelihood without a maximum.
    """
    days, events = outcome.durations_days, outcome.event_observed
    if not (events & (days <= horizon_days)).any() or not (days >= horizon_days).any():
        return None
    eta = log_cumulative_hazard(predicted)
    knots = np.quantile(eta, KNOT_QUANTILES)  # type 7, as R's quantile by default
    if not (np.diff(knots) > 0).all():
        return None
    basis = restricted_cubic_spline(eta, knots)
    # The model does not change with the scale of its terms; the information is better conditioned.
    basis = (basis - basis.mean(axis=0)) / basis.std(axis=0)
    try:
        beta, _ = newton(basis, days, events)
    except SeparationError:
        return None
    with np.errstate(all="ignore"):  # a spline that separates the events has no finite survival
        hazard = step_baseline(basis, days, events, beta).hazard_at(horizon_days)
        survival = np.exp(-hazard * np.exp(basis @ beta))
    return survival if np.isfinite(survival).all() else None


def integrated_calibration_index(predicted: FloatArray, outcome: Outcome, horizon_days: float) -> float | None:
    """Return the mean absolute difference between predicted and smooth observed survival.

    Parameters
    ----------
    predicted : array, shape (n,)
        Predicted survival at the horizon, in [0, 1].
    outcome : Outcome
        Follow-up of the same patients.
    horizon_days : float
        Days.

    Returns
    -------
    float or None
        In [0, 1], 0 at best; None where the smooth curve cannot be fitted.
    """
    observed = smooth_observed(predicted, outcome, horizon_days)
    return None if observed is None else float(np.abs(predicted - observed).mean())
