"""Calibration of predicted survival at a horizon: quantile groups, Kaplan-Meier, Greenwood; nothing is random.

The paper's own Hosmer-Lemeshow test uses counts of bootstrap resamples as group sizes; here they are patients.

References: Nam and D'Agostino 2003 (Hosmer-Lemeshow for survival); Demler et al., Stat Med 2015;34:1659
(Greenwood-Nam-D'Agostino, after merging groups with fewer than five events).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from config.arrays import FloatArray
from workers.survival.baseline_hazard import step_baseline
from workers.survival.cohort import Outcome
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.kaplan_meier import kaplan_meier

FEWEST_EVENTS = 5


@dataclass(frozen=True)
class CalibrationGroup:
    """Patients with similar predictions.

    Attributes
    ----------
    n, events : int
        Patients, and those with the event by the horizon.
    predicted : float
        Mean predicted survival.
    observed, se : float
        Kaplan-Meier estimate with Greenwood's standard error.
    ci95 : pair of float or None
        Log-log interval; None where the estimate is 0 or 1.
    """

    n: int
    events: int
    predicted: float
    observed: float
    se: float
    ci95: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one group."""
        return {
            "n": self.n,
            "n_events": self.events,
            "predicted": self.predicted,
            "observed": self.observed,
            "se": self.se,
            "ci95": list(self.ci95) if self.ci95 else None,
        }


@dataclass(frozen=True)
class ChiSquaredTest:
    """A chi-squared statistic with its degrees of freedom."""

    chi2: float
    df: int

    @property
    def p(self) -> float:
        """Upper tail probability."""
        return float(stats.chi2.sf(self.chi2, self.df))

    def to_json(self) -> dict[str, Any]:
        """Return statistic, degrees of freedom and p."""
        return {"chi2": self.chi2, "df": self.df, "p": self.p}


@dataclass(frozen=True)
class Calibration:
    """Predicted and observed survival at a horizon.

    Attributes
    ----------
    horizon_days : float
        The horizon.
    groups : tuple of CalibrationGroup
        From the lowest predicted survival to the highest.
    merged : tuple of CalibrationGroup
        The groups after merging those with fewer than five events by the horizon.
    mean_predicted, observed : float
        Over all patients.
    """

    horizon_days: float
    groups: tuple[CalibrationGroup, ...]
    merged: tuple[CalibrationGroup, ...]
    mean_predicted: float
    observed: float

    @property
    def hosmer_lemeshow_chi2(self) -> float:
        """Sum of n (KM - predicted)^2 / (predicted (1 - predicted)) over the groups."""
        return sum(g.n * (g.observed - g.predicted) ** 2 / (g.predicted * (1 - g.predicted)) for g in self.groups)

    def hosmer_lemeshow(self, df: int | None = None) -> ChiSquaredTest:
        """Test calibration after Hosmer and Lemeshow, in the form of Nam and D'Agostino.

        Parameters
        ----------
        df : int, optional
            Degrees of freedom; groups - 1 by default (the paper: 2 for three groups).
        """
        return ChiSquaredTest(self.hosmer_lemeshow_chi2, len(self.groups) - 1 if df is None else df)

    def greenwood_nam_dagostino(self) -> ChiSquaredTest | None:
        """Test calibration after Greenwood, Nam and D'Agostino.

        Returns
        -------
        ChiSquaredTest or None
            Sum of (KM - predicted)^2 / Greenwood's variance over the merged groups; None where one of them has no
            event or only one is left.
        """
        # Without an event Greenwood's error is 0 and the statistic would divide by it.
        if any(g.se == 0 for g in self.merged) or len(self.merged) < 2:
            return None
        chi2 = sum((g.observed - g.predicted) ** 2 / g.se**2 for g in self.merged)
        # Demler et al. 2015: one degree of freedom less than groups after merging.
        return ChiSquaredTest(chi2, len(self.merged) - 1)

    def tests_to_json(self) -> dict[str, Any]:
        """Return overall agreement and both tests."""
        gnd = self.greenwood_nam_dagostino()
        return {
            "mean_predicted": self.mean_predicted,
            "observed": self.observed,
            "hosmer_lemeshow": self.hosmer_lemeshow().to_json(),
            "greenwood_nam_dagostino": gnd.to_json() if gnd else None,
            "merged_groups": [group.to_json() for group in self.merged],
        }


