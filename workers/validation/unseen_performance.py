"""How well a model predicts patients that no part of it has seen: the figures of a manifest, with intervals.

With `groups`, predictions of different groups come from different models (out-of-fold predictions): the C-index counts
pairs within groups, and the calibration slope gives each group its own baseline hazard. Everything else is about
probabilities, which are on one scale, and takes all patients together.

References: Collins et al., BMJ 2024;385:e078378 (TRIPOD+AI); Crowson, Atkinson and Therneau, Stat Methods Med Res
2016;25:1692 (intercept and slope); `smooth_calibration` and `prediction_error` for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.survival.baseline_hazard import step_baseline
from workers.survival.cohort import Outcome
from workers.survival.concordance import harrell_concordance
from workers.survival.cox import DIVERGED
from workers.survival.partial_likelihood import SeparationError, newton
from workers.validation.prediction_error import prediction_error
from workers.validation.smooth_calibration import integrated_calibration_index, log_cumulative_hazard

ALL = "all"
FEWEST_RESAMPLES = 0.9  # share of resamples in which a figure must exist for its interval
DIGITS = 6  # a bundle's manifest is text that people read


def unseen_performance(
    risk: FloatArray,
    survival_by_month: Mapping[int, FloatArray],
    outcome_days: FloatArray,
    outcome_events: BoolArray,
    treated: BoolArray,
    *,
    groups: Int64Array | None = None,
    n_bootstrap: int = 200,
    seed: int = 0,
    decision_month: int | None = None,
) -> dict[str, Any]:
    """Return discrimination, calibration and prediction error on unseen patients.

    Parameters
    ----------
    risk : array, shape (n,)
        Linear predictor under the treatment received. Patients with NaN, whose risk is unknown, are left out.
    survival_by_month : mapping of int to array, shape (n,)
        Predicted survival under the treatment received, by horizon in months.
    outcome_days : array, shape (n,)
        Follow-up in days.
    outcome_events : bool array, shape (n,)
        True where the event was observed.
    treated : bool array, shape (n,)
        True for ICT+CCRT.
    groups : int array, shape (n,), optional
        Number of the model that predicted each patient, for example the fold.
    n_bootstrap : int
        Resamples of the patients for the intervals of all but the C-index.
    seed : int
        Of the resamples: equal input gives equal intervals.
    decision_month : int, optional
        Horizon of the calibration intercept; the last one by default.

    Returns
    -------
    dict
        JSON: ``n``, ``n_events``, ``events_by_arm``; ``c_index`` by ``all`` and arm; ``calibration_slope``,
        ``calibration_intercept``; ``ici``, ``brier`` and ``ipa`` by month. Each figure is ``{"value", "ci95"}``, both
        null where it does not exist (no comparable pair, no event by the horizon, nobody followed beyond it, all
        predictions equal, a diverging slope), ``ci95`` alone null where it exists in less than 90 % of the resamples.

    Notes
    -----
    - ``c_index``: Harrell's, with the Wald interval of the infinitesimal jackknife, cut to [0, 1].
    - ``calibration_slope``: coefficient of the risk in a Cox model (Efron ties) of these patients; 1 at best.
    - ``calibration_intercept``: ``log(H_obs)``, where H_obs is the cumulative hazard at the decision horizon of a Cox
      model with the offset ``log(-log S)`` (coefficient fixed at 1) at offset 0: the sum over the events up to the
      horizon of 1 / sum over the risk set of ``-log S``, Efron ties. It is the log ratio of observed to predicted
      cumulative hazard, given the patients at risk: 0 at best, log 2 where twice the predicted hazard was observed.
      Crowson's Poisson intercept needs the predicted hazard at every time of follow-up; this one only that at the
      horizon.
    - Intervals of all but the C-index: 2.5 and 97.5 % quantiles over resampled patients. The ICI is a mean of absolute
      values, so its interval begins above 0 for a perfect model, too.
    """
    known = ~np.isnan(risk)
    for survival in survival_by_month.values():
        known &= ~np.isnan(survival)
    patients = _Patients(
        risk[known],
        {month: survival[known] for month, survival in survival_by_month.items()},
        Outcome(outcome_days[known], outcome_events[known]),
        None if groups is None else groups[known],
        max(survival_by_month) if decision_month is None else decision_month,
    )
    arms = {arm.value: treated[known] == (arm is TreatmentArm.ICT_CCRT) for arm in TreatmentArm}
    events = patients.outcome.event_observed
    figures = patients.figures()
    intervals = _bootstrap(patients, n_bootstrap, seed)
    c_index = {ALL: patients.c_index(np.ones(len(events), dtype=bool))}
    by_name: dict[str, Any] = {name: _entry(value, intervals.get(name)) for name, value in figures.items()}
    return {
        "n": len(events),
        "n_events": int(events.sum()),
        "events_by_arm": {name: int(events[arm].sum()) for name, arm in arms.items()},
        "c_index": c_index | {name: patients.c_index(arm) for name, arm in arms.items()},
        **{name: by_name[name] for name in ("calibration_slope", "calibration_intercept")},
        **{
            name: {str(month): by_name[f"{name} {month}"] for month in survival_by_month}
            for name in ("ici", "brier", "ipa")
        },
    }


class _Patients:
    """Predictions and follow-up of n patients, or of a resample of them."""

    def __init__(
        self,
        risk: FloatArray,
        survival: Mapping[int, FloatArray],
        outcome: Outcome,
        groups: Int64Array | None,
        decision_month: int,
    ) -> None:
        self.risk, self.survival, self.outcome, self.groups = risk, survival, outcome, groups
        self.decision_month = decision_month

    def take(self, rows: Int64Array) -> _Patients:
        """Return the patients at these positions, repeated as the positions are."""
        return _Patients(
            self.risk[rows],
            {month: survival[rows] for month, survival in self.survival.items()},
            Outcome(self.outcome.durations_days[rows], self.outcome.event_observed[rows]),
            None if self.groups is None else self.groups[rows],
            self.decision_month,
        )

    def figures(self) -> dict[str, float | None]:
        """Return all figures but the C-index; None where one does not exist."""
        values: dict[str, float | None] = {
            "calibration_slope": self._slope(),
            "calibration_intercept": self._intercept(),
        }
        for month, survival in self.survival.items():
            days = month * DAYS_PER_MONTH
            error = prediction_error(survival, self.outcome, days)
            values[f"ici {month}"] = integrated_calibration_index(survival, self.outcome, days)
            values[f"brier {month}"] = None if error is None else error.brier
            values[f"ipa {month}"] = None if error is None else error.ipa
        return values

    def c_index(self, chosen: BoolArray) -> dict[str, Any]:
        """Return Harrell's C-index of some patients as JSON."""
        part = self.outcome.where(chosen)
        groups = None if self.groups is None else self.groups[chosen]
        concordance = harrell_concordance(self.risk[chosen], part.durations_days, part.event_observed, groups)
        if np.isnan(concordance.value):
            return _entry(None, None)
        low, high = concordance.ci95
        return _entry(concordance.value, (max(low, 0.0), min(high, 1.0)))

    def _slope(self) -> float | None:
        spread = float(self.risk.std())
        if not self.outcome.event_observed.any() or not spread > 0:
            return None
        # In standard deviations, the unit in which a divergence is judged.
        x = (self.risk - self.risk.mean())[:, None] / spread
        days, events = self.outcome.durations_days, self.outcome.event_observed
        try:
            beta, _ = newton(x, days, events, strata=self.groups)
        except SeparationError:
            return None
        return float(beta[0] / spread) if abs(beta[0]) < DIVERGED else None

    def _intercept(self) -> float | None:
        days, events = self.outcome.durations_days, self.outcome.event_observed
        horizon = self.decision_month * DAYS_PER_MONTH
        if not (events & (days <= horizon)).any() or not (days >= horizon).any():
            return None
        offset = log_cumulative_hazard(self.survival[self.decision_month])[:, None]
        return float(np.log(step_baseline(offset, days, events, np.ones(1)).hazard_at(horizon)))


def _bootstrap(patients: _Patients, n_bootstrap: int, seed: int) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(seed)
    n = len(patients.risk)
    drawn: dict[str, list[float]] = {}
    for _ in range(n_bootstrap):
        for name, value in patients.take(rng.integers(0, n, n)).figures().items():
            if value is not None:
                drawn.setdefault(name, []).append(value)
    return {
        name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))
        for name, values in drawn.items()
        if len(values) >= FEWEST_RESAMPLES * n_bootstrap
    }


def _entry(value: float | None, interval: tuple[float, float] | None) -> dict[str, Any]:
    if value is None:
        return {"value": None, "ci95": None}
    return {
        "value": round(value, DIGITS),
        "ci95": None if interval is None else [round(end, DIGITS) for end in interval],
    }
