"""What a nomogram predicts for the patients of a cohort, and how well on patients that the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.arrays import FloatArray
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.mean_effect import mean_effects
from workers.nomogram.model import CoxNomogram
from workers.scores.scoring import Scores
from workers.survival.cohort import EBV, TRAINING, Cohort
from workers.survival.concordance import harrell_concordance
from workers.survival.covariates import PatientCovariates
from workers.validation.unseen_performance import unseen_performance


def linear_predictor(cohort: Cohort, scores: Scores, nomogram: CoxNomogram) -> FloatArray:
    """Return the nomogram's linear predictor under the treatment received.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    scores : Scores
        Shape (n,) each, in place of any scores of the cohort.
    nomogram : CoxNomogram
        The model.

    Returns
    -------
    array, shape (n,)
        NaN where EBV DNA is unknown.
    """
    covariates = _covariates(cohort, scores)
    both = {arm: nomogram.linear_predictor(covariates, arm) for arm in TreatmentArm}
    # Under the treatment received, for which the outcome was observed.
    received = np.where(cohort.treated, both[TreatmentArm.ICT_CCRT], both[TreatmentArm.CCRT])
    return np.where(np.isnan(cohort.column(EBV)), np.nan, received)


def _covariates(cohort: Cohort, scores: Scores) -> PatientCovariates:
    # The nomogram refuses NaN; callers blank the patients with unknown EBV DNA where the category matters.
    ebv = np.nan_to_num(cohort.column(EBV), nan=0.0)
    return PatientCovariates(cohort.column("age_years"), ebv, scores.prognostic, scores.predictive)


def dfs_gain(cohort: Cohort, scores: Scores, nomogram: CoxNomogram, horizon_months: int | None = None) -> FloatArray:
    """Return DFS under ICT+CCRT minus that under CCRT.

    Parameters
    ----------
    cohort : Cohort
        n patients; unknown EBV DNA counts as not above the threshold.
    scores : Scores
        Shape (n,) each.
    nomogram : CoxNomogram
        The model.
    horizon_months : int, optional
        By default the nomogram's decision horizon.

    Returns
    -------
    array, shape (n,)
        Differences of fractions, in [-1, 1].
    """
    month = nomogram.indication.decision.horizon_months if horizon_months is None else horizon_months
    by_arm = nomogram.dfs_by_arm(_covariates(cohort, scores), [month])
    return np.asarray((by_arm[TreatmentArm.ICT_CCRT] - by_arm[TreatmentArm.CCRT]).ravel())


def survival_as_treated(
    cohort: Cohort, scores: Scores, nomogram: CoxNomogram, horizons_months: Sequence[int]
) -> dict[int, FloatArray]:
    """Return DFS under the treatment received.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    scores : Scores
        Shape (n,) each.
    nomogram : CoxNomogram
        The model.
    horizons_months : sequence of int
        When.

    Returns
    -------
    dict of int to array, shape (n,)
        By month; NaN where EBV DNA is unknown.
    """
    by_arm = nomogram.dfs_by_arm(_covariates(cohort, scores), list(horizons_months))
    received = np.where(cohort.treated[:, None], by_arm[TreatmentArm.ICT_CCRT], by_arm[TreatmentArm.CCRT])
    received = np.where(np.isnan(cohort.column(EBV))[:, None], np.nan, received)
    return {month: received[:, at] for at, month in enumerate(horizons_months)}


def own_effect(cohort: Cohort, patients: NDArray[np.bool_], scores: Scores, nomogram: CoxNomogram) -> dict[str, Any]:
    """Return the mean effect that a model predicts for its own patients, for the comparison with randomised trials.

    Parameters
    ----------
    cohort : Cohort
        n patients; unknown EBV DNA counts as not above the threshold.
    patients : bool array, shape (n,)
        Which of them.
    scores : Scores
        Shape (n,) each; those of `patients` out of fold.
    nomogram : CoxNomogram
        The model.

    Returns
    -------
    dict
        As of `mean_effects`.
    """
    every = _covariates(cohort, scores)
    columns = (every.age_years, every.ebv_dna_gt_threshold, every.prognostic_score, every.predictive_score)
    return mean_effects(nomogram, PatientCovariates(*(np.asarray(column)[patients] for column in columns)))


def unseen_performance_by_label(cohort: Cohort, scores: Scores, nomogram: CoxNomogram) -> dict[str, Any]:
    """Return the performance of a model on each cohort label that it did not learn from, for the manifest.

    Parameters
    ----------
    cohort : Cohort
        n patients; those with unknown EBV DNA are left out.
    scores : Scores
        Of the n patients, in order.
    nomogram : CoxNomogram
        The model.

    Returns
    -------
    dict
        Label -> `unseen_performance`.
    """
    by_label: dict[str, Any] = {}
    months = nomogram.indication.horizons_months
    for label in sorted(set(cohort.labels) - {TRAINING}):
        inside = np.array([patient_label == label for patient_label in cohort.labels])
        patients, own = cohort.where(inside), Scores(scores.prognostic[inside], scores.predictive[inside])
        outcome = patients.outcome("dfs")
        by_label[label] = unseen_performance(
            linear_predictor(patients, own, nomogram),
            survival_as_treated(patients, own, nomogram, months),
            outcome.durations_days,
            outcome.event_observed,
            patients.treated,
            decision_month=nomogram.indication.decision.horizon_months,
        )
    return by_label


def c_index(durations: FloatArray, risk: FloatArray, event_observed: NDArray[np.bool_]) -> float | None:
    """Return Harrell's C-index to four decimals.

    Parameters
    ----------
    durations, risk : array, shape (n,)
        Follow-up; a higher risk is a higher value.
    event_observed : bool array, shape (n,)
        True where the event was observed.

    Returns
    -------
    float or None
        None where no pair is comparable.
    """
    value = harrell_concordance(risk, durations, event_observed).value
    return None if np.isnan(value) else round(value, 4)
