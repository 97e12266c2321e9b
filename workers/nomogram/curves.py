"""Disease-free survival of one patient over time under both arms: the steps of the fitted baseline."""

from __future__ import annotations

import numpy as np

from config.arrays import FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import NomogramResult


def survival_over_time(
    nomogram: CoxNomogram, result: NomogramResult, until_months: float, patient: int = 0
) -> tuple[FloatArray, dict[TreatmentArm, FloatArray]]:
    """Return survival at every step of the baseline.

    Parameters
    ----------
    nomogram : CoxNomogram
        The one that gave the result.
    result : NomogramResult
        Its linear predictors.
    until_months : float
        Steps after it, or after the follow-up, are left out.
    patient : int
        Counted from 0.

    Returns
    -------
    (array of shape (k,), dict of TreatmentArm to array of shape (k,))
        Months, from 0 and ascending; probabilities in [0, 1], 1 at the beginning. Between two steps the survival is
        that of the earlier one.
    """
    # A hair more: a month of 30 days is no binary fraction, and the step at the horizon belongs to the curve.
    last_day = min(until_months * DAYS_PER_MONTH, nomogram.follow_up_days) + 1e-6
    used = nomogram.event_days <= last_day
    months = np.concatenate(([0.0], nomogram.event_days[used] / DAYS_PER_MONTH))
    hazard = np.concatenate(([0.0], nomogram.cumulative_hazard[used]))
    return months, {
        arm: np.exp(-hazard * np.exp(estimates.linear_predictor[patient])) for arm, estimates in result.arms.items()
    }
