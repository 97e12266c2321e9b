"""Cox regression: lifelines fits, Newton steps polish to R's last digit, and a fit without maximum is refused.

References: Cox, J R Stat Soc B 1972;34:187; Therneau and Grambsch, Modeling Survival Data, chapter 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import Z_95
from workers.survival.partial_likelihood import SeparationError, Ties, efron_sums, newton

TIGHT = {"precision": 1e-14, "r_precision": 1e-14, "max_steps": 200}  # R's coxph.control(eps = 1e-14)
MOST_FOR_LIFELINES = 5000  # patients
DIVERGED = 10.0  # log hazard ratio or its standard error per standard deviation of the covariate


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model of p terms.

    Attributes
    ----------
    terms : tuple of str, length p
        Names of the covariates.
    coefficients : array, shape (p,)
        Log hazard ratios per unit of each covariate.
    covariance : array, shape (p, p)
        Inverse of the observed information.
    log_likelihood, log_likelihood_null : float
        Log partial likelihood of the fit and of the empty model.
    score_chi2 : float
        Score statistic of all coefficients at zero; for one binary factor the log-rank statistic.
    n, n_events : int
        Numbers of patients and events.
    penalty : float
        Of a penalised fit (`ridge`), whose covariance is the inverse of the penalised information; else 0.
    effective_terms : float, optional
        Of a penalised fit: its degrees of freedom, at most p.
    """

    terms: tuple[str, ...]
    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    log_likelihood_null: float
    score_chi2: float
    n: int
    n_events: int
    penalty: float = 0.0
    effective_terms: float | None = None

    @cached_property
    def standard_errors(self) -> FloatArray:
        """Standard errors of the coefficients, shape (p,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def z(self) -> FloatArray:
        """Wald statistics, shape (p,)."""
        return self.coefficients / self.standard_errors

    @property
    def p_values(self) -> FloatArray:
        """Two-sided Wald p of each coefficient, shape (p,)."""
        # The upper tail, not 1 - cdf: that difference is 0 from |z| = 8.3 on in double precision.
        return np.asarray(2 * stats.norm.sf(np.abs(self.z)))

    @property
    def hazard_ratios(self) -> FloatArray:
        """Hazard ratios per unit, shape (p,)."""
        return np.exp(self.coefficients)

    @property
    def hazard_ratio_ci95(self) -> FloatArray:
        """Ends of the 95 % Wald intervals of the hazard ratios, shape (p, 2)."""
        half = Z_95 * self.standard_errors
        # On the log scale, where the estimate is close to normal and the interval cannot fall below 0.
        return np.exp(np.column_stack((self.coefficients - half, self.coefficients + half)))

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return 2 * self.degrees_of_freedom - 2 * self.log_likelihood

    @property
    def degrees_of_freedom(self) -> float:
        """Number of terms, or the effective one of a penalised fit."""
        return len(self.terms) if self.effective_terms is None else self.effective_terms

    @property
    def bic(self) -> float:
        """Bayesian information criterion with the number of events, as R's BIC of a coxph."""
        # A censored patient adds no term to the partial likelihood; Volinsky and Raftery (2000) give the reason.
        return float(np.log(self.n_events)) * self.degrees_of_freedom - 2 * self.log_likelihood

    @property
    def lr_chi2(self) -> float:
        """Likelihood-ratio statistic against the empty model, p degrees of freedom."""
        return 2 * (self.log_likelihood - self.log_likelihood_null)

    @property
    def wald_chi2(self) -> float:
        """Wald statistic of all coefficients, p degrees of freedom."""
        return float(self.coefficients @ np.linalg.solve(self.covariance, self.coefficients))

    def chi2_p_value(self, chi2: float) -> float:
        """Return the p value of one of the three overall tests (likelihood ratio, Wald, score).

        Parameters
        ----------
        chi2 : float
            Its statistic; the degrees of freedom are the number of terms.

        Returns
        -------
        float
            In [0, 1].
        """
        return float(stats.chi2.sf(chi2, len(self.terms)))

    def index(self, term: str) -> int:
        """Return the position of a term in coefficients and covariance.

        Parameters
        ----------
        term : str
            As it was given to the fit.

        Raises
        ------
        ValueError
            The model has no such term.
        """
        return self.terms.index(term)

    def linear_predictor(self, x: FloatArray) -> FloatArray:
        """Return the uncentred linear predictor.

        Parameters
        ----------
        x : array, shape (n, p)
            Covariates in the order of the terms.

        Returns
        -------
        array, shape (n,)
            Log relative hazard against a patient whose covariates are all zero.
        """
        return x @ self.coefficients


