"""Brier score and index of prediction accuracy of predicted survival at a horizon, with censored follow-up.

A patient censored before the horizon has no known status there; the others are weighted by the inverse of the
probability of not having been censored (IPCW), estimated by Kaplan-Meier over all patients.

References: Graf et al., Stat Med 1999;18:2529 (Brier score); Gerds and Schumacher, Biom J 2006;48:1029 (weights);
Kattan and Gerds, Diagn Progn Res 2018;2:7 (index of prediction accuracy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import FloatArray
from workers.survival.cohort import Outcome
from workers.survival.kaplan_meier import kaplan_meier


@dataclass(frozen=True)
class PredictionError:
    """Error of predicted survival at one horizon.

    Attributes
    ----------
    brier : float
        Weighted mean squared difference between the status at the horizon and the prediction; lower is better.
    brier_null : float
        That of the Kaplan-Meier estimate of all patients as everyone's prediction.
    """

    brier: float
    brier_null: float

    @property
    def ipa(self) -> float:
        """Index of prediction accuracy, 1 - brier / brier_null: 0 is no better than the Kaplan-Meier estimate."""
        return 1 - self.brier / self.brier_null


def censoring_weights(outcome: Outcome, horizon_days: float) -> FloatArray:
    """Return the weight of each patient's status at a horizon.

    Parameters
    ----------
    outcome : Outcome
        Follow-up of n patients.
    horizon_days : float
        Days.

    Returns
    -------
    array, shape (n,)
        1 / G(t-) for an event at t up to the horizon, 1 / G(horizon) for a follow-up beyond it, 0 for a patient
        censored by then. G is the Kaplan-Meier estimate of not being censored.
    """
    days, died = outcome.durations_days, outcome.event_observed
    times, place = np.unique(days, return_inverse=True)
    leaving = np.bincount(place, minlength=len(times))
    deaths = np.bincount(place, weights=died, minlength=len(times))
    at_risk = len(days) - np.concatenate(([0], np.cumsum(leaving)[:-1]))
    # A death precedes a censoring on the same day, so those who die are no longer at risk of being censored on it.
    exposed = at_risk - deaths
    stay = 1 - np.divide(leaving - deaths, exposed, out=np.zeros(len(times)), where=exposed > 0)
    uncensored = np.concatenate(([1.0], np.cumprod(stay)))  # G before the first time, then just after each
    early = died & (days <= horizon_days)
    weights = np.zeros(len(days))
    weights[early] = 1 / uncensored[place[early]]  # the entry before the own time is G(t-)
    beyond = days > horizon_days
    if beyond.any():
        weights[beyond] = 1 / uncensored[np.searchsorted(times, horizon_days, side="right")]
    return weights


def prediction_error(predicted: FloatArray, outcome: Outcome, horizon_days: float) -> PredictionError | None:
    """Return Brier score and index of prediction accuracy of predicted survival.

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
    PredictionError or None
        None where nobody was followed beyond the horizon or nobody had an event by then: survivors or events would
        have no weight, and the null model no error.
    """
    beyond = outcome.durations_days > horizon_days
    if not beyond.any() or not (outcome.event_observed & ~beyond).any():
        return None
    weights = censoring_weights(outcome, horizon_days)
    marginal = kaplan_meier(outcome.durations_days, outcome.event_observed).at(horizon_days).value

    def brier(survival: FloatArray | float) -> float:
        return float((weights * (beyond - survival) ** 2).mean())

    return PredictionError(brier(predicted), brier(marginal))
