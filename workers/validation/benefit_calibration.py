"""Whether predicted differences between the regimens come true: by groups, as a slope, as a smooth curve, in pairs.

The true difference of one patient is never observed. Its doubly robust value (`policy_value`) has it as its
expectation, so regressions of that value on the prediction estimate what patients with this prediction really gain.

References: van Klaveren et al., J Clin Epidemiol 2018;94:59 (c-for-benefit); Maas et al., J Clin Epidemiol
2023;160:45 (E-for-benefit); Kennedy, Electron J Stat 2023;17:3008 (doubly robust values of effects).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from workers.survival.cohort import Outcome
from workers.validation.matching import nearest_free_partners
from workers.validation.prediction_error import censoring_weights
from workers.validation.smooth_calibration import KNOT_QUANTILES, restricted_cubic_spline


def benefit_slope(gain: FloatArray, difference: FloatArray) -> FloatArray:
    """Return the regression of the doubly robust difference on the predicted one.

    Parameters
    ----------
    gain : array, shape (n,)
        Predicted difference.
    difference : array, shape (n,)
        Doubly robust difference.

    Returns
    -------
    array, shape (2,)
        Slope (1 at best, 0 where the prediction says nothing) and intercept (0 at best).
    """
    centred = gain - gain.mean()
    spread = float((centred**2).sum())
    slope = float((centred * difference).sum()) / spread if spread > 0 else float("nan")
    return np.array([slope, float(difference.mean()) - slope * float(gain.mean())])


def smooth_benefit(gain: FloatArray, difference: FloatArray) -> FloatArray | None:
    """Return the observed difference as a smooth function of the predicted one.

    Parameters
    ----------
    gain, difference : array, shape (n,)
        As of `benefit_slope`.

    Returns
    -------
    array, shape (n,), or None
        Least squares on a restricted cubic spline with three knots, at each patient's own prediction; None where the
        predictions are too few for three knots.
    """
    knots = np.quantile(gain, KNOT_QUANTILES)
    if not (np.diff(knots) > 0).all():
        return None
    basis = np.column_stack((np.ones(len(gain)), restricted_cubic_spline(gain, knots)))
    coefficients, *_ = np.linalg.lstsq(basis, difference, rcond=None)
    return np.asarray(basis @ coefficients)


def e_for_benefit(gain: FloatArray, difference: FloatArray) -> FloatArray:
    """Return how far the predicted differences are from the smooth observed ones.

    Parameters
    ----------
    gain, difference : array, shape (n,)
        As of `benefit_slope`.

    Returns
    -------
    array, shape (3,)
        Mean, median and 90 % quantile of the absolute distance; NaN where there is no smooth curve.
    """
    smooth = smooth_benefit(gain, difference)
    if smooth is None:
        return np.full(3, np.nan)
    distance = np.abs(gain - smooth)
    return np.array([distance.mean(), *np.quantile(distance, (0.5, 0.9))])


@dataclass(frozen=True)
class BenefitPairs:
    """Pairs of patients of both arms with similar predicted gains.

    Attributes
    ----------
    gain : array, shape (k,)
        Mean predicted gain of each pair.
    benefit : array, shape (k,)
        Event-free status at the horizon of the patient with ICT+CCRT minus that of the other: -1, 0 or 1.
    weights : array, shape (k,)
        Product of both censoring weights; 0 where a status is unknown.
    """

    gain: FloatArray
    benefit: FloatArray
    weights: FloatArray

    def concordance(self, rows: Int64Array | None = None) -> float:
        """Return the c-for-benefit: how often the pair with the larger benefit has the larger predicted gain.

        Parameters
        ----------
        rows : int array, shape (m,), optional
            Positions of a resample of the pairs.

        Returns
        -------
        float
            In [0, 1]; 0.5 for predictions that say nothing; NaN where no two pairs differ in their benefit.
        """
        rows = np.arange(len(self.gain)) if rows is None else rows
        rows = rows[self.weights[rows] > 0]
        level = np.unique(self.gain[rows], return_inverse=True)[1]
        weights, benefit = self.weights[rows], self.benefit[rows]
        n_levels = int(level.max(initial=-1)) + 1
        right = total = 0.0
        for high, low in ((1, 0), (1, -1), (0, -1)):
            upper = np.bincount(level, weights * (benefit == high), n_levels)
            lower = np.bincount(level, weights * (benefit == low), n_levels)
            right += float((upper * (np.cumsum(lower) - lower / 2)).sum())
            total += float(upper.sum() * lower.sum())
        return right / total if total > 0 else float("nan")


def benefit_pairs(gain: FloatArray, treated: BoolArray, outcome: Outcome, days: float) -> BenefitPairs:
    """Pair the arms by predicted gain.

    Parameters
    ----------
    gain : array, shape (n,)
        Predicted difference.
    treated : bool array, shape (n,)
        True for ICT+CCRT.
    outcome : Outcome
        Follow-up.
    days : float
        Horizon of the status.

    Returns
    -------
    BenefitPairs
        Each patient of the smaller arm, largest gain first, with the nearest free patient of the other arm. A status
        that censoring hides is replaced by the weights of those whose status is known (by arm), so that without
        censoring this is van Klaveren's definition.
    """
    weights = np.zeros(len(gain))
    for arm in (False, True):
        weights[treated == arm] = censoring_weights(outcome.where(treated == arm), days)
    alive = (outcome.durations_days > days).astype(np.float64)
    focal = treated if treated.sum() <= (~treated).sum() else ~treated
    pairs = np.array(nearest_free_partners(gain, focal), dtype=np.int64).reshape(-1, 2)
    ict = np.where(treated[pairs[:, 0]], pairs[:, 0], pairs[:, 1])
    ccrt = np.where(treated[pairs[:, 0]], pairs[:, 1], pairs[:, 0])
    return BenefitPairs(
        gain=(gain[ict] + gain[ccrt]) / 2, benefit=alive[ict] - alive[ccrt], weights=weights[ict] * weights[ccrt]
    )
