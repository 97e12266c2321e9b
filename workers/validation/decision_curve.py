"""Decision curve: net benefit of acting on a predicted risk, over the range of risk thresholds of clinicians.

References: Vickers, Cronin, Elkin and Gonen, BMC Med Inform Decis Mak 2008;8:53 (censored outcomes by Kaplan-Meier).
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
    """Net benefit at k risk thresholds; that of acting on no patient is 0 everywhere.

    Attributes
    ----------
    horizon_days : float
        The event counts by this time.
    thresholds : array, shape (k,)
        Risks in (0, 1).
    by_rule : dict of str to array, shape (k,)
        Net benefit of acting where the predicted risk exceeds the threshold.
    treat_all : array, shape (k,)
        Net benefit of acting on all patients.
    """

    horizon_days: float
    thresholds: FloatArray
    by_rule: dict[str, FloatArray]
    treat_all: FloatArray

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON."""
        return {
            "horizon_months": self.horizon_days / DAYS_PER_MONTH,
            "thresholds": self.thresholds.tolist(),
            "net_benefit": {name: values.tolist() for name, values in self.by_rule.items()},
            "treat_all": self.treat_all.tolist(),
        }


def decision_curve(
    risks: dict[str, FloatArray], outcome: Outcome, horizon_days: float, thresholds: Sequence[float] = THRESHOLDS
) -> DecisionCurve:
    """Return the net benefit of one or more prediction rules.

    Parameters
    ----------
    risks : dict of str to array, shape (n,)
        Rule -> predicted probability of the event by the horizon.
    outcome : Outcome
        Follow-up of the n patients.
    horizon_days : float
        Days.
    thresholds : sequence of float, length k
        Risks in (0, 1).

    Returns
    -------
    DecisionCurve
        Events among those acted on by Kaplan-Meier.
    """
    at = np.asarray(thresholds, dtype=np.float64)
    everyone = np.full(len(outcome.durations_days), 1.0)
    return DecisionCurve(
        horizon_days,
        at,
        {name: _net_benefit(risk, outcome, horizon_days, at) for name, risk in risks.items()},
        _net_benefit(everyone, outcome, horizon_days, at),
    )


def _net_benefit(risk: FloatArray, outcome: Outcome, horizon_days: float, thresholds: FloatArray) -> FloatArray:
    benefit = np.zeros(len(thresholds))
    survivors: dict[int, float] = {}
    for at, threshold in enumerate(thresholds):
        acted = risk > threshold
        count = int(acted.sum())
        if count == 0:
            continue
        if count not in survivors:  # an equal count means the same patients: the thresholds only rise
            part = kaplan_meier(outcome.durations_days[acted], outcome.event_observed[acted])
            survivors[count] = part.at(horizon_days).value
        # True positives minus false positives, each as a share of all patients, the latter weighted by the odds of the
        # threshold; with censoring both shares come from the Kaplan-Meier estimate of those acted on.
        share, alive = count / len(risk), survivors[count]
        benefit[at] = share * (1 - alive) - share * alive * threshold / (1 - threshold)
    return benefit
