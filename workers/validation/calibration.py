"""Calibration of predicted survival at a horizon: quantile groups, Kaplan-Meier, Greenwood; nothing random.

The paper's own Hosmer-Lemeshow test uses counts of bootstrap resamples as group sizes; here they are patients.
Tests: Hosmer-Lemeshow in the form of Nam and D'Agostino (2003), and Greenwood-Nam-D'Agostino (Demler et al., Stat Med
2015;34:1659) after merging groups with fewer than five events.
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
    """Patients with similar predictions: mean prediction beside the observed survival with Greenwood's error."""

    n: int
    events: int
    predicted: float
    observed: float
    se: float
    ci95: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
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
    chi2: float
    df: int

    @property
    def p(self) -> float:
        return float(stats.chi2.sf(self.chi2, self.df))

    def to_json(self) -> dict[str, Any]:
        return {"chi2": self.chi2, "df": self.df, "p": self.p}


@dataclass(frozen=True)
class Calibration:
    """Groups from the lowest predicted survival to the highest, and overall agreement.

    merged : the groups after merging those with fewer than five events by the horizon.
    """

    horizon_days: float
    groups: tuple[CalibrationGroup, ...]
    merged: tuple[CalibrationGroup, ...]
    mean_predicted: float
    observed: float

    @property
    def hosmer_lemeshow_chi2(self) -> float:
        """sum n (KM - predicted)^2 / (predicted (1 - predicted)) over the groups."""
        return sum(g.n * (g.observed - g.predicted) ** 2 / (g.predicted * (1 - g.predicted)) for g in self.groups)

    def hosmer_lemeshow(self, df: int | None = None) -> ChiSquaredTest:
        """With groups - 1 degrees of freedom, or those given (the paper: 2 for three groups)."""
        return ChiSquaredTest(self.hosmer_lemeshow_chi2, len(self.groups) - 1 if df is None else df)

    def greenwood_nam_dagostino(self) -> ChiSquaredTest | None:
        """sum (KM - predicted)^2 / Greenwood variance over the merged groups; None where one has no event."""
        if any(g.se == 0 for g in self.merged) or len(self.merged) < 2:
            return None
        chi2 = sum((g.observed - g.predicted) ** 2 / g.se**2 for g in self.merged)
        return ChiSquaredTest(chi2, len(self.merged) - 1)

    def tests_to_json(self) -> dict[str, Any]:
        gnd = self.greenwood_nam_dagostino()
        return {
            "mean_predicted": self.mean_predicted,
            "observed": self.observed,
            "hosmer_lemeshow": self.hosmer_lemeshow().to_json(),
            "greenwood_nam_dagostino": gnd.to_json() if gnd else None,
            "merged_groups": [group.to_json() for group in self.merged],
        }


def calibrate(predicted: FloatArray, outcome: Outcome, horizon_days: float, n_groups: int = 3) -> Calibration:
    """Compare predicted survival (n,) at the horizon with the Kaplan-Meier estimate in quantile groups.

    Groups are bounded by type-7 quantiles, closed at the right; fewer come out where predictions are tied.
    """
    edges = np.quantile(predicted, np.linspace(0, 1, n_groups + 1))
    member = np.clip(np.searchsorted(edges, predicted, side="left"), 1, n_groups)
    numbers = [number for number in range(1, n_groups + 1) if (member == number).any()]
    return Calibration(
        horizon_days=horizon_days,
        groups=tuple(_group(predicted, outcome, member == number, horizon_days) for number in numbers),
        merged=_merged(predicted, outcome, member, n_groups, horizon_days),
        mean_predicted=float(predicted.mean()),
        observed=kaplan_meier(outcome.durations_days, outcome.event_observed).at(horizon_days).value,
    )


def calibration_slope(linear_predictor: FloatArray, outcome: Outcome) -> CoxFit:
    """Cox model of the linear predictor in this cohort; its coefficient is the calibration slope, 1 at best."""
    return fit_cox(linear_predictor[:, None], ["slope"], outcome.durations_days, outcome.event_observed)


def recalibrated(linear_predictor: FloatArray, outcome: Outcome, horizon_days: float) -> FloatArray:
    """(n,) survival at the horizon after refitting slope and baseline in this cohort (the paper's figures show it)."""
    fit = calibration_slope(linear_predictor, outcome)
    x = linear_predictor[:, None]
    baseline = step_baseline(x, outcome.durations_days, outcome.event_observed, fit.coefficients)
    return np.exp(-baseline.hazard_at(horizon_days) * np.exp(fit.linear_predictor(x)))


def _group(predicted: FloatArray, outcome: Outcome, mask: Any, horizon_days: float) -> CalibrationGroup:
    days, events = outcome.durations_days[mask], outcome.event_observed[mask]
    found = kaplan_meier(days, events).at(horizon_days)
    return CalibrationGroup(
        n=int(mask.sum()),
        events=int((events & (days <= horizon_days)).sum()),
        predicted=float(predicted[mask].mean()),
        observed=found.value,
        se=found.se,
        ci95=found.ci95,
    )


def _merged(
    predicted: FloatArray, outcome: Outcome, member: Any, n_groups: int, horizon_days: float
) -> tuple[CalibrationGroup, ...]:
    """From the highest predicted survival downwards a group with too few events joins the next lower one."""
    member = member.copy()
    early = outcome.event_observed & (outcome.durations_days <= horizon_days)
    for number in range(n_groups, 1, -1):
        if early[member == number].sum() < FEWEST_EVENTS:
            member[member == number] = number - 1
    numbers = sorted(set(member.tolist()))
    if len(numbers) > 1 and early[member == numbers[0]].sum() < FEWEST_EVENTS:
        member[member == numbers[0]] = numbers[1]
    return tuple(_group(predicted, outcome, member == number, horizon_days) for number in sorted(set(member.tolist())))
