"""Cox's partial likelihood with its derivatives, after Efron or Breslow, and its maximum by Newton's method.

References: Efron, JASA 1977;72:557; Breslow, J R Stat Soc B 1972;34:216; Therneau and Grambsch, Modeling Survival
Data, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.errors import InputError

Ties = Literal["efron", "breslow"]


_SINGULAR = "the covariates of a Cox model depend on each other or separate the events"


class SeparationError(InputError):
    """The likelihood has no maximum: a covariate, or a combination of covariates, predicts every event."""


@dataclass(frozen=True)
class EfronSums:
    """Risk-set sums at each of e events at given coefficients.

    Attributes
    ----------
    event_days : array, shape (e,)
        Ascending; tied events are repeated.
    s0 : array, shape (e,)
        Sum of exp(linear predictor) over the risk set, reduced for ties after Efron (or not, after Breslow).
    s1 : array, shape (e, p)
        The same sum weighted by the covariates.
    s2 : array, shape (e, p, p)
        The same sum weighted by their products.
    sum_of_events : array, shape (p,)
        Covariates summed over the events.
    lp_of_events : float
        Linear predictor summed over the events.
    """

    event_days: FloatArray
    s0: FloatArray
    s1: FloatArray
    s2: FloatArray
    sum_of_events: FloatArray  # (p,) covariates summed over the events
    lp_of_events: float

    @property
    def log_likelihood(self) -> float:
        """Log partial likelihood."""
        return self.lp_of_events - float(np.log(self.s0).sum())

    @property
    def gradient(self) -> FloatArray:
        """First derivatives of the log partial likelihood, shape (p,)."""
        return self.sum_of_events - (self.s1 / self.s0[:, None]).sum(axis=0)

    @property
    def information_of_events(self) -> FloatArray:
        """Covariance of the covariates in each event's risk set, shape (e, p, p)."""
        mean = self.s1 / self.s0[:, None]
        return self.s2 / self.s0[:, None, None] - mean[:, :, None] * mean[:, None, :]

    @property
    def information(self) -> FloatArray:
        """Observed information: minus the second derivatives, shape (p, p)."""
        mean = self.s1 / self.s0[:, None]
        return np.tensordot(1 / self.s0, self.s2, axes=1) - mean.T @ mean


class RiskSets:
    """Patients in descending order of time, with all sums that do not depend on the coefficients.

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates; centred ones keep the exponentials small.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    ties : {"efron", "breslow"}
        Treatment of tied event times.
    """

    def __init__(self, x: FloatArray, durations: FloatArray, event_observed: BoolArray, ties: Ties = "efron") -> None:
        # Latest first: a risk set is then all rows up to one position, and a cumulative sum gives every one of them.
        order = np.argsort(-durations, kind="stable")
        self.x, self.events = x[order], event_observed[order]
        n, self.p = x.shape
        products = (self.x[:, :, None] * self.x[:, None, :]).reshape(n, self.p * self.p)
        self.moments = np.concatenate((np.ones((n, 1)), self.x, products), axis=1)
        days = durations[order]
        self.event_days = days[self.events]
        # Distinct event times, latest first: every patient with a time at or after one of them is at risk there.
        self.distinct, first, self.group, size = np.unique(
            -self.event_days, return_index=True, return_inverse=True, return_counts=True
        )
        self.enters = np.searchsorted(-days, self.distinct, side="right")  # rows at risk at each distinct time
        rank_in_tie = np.arange(len(self.group)) - first[self.group]
        # Efron: the l-th of d tied events leaves the share l / d of the tied events out of its risk set.
        self.thinned = rank_in_tie / size[self.group] if ties == "efron" else np.zeros(len(self.group))
        self.first_of_tie = first
        self.sum_of_events = self.x[self.events].sum(axis=0)

    def at(self, beta: FloatArray, shifted: bool = False) -> EfronSums:
        """Return the risk-set sums at given coefficients.

        Parameters
        ----------
        beta : array, shape (p,)
            Log hazard ratios.
        shifted : bool
            Subtract the maximum from the linear predictors, so that no step of a search overflows. Likelihood,
            gradient and information are the same; s0, s1 and s2 are then not those of a baseline.

        Returns
        -------
        EfronSums
            At each event, ascending in time.
        """
        lp = self.x @ beta
        lp = lp - lp.max() if shifted else lp
        weighted = self.moments * np.exp(lp)[:, None]
        starts = np.concatenate(([0], self.enters[:-1]))
        # reduceat sums each stretch between two event times, cumsum over the stretches gives the risk sets: one pass
        # over the rows in place of one per event.
        at_risk = np.cumsum(np.add.reduceat(weighted[: self.enters[-1]], starts, axis=0), axis=0)
        dying = np.add.reduceat(weighted[self.events], self.first_of_tie, axis=0)
        # Efron's mean over the orders in which d tied patients could have failed; with Breslow's the share is 0.
        sums = (at_risk[self.group] - self.thinned[:, None] * dying[self.group])[::-1]
        return EfronSums(
            event_days=self.event_days[::-1],
            s0=sums[:, 0],
            s1=sums[:, 1 : self.p + 1],
            s2=sums[:, self.p + 1 :].reshape(len(sums), self.p, self.p),
            sum_of_events=self.sum_of_events,
            lp_of_events=float(lp[self.events].sum()),
        )


