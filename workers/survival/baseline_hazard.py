"""The cumulative baseline hazard of a Cox model as a step function, with the terms of its variance.

Computed here because lifelines gives Breslow's estimate, interpolated between events (up to 5e-3 off).

References: Therneau and Grambsch, Modeling Survival Data, section 10.2; R's survfit.coxph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from workers.survival.partial_likelihood import Ties, efron_sums


@dataclass(frozen=True)
class StepBaseline:
    """Cumulative baseline hazard of x = 0 as a step function, and the terms of its variance.

    Attributes
    ----------
    event_days : array, shape (k,)
        Distinct event times, ascending.
    n_events : int array, shape (k,)
        Events at each time.
    increments : array, shape (k,)
        Hazard increments: sum of 1 / s0 over the events of a time.
    increments_a : array, shape (k,)
        Sum of 1 / s0^2.
    increments_q : array, shape (k, p)
        Sum of s1 / s0^2 (see `workers.nomogram.model.VarianceTerms`).
    """

    event_days: FloatArray
    n_events: Int64Array
    increments: FloatArray
    increments_a: FloatArray
    increments_q: FloatArray

    @property
    def cumulative_hazard(self) -> FloatArray:
        """Cumulative hazard just after each event time, shape (k,)."""
        return np.cumsum(self.increments)

    def hazard_at(self, days: float) -> float:
        """Return the cumulative hazard at a time; steps are right-continuous.

        Parameters
        ----------
        days : float
            In the unit of the fit's durations, >= 0.

        Returns
        -------
        float
            H0 of a patient with x = 0; 0 before the first event, and constant after the last one.
        """
        # A patient who fails on the day itself has failed by then: the step of that day is included.
        return float(self.increments[self.event_days <= days].sum())

    def a_at(self, days: float) -> float:
        """Return the sum of `increments_a` up to and including a time.

        Parameters
        ----------
        days : float
            In the unit of the fit's durations.

        Returns
        -------
        float
            A in var(log S) = exp(2 lp) (A + g' Cov g).
        """
        return float(self.increments_a[self.event_days <= days].sum())

    def q_at(self, days: float) -> FloatArray:
        """Return the sum of `increments_q` up to and including a time.

        Parameters
        ----------
        days : float
            In the unit of the fit's durations.

        Returns
        -------
        array, shape (p,)
            q in g = H0 x - q, in the order of the covariates.
        """
        return np.asarray(self.increments_q[self.event_days <= days].sum(axis=0))


def step_baseline(
    x: FloatArray, durations: FloatArray, event_observed: BoolArray, beta: FloatArray, ties: Ties = "efron"
) -> StepBaseline:
    """Return the baseline of a fit with given coefficients.

    Parameters
    ----------
    x : array, shape (n, p)
        Uncentred covariates; a baseline of centred ones would belong to the mean patient.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    beta : array, shape (p,)
        Fitted log hazard ratios.
    ties : {"efron", "breslow"}
        Efron's as R's survfit.coxph of an Efron fit; Breslow's as ``survfit(..., ctype = 1)``.

    Returns
    -------
    StepBaseline
        Steps at the distinct event times.
    """
    # Uncentred x: the stored hazard is that of x = 0, and the nomogram multiplies it by exp(sum of coefficient x). A
    # centred one would need the cohort's means wherever the nomogram is used.
    sums = efron_sums(x, durations, event_observed, beta, ties)
    days, group, count = np.unique(sums.event_days, return_inverse=True, return_counts=True)
    # Increments of H0, of A = sum 1 / s0^2 and of q = sum s1 / s0^2 in var(log S) = exp(2 lp) (A + g' Cov g).
    rows = np.column_stack((1 / sums.s0, 1 / sums.s0**2, sums.s1 / sums.s0[:, None] ** 2))
    steps = np.zeros((len(days), rows.shape[1]))
    # Unbuffered: `steps[group] += rows` would add one of several events on the same day.
    np.add.at(steps, group, rows)
    return StepBaseline(days, count, steps[:, 0], steps[:, 1], steps[:, 2:])