def fit_cox(
    x: FloatArray,
    terms: Sequence[str],
    durations: FloatArray,
    event_observed: BoolArray,
    ties: Ties = "efron",
) -> CoxFit:
    """Fit by lifelines and polish by Newton steps, or by Newton alone (Breslow, missing in lifelines; large cohorts).

    Parameters
    ----------
    x : array, shape (n, p)
        Covariates without NaN.
    terms : sequence of str, length p
        Their names, for the result and for errors.
    durations : array, shape (n,)
        Follow-up in any unit.
    event_observed : bool array, shape (n,)
        True where the event was observed.
    ties : {"efron", "breslow"}
        Treatment of tied event times.

    Returns
    -------
    CoxFit
        Agrees with R's coxph to 1e-10.

    Raises
    ------
    InputError
        No event, or a covariate has the same value in all patients.
    SeparationError
        The likelihood has no maximum: an effect or its standard error exceeds 10 per standard deviation.
    """
    if not event_observed.any():
        raise InputError(f"no event among {len(x)} patients: a Cox model cannot be fitted")
    spread = x.std(axis=0)
    constant = [term for term, width in zip(terms, spread, strict=True) if not width > 0]
    if constant:
        raise InputError(f"{', '.join(constant)} has the same value in all {len(x)} patients: no effect can be fitted")
    # The partial likelihood does not change when a constant is added to a covariate, and uncentred ages would make the
    # exponentials large and the information ill-conditioned.
    centred = x - x.mean(axis=0)
    start = None
    # lifelines has Efron's treatment of ties only; a Breslow fit starts Newton's method from zeros. So does the fit of
    # a large cohort: lifelines takes many seconds there, and both end at the same maximum.
    if ties == "efron" and len(x) <= MOST_FOR_LIFELINES:
        start = _lifelines_fit(x, terms, durations, event_observed)
        # Before Newton's method: from a start that has diverged, the information can be singular and the error less
        # clear.
        _refuse_divergence(terms, start * spread, np.zeros(len(terms)))
    # lifelines sometimes stops at 1e-8 in spite of its tolerance of 1e-14; one or two Newton steps finish the fit.
    beta, fitted = newton(centred, durations, event_observed, ties, start)
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
        # At beta = 0, so it is the log-rank statistic for one binary covariate without ties.
        score_chi2=float(null.gradient @ np.linalg.solve(null.information, null.gradient)),
        n=len(x),
        n_events=int(event_observed.sum()),
    )


def _lifelines_fit(x: FloatArray, terms: Sequence[str], durations: FloatArray, event_observed: BoolArray) -> FloatArray:
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    # Own column names: a factor of the cohort could be called durations or events.
    frame = pd.DataFrame(x, columns=[f"x{at}" for at in range(len(terms))])
    frame["durations"], frame["events"] = durations, event_observed
    fitter = CoxPHFitter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # _refuse_divergence checks the result instead
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
    # `effect` and `error` are per standard deviation of each covariate, so one limit fits years, millilitres and 0/1.
    for term, size, spread in zip(terms, effect, error, strict=True):
        # Written as a negation so that NaN is refused, too.
        if not (abs(size) < DIVERGED and spread < DIVERGED):
            raise SeparationError(
                f"the effect of {term} diverges (log hazard ratio {size:.3g}, standard error {spread:.3g} per "
                "standard deviation): it separates the patients with events from those without"
            )
