"""Test of a Cox model's assumption that effects are constant in time.

References: Grambsch and Therneau, Biometrika 1994;81:515; R's cox.zph since survival 3.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from config.arrays import BoolArray, FloatArray
from workers.survival.cox import CoxFit
from workers.survival.partial_likelihood import efron_sums


@dataclass(frozen=True)
class ProportionalHazards:
    """Score test of constant effects: p by term and for all terms together."""

    p_by_term: dict[str, float]
    p_global: float


def proportional_hazards_test(
    fit: CoxFit, x: FloatArray, durations: FloatArray, event_observed: BoolArray
) -> ProportionalHazards:
    """Test constant effects as R's cox.zph(fit, transform = "km") since survival 3.0: the exact score test.

    Parameters
    ----------
    fit : CoxFit
        With Efron ties.
    x : array, shape (n, p)
        The covariates of the fit.
    durations : array, shape (n,)
        Follow-up in the unit of the fit.
    event_observed : bool array, shape (n,)
        True where the event was observed.

    Returns
    -------
    ProportionalHazards
        Test of x * g(t) with g = 1 - Kaplan-Meier estimate just before t.

    References
    ----------
    Grambsch and Therneau, Biometrika 1994;81:515.
    """
    # Centred, since the score below is a difference of two sums of like size; the test does not depend on the origin.
    sums = efron_sums(x - x.mean(axis=0), durations, event_observed, fit.coefficients)
    information = sums.information_of_events
    days, died = np.unique(durations[event_observed], return_counts=True)
    at_risk = len(durations) - np.searchsorted(np.sort(durations), days, side="left")
    before = np.concatenate(([1.0], np.cumprod(1 - died / at_risk)[:-1]))  # cox.zph uses the estimate just before t
    g = (1 - before)[np.searchsorted(days, sums.event_days)]
    # As cox.zph does. A constant in g drops out of the test, since the plain score is 0 at the fit; centring saves
    # digits.
    g = g - g.mean()
    observed = (x - x.mean(axis=0))[event_observed]
    # In the order of `sums`, which is ascending in time; the order within ties does not matter, as g is equal there.
    observed = observed[np.argsort(durations[event_observed], kind="stable")]
    residual_score = (g[:, None] * observed).sum(axis=0) - (g[:, None] * sums.s1 / sums.s0[:, None]).sum(axis=0)
    plain = information.sum(axis=0)
    mixed = (g[:, None, None] * information).sum(axis=0)
    squared = (g[:, None, None] ** 2 * information).sum(axis=0)
    # Schur complement: information about x g(t) when the constant effects are estimated as well.
    left = squared - mixed @ np.linalg.solve(plain, mixed)
    by_term: dict[str, float] = {}
    for at, term in enumerate(fit.terms):
        chi2 = residual_score[at] ** 2 / left[at, at]
        by_term[term] = float(stats.chi2.sf(chi2, 1))
    overall = float(residual_score @ np.linalg.solve(left, residual_score))
    return ProportionalHazards(by_term, float(stats.chi2.sf(overall, len(fit.terms))))
