"""Phantoms that are followed after their report: what a nomogram predicts, and a truth that may differ from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.published_case_mix import published_case_mix
from workers.phantoms.population import published_nomogram
from workers.survival.covariates import PatientCovariates
from workers.validation.follow_up.cohort import FollowedCohort, followed_cohort, interpolated_hazard

FIRST_DAY = 736_330  # 2017-01-01 as an ordinal day; any other would do
YEAR_DAYS = 365


@dataclass(frozen=True)
class FollowUpTruth:
    """How the truth differs from the prediction.

    Attributes
    ----------
    hazard_ratio : float
        Of all patients from `drift_year` on; 1: no drift.
    drift_year : float
        Years after the first patient, in calendar time: patients who are followed already are affected, too.
    effect_scale : float
        True log hazard ratio of the regimens to the predicted one, for each patient; 0: the regimens do not differ.
    """

    hazard_ratio: float = 1.0
    drift_year: float = 0.0
    effect_scale: float = 1.0


def draw_followed(
    seed: int,
    *,
    per_year: int = 200,
    years: float = 5.0,
    truth: FollowUpTruth | None = None,
    agreement: float = 0.75,
    lost_per_year: float = 0.03,
    nomogram: CoxNomogram | None = None,
) -> FollowedCohort:
    """Draw patients of several years as they are known on the last day.

    Parameters
    ----------
    seed : int
        Equal arguments give equal patients.
    per_year : int
        Patients who begin treatment in a year, on days spread evenly at random.
    years : float
        From the first patient to the day on which all is evaluated.
    truth : FollowUpTruth, optional
        By default what the nomogram predicts.
    agreement : float
        Chance that a patient receives the recommended regimen.
    lost_per_year : float
        Rate of losing patients.
    nomogram : CoxNomogram, optional
        By default the published one.

    Returns
    -------
    FollowedCohort
        Covariates are distributed like the published ones.
    """
    truth = truth or FollowUpTruth()
    nomogram = nomogram or load_nomogram(published_nomogram())
    n, last = round(per_year * years), FIRST_DAY + round(years * YEAR_DAYS)
    rng = np.random.default_rng([seed, 2])
    start = np.sort(rng.integers(FIRST_DAY, last, n))
    # The case mix by the seed, too: who comes differs from site to site.
    covariates = published_case_mix(n, seed)
    recommended = _recommended(nomogram, covariates)
    treated = recommended ^ (rng.random(n) >= agreement)
    patients = followed_cohort(nomogram, covariates, start, np.zeros(n), np.zeros(n, dtype=bool), treated, recommended)
    risk = patients.prognosis + truth.effect_scale * patients.effect_received
    drift_day = FIRST_DAY + round(truth.drift_year * YEAR_DAYS)
    failure = _failure_days(nomogram, risk, (drift_day - start).clip(0), truth.hazard_ratio, rng)
    lost = rng.exponential(YEAR_DAYS / lost_per_year, n) if lost_per_year else np.full(n, np.inf)
    end = np.minimum(last - start, np.ceil(lost))
    days = np.minimum(failure, end)
    return followed_cohort(nomogram, covariates, start, days, failure <= end, treated, recommended)


def _recommended(nomogram: CoxNomogram, covariates: PatientCovariates) -> BoolArray:
    decision = nomogram.indication.decision
    dfs = nomogram.dfs_by_arm(covariates, [decision.horizon_months])
    return (dfs[TreatmentArm.ICT_CCRT] - dfs[TreatmentArm.CCRT])[:, 0] > decision.threshold


def _failure_days(
    nomogram: CoxNomogram, risk: FloatArray, drift_in: Int64Array, ratio: float, rng: np.random.Generator
) -> FloatArray:
    """Return whole days to the event; infinite beyond the last step of the baseline."""
    wanted = rng.exponential(size=len(risk)) / np.exp(risk)  # the baseline hazard at which the event happens
    at_drift = interpolated_hazard(nomogram, drift_in.astype(np.float64))
    hazard = np.where(wanted <= at_drift, wanted, at_drift + (wanted - at_drift) / ratio)
    steps = np.concatenate(([0.0], nomogram.cumulative_hazard))
    days = np.interp(hazard, steps, np.concatenate(([0.0], nomogram.event_days)), right=np.inf)
    return np.ceil(np.maximum(days, 1.0))
