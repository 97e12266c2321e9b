"""What has to change in a nomogram so that its predictions fit the followed patients.

Three numbers: the logarithm of the factor of the baseline hazard (intercept), the slope of the prognosis, and the slope
of the effect of the treatment. They are fitted by Poisson regression with the predicted baseline hazard as exposure
(Crowson, Atkinson and Therneau, Stat Methods Med Res 2016;25:1692); what is not needed stays as it was (likelihood
ratio tests, after Vergouwe et al., Stat Med 2017;36:4529).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from config.arrays import AnyFloatArray, BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from workers.nomogram.recalibration import Recalibration, recalibrated
from workers.survival.ridge import folds_of
from workers.validation.follow_up.cohort import FollowedCohort, interpolated_hazard
from workers.validation.follow_up.cusum import Monitoring, monitor
from workers.validation.unseen_performance import unseen_performance

FEWEST_EVENTS = 20  # below, an intercept alone has a standard error above 0.22
FEWEST_EVENTS_IN_ARM = 10  # for the slope of the effect, as at admission
LEVEL = 0.01  # of the test whether the slope is needed: at 5 % every twentieth sound slope would be changed
FOLDS = 5
MAX_STEPS, TOLERANCE = 50, 1e-10


@dataclass(frozen=True)
class PoissonFit:
    """Maximum of a Poisson likelihood: coefficients, their covariance, and the log likelihood up to a constant."""

    coefficients: FloatArray
    covariance: AnyFloatArray
    log_likelihood: float


@dataclass(frozen=True)
class ProposedRecalibration:
    """A recalibration with its grounds.

    Attributes
    ----------
    recalibration : Recalibration
        What to do with the nomogram.
    n, n_events : int
        Patients and events behind the slopes.
    n_events_since : int
        Events behind the intercept: since the hazard changed.
    since_day : int or None
        Ordinal day from which the intercept holds; None: the whole follow-up.
    slope_p : float
        Of the likelihood ratio test of the slope of the prognosis; at `LEVEL` or above the slope stays 1.
    estimated_effect_slope : float or None
        As fitted; a negative one is proposed as 0. None where it was not needed.
    """

    recalibration: Recalibration
    n: int
    n_events: int
    n_events_since: int
    since_day: int | None
    slope_p: float
    estimated_effect_slope: float | None


def fit_poisson(x: FloatArray, exposure: FloatArray, events: BoolArray) -> PoissonFit:
    """Fit a Poisson regression with an exposure.

    Parameters
    ----------
    x : array, shape (n, p)
        Columns of the model; an intercept is a column of ones.
    exposure : array, shape (n,)
        > 0; its logarithm is the offset.
    events : bool array, shape (n,)
        Counts of 0 or 1.

    Returns
    -------
    PoissonFit
        By Newton's method.

    Raises
    ------
    InputError
        The likelihood has no maximum.
    """
    beta = np.zeros(x.shape[1])
    for _ in range(MAX_STEPS):
        mean = exposure * np.exp(np.clip(x @ beta, -50, 50))
        information = (x * mean[:, None]).T @ x
        try:
            step = np.linalg.solve(information, x.T @ (events - mean))
        except np.linalg.LinAlgError as error:
            raise InputError("expected followed patients who differ in their predictions, found none") from error
        # Never more than one unit at once: from a far start the quadratic approximation overshoots.
        beta = beta + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < TOLERANCE:
            eta = x @ beta
            likelihood = float((events * eta).sum() - (exposure * np.exp(eta)).sum())
            return PoissonFit(beta, np.linalg.inv(information), likelihood)
    raise InputError("the recalibration has no maximum: expected events in all groups of followed patients, found none")


def propose_recalibration(patients: FollowedCohort, charts: Monitoring) -> ProposedRecalibration:
    """Fit a recalibration for what the charts have signalled.

    Parameters
    ----------
    patients : FollowedCohort
        All that are followed.
    charts : Monitoring
        Of the same patients.

    Returns
    -------
    ProposedRecalibration
        A signal of the effect gives it a slope of its own, from the whole follow-up. A signal of the baseline gives an
        intercept that holds since its change day; where both signal, only if the baseline still does with the corrected
        effect, because a wrong effect changes the number of events, too. The slope of the prognosis is 1 unless the
        data contradict it; without a signal of the effect it holds for prognosis and effect alike.

    Raises
    ------
    InputError
        There are too few events.
    """
    own_effect = charts.effect.signal_day is not None
    _require_events(patients, own_effect)
    signal = charts.baseline_signal
    if own_effect and signal is not None:
        signal = monitor(_with_own_effect(patients)).baseline_signal
    return _fit(patients, None if signal is None else signal.change_day, own_effect)


def _with_own_effect(patients: FollowedCohort) -> FollowedCohort:
    """Return the patients with predictions whose effect is the observed one."""
    change = replace(_fit(patients, None, True).recalibration, intercept=0.0, slope=1.0)
    nomogram = recalibrated(patients.nomogram, change, "", 0.0)
    return replace(patients, nomogram=nomogram)


def _fit(patients: FollowedCohort, since: int | None, own_effect: bool) -> ProposedRecalibration:
    periods = _periods(patients, since)
    # The risk is the offset, and a coefficient is the departure of its slope from 1.
    effect = [periods.effect] if own_effect else []
    slope = [periods.prognosis if own_effect else periods.risk]
    without, full = periods.fit(effect), periods.fit([*effect, *slope])
    chi2 = 2 * (full.log_likelihood - without.log_likelihood)
    p = float(stats.chi2.sf(max(chi2, 0.0), 1))
    fit, with_slope = (full, True) if p < LEVEL else (without, False)
    estimated = 1 + float(fit.coefficients[periods.n_intercepts]) if own_effect else None
    return ProposedRecalibration(
        _recalibration(fit, periods.n_intercepts, own_effect, with_slope, float(patients.prognosis.mean())),
        len(patients), int(patients.event.sum()), int(periods.events[periods.is_last].sum()), since, p, estimated,
    )  # fmt: skip


def cross_fitted_figures(
    patients: FollowedCohort, proposal: ProposedRecalibration, n_bootstrap: int = 100
) -> dict[str, Any]:
    """Return the figures of a recalibration on patients whom it was not fitted on.

    Parameters
    ----------
    patients : FollowedCohort
        That the proposal was fitted on.
    proposal : ProposedRecalibration
        Its kind (period, own slope of the effect) is fitted anew without each fold.
    n_bootstrap : int
        Resamples for the intervals.

    Returns
    -------
    dict
        As of `unseen_performance`. Where the intercept holds only since a day, without what depends on the level of the
        hazard: most of the follow-up was before that day.
    """
    fold = folds_of(patients.event, FOLDS, seed=0)
    own_effect = proposal.estimated_effect_slope is not None
    month = patients.nomogram.indication.decision.horizon_months
    risk, survival = np.empty(len(patients)), np.empty(len(patients))
    for number in np.unique(fold):
        change = _fit(patients.where(fold != number), proposal.since_day, own_effect).recalibration
        held_out = patients.where(fold == number)
        held_out = replace(held_out, nomogram=recalibrated(patients.nomogram, change, "", 0.0))
        risk[fold == number] = held_out.risk
        days = np.full(len(held_out), float(month * DAYS_PER_MONTH))
        survival[fold == number] = np.exp(-held_out.expected(days))
    figures = unseen_performance(
        risk, {month: survival}, patients.days, patients.event, patients.treated, groups=fold, n_bootstrap=n_bootstrap
    )
    level = ("calibration_intercept", "ici", "brier", "ipa") if proposal.since_day is not None else ()
    return {name: value for name, value in figures.items() if name not in level}


def _recalibration(
    fit: PoissonFit, n_intercepts: int, own_effect: bool, with_slope: bool, mean_prognosis: float
) -> Recalibration:
    """Return the three numbers with their covariance, for a prognosis that is not centred."""
    # Rows: intercept, slope, effect slope; columns: coefficients of the fit.
    take = np.zeros((3, len(fit.coefficients)))
    take[0, n_intercepts - 1] = 1.0
    if own_effect:
        take[2, n_intercepts] = 1.0
    if with_slope:
        column = len(fit.coefficients) - 1
        take[1, column] = 1.0
        take[0, column] = -mean_prognosis  # the fit's columns are centred there
        if not own_effect:
            take[2, column] = 1.0
    intercept, slope, effect = take @ fit.coefficients + np.array([0.0, 1.0, 1.0])
    # A reversed effect is no recalibration: it would advise every patient the other regimen. At 0 the model says that
    # it knows no difference.
    return Recalibration(float(intercept), float(slope), max(float(effect), 0.0), take @ fit.covariance @ take.T)


@dataclass(frozen=True)
class _Periods:
    """One row for each patient and period of calendar time in which the patient was followed."""

    exposure: FloatArray
    events: BoolArray
    is_last: BoolArray
    prognosis: FloatArray
    effect: FloatArray
    n_intercepts: int

    @property
    def risk(self) -> FloatArray:
        return self.prognosis + self.effect

    def fit(self, columns: list[FloatArray]) -> PoissonFit:
        last = self.is_last.astype(np.float64)
        intercepts = [last] if self.n_intercepts == 1 else [1 - last, last]
        return fit_poisson(np.column_stack([*intercepts, *columns]), self.exposure, self.events)


def _periods(patients: FollowedCohort, since: int | None) -> _Periods:
    """Split the follow-up at a calendar day; the columns are centred at the mean prognosis."""
    if since is None:
        cut = np.zeros(len(patients))
    else:
        cut = np.clip(since - patients.start_day, 0, patients.days).astype(np.float64)
    hazard = interpolated_hazard(patients.nomogram, patients.days), interpolated_hazard(patients.nomogram, cut)
    relative = np.exp(patients.risk)
    after = patients.days > cut
    exposure = np.concatenate([relative * hazard[1], relative * (hazard[0] - hazard[1])])
    events = np.concatenate([patients.event & ~after, patients.event & after])
    is_last = np.repeat([False, True], len(patients))
    prognosis = np.tile(patients.prognosis - patients.prognosis.mean(), 2)
    kept = exposure > 0
    # An earlier period without an event has no intercept of its own.
    if not (events & ~is_last & kept).any():
        kept &= is_last
    n_intercepts = 1 if (is_last | ~kept).all() else 2
    return _Periods(
        exposure[kept], events[kept], is_last[kept], prognosis[kept], np.tile(patients.effect_received, 2)[kept],
        n_intercepts,
    )  # fmt: skip


def _require_events(patients: FollowedCohort, own_effect: bool) -> None:
    n_events = int(patients.event.sum())
    if n_events < FEWEST_EVENTS:
        raise InputError(
            f"expected at least {FEWEST_EVENTS} events for a recalibration, found {n_events}; wait for more"
        )
    in_arms = [int((patients.event & (patients.treated == arm)).sum()) for arm in (True, False)]
    if own_effect and min(in_arms) < FEWEST_EVENTS_IN_ARM:
        raise InputError(
            f"expected at least {FEWEST_EVENTS_IN_ARM} events under each regimen for the effect of the treatment, "
            f"found {in_arms[0]} under ICT+CCRT and {in_arms[1]} under CCRT; wait for more"
        )
