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
from config.indication.conventions import displayed_difference
from config.indication.vocabulary import TreatmentArm
from workers.bundles.bundle import Bundle
from workers.bundles.packing import pack_bundle
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import NomogramResult
from workers.nomogram.score_error import ScoreError
from workers.survival.cohort import EBV, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.training.ensemble_scores import score_patches
from workers.training.model_evaluation import c_index, linear_predictor, survival_as_treated
from workers.training.patch_store import saved_patch_reader
from workers.training.patient_stability import PatchReader, covariates_of, held_share
from workers.validation.abstention import answers_against_truth, firm_answers, share_of, wrong_answers
from workers.validation.unseen_performance import unseen_performance

CLEAR_BENEFIT = 0.05
STABILITY_PHANTOMS = 500  # every firm answer among these is computed again 30 times
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
    read = saved_patch_reader(folder / "patches")
    scored = score_patches(bundle, cohort.patient_ids, read)
    truth = read_truth(folder / "truth.csv", cohort.patient_ids)
    outcome, nomogram, scores = cohort.outcome("dfs"), bundle.nomogram, scored.mean
    covariates = PatientCovariates(cohort.column("age_years"), cohort.column(EBV), scores.prognostic, scores.predictive)
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
            **against_truth(nomogram, covariates, scored.error, truth["dfs_60_ict_ccrt"], truth["dfs_60_ccrt"]),
            "with_stability": _with_stability(bundle, cohort.patient_ids, read, covariates, scored.error, truth),
        },
    }


def _with_stability(
    bundle: Bundle,
    patient_ids: Sequence[str],
    read: PatchReader,
    covariates: PatientCovariates,
    error: ScoreError | None,
    truth: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """Return what `against_truth` does of firm answers, of those alone that are stable, too: of the first phantoms."""
    policy = DecisionPolicy.of(bundle.nomogram.indication)
    result = bundle.nomogram.score(covariates, (float(TRUTH_MONTHS),), score_error=error)
    difference, low, high = displayed_answers(result)
    n = min(len(patient_ids), STABILITY_PHANTOMS)
    firm = firm_answers(difference, low, high, policy.threshold)[:n]
    wrong, grossly = wrong_answers(difference, truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"], policy.threshold)
    # Of the others the answer is "no reliable difference" whatever their stability is.
    held = {
        row: held_share(bundle, read(patient_ids[row]), covariates_of(covariates, row), float(TRUTH_MONTHS), policy)
        for row in np.flatnonzero(firm).tolist()
    }
    stable = np.array([held.get(row, 0.0) >= policy.stability_share for row in range(n)], dtype=np.bool_)
    return {
        "n": n,
        "minimum_share": policy.stability_share,
        "abstention": round(float(np.mean(~stable)), 4),
        "wrong_of_firm": share_of(wrong[:n][stable]),
        "grossly_wrong_of_firm": share_of(grossly[:n][stable]),
        "unstable_of_firm": share_of(~stable[firm]),
        # Of the same phantoms, to compare with.
        "wrong_of_firm_without": share_of(wrong[:n][firm]),
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


def displayed_answers(result: NomogramResult) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the difference of both arms at the first horizon as it is displayed, and its interval, shape (n,) each."""
    ict, ccrt = (result.arms[arm].dfs[:, 0].tolist() for arm in (TreatmentArm.ICT_CCRT, TreatmentArm.CCRT))
    difference = np.array([displayed_difference(one, other) for one, other in zip(ict, ccrt, strict=True)])
    return difference, result.difference_low[:, 0], result.difference_high[:, 0]


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