def calibrate(predicted: FloatArray, outcome: Outcome, horizon_days: float, n_groups: int = 3) -> Calibration:
    """Compare predicted survival at a horizon with the Kaplan-Meier estimate in quantile groups.

    Parameters
    ----------
    predicted : array, shape (n,)
        Predicted survival at the horizon, in [0, 1].
    outcome : Outcome
        Follow-up of the same patients.
    horizon_days : float
        Days.
    n_groups : int
        Groups of equal size, bounded by type-7 quantiles and closed at the right; ties can leave fewer.

    Returns
    -------
    Calibration
        Groups, merged groups and overall means.
    """
    edges = np.quantile(predicted, np.linspace(0, 1, n_groups + 1))  # type 7, as R's quantile by default
    # Groups (edge, next edge], the lowest with its lower edge, as R's cut(include.lowest = TRUE). Equal predictions
    # stay in one group, which can therefore be empty.
    member = np.clip(np.searchsorted(edges, predicted, side="left"), 1, n_groups)
    numbers = [number for number in range(1, n_groups + 1) if (member == number).any()]
    return Calibration(
        horizon_days=horizon_days,
        groups=tuple(_group(predicted, outcome, member == number, horizon_days) for number in numbers),
        merged=_merged(predicted, outcome, member, n_groups, horizon_days),
        # Calibration in the large: mean predicted survival against the Kaplan-Meier estimate of all patients.
        mean_predicted=float(predicted.mean()),
        observed=kaplan_meier(outcome.durations_days, outcome.event_observed).at(horizon_days).value,
    )


def calibration_slope(linear_predictor: FloatArray, outcome: Outcome) -> CoxFit:
    """Fit the linear predictor in this cohort; its coefficient is the calibration slope, 1 at best.

    Parameters
    ----------
    linear_predictor : array, shape (n,)
        Of the model to test.
    outcome : Outcome
        Follow-up of the same patients.

    Returns
    -------
    CoxFit
        One term, ``slope``: below 1 the predictions are too extreme.
    """
    # Slope 1 is perfect; below 1 the predictions are too extreme, as those of an overfitted model.
    return fit_cox(linear_predictor[:, None], ["slope"], outcome.durations_days, outcome.event_observed)


def recalibrated(linear_predictor: FloatArray, outcome: Outcome, horizon_days: float) -> FloatArray:
    """Return survival at a horizon after refitting slope and baseline in this cohort (the paper's figures show it).

    Parameters
    ----------
    linear_predictor : array, shape (n,)
        Of the model.
    outcome : Outcome
        Follow-up of the same patients.
    horizon_days : float
        Days.

    Returns
    -------
    array, shape (n,)
        Probabilities.
    """
    fit = calibration_slope(linear_predictor, outcome)
    x = linear_predictor[:, None]
    baseline = step_baseline(x, outcome.durations_days, outcome.event_observed, fit.coefficients)
    return np.exp(-baseline.hazard_at(horizon_days) * np.exp(fit.linear_predictor(x)))


def _group(predicted: FloatArray, outcome: Outcome, mask: Any, horizon_days: float) -> CalibrationGroup:
    days, events = outcome.durations_days[mask], outcome.event_observed[mask]
    estimate = kaplan_meier(days, events).at(horizon_days)
    return CalibrationGroup(
        n=int(mask.sum()),
        # Events after the horizon say nothing about survival up to it.
        events=int((events & (days <= horizon_days)).sum()),
        predicted=float(predicted[mask].mean()),
        observed=estimate.value,
        se=estimate.se,
        ci95=estimate.ci95,
    )


def _merged(
    predicted: FloatArray, outcome: Outcome, member: Any, n_groups: int, horizon_days: float
) -> tuple[CalibrationGroup, ...]:
    # Demler et al.: from the highest predicted survival downwards a group with too few events joins the next lower
    # one; the lowest group, which has no lower neighbour, joins the next higher one.
    member = member.copy()
    early = outcome.event_observed & (outcome.durations_days <= horizon_days)
    for number in range(n_groups, 1, -1):
        if early[member == number].sum() < FEWEST_EVENTS:
            member[member == number] = number - 1
    numbers = sorted(set(member.tolist()))
    if len(numbers) > 1 and early[member == numbers[0]].sum() < FEWEST_EVENTS:
        member[member == numbers[0]] = numbers[1]
    return tuple(_group(predicted, outcome, member == number, horizon_days) for number in sorted(set(member.tolist())))
