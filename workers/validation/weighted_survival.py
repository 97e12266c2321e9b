"""Weighted Kaplan-Meier survival, restricted mean survival time, and pseudo-observations of survival.

Weights of the inverse probability of treatment make one arm stand for all patients. A pseudo-observation is what one
patient adds to the Kaplan-Meier estimate; it takes the place of the status at a time, which is unknown for a patient
censored before it.

References: Cole and Hernan, Comput Methods Programs Biomed 2004;75:45 (weighted curves); Royston and Parmar, BMC Med
Res Methodol 2013;13:152 (restricted mean); Andersen and Pohar Perme, Stat Methods Med Res 2010;19:71 (pseudo-values).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import FloatArray
from config.indication.conventions import Z_95
from workers.survival.cohort import Outcome
from workers.survival.kaplan_meier import SurvivalCurve


@dataclass(frozen=True)
class WeightedSurvival:
    """A weighted Kaplan-Meier estimate.

    Attributes
    ----------
    days : array, shape (k,)
        Distinct times, ascending.
    survival : array, shape (k,)
        S just after each time.
    """

    days: FloatArray
    survival: FloatArray

    def at(self, days: float) -> float:
        """Return survival at a time.

        Parameters
        ----------
        days : float
            Days since the start of follow-up.

        Returns
        -------
        float
            Before the first time 1, after the last one the last value.
        """
        step = int(np.searchsorted(self.days, days, side="right"))
        return float(self.survival[step - 1]) if step else 1.0


def restricted_mean(times: FloatArray, survival: FloatArray, days: float) -> float:
    """Return the mean survival time up to a time.

    Parameters
    ----------
    times, survival : array, shape (k,)
        Steps of a survival curve.
    days : float
        End of the area under the curve.

    Returns
    -------
    float
        Days.
    """
    return float(_areas(times, survival, days).sum())


def restricted_mean_se(curve: SurvivalCurve, days: float) -> float:
    """Return Greenwood's standard error of the restricted mean.

    Parameters
    ----------
    curve : SurvivalCurve
        Kaplan-Meier estimate.
    days : float
        End of the area under the curve.

    Returns
    -------
    float
        Days; as R's ``print(survfit(...), rmean = days)``.
    """
    # The area that remains after each time, up to `days`.
    areas = _areas(curve.days, curve.survival, days)
    later = np.cumsum(areas[::-1])[::-1][1:]
    terms = np.diff(curve.greenwood, prepend=0.0)[: len(later)]
    return float(np.sqrt((later**2 * terms).sum()))


def _areas(times: FloatArray, survival: FloatArray, days: float) -> FloatArray:
    """Return the area before the first time, and after each time up to the end, shape (j + 1,)."""
    inside = times[times < days]
    heights = np.concatenate(([1.0], survival[: len(inside)]))
    return np.asarray(heights * np.diff(np.concatenate(([0.0], inside, [days]))))


def weighted_survival(outcome: Outcome, weights: FloatArray) -> WeightedSurvival:
    """Return the Kaplan-Meier estimate of weighted patients.

    Parameters
    ----------
    outcome : Outcome
        Follow-up of n >= 1 patients.
    weights : array, shape (n,)
        Positive.

    Returns
    -------
    WeightedSurvival
        As R's ``survfit(Surv(days, event) ~ 1, weights = weights)``.
    """
    days, place = np.unique(outcome.durations_days, return_inverse=True)
    leaving = np.bincount(place, weights=weights, minlength=len(days))
    died = np.bincount(place, weights=weights * outcome.event_observed, minlength=len(days))
    # From the end, so that the last risk set is a sum and not a difference of large sums.
    at_risk = np.cumsum(leaving[::-1])[::-1]
    # Rounding of weighted sums must not leave a sliver of survival where everybody at risk has died.
    left = np.where(died >= at_risk * (1 - 1e-12), 0.0, at_risk - died)
    return WeightedSurvival(days, np.asarray(np.cumprod(left / at_risk), dtype=np.float64))


def pseudo_survival(outcome: Outcome, days: float) -> FloatArray:
    """Return the pseudo-observations of survival at a time.

    Parameters
    ----------
    outcome : Outcome
        Follow-up of n > 1 patients, one arm.
    days : float
        Time.

    Returns
    -------
    array, shape (n,)
        n S - (n - 1) S without the patient; their mean is close to S, and is S without censoring.

    Notes
    -----
    Without patient i each risk set up to the patient's time has one patient less, so S without i is a product over the
    earlier times, the own one and the later ones: all of them in O(n log n).
    """
    times, place = np.unique(outcome.durations_days, return_inverse=True)
    leaving = np.bincount(place, minlength=len(times))
    died = np.bincount(place, weights=outcome.event_observed, minlength=len(times))
    at_risk = np.cumsum(leaving[::-1])[::-1]
    # What happens after the time changes nothing up to it.
    died = np.where(times <= days, died, 0.0)
    factors = 1 - died / at_risk
    others = np.maximum(at_risk - 1, 1)
    before = np.concatenate(([1.0], np.cumprod(1 - died / others)))[:-1]
    after = np.concatenate((np.cumprod(factors[::-1])[::-1], [1.0]))[1:]
    own_event = outcome.event_observed & (outcome.durations_days <= days)
    own = 1 - (died[place] - own_event) / others[place]
    n = len(place)
    without = before[place] * own * after[place]
    return np.asarray(n * np.prod(factors) - (n - 1) * without)


@dataclass(frozen=True)
class MeanDifference:
    """Difference of two restricted means in days, with the normal 95 % interval."""

    value: float
    se: float

    @property
    def ci95(self) -> tuple[float, float]:
        """Ends of the interval."""
        return self.value - Z_95 * self.se, self.value + Z_95 * self.se
