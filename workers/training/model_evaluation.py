"""What a trained model is worth: C-indices of every part of the cohort, and on phantoms the truth behind it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lifelines.utils import concordance_index
from numpy.typing import NDArray

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.bundles.bundle import Bundle, FeatureDistribution, pack_bundle
from workers.features.extraction import extract_many
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores, score_many
from workers.survival.cohort import EBV, Cohort, read_cohort
from workers.survival.covariates import PatientCovariates
from workers.training.patch_store import saved_patch_reader

SHRINKAGE = 0.1  # of the feature covariance towards its diagonal
LIMIT_QUANTILE, LIMIT_FACTOR = 0.99, 1.5  # as for the intensity templates
CLEAR_BENEFIT = 0.05
PATIENTS_AT_ONCE = 64


def feature_distribution(features: NDArray[np.float32]) -> FeatureDistribution:
    """Where features (n, c) lie; the limit is half again as far as 99 % of them."""
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    covariance = np.cov(rows, rowvar=False)
    diagonal = np.diag(np.diag(covariance) + 1e-6)
    precision = np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal)
    apart = rows - mean
    distances = np.sqrt(np.einsum("ij,jk,ik->i", apart, precision, apart) / rows.shape[1])
    limit = LIMIT_FACTOR * float(np.quantile(distances, LIMIT_QUANTILE))
    return FeatureDistribution(mean.astype(np.float32), precision.astype(np.float32), limit)


def linear_predictor(cohort: Cohort, scores: Scores, nomogram: CoxNomogram) -> FloatArray:
    """(n,) under the treatment received; NaN where EBV DNA is unknown."""
    covariates = _covariates(cohort, scores)
    both = {arm: nomogram.linear_predictor(covariates, arm) for arm in TreatmentArm}
    found = np.where(cohort.treated, both[TreatmentArm.ICT_CCRT], both[TreatmentArm.CCRT])
    return np.where(np.isnan(cohort.column(EBV)), np.nan, found)


def _covariates(cohort: Cohort, scores: Scores) -> PatientCovariates:
    ebv = np.nan_to_num(cohort.column(EBV), nan=0.0)
    return PatientCovariates(cohort.column("age_years"), ebv, scores.prognostic, scores.predictive)


def dfs_gain(cohort: Cohort, scores: Scores, nomogram: CoxNomogram, horizon_months: int | None = None) -> FloatArray:
    """(n,) DFS under ICT+CCRT minus that under CCRT, at the nomogram's decision horizon or another one."""
    month = nomogram.indication.decision.horizon_months if horizon_months is None else horizon_months
    by_arm = nomogram.dfs_by_arm(_covariates(cohort, scores), [month])
    return np.asarray((by_arm[TreatmentArm.ICT_CCRT] - by_arm[TreatmentArm.CCRT]).ravel())


def performance(cohort: Cohort, scores: Scores, nomogram: Path) -> dict[str, Any]:
    """C-index (Harrell) of the nomogram with these scores, by cohort label and arm."""
    lp, outcome = linear_predictor(cohort, scores, load_nomogram(nomogram)), cohort.outcome("dfs")
    found: dict[str, Any] = {}
    for label in sorted(set(cohort.labels)):
        inside = np.array([one == label for one in cohort.labels]) & ~np.isnan(lp)
        groups = {"all": inside, "CCRT": inside & ~cohort.treated, "ICT+CCRT": inside & cohort.treated}
        found[label] = {
            name: c_index(outcome.durations_days[rows], lp[rows], outcome.event_observed[rows])
            for name, rows in groups.items()
        } | {"n": int(inside.sum()), "n_events": int(outcome.event_observed[inside].sum())}
    return found


def c_index(durations: FloatArray, risk: FloatArray, event_observed: NDArray[np.bool_]) -> float | None:
    """Harrell's C-index, or None where no pair can be compared."""
    if not event_observed.any() or len(np.unique(durations)) < 2:
        return None
    try:
        return round(float(concordance_index(durations, -risk, event_observed)), 4)
    except ZeroDivisionError:  # lifelines: every event comes after all other follow-up
        return None


def score_phantoms(bundle: Bundle, folder: Path) -> tuple[Cohort, Scores, dict[str, float]]:
    """Scores of a folder of phantoms by a bundle, and the share of patients unlike the training features."""
    cohort = read_cohort(folder / "cohort.csv", need_scores=False)
    read = saved_patch_reader(folder / "patches")
    features: dict[str, list[NDArray[np.float32]]] = {role: [] for role in SEQUENCES}
    for start in range(0, len(cohort), PATIENTS_AT_ONCE):
        bags = [read(patient_id) for patient_id in cohort.patient_ids[start : start + PATIENTS_AT_ONCE]]
        for role in SEQUENCES:
            patches = [np.asarray(bag[role], dtype=np.float32) / np.float32(255) for bag in bags]
            found = extract_many(patches, bundle.sequence_network(role))
            features[role] += [one.features for one in found]
    rows = {role: np.stack(found) for role, found in features.items()}
    unlike = {
        role: float(np.mean([bundle.distributions[role].distance(x) > bundle.distributions[role].limit for x in found]))
        for role, found in rows.items()
    }
    return cohort, score_many(rows, bundle.score_network()), unlike


def phantom_metrics(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """How close a bundle comes to the truth of phantoms it was not trained on.

    c_index beside that of the oracle (the true linear predictor); agreement with the oracle's recommendation where the
    true difference of 5-year DFS exceeds 5 %; correlation of both scores with their latents.
    """
    cohort, scores, unlike = score_phantoms(bundle, folder)
    truth = read_truth(folder / "truth.csv", cohort.patient_ids)
    outcome = cohort.outcome("dfs")
    lp = linear_predictor(cohort, scores, bundle.nomogram)
    benefit = truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"]
    predicted = dfs_gain(cohort, scores, bundle.nomogram)
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
        "share_unlike_training_features": unlike,
    }


def add_phantom_metrics(bundle: Bundle, folders: Mapping[str, Path]) -> Bundle:
    """The bundle packed anew, its manifest telling how it does on held-out phantoms: title -> folder of phantoms."""
    content = {name: value for name, value in bundle.manifest.content.items() if name != "files"}
    metrics = dict(content["metrics"])
    for title, folder in folders.items():
        metrics[title] = {**phantom_metrics(bundle, folder), "phantoms": _origin(folder)}
    return pack_bundle(bundle.folder, {**content, "metrics": metrics})


def _origin(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / "phantoms.json").read_text(encoding="utf-8"))
    return {name: made[name] for name in ("size", "seed", "scanners")}


def read_truth(path: Path, patient_ids: Sequence[str]) -> Mapping[str, FloatArray]:
    """Columns of truth.csv, (n,) each, for these phantoms in this order. Raises InputError where one has no truth."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = {row.pop("patient_id"): row for row in csv.DictReader(stream)}
    unknown = [patient_id for patient_id in patient_ids if patient_id not in rows]
    if unknown:
        raise InputError(f"{path}: expected the truth of {unknown[0]}, found none")
    names = next(iter(rows.values()))
    return {name: np.array([float(rows[patient_id][name]) for patient_id in patient_ids]) for name in names}
