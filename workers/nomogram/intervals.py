"""Survival of both arms at one horizon, their difference, and 95 % intervals of all three.

Of the Cox model only (a nomogram alone): log S with the standard error of R's survfit.coxph, at most 1; the difference
by the delta method with the covariance of both arms, cut at -1 and 1.

Of a model with learned scores: the variances of the Cox model and of the scores (`score_error`) are added, on scales
without ends: log(-log S) for an arm, atanh for the difference. The formulas are in the README of this room.

References
----------
Tsiatis, Ann Stat 1981;9:93; Therneau and Grambsch, Modeling Survival Data, section 10.2; Kalbfleisch and Prentice, The
Statistical Analysis of Failure Time Data, section 1.4 (log-log); Fisher, Metron 1921;1:3 (atanh).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from config.arrays import FloatArray
from config.indication.conventions import Z_95
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.points import INTERACTION, PREDICTIVE, PROGNOSTIC, TERMS
from workers.nomogram.score_error import ScoreError

ICT, CCRT = TreatmentArm.ICT_CCRT, TreatmentArm.CCRT
TABLES = (
    *(f"{what} {arm}" for what in ("dfs", "low", "high") for arm in TreatmentArm),
    "difference",
    "difference low",
    "difference high",
)
_NEARLY_ONE = 1 - 1e-12  # atanh is finite up to here


@dataclass(frozen=True)
class VarianceTerms:
    """Terms of the closed-form variance of log S at one horizon, as R's survfit.coxph.

    Attributes
    ----------
    a : float
        Sum over the events of 1 / s0^2, s0 being the weight of the risk set.
    q : array, shape (6,)
        Sum over the events of (weighted mean covariates) / s0.

    References
    ----------
    Tsiatis, Ann Stat 1981;9:93; Therneau and Grambsch, section 10.2.
    """

    a: float
    q: FloatArray


@dataclass(frozen=True)
class CoxTerms:
    """n patients under both arms, and the fit.

    Attributes
    ----------
    x : mapping of TreatmentArm to array, shape (n, 6)
        Columns in the order of `points.TERMS`.
    coefficients : array, shape (6,)
    covariance : array, shape (6, 6)
        Of the coefficients.
    """

    x: Mapping[TreatmentArm, FloatArray]
    coefficients: FloatArray
    covariance: FloatArray

    def linear_predictor(self, arm: TreatmentArm) -> FloatArray:
        """Return the uncentred linear predictor under one arm, shape (n,)."""
        return self.x[arm] @ self.coefficients

    def score_slopes(self, arm: TreatmentArm) -> tuple[float, float]:
        """Return the derivatives of the linear predictor: by the Prognostic-score, by the Predictive-score."""
        beta = dict(zip(TERMS, self.coefficients.tolist(), strict=True))
        product = beta[INTERACTION] if arm is ICT else 0.0
        return beta[PROGNOSTIC], beta[PREDICTIVE] + product


def estimate_horizon(
    cox: CoxTerms, hazard: float, terms: VarianceTerms | None, score_error: ScoreError | None
) -> dict[str, FloatArray]:
    """Return survival of both arms, their difference, and the intervals at one horizon.

    Parameters
    ----------
    cox : CoxTerms
        n patients.
    hazard : float
        Cumulative baseline hazard at the horizon.
    terms : VarianceTerms or None
        None: no interval can be given at this horizon (NaN); the sums need the rows of the fitted patients.
    score_error : ScoreError or None
        Errors of the n patients' scores; None: intervals of the Cox model only.

    Returns
    -------
    dict of str to array, shape (n,)
        By the names of `TABLES`.
    """
    # S(t|x) = exp(-H0(t) exp(lp)), Zhong et al. 2021, section 2.4.
    rate = {arm: hazard * np.exp(cox.linear_predictor(arm)) for arm in TreatmentArm}
    s = {arm: np.exp(-rate[arm]) for arm in TreatmentArm}
    out = {name: np.full(len(s[ICT]), np.nan) for name in TABLES}
    out |= {f"dfs {arm}": s[arm] for arm in TreatmentArm}
    out["difference"] = s[ICT] - s[CCRT]
    if terms is None:
        return out
    covariance = _covariance_of_log_survival(cox, hazard, terms)
    # Delta method: var = S1^2 var(log S1) + S0^2 var(log S0) - 2 S1 S0 cov(log S1, log S0). Adding the two variances
    # without the covariance would make the interval of the difference too wide: both arms have the same baseline, and
    # their covariates differ in the treatment and its product alone.
    variance = (
        s[ICT] ** 2 * covariance[ICT, ICT]
        + s[CCRT] ** 2 * covariance[CCRT, CCRT]
        - 2 * s[ICT] * s[CCRT] * covariance[ICT, CCRT]
    )
    # Where both arms have nearly the same survival the three terms cancel, and rounding can leave a negative rest.
    variance = np.maximum(variance, 0.0)
    variances = {arm: covariance[arm, arm] for arm in TreatmentArm}
    intervals = (
        _of_cox_model(s, variances, variance)
        if score_error is None
        else _with_scores(cox, rate, s, variances, variance, score_error)
    )
    return out | intervals


def _covariance_of_log_survival(
    cox: CoxTerms, hazard: float, terms: VarianceTerms
) -> dict[tuple[TreatmentArm, TreatmentArm], FloatArray]:
    # cov(log S1, log S0) = exp(lp1 + lp0) (A + g1' Cov g0), g = H0 x - q: the first part is the chance of the baseline,
    # the second that of the coefficients. Both arms share both parts.
    relative = {arm: np.exp(cox.linear_predictor(arm)) for arm in TreatmentArm}
    g = {arm: hazard * cox.x[arm] - terms.q for arm in TreatmentArm}
    g_cov = {arm: g[arm] @ cox.covariance for arm in TreatmentArm}
    return {
        (one, other): relative[one] * relative[other] * (terms.a + np.einsum("ij,ij->i", g_cov[one], g[other]))
        for one, other in ((ICT, ICT), (CCRT, CCRT), (ICT, CCRT))
    }


def _of_cox_model(
    s: Mapping[TreatmentArm, FloatArray], variances: Mapping[TreatmentArm, FloatArray], variance: FloatArray
) -> dict[str, FloatArray]:
    out = {}
    for arm in TreatmentArm:
        # On the log scale, the default of R's survfit.coxph; the upper end is cut at 1 as there.
        width = np.exp(Z_95 * np.sqrt(variances[arm]))
        out[f"low {arm}"], out[f"high {arm}"] = s[arm] / width, np.minimum(s[arm] * width, 1.0)
    difference, half = s[ICT] - s[CCRT], Z_95 * np.sqrt(variance)
    return out | {
        "difference low": np.maximum(difference - half, -1.0),
        "difference high": np.minimum(difference + half, 1.0),
    }


def _with_scores(
    cox: CoxTerms,
    rate: Mapping[TreatmentArm, FloatArray],
    s: Mapping[TreatmentArm, FloatArray],
    variances: Mapping[TreatmentArm, FloatArray],
    variance: FloatArray,
    score_error: ScoreError,
) -> dict[str, FloatArray]:
    out, gradient = {}, []
    for arm in TreatmentArm:
        lp, slopes = cox.linear_predictor(arm), cox.score_slopes(arm)
        ones = np.ones_like(lp)
        learned = score_error.variance(slopes[0] * ones, slopes[1] * ones)
        # var(log(-log S)) = var(log S) / (log S)^2; before the first event nothing is uncertain.
        of_cox = np.divide(variances[arm], rate[arm] ** 2, out=np.zeros_like(lp), where=rate[arm] > 0)
        factor = np.exp(score_error.quantile(learned, of_cox) * np.sqrt(of_cox + learned))
        out[f"low {arm}"], out[f"high {arm}"] = s[arm] ** factor, s[arm] ** (1 / factor)
        # dS/dlp, with the sign that the arm has in the difference.
        sign = 1.0 if arm is ICT else -1.0
        gradient.append([sign * -s[arm] * rate[arm] * slope for slope in slopes])
    by_prognostic, by_predictive = (first + second for first, second in zip(*gradient, strict=True))
    difference = np.clip(s[ICT] - s[CCRT], -_NEARLY_ONE, _NEARLY_ONE)
    learned = score_error.variance(by_prognostic, by_predictive)
    # d atanh(D) / dD = 1 / (1 - D^2).
    reach = score_error.quantile(learned, variance) * np.sqrt(variance + learned) / (1 - difference**2)
    middle = np.arctanh(difference)
    return out | {"difference low": np.tanh(middle - reach), "difference high": np.tanh(middle + reach)}
