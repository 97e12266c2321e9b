"""Cox regression: lifelines fits, and what lifelines lacks or does differently stands here, small.

Efron's partial likelihood with its derivatives gives the score test, the log likelihood of the empty model, the step
baseline (lifelines' is Breslow's, interpolated between events), the terms of the closed-form variance of a survival
probability, and a fast Newton search for the hundreds of candidates of a stepwise selection.
Sources: Efron, JASA 1977;72:557; Therneau and Grambsch, Modeling Survival Data, chapters 3 and 10.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import Z_95

Ties = Literal["efron", "breslow"]

TIGHT = {"precision": 1e-14, "r_precision": 1e-14, "max_steps": 200}  # R's coxph.control(eps = 1e-14)
_SINGULAR = "the covariates of a Cox model depend on each other or separate the events"
DIVERGED = 10.0  # log hazard ratio or its standard error per standard deviation of the covariate


class SeparationError(InputError):
    """The likelihood rises without end: a covariate, or a combination, predicts every event."""


@dataclass(frozen=True)
class EfronSums:
    """Risk-set sums at each of the e events, ties thinned after Efron (or not, after Breslow).

    event_days : (e,) ascending.
    s0 : (e,) sum of exp(lp) over the risk set; s1 : (e, p) its weighted covariates; s2 : (e, p, p) second moments.
    """

    event_days: FloatArray
    s0: FloatArray
    s1: FloatArray
    s2: FloatArray
    sum_of_events: FloatArray  # (p,) covariates summed over the events
    lp_of_events: float

    @property
    def log_likelihood(self) -> float:
        return self.lp_of_events - float(np.log(self.s0).sum())

    @property
    def gradient(self) -> FloatArray:
        return self.sum_of_events - (self.s1 / self.s0[:, None]).sum(axis=0)

    @property
    def information_of_events(self) -> FloatArray:
        """(e, p, p) covariance of the covariates in each event's risk set."""
        mean = self.s1 / self.s0[:, None]
        return self.s2 / self.s0[:, None, None] - mean[:, :, None] * mean[:, None, :]

    @property
    def information(self) -> FloatArray:
        """(p, p) of all events."""
        mean = self.s1 / self.s0[:, None]
        return np.tensordot(1 / self.s0, self.s2, axes=1) - mean.T @ mean


class RiskSets:
    """Patients in descending order of time, with what does not change from one coefficient to the next.

    x : (n, p) covariates, best centred; durations, event_observed : (n,).
    """

    def __init__(self, x: FloatArray, durations: FloatArray, event_observed: BoolArray, ties: Ties = "efron") -> None:
        order = np.argsort(-durations, kind="stable")
        self.x, self.events = x[order], event_observed[order]
        n, self.p = x.shape
        products = (self.x[:, :, None] * self.x[:, None, :]).reshape(n, self.p * self.p)
        self.moments = np.concatenate((np.ones((n, 1)), self.x, products), axis=1)
        days = durations[order]
        self.event_days = days[self.events]
        # distinct event times, latest first: everyone with a time at or after them is at risk
        self.distinct, first, self.group, size = np.unique(
            -self.event_days, return_index=True, return_inverse=True, return_counts=True
        )
        self.enters = np.searchsorted(-days, self.distinct, side="right")  # rows at risk at each distinct time
        rank_in_tie = np.arange(len(self.group)) - first[self.group]
        self.thinned = rank_in_tie / size[self.group] if ties == "efron" else np.zeros(len(self.group))
        self.first_of_tie = first
        self.sum_of_events = self.x[self.events].sum(axis=0)

    def at(self, beta: FloatArray, shifted: bool = False) -> EfronSums:
        """Sums at coefficients beta (p,).

        shifted : linear predictors less their maximum, so that no step of a search overflows; likelihood, gradient
        and information are the same, s0, s1 and s2 are not those of a baseline.
        """
        lp = self.x @ beta
        lp = lp - lp.max() if shifted else lp
        weighted = self.moments * np.exp(lp)[:, None]
        starts = np.concatenate(([0], self.enters[:-1]))
        at_risk = np.cumsum(np.add.reduceat(weighted[: self.enters[-1]], starts, axis=0), axis=0)
        dying = np.add.reduceat(weighted[self.events], self.first_of_tie, axis=0)
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
    """Risk-set sums of n patients and p covariates at coefficients beta; x (n, p), durations and events (n,)."""
    return RiskSets(x, durations, event_observed, ties).at(beta)


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model.

    coefficients : (p,) log hazard ratios per unit, in the order of `terms`; covariance (p, p).
    score_chi2 : score statistic of all coefficients at zero (the log-rank statistic of a single factor).
    """

    terms: tuple[str, ...]
    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    log_likelihood_null: float
    score_chi2: float
    n: int
    n_events: int

    @cached_property
    def standard_errors(self) -> FloatArray:
        return np.sqrt(np.diag(self.covariance))

    @property
    def z(self) -> FloatArray:
        return self.coefficients / self.standard_errors

    @property
    def p_values(self) -> FloatArray:
        """(p,) Wald p of each coefficient."""
        return np.asarray(2 * stats.norm.sf(np.abs(self.z)))

    @property
    def hazard_ratios(self) -> FloatArray:
        return np.exp(self.coefficients)

    @property
    def hazard_ratio_ci95(self) -> FloatArray:
        """(p, 2) Wald interval."""
        half = Z_95 * self.standard_errors
        return np.exp(np.column_stack((self.coefficients - half, self.coefficients + half)))

    @property
    def aic(self) -> float:
        return 2 * len(self.terms) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """With the number of events, as R's BIC of a coxph."""
        return float(np.log(self.n_events)) * len(self.terms) - 2 * self.log_likelihood

    @property
    def lr_chi2(self) -> float:
        return 2 * (self.log_likelihood - self.log_likelihood_null)

    @property
    def wald_chi2(self) -> float:
        return float(self.coefficients @ np.linalg.solve(self.covariance, self.coefficients))

    def chi2_p_value(self, chi2: float) -> float:
        """p of one of the three overall tests."""
        return float(stats.chi2.sf(chi2, len(self.terms)))

    def index(self, term: str) -> int:
        return self.terms.index(term)

    def linear_predictor(self, x: FloatArray) -> FloatArray:
        """(n,) uncentred, for covariates (n, p)."""
        return x @ self.coefficients


