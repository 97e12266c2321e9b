"""Decision curve: net benefit of acting on a predicted risk, over the range of thresholds a clinician might hold.

Source: Vickers, Cronin, Elkin and Gonen, BMC Med Inform Decis Mak 2008;8:53 (censored outcomes by Kaplan-Meier).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from workers.survival.cohort import Outcome
from workers.survival.kaplan_meier import kaplan_meier

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 61))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit (k,) of each rule at each risk threshold (k,); treating nobody has 0 everywhere."""

    horizon_days: float
    thresholds: FloatArray
    by_rule: dict[str, FloatArray]
    treat_all: FloatArray

    def to_json(self) -> dict[str, Any]:
        return {
            "horizon_months": self.horizon_days / DAYS_PER_MONTH,
            "thresholds": self.thresholds.tolist(),
            "net_benefit": {name: values.tolist() for name, values in self.by_rule.items()},
            "treat_all": self.treat_all.tolist(),
        }


def decision_curve(
    risks: dict[str, FloatArray], outcome: Outcome, horizon_days: float, thresholds: Sequence[float] = THRESHOLDS
) -> DecisionCurve:
    """risks : rule -> (n,) predicted probability of the event by the horizon."""
    at = np.asarray(thresholds, dtype=np.float64)
    everyone = np.full(len(outcome.durations_days), 1.0)
    return DecisionCurve(
        horizon_days,
        at,
        {name: _net_benefit(risk, outcome, horizon_days, at) for name, risk in risks.items()},
        _net_benefit(everyone, outcome, horizon_days, at),
    )


def _net_benefit(risk: FloatArray, outcome: Outcome, horizon_days: float, thresholds: FloatArray) -> FloatArray:
    found = np.zeros(len(thresholds))
    survivors: dict[int, float] = {}
    for at, threshold in enumerate(thresholds):
        acted = risk > threshold
        count = int(acted.sum())
        if count == 0:
            continue
        if count not in survivors:  # the same patients as at the threshold before
            part = kaplan_meier(outcome.durations_days[acted], outcome.event_observed[acted])
            survivors[count] = part.at(horizon_days).value
        share, alive = count / len(risk), survivors[count]
        found[at] = share * (1 - alive) - share * alive * threshold / (1 - threshold)
    return found
