"""How close a model comes to the truth of phantoms that it was not trained on."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.bundles.bundle import Bundle
from workers.bundles.packing import pack_bundle
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import EBV, Cohort, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.training.ensemble_scores import PatientScores, score_patches
from workers.training.model_evaluation import c_index, dfs_gain, linear_predictor, survival_as_treated
from workers.training.patch_store import saved_patch_reader
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
        C-index beside that of the oracle (the true linear predictor); agreement with the oracle's recommendation where
        the true difference of 5-year DFS exceeds 5 %; correlation of both scores with their latents.
    """
    cohort = read_cohort(folder / "cohort.csv", need_scores=False)
    scored = score_patches(bundle, cohort.patient_ids, saved_patch_reader(folder / "patches"))
    truth = read_truth(folder / "truth.csv", cohort.patient_ids)
    outcome, nomogram, scores = cohort.outcome("dfs"), bundle.nomogram, scored.mean
    lp = linear_predictor(cohort, scores, nomogram)
    benefit = truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"]
    predicted = dfs_gain(cohort, scores, nomogram, TRUTH_MONTHS)
    # Where the true difference is near 0, agreement is a matter of chance and says nothing about the model.
    clear = np.abs(benefit) > CLEAR_BENEFIT
    return {
        "n": len(cohort),
        "n_events": int(outcome.event_observed.sum()),
        "c_index": c_index(outcome.durations_days, lp, outcome.event_observed),
        "oracle_c_index": c_index(outcome.durations_days, truth["linear_predictor"], outcome.event_observed),
        "agreement_where_difference_exceeds_5_percent": round(
            float(np.mean((predicted > 0) == (benefit > 0), where=clear)), 4
        ),
        "n_where_difference_exceeds_5_percent": int(clear.sum()),
        "correlation_prognostic": round(float(np.corrcoef(truth["prognostic"], scores.prognostic)[0, 1]), 4),
        "correlation_predictive": round(float(np.corrcoef(truth["predictive"], scores.predictive)[0, 1]), 4),
        "share_unlike_training_features": {
            role: float(np.mean(distances > bundle.feature_limit(role)))
            for role, distances in scored.feature_distances.items()
        },
        "performance": unseen_performance(
            lp,
            survival_as_treated(cohort, scores, nomogram, nomogram.indication.horizons_months),
            outcome.durations_days,
            outcome.event_observed,
            cohort.treated,
        ),
        "against_truth": against_truth(cohort, scored, nomogram, truth),
    }


def against_truth(
    cohort: Cohort, scored: PatientScores, nomogram: CoxNomogram, truth: Mapping[str, FloatArray]
) -> dict[str, Any]:
    """Compare intervals and answers with the truth of phantoms.

    Parameters
    ----------
    cohort : Cohort
        n phantoms, all with known EBV DNA.
    scored : PatientScores
        Their scores.
    nomogram : CoxNomogram
        The model.
    truth : mapping of str to array, shape (n,)
        From `read_truth`.

    Returns
    -------
    dict
        ``coverage``: share of phantoms whose true 5-year DFS (of each arm), and true difference, the 95 % interval
        contains. ``firm_share``: share whose interval of the difference excludes 0; ``wrong_of_firm``: share of these
        whose true difference has the other sign. ``rmse_difference``.
    """
    covariates = PatientCovariates(
        cohort.column("age_years"), cohort.column(EBV), scored.mean.prognostic, scored.mean.predictive
    )
    result = nomogram.score(covariates, (float(TRUTH_MONTHS),), score_error=scored.error)
    low, high = result.difference_low[:, 0], result.difference_high[:, 0]
    true = truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"]
    columns = {TreatmentArm.ICT_CCRT: "dfs_60_ict_ccrt", TreatmentArm.CCRT: "dfs_60_ccrt"}
    coverage = {"difference": _covered(low, true, high)} | {
        arm.value: _covered(result.arms[arm].low[:, 0], truth[column], result.arms[arm].high[:, 0])
        for arm, column in columns.items()
    }
    firm, difference = (low > 0) | (high < 0), result.difference[:, 0]
    wrong = float(np.mean((difference > 0)[firm] != (true > 0)[firm])) if firm.any() else None
    return {
        "coverage": coverage,
        "firm_share": round(float(firm.mean()), 4),
        "wrong_of_firm": None if wrong is None else round(wrong, 4),
        "rmse_difference": round(float(np.sqrt(np.mean((difference - true) ** 2))), 4),
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