def efron_sums(
    x: FloatArray, durations: FloatArray, event_observed: BoolArray, beta: FloatArray, ties: Ties = "efron"
) -> EfronSums:
    """Return the risk-set sums of n patients at given coefficients.

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    beta : array, shape (p,)
        Log hazard ratios.
    ties : {"efron", "breslow"}
        Treatment of tied event times.

    Returns
    -------
    EfronSums
        At each event, ascending in time.

    References
    ----------
    Efron, JASA 1977;72:557; Breslow, J R Stat Soc B 1972;34:216.
    """
    return RiskSets(x, durations, event_observed, ties).at(beta)


def newton(
    x: FloatArray,
    durations: FloatArray,
    event_observed: BoolArray,
    ties: Ties = "efron",
    start: FloatArray | None = None,
    max_steps: int = 60,
    strata: Int64Array | None = None,
    penalty: float = 0.0,
) -> tuple[FloatArray, EfronSums]:
    """Maximise the partial likelihood, or a penalised one, by Newton's method with step halving.

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates; centred ones converge faster.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    ties : {"efron", "breslow"}
        Treatment of tied event times.
    start : array, shape (p,), optional
        First coefficients; zeros by default.
    max_steps : int
        A likelihood without a maximum stops here; the caller judges the result.
    strata : int array, shape (n,), optional
        Each value has its own baseline hazard: only its patients are in a risk set together, as with R's ``strata()``.
    penalty : float
        Half of it times the sum of the squared coefficients is subtracted from the log likelihood (ridge).

    Returns
    -------
    beta : array, shape (p,)
        Log hazard ratios.
    sums : EfronSums
        Risk-set sums there, with shifted linear predictors: for likelihood, gradient and information only, all three
        without the penalty.

    Raises
    ------
    SeparationError
        The information is singular or the likelihood is not finite.
    """
    risk_sets = _stratified(x, durations, event_observed, ties, strata)
    beta = np.zeros(x.shape[1]) if start is None else start
    with np.errstate(all="ignore"):  # a step that is too long has no finite likelihood and is halved
        here = _summed(risk_sets, beta)
        for _ in range(max_steps):
            try:
                ridge = penalty * np.eye(len(beta))
                step = np.linalg.solve(here.information + ridge, here.gradient - penalty * beta)
            except np.linalg.LinAlgError as error:
                raise SeparationError(_SINGULAR) from error
            for _ in range(30):  # nothing is gained below 2^-30 of a step in double precision
                there = _summed(risk_sets, beta + step)
                cost = penalty / 2 * float((beta + step) @ (beta + step) - beta @ beta)
                gain = there.log_likelihood - here.log_likelihood - cost
                if gain >= -1e-12 * abs(here.log_likelihood):
                    break
                step = step / 2
            beta, here = beta + step, there
            if not abs(gain) >= 1e-13 * abs(here.log_likelihood):
                break
    if not np.isfinite(here.log_likelihood):
        raise SeparationError(_SINGULAR)
    return beta, here


def _stratified(
    x: FloatArray, durations: FloatArray, event_observed: BoolArray, ties: Ties, strata: Int64Array | None
) -> list[RiskSets]:
    if strata is None:
        return [RiskSets(x, durations, event_observed, ties)]
    # A stratum without an event has no risk set and adds nothing to the likelihood.
    parts = (strata == value for value in np.unique(strata[event_observed]))
    return [RiskSets(x[part], durations[part], event_observed[part], ties) for part in parts]


def _summed(strata: list[RiskSets], beta: FloatArray) -> EfronSums:
    sums = [risk_sets.at(beta, shifted=True) for risk_sets in strata]
    if len(sums) == 1:
        return sums[0]
    # The log likelihood and its derivatives are sums over events, so the events of all strata can follow each other.
    return EfronSums(
        event_days=np.concatenate([part.event_days for part in sums]),
        s0=np.concatenate([part.s0 for part in sums]),
        s1=np.concatenate([part.s1 for part in sums]),
        s2=np.concatenate([part.s2 for part in sums]),
        sum_of_events=np.sum([part.sum_of_events for part in sums], axis=0),
        lp_of_events=sum(part.lp_of_events for part in sums),
    )