def fit_cox(
    x: FloatArray,
    terms: Sequence[str],
    durations: FloatArray,
    event_observed: BoolArray,
    ties: Ties = "efron",
) -> CoxFit:
    """Fit by lifelines and polish to the last digit (Efron), or by Newton alone (Breslow, which lifelines lacks).

    x : (n, p) covariates; durations : (n,) in any unit; event_observed : (n,).
    Raises InputError for no event or a constant column, SeparationError where the likelihood has no maximum.
    """
    if not event_observed.any():
        raise InputError(f"no event among {len(x)} patients: a Cox model cannot be fitted")
    spread = x.std(axis=0)
    constant = [term for term, width in zip(terms, spread, strict=True) if not width > 0]
    if constant:
        raise InputError(f"{', '.join(constant)} has the same value in all {len(x)} patients: no effect can be fitted")
    centred = x - x.mean(axis=0)
    start = None
    if ties == "efron":
        start = _lifelines_fit(x, terms, durations, event_observed)
        _refuse_divergence(terms, start * spread, np.zeros(len(terms)))
    beta, fitted = newton(centred, durations, event_observed, ties, start)  # lifelines stops at 1e-8 now and then
    try:
        covariance = np.asarray(np.linalg.inv(fitted.information), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise _dependent(terms) from error
    _refuse_divergence(terms, beta * spread, np.sqrt(np.diag(covariance)) * spread)
    null = efron_sums(centred, durations, event_observed, np.zeros(len(terms)), ties)
    return CoxFit(
        terms=tuple(terms),
        coefficients=beta,
        covariance=covariance,
        log_likelihood=fitted.log_likelihood,
        log_likelihood_null=null.log_likelihood,
        score_chi2=float(null.gradient @ np.linalg.solve(null.information, null.gradient)),
        n=len(x),
        n_events=int(event_observed.sum()),
    )


def _lifelines_fit(x: FloatArray, terms: Sequence[str], durations: FloatArray, event_observed: BoolArray) -> FloatArray:
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    frame = pd.DataFrame(x, columns=[f"x{at}" for at in range(len(terms))])
    frame["durations"], frame["events"] = durations, event_observed
    fitter = CoxPHFitter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # judged by _refuse_divergence, on the result
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            fitter.fit(frame, "durations", "events", fit_options=TIGHT)
        except (ConvergenceError, np.linalg.LinAlgError) as error:
            raise _dependent(terms) from error
    return np.asarray(fitter.params_.to_numpy(dtype=np.float64))


def _dependent(terms: Sequence[str]) -> SeparationError:
    return SeparationError(
        f"the Cox model of {', '.join(terms)} does not converge: the covariates depend on each other "
        "or separate the events"
    )


def _refuse_divergence(terms: Sequence[str], effect: FloatArray, error: FloatArray) -> None:
    """Effects and standard errors per standard deviation of each covariate."""
    for term, size, spread in zip(terms, effect, error, strict=True):
        if not (abs(size) < DIVERGED and spread < DIVERGED):
            raise SeparationError(
                f"the effect of {term} diverges (log hazard ratio {size:.3g}, standard error {spread:.3g} per "
                "standard deviation): it separates the patients with events from those without"
            )


def newton(
    x: FloatArray,
    durations: FloatArray,
    event_observed: BoolArray,
    ties: Ties = "efron",
    start: FloatArray | None = None,
    max_steps: int = 60,
) -> tuple[FloatArray, EfronSums]:
    """Maximum of the partial likelihood: coefficients (p,) and the sums there. x is best centred.

    Steps are halved until the likelihood rises; a likelihood without maximum stops after `max_steps`.
    Raises SeparationError where the information is singular.
    """
    risk_sets = RiskSets(x, durations, event_observed, ties)
    beta = np.zeros(x.shape[1]) if start is None else start
    with np.errstate(all="ignore"):  # a step too far has no finite likelihood, and is halved
        here = risk_sets.at(beta, shifted=True)
        for _ in range(max_steps):
            try:
                step = np.linalg.solve(here.information, here.gradient)
            except np.linalg.LinAlgError as error:
                raise SeparationError(_SINGULAR) from error
            for _ in range(30):
                there = risk_sets.at(beta + step, shifted=True)
                if there.log_likelihood >= here.log_likelihood - 1e-12 * abs(here.log_likelihood):
                    break
                step = step / 2
            gain = there.log_likelihood - here.log_likelihood
            beta, here = beta + step, there
            if not abs(gain) >= 1e-13 * abs(here.log_likelihood):
                break
    if not np.isfinite(here.log_likelihood):
        raise SeparationError(_SINGULAR)
    return beta, here


@dataclass(frozen=True)
class StepBaseline:
    """Efron's cumulative baseline hazard of x = 0 at the k distinct event times, and the terms of its variance.

    increments_a : (k,) sum of 1 / s0^2; increments_q : (k, p) sum of s1 / s0^2 (see model.VarianceTerms).
    """

    event_days: FloatArray
    n_events: NDArray[np.int64]
    increments: FloatArray
    increments_a: FloatArray
    increments_q: FloatArray

    @property
    def cumulative_hazard(self) -> FloatArray:
        return np.cumsum(self.increments)

    def hazard_at(self, days: float) -> float:
        return float(self.increments[self.event_days <= days].sum())

    def a_at(self, days: float) -> float:
        return float(self.increments_a[self.event_days <= days].sum())

    def q_at(self, days: float) -> FloatArray:
        return np.asarray(self.increments_q[self.event_days <= days].sum(axis=0))


def step_baseline(
    x: FloatArray, durations: FloatArray, event_observed: BoolArray, beta: FloatArray, ties: Ties = "efron"
) -> StepBaseline:
    """Baseline of a fit with coefficients beta on uncentred x (n, p)."""
    sums = efron_sums(x, durations, event_observed, beta, ties)
    days, group, count = np.unique(sums.event_days, return_inverse=True, return_counts=True)
    rows = np.column_stack((1 / sums.s0, 1 / sums.s0**2, sums.s1 / sums.s0[:, None] ** 2))
    steps = np.zeros((len(days), rows.shape[1]))
    np.add.at(steps, group, rows)
    return StepBaseline(days, count, steps[:, 0], steps[:, 1], steps[:, 2:])


@dataclass(frozen=True)
class ProportionalHazards:
    """Test of constant effects (score test of x * g(t), g = 1 - KM just before t): p by term and over all."""

    p_by_term: dict[str, float]
    p_global: float


def proportional_hazards_test(
    fit: CoxFit, x: FloatArray, durations: FloatArray, event_observed: BoolArray
) -> ProportionalHazards:
    """As R's cox.zph(fit, transform = "km") since survival 3.0: the exact score test.

    Source: Grambsch and Therneau, Biometrika 1994;81:515.
    """
    sums = efron_sums(x - x.mean(axis=0), durations, event_observed, fit.coefficients)
    information = sums.information_of_events
    days = np.unique(durations[event_observed])
    at_risk = np.array([(durations >= day).sum() for day in days])
    died = np.array([((durations == day) & event_observed).sum() for day in days])
    before = np.concatenate(([1.0], np.cumprod(1 - died / at_risk)[:-1]))
    g = (1 - before)[np.searchsorted(days, sums.event_days)]
    g = g - g.mean()
    observed = (x - x.mean(axis=0))[event_observed]
    observed = observed[np.argsort(durations[event_observed], kind="stable")]
    residual_score = (g[:, None] * observed).sum(axis=0) - (g[:, None] * sums.s1 / sums.s0[:, None]).sum(axis=0)
    plain = information.sum(axis=0)
    mixed = (g[:, None, None] * information).sum(axis=0)
    squared = (g[:, None, None] ** 2 * information).sum(axis=0)
    left = squared - mixed @ np.linalg.solve(plain, mixed)
    by_term: dict[str, float] = {}
    for at, term in enumerate(fit.terms):
        chi2 = residual_score[at] ** 2 / left[at, at]
        by_term[term] = float(stats.chi2.sf(chi2, 1))
    overall = float(residual_score @ np.linalg.solve(left, residual_score))
    return ProportionalHazards(by_term, float(stats.chi2.sf(overall, len(fit.terms))))
