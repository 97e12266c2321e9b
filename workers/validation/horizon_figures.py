"""Figures of predicted survival at a horizon, with intervals: AUC, Brier score, IPA, ICI, and the slope over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray, Int64Array
from config.errors import InputError
from workers.survival.cohort import Outcome
from workers.survival.proportional_hazards import proportional_hazards_test
from workers.validation.calibration import calibration_slope
from workers.validation.estimates import Figure, figures_of_draws, resampled
from workers.validation.prediction_error import prediction_error
from workers.validation.smooth_calibration import integrated_calibration_index
from workers.validation.survival_comparison import NOT_PROPORTIONAL
from workers.validation.time_dependent_auc import time_dependent_auc

HORIZON_FIGURES = ("auc", "brier", "ipa", "ici")


def horizon_figures(
    survival: FloatArray, outcome: Outcome, days: float, n_bootstrap: int, seed: int = 0
) -> dict[str, Figure]:
    """Return AUC, Brier score, index of prediction accuracy and integrated calibration index.

    Parameters
    ----------
    survival : array, shape (n,)
        Predicted at the horizon under the treatment received.
    outcome : Outcome
        Follow-up of the same patients.
    days : float
        Horizon.
    n_bootstrap, seed : int
        Resamples for the intervals, and the seed of their draws.

    Returns
    -------
    dict of str to Figure
        By the names of `HORIZON_FIGURES`; a figure that does not exist is empty.
    """

    def estimates(rows: Int64Array) -> dict[str, FloatArray]:
        part = Outcome(outcome.durations_days[rows], outcome.event_observed[rows])
        error = prediction_error(survival[rows], part, days)
        values = (
            time_dependent_auc(1 - survival[rows], part, days),
            error.brier if error else None,
            error.ipa if error else None,
            integrated_calibration_index(survival[rows], part, days),
        )
        return {"all": np.array([np.nan if value is None else value for value in values])}

    n = len(survival)
    found = estimates(np.arange(n))["all"]
    draws = resampled(estimates, n, n_bootstrap, seed)
    return dict(zip(HORIZON_FIGURES, figures_of_draws(found, draws.get("all")), strict=True))


@dataclass(frozen=True)
class SlopeOverTime:
    """Whether the calibration slope is constant in time.

    Attributes
    ----------
    p : float
        Test of proportional hazards of the linear predictor.
    split_days : float
        Median time of the events.
    early, late : float or None
        Slope up to the split, and after it among the patients who are still at risk; None unless the test is below
        `NOT_PROPORTIONAL`.
    """

    p: float
    split_days: float
    early: float | None = None
    late: float | None = None

    @property
    def warning(self) -> str:
        """What a slope that is not constant means.

        Returns
        -------
        str
            Empty where the test does not speak against a constant slope.
        """
        if self.early is None or self.late is None:
            return ""
        return (
            f"the slope is not constant in time (p = {self.p:.2g}): {self.early:.2f} in the first "
            f"{self.split_days / 30:.0f} months, {self.late:.2f} later"
        )

    def to_json(self) -> Mapping[str, Any]:
        """Return test and slopes by period."""
        return {
            "proportional_hazards_p": self.p,
            "split_days": self.split_days,
            "early": self.early,
            "late": self.late,
            "warning": self.warning or None,
        }


def slope_over_time(linear_predictor: FloatArray, outcome: Outcome) -> SlopeOverTime | None:
    """Test whether the calibration slope is constant, and fit it in two periods where it is not.

    Parameters
    ----------
    linear_predictor : array, shape (n,)
        Of the tested model.
    outcome : Outcome
        Follow-up of the same patients.

    Returns
    -------
    SlopeOverTime or None
        None where no slope can be fitted.
    """
    days, events = outcome.durations_days, outcome.event_observed
    try:
        fit = calibration_slope(linear_predictor, outcome)
        p = proportional_hazards_test(fit, linear_predictor[:, None], days, events).p_global
        split = float(np.median(days[events]))
        if p >= NOT_PROPORTIONAL:
            return SlopeOverTime(p, split)
        # A term that changes at the split has the same likelihood as two fits, one of each period.
        early = Outcome(np.minimum(days, split), events & (days <= split))
        later = days > split
        slopes = (
            calibration_slope(linear_predictor, early),
            calibration_slope(linear_predictor[later], outcome.where(later)),
        )
        return SlopeOverTime(p, split, *(float(each.coefficients[0]) for each in slopes))
    except InputError:
        return None
