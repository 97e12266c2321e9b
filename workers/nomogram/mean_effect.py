"""The mean effect that a nomogram predicts for a group of patients, for the comparison with randomised trials."""

from __future__ import annotations

from typing import Any

import numpy as np

from config.indication.conventions import DAYS_PER_MONTH, Z_95
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.inputs import term_columns, validated_inputs
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import TERMS
from workers.survival.covariates import PatientCovariates

DECIMALS = 4


def mean_effects(nomogram: CoxNomogram, covariates: PatientCovariates) -> dict[str, Any]:
    """Return the mean effect at the decision horizon and at every horizon of the nomogram, as in a manifest.

    Trials report their own horizons, and an effect is compared with a trial at the same one.

    Parameters
    ----------
    nomogram : CoxNomogram
        The model.
    covariates : PatientCovariates
        n patients.

    Returns
    -------
    dict
        `mean_effect` at the decision horizon, and under ``by_month`` its ``mean`` and ``ci95`` at each horizon.
    """
    months = nomogram.indication.horizons_months
    effects = {str(month): mean_effect(nomogram, covariates, month) for month in months}
    by_month = {month: {key: effect[key] for key in ("mean", "ci95")} for month, effect in effects.items()}
    return {**mean_effect(nomogram, covariates), "by_month": by_month}


def mean_effect(
    nomogram: CoxNomogram, covariates: PatientCovariates, horizon_months: int | None = None
) -> dict[str, Any]:
    """Return the mean difference of survival, ICT+CCRT minus CCRT, if all patients had the one or the other.

    Parameters
    ----------
    nomogram : CoxNomogram
        The model.
    covariates : PatientCovariates
        n patients.
    horizon_months : int, optional
        By default that of the nomogram's decision.

    Returns
    -------
    dict
        ``mean``, ``ci95`` (fractions; None where the file has no variance terms at the horizon), ``n``,
        ``horizon_months``. The interval is that of the Cox model for these very patients: baseline and coefficients,
        by the delta method, bounded to [-1, 1].
    """
    month = nomogram.indication.decision.horizon_months if horizon_months is None else horizon_months
    inputs, hazard = validated_inputs(covariates), float(nomogram.baseline_hazard([month])[0])
    beta = np.array([nomogram.coefficients[term] for term in TERMS])
    terms = nomogram.variance_terms.get(round(month * DAYS_PER_MONTH, 6))
    mean, on_baseline, on_coefficients = 0.0, 0.0, np.zeros(len(beta))
    for arm, sign in ((TreatmentArm.ICT_CCRT, 1.0), (TreatmentArm.CCRT, -1.0)):
        x = term_columns(inputs, arm is TreatmentArm.ICT_CCRT)
        relative = np.exp(x @ beta)
        survival = np.exp(-hazard * relative)
        mean += sign * float(survival.mean())
        if terms is not None:
            # d log S = -exp(lp) (dA + g' dbeta) with g = H0 x - q, as in the variance of a single patient; both arms
            # and all patients share baseline and coefficients, so their weights add up before they are squared.
            weight = -sign * survival * relative
            on_baseline += float(weight.mean())
            on_coefficients += (weight[:, None] * (hazard * x - terms.q)).mean(axis=0)
    interval = None
    if terms is not None:
        variance = on_baseline**2 * terms.a + on_coefficients @ nomogram.covariance @ on_coefficients
        half = Z_95 * float(np.sqrt(variance))
        interval = [round(max(mean - half, -1.0), DECIMALS), round(min(mean + half, 1.0), DECIMALS)]
    n = len(next(iter(inputs.values())))
    return {"mean": round(mean, DECIMALS), "ci95": interval, "n": n, "horizon_months": month}
