"""What makes the interval of the difference as wide as it is, on phantoms whose truth is known.

Three comparisons with the answers of the report, all of the same phantoms:

    cox_model_alone   the scores as they are, without their errors: the chance of the nomogram's coefficients
    true_scores       the latent scores in place of the predicted ones: what the number of patients behind the nomogram
                      leaves undecided, even with scores that have no error
    ideal_reader      one who knows how the latent scores are scattered around the predicted ones (normal, of one
                      covariance), and the nomogram without error: what these scores leave open, however intervals
                      are computed

The last one shows whether an interval is too wide or the scores too uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.score_error import ScoreError
from workers.survival.covariates import PatientCovariates
from workers.validation.abstention import DIGITS, WRONG_GOAL, answers_against_truth, displayed_answers, wrong_by_rank

DRAWS = 400  # of the ideal reader: the share on either side of the threshold is known to 1 percentage point at 5 %
SEED = 1
_INSIDE = 1 - 1e-6  # atanh is finite up to here


def interval_parts(
    nomogram: CoxNomogram,
    covariates: PatientCovariates,
    error: ScoreError | None,
    truth: Mapping[str, FloatArray],
    horizon_months: float,
) -> dict[str, Any]:
    """Tell how much of the abstention comes from the nomogram and how much from the scores.

    Parameters
    ----------
    nomogram : CoxNomogram
        For the last two comparisons that from which the phantoms' survival was drawn; with another one they say how
        far its scale is from that of the latents, too.
    covariates : PatientCovariates
        n phantoms with their predicted scores.
    error : ScoreError or None
        Of these scores.
    truth : mapping of str to array, shape (n,)
        ``prognostic``, ``predictive``, and the true 5-year DFS of each arm.
    horizon_months : float
        Of the decision.

    Returns
    -------
    dict
        ``as_reported`` and the three comparisons: median half-width of the 95 % interval, share of true differences
        that it covers, abstention, share of wrong ones among firm answers; of the ideal reader also the largest share
        of patients that can be answered with 2 % wrong.
    """
    threshold = nomogram.indication.decision.threshold
    true = truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"]
    latent = replace(covariates, prognostic_score=truth["prognostic"], predictive_score=truth["predictive"])

    def of_nomogram(patients: PatientCovariates, score_error: ScoreError | None) -> dict[str, Any]:
        result = nomogram.score(patients, (horizon_months,), score_error=score_error)
        return _figures(*displayed_answers(result), true, threshold)

    draws = _ideal_draws(nomogram, covariates, latent, horizon_months)
    middle, low, high = np.quantile(draws, (0.5, 0.025, 0.975), axis=0)
    sure = np.maximum((draws > threshold).mean(axis=0), (draws <= threshold).mean(axis=0))
    acceptable = np.flatnonzero(wrong_by_rank(sure, (middle > threshold) != (true > threshold)) <= WRONG_GOAL)
    answered = (int(acceptable[-1]) + 1) / len(true) if len(acceptable) else 0.0
    return {
        "as_reported": of_nomogram(covariates, error),
        "cox_model_alone": of_nomogram(covariates, None),
        "true_scores": of_nomogram(latent, None),
        "ideal_reader": {
            **_figures(middle, low, high, true, threshold),
            "answered_at_2_percent_wrong": round(answered, DIGITS),
        },
    }


def _figures(
    difference: FloatArray, low: FloatArray, high: FloatArray, true: FloatArray, threshold: float
) -> dict[str, Any]:
    answers = answers_against_truth(difference, low, high, true, threshold)
    return {
        "median_half_width": round(float(np.median((high - low) / 2)), DIGITS),
        "coverage": round(float(np.mean((low <= true) & (true <= high))), DIGITS),
        "abstention": answers["abstention"],
        "wrong_of_firm": answers["wrong_of_firm"],
    }


def _ideal_draws(
    nomogram: CoxNomogram, predicted: PatientCovariates, latent: PatientCovariates, horizon_months: float
) -> FloatArray:
    """Draw differences from what the predicted scores leave open, shape (DRAWS, n).

    Both latents are regressed on both predicted scores where they have no ends (atanh); the residuals' covariance is
    the same for all patients.
    """
    scores, latents = (
        np.arctanh(np.clip(np.column_stack([each.prognostic_score, each.predictive_score]), -_INSIDE, _INSIDE))
        for each in (predicted, latent)
    )
    design = np.column_stack([np.ones(len(scores)), scores])
    mean = design @ np.linalg.lstsq(design, latents)[0]
    residual = latents - mean
    variances, axes = np.linalg.eigh(residual.T @ residual / max(len(scores) - design.shape[1], 1))
    spread = axes * np.sqrt(np.maximum(variances, 0.0))
    rng = np.random.default_rng(SEED)
    draws = np.empty((DRAWS, len(scores)))
    for number in range(DRAWS):
        drawn = np.tanh(mean + rng.standard_normal(mean.shape) @ spread.T)
        patients = replace(predicted, prognostic_score=drawn[:, 0], predictive_score=drawn[:, 1])
        dfs = nomogram.dfs_by_arm(patients, [horizon_months])
        draws[number] = (dfs[TreatmentArm.ICT_CCRT] - dfs[TreatmentArm.CCRT]).ravel()
    return draws
