"""How close a model comes to the truth of phantoms that it was not trained on."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.decision_policy import DecisionPolicy
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.bundles.bundle import Bundle
from workers.bundles.packing import pack_bundle
from workers.nomogram.model import CoxNomogram
from workers.nomogram.score_error import ScoreError
from workers.survival.cohort import EBV, Cohort, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.training.ensemble_scores import PatientScores, score_patches
from workers.training.interval_parts import interval_parts
from workers.training.model_evaluation import c_index, linear_predictor, survival_as_treated
from workers.training.patch_store import saved_patch_reader
from workers.training.patient_stability import CohortStability, stability_figures
from workers.validation.abstention import (
    answers_against_truth,
    certainty,
    displayed_answers,
    firm_answers,
    wrong_answers,
)
from workers.validation.unseen_performance import unseen_performance

CLEAR_BENEFIT = 0.05
TRUTH_MONTHS = 60  # horizon of the true DFS in truth.csv


def phantom_metrics(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """Measure how close a bundle comes to the truth of phantoms that it was not trained on.

    Parameters
    ----------
    bundle : Bundle
        The model.
    folder : Path
        Written by ``cptdn phantom``.

    Returns
    -------
    dict
        `unseen_performance`; the C-index of the oracle (the true linear predictor); correlation of both scores with
        their latents; `against_truth`.
    """
    cohort = read_cohort(folder / "cohort.csv", need_scores=False)
    policy = DecisionPolicy.of(bundle.nomogram.indication)
    stability = CohortStability(bundle, cohort.column("age_years"), cohort.column(EBV), float(TRUTH_MONTHS), policy)
    read = saved_patch_reader(folder / "patches")
    scored = score_patches(bundle, cohort.patient_ids, read, visit=stability.visit)
    return figures_of(bundle, cohort, scored, stability, read_truth(folder / "truth.csv", cohort.patient_ids))


def figures_of(
    bundle: Bundle,
    cohort: Cohort,
    scored: PatientScores,
    stability: CohortStability,
    truth: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """Return the figures of `phantom_metrics` from the scores of the cohort, its recomputed answers and its truth."""
    outcome, nomogram, scores = cohort.outcome("dfs"), bundle.nomogram, scored.mean
    covariates = PatientCovariates(cohort.column("age_years"), cohort.column(EBV), scores.prognostic, scores.predictive)
    true_ict, true_ccrt = truth["dfs_60_ict_ccrt"], truth["dfs_60_ccrt"]
    result = nomogram.score(covariates, (float(TRUTH_MONTHS),), score_error=scored.error)
    answers = displayed_answers(result)
    threshold = stability.policy.threshold
    return {
        **unseen_performance(
            linear_predictor(cohort, scores, nomogram),
            survival_as_treated(cohort, scores, nomogram, nomogram.indication.horizons_months),
            outcome.durations_days,
            outcome.event_observed,
            cohort.treated,
        ),
        "oracle_c_index": c_index(outcome.durations_days, truth["linear_predictor"], outcome.event_observed),
        "correlation_prognostic": round(float(np.corrcoef(truth["prognostic"], scores.prognostic)[0, 1]), 4),
        "correlation_predictive": round(float(np.corrcoef(truth["predictive"], scores.predictive)[0, 1]), 4),
        "share_unlike_training_features": {
            role: float(np.mean(distances > bundle.feature_limit(role)))
            for role, distances in scored.feature_distances.items()
        },
        "against_truth": {
            **against_truth(nomogram, covariates, scored.error, true_ict, true_ccrt),
            "interval": interval_parts(nomogram, covariates, scored.error, truth, float(TRUTH_MONTHS)),
            "with_stability": stability_figures(
                stability.counts,
                firm_answers(*answers, threshold),
                *wrong_answers(answers[0], true_ict - true_ccrt, threshold),
                certainty(*answers, threshold),
                stability.policy.stability_share,
            ),
        },
    }


def against_truth(
    nomogram: CoxNomogram,
    covariates: PatientCovariates,
    error: ScoreError | None,
    true_ict: FloatArray,
    true_ccrt: FloatArray,
) -> dict[str, Any]:
    """Compare recommendations and intervals with the truth of phantoms.

    Parameters
    ----------
    nomogram : CoxNomogram
        The model.
    covariates : PatientCovariates
        n phantoms with their predicted scores.
    error : ScoreError or None
        Errors of these scores.
    true_ict, true_ccrt : array, shape (n,)
        True 5-year DFS under each arm.

    Returns
    -------
    dict
        ``agreement``: share with the oracle's recommendation where the true difference exceeds 5 %; ``coverage``: share
        whose 95 % interval contains the true difference, and the true DFS of each arm; `answers_against_truth` at the
        threshold of the nomogram's indication; ``rmse_difference``.
    """
    result = nomogram.score(covariates, (float(TRUTH_MONTHS),), score_error=error)
    difference, low, high = displayed_answers(result)
    true = true_ict - true_ccrt
    # Where the true difference is near 0, agreement is a matter of chance and says nothing about the model.
    clear = np.abs(true) > CLEAR_BENEFIT
    threshold = nomogram.indication.decision.threshold
    agree = (difference > threshold) == (true > threshold)
    coverage = {"difference": _covered(low, true, high)} | {
        arm.value: _covered(result.arms[arm].low[:, 0], dfs, result.arms[arm].high[:, 0])
        for arm, dfs in ((TreatmentArm.ICT_CCRT, true_ict), (TreatmentArm.CCRT, true_ccrt))
    }
    return {
        "agreement": round(float(np.mean(agree[clear])), 4),
        "n_where_difference_exceeds_5_percent": int(clear.sum()),
        "coverage": coverage,
        **answers_against_truth(difference, low, high, true, threshold),
        "rmse_difference": round(float(np.sqrt(np.mean((result.difference[:, 0] - true) ** 2))), 4),
    }


def _covered(low: FloatArray, true: FloatArray, high: FloatArray) -> float:
    return round(float(np.mean((low <= true) & (true <= high))), 4)


def add_phantom_metrics(bundle: Bundle, folders: Mapping[str, Path]) -> Bundle:
    """Pack a bundle again with its performance on held-out phantoms in the manifest: title -> folder of phantoms."""
    content = {name: value for name, value in bundle.manifest.content.items() if name != "files"}
    metrics = dict(content["metrics"])
    for title, folder in folders.items():
        metrics[title] = {**phantom_metrics(bundle, folder), "phantoms": _origin(folder)}
    return pack_bundle(bundle.folder, {**content, "metrics": metrics})


def _origin(folder: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((folder / "phantoms.json").read_text(encoding="utf-8"))
    return {name: description[name] for name in ("size", "seed", "scanners")}


def read_truth(path: Path, patient_ids: Sequence[str]) -> Mapping[str, FloatArray]:
    """Read the truth of phantoms.

    Parameters
    ----------
    path : Path
        truth.csv.
    patient_ids : sequence of str, length n
        Order of the result.

    Returns
    -------
    mapping of str to array, shape (n,)
        By column.

    Raises
    ------
    InputError
        A phantom has no truth.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        rows = {row.pop("patient_id"): row for row in csv.DictReader(stream)}
    unknown = [patient_id for patient_id in patient_ids if patient_id not in rows]
    if unknown:
        raise InputError(f"{path}: expected the truth of {unknown[0]}, found none")
    names = next(iter(rows.values()))
    return {name: np.array([float(rows[patient_id][name]) for patient_id in patient_ids]) for name in names}
