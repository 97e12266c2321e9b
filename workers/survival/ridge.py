"""Ridge-penalised Cox regression for small cohorts: effects are drawn towards 0, extreme predictions towards the mean.

The terms are standardised (sample standard deviation), so that one penalty fits years and 0/1. With gamma the effects
per standard deviation, l the log partial likelihood (Efron ties) and lambda the penalty, the fit maximises

    l(gamma) - lambda / 2 * sum(gamma^2).

Covariance: the inverse of the penalised information, (I + lambda 1)^-1, with I the information of l at the maximum.
It is the posterior covariance under the prior that the penalty stands for, gamma ~ N(0, 1 / lambda), and contains the
bias that the penalty adds; the sampling variance alone, (I + lambda 1)^-1 I (I + lambda 1)^-1, is smaller. Effective
terms: trace of I (I + lambda 1)^-1.

References: Verweij and van Houwelingen, Stat Med 1994;13:2427 (ridge), 1993;12:2305 (cross-validated likelihood); Gray,
JASA 1992;87:942 (covariance, degrees of freedom); as R's ``coxph(... ridge(theta, scale = TRUE))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.errors import InputError
from workers.survival.cox import CoxFit
from workers.survival.partial_likelihood import efron_sums, newton

Penalty = float | Literal["auto"] | None  # auto: by cross-validation; None: a fit without one
# From one that changes nothing (a tenth of the information of one event) to one that leaves nothing.
PENALTIES = tuple(float(10 ** (step / 5)) for step in range(-5, 16))
MOST_FOLDS = 10


def fit_ridge_cox(
    x: FloatArray, terms: Sequence[str], durations: FloatArray, event_observed: BoolArray, penalty: float
) -> CoxFit:
    """Fit a Cox model with a ridge penalty on the standardised terms.

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates without NaN.
    terms : sequence of str, length p
        Their names.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    penalty : float
        lambda, > 0. It counts against the information, which is about one per event and term.

    Returns
    -------
    CoxFit
        Effects per unit of each covariate; `log_likelihood` without the penalty.

    Raises
    ------
    InputError
        A penalty of 0 or less, no event, or a covariate with the same value in all patients.
    """
    if not penalty > 0:
        raise InputError(f"expected a ridge penalty above 0, found {penalty:g}; leave it out for a fit without one")
    z, scale = _standardised(x, terms, event_observed)
    gamma, fitted = newton(z, durations, event_observed, penalty=penalty)
    inverse = np.linalg.inv(fitted.information + penalty * np.eye(len(terms)))
    null = efron_sums(z, durations, event_observed, np.zeros(len(terms)))
    return CoxFit(
        terms=tuple(terms),
        coefficients=gamma / scale,
        covariance=inverse / np.outer(scale, scale),
        log_likelihood=fitted.log_likelihood,
        log_likelihood_null=null.log_likelihood,
        score_chi2=float(null.gradient @ np.linalg.solve(null.information, null.gradient)),
        n=len(x),
        n_events=int(event_observed.sum()),
        penalty=penalty,
        effective_terms=float(np.trace(fitted.information @ inverse)),
    )


def cross_validated_penalty(
    x: FloatArray, terms: Sequence[str], durations: FloatArray, event_observed: BoolArray, seed: int = 0
) -> float:
    """Choose the penalty that predicts patients left out best.

    Parameters
    ----------
    x, terms, durations, event_observed
        See `fit_ridge_cox`.
    seed : int
        Of the folds: ten, or as many as events; events are spread evenly.

    Returns
    -------
    float
        The best of `PENALTIES`.

    Raises
    ------
    InputError
        Fewer than two events, or a covariate with the same value in all patients.
    """
    n_events = int(event_observed.sum())
    if n_events < 2:
        raise InputError(f"expected at least 2 events to choose a penalty by cross-validation, found {n_events}")
    fold = folds_of(event_observed, min(MOST_FOLDS, n_events), seed)
    return PENALTIES[int(cross_validated_likelihood(x, terms, durations, event_observed, fold).argmax())]


def cross_validated_likelihood(
    x: FloatArray, terms: Sequence[str], durations: FloatArray, event_observed: BoolArray, fold: Int64Array
) -> FloatArray:
    """Return the cross-validated log partial likelihood of each penalty in `PENALTIES`.

    Parameters
    ----------
    x, terms, durations, event_observed
        See `fit_ridge_cox`.
    fold : int array, shape (n,)
        The fold in which each patient is left out.

    Returns
    -------
    array, shape (21,)
        Sum over folds of l(g) - l_(g), where g was fitted without the fold, l is the log likelihood of all patients and
        l_ that of all but the fold: what the fold adds.
    """
    z, _ = _standardised(x, terms, event_observed)
    total = np.zeros(len(PENALTIES))
    for number in np.unique(fold):
        others = fold != number
        gamma = np.zeros(len(terms))
        for at, penalty in enumerate(PENALTIES):
            # From the neighbouring penalty's effects, which are near.
            gamma, without = newton(z[others], durations[others], event_observed[others], start=gamma, penalty=penalty)
            total[at] += efron_sums(z, durations, event_observed, gamma).log_likelihood - without.log_likelihood
    return total


def folds_of(event_observed: BoolArray, n_folds: int, seed: int) -> Int64Array:
    """Return the fold of each patient, 0 to n_folds - 1: events and censored patients are each spread evenly."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(event_observed), dtype=np.int64)
    for members in (np.flatnonzero(event_observed), np.flatnonzero(~event_observed)):
        fold[rng.permutation(members)] = np.arange(len(members)) % n_folds
    return fold


def _standardised(x: FloatArray, terms: Sequence[str], event_observed: BoolArray) -> tuple[FloatArray, FloatArray]:
    if not event_observed.any():
        raise InputError(f"no event among {len(x)} patients: a Cox model cannot be fitted")
    scale = x.std(axis=0, ddof=1)
    constant = [term for term, width in zip(terms, scale, strict=True) if not width > 0]
    if constant:
        raise InputError(f"{', '.join(constant)} has the same value in all {len(x)} patients: no effect can be fitted")
    return (x - x.mean(axis=0)) / scale, scale
