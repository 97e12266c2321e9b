"""Area under the ROC curve for an event by a horizon, with censored follow-up (cumulative cases, dynamic controls).

References: Uno et al., JASA 2007;102:527; Blanche, Dartigues and Jacqmin-Gadda, Stat Med 2013;32:5381.
"""

from __future__ import annotations

import numpy as np

from config.arrays import FloatArray
from workers.survival.cohort import Outcome
from workers.validation.prediction_error import censoring_weights


def time_dependent_auc(risk: FloatArray, outcome: Outcome, horizon_days: float) -> float | None:
    """Return the probability that a patient with the event by the horizon had a higher risk than one without.

    Parameters
    ----------
    risk : array, shape (n,)
        Any monotone form of the predicted risk.
    outcome : Outcome
        Follow-up of the same patients.
    horizon_days : float
        Days.

    Returns
    -------
    float or None
        Ties count one half. None without an event by the horizon, or without a patient followed beyond it.
    """
    weights = censoring_weights(outcome, horizon_days)
    control = outcome.durations_days > horizon_days
    case = ~control & outcome.event_observed
    if not control.any() or not case.any():
        return None
    # All controls have the same weight, so their ranks are enough.
    levels = np.sort(risk[control])
    below = np.searchsorted(levels, risk[case], side="left")
    not_above = np.searchsorted(levels, risk[case], side="right")
    shares = (below + not_above) / 2 / len(levels)
    return float((weights[case] * shares).sum() / weights[case].sum())
