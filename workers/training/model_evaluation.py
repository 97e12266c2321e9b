"""The performance of a trained model: C-indices by part of the cohort, and on phantoms the distance to the truth."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.bundles.bundle import Bundle
from workers.bundles.feature_distribution import FeatureDistribution
from workers.bundles.packing import pack_bundle
from workers.features.extraction import extract_many
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores, score_many
from workers.survival.cohort import EBV, Cohort, read_cohort
from workers.survival.concordance import harrell_concordance
from workers.survival.covariates import PatientCovariates
from workers.training.distribution_limits import feature_distributions
from workers.training.patch_store import saved_patch_reader

CLEAR_BENEFIT = 0.05
PATIENTS_AT_ONCE = 64


def feature_distribution(features: NDArray[np.float32]) -> FeatureDistribution:
    """Return the distribution of training features, for the out-of-distribution check of the service.

    Parameters
    ----------
    features : float32 array, shape (n, c)
        Deep features of the training patients, one role.

    Returns
    -------
    FeatureDistribution
        Mean, precision of the shrunken covariance, and the limit from out-of-fold distances.
    """
    distributions, _ = feature_distributions({"": features})
    return distributions[""]


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


def performance(cohort: Cohort, scores: Scores, nomogram: Path) -> dict[str, Any]:
    """Return Harrell's C-index of the nomogram with these scores, by cohort label and arm, for the manifest.

    Parameters
    ----------
    cohort : Cohort
        n patients; those with unknown EBV DNA are left out.
    scores : Scores
        Of the n patients, in order.
    nomogram : Path
        Its file.

    Returns
    -------
    dict
        Label -> C-index of all patients and of each arm (None without a comparable pair), n and n_events.
    """
    lp, outcome = linear_predictor(cohort, scores, load_nomogram(nomogram)), cohort.outcome("dfs")
    by_label: dict[str, Any] = {}
    for label in sorted(set(cohort.labels)):
        inside = np.array([patient_label == label for patient_label in cohort.labels]) & ~np.isnan(lp)
        groups = {"all": inside, "CCRT": inside & ~cohort.treated, "ICT+CCRT": inside & cohort.treated}
        by_label[label] = {
            name: c_index(outcome.durations_days[rows], lp[rows], outcome.event_observed[rows])
            for name, rows in groups.items()
        } | {"n": int(inside.sum()), "n_events": int(outcome.event_observed[inside].sum())}
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


def score_phantoms(bundle: Bundle, folder: Path) -> tuple[Cohort, Scores, dict[str, float]]:
    """Score a folder of phantoms by a bundle.

    Returns
    -------
    cohort : Cohort
        The phantoms.
    scores : Scores
        Shape (n,) each.
    out_of_distribution : dict of str to float
        By role the share of phantoms whose features are beyond the bundle's limit.
    """
    cohort = read_cohort(folder / "cohort.csv", need_scores=False)
    read = saved_patch_reader(folder / "patches")
    features: dict[str, list[NDArray[np.float32]]] = {role: [] for role in SEQUENCES}
    # In blocks: the patches of a whole test cohort do not fit in the memory of a small machine.
    for start in range(0, len(cohort), PATIENTS_AT_ONCE):
        bags = [read(patient_id) for patient_id in cohort.patient_ids[start : start + PATIENTS_AT_ONCE]]
        for role in SEQUENCES:
            patches = [np.asarray(bag[role], dtype=np.float32) / np.float32(255) for bag in bags]
            extracted = extract_many(patches, bundle.sequence_network(role))
            features[role] += [features_of_patient.features for features_of_patient in extracted]
    rows = {role: np.stack(extracted) for role, extracted in features.items()}
    out_of_distribution = {
        role: float(
            np.mean([bundle.distributions[role].distance(x) > bundle.distributions[role].limit for x in extracted])
        )
        for role, extracted in rows.items()
    }
    return cohort, score_many(rows, bundle.score_network()), out_of_distribution


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
    cohort, scores, out_of_distribution = score_phantoms(bundle, folder)
    truth = read_truth(folder / "truth.csv", cohort.patient_ids)
    outcome = cohort.outcome("dfs")
    lp = linear_predictor(cohort, scores, bundle.nomogram)
    benefit = truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"]
    predicted = dfs_gain(cohort, scores, bundle.nomogram)
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
        "share_unlike_training_features": out_of_distribution,
    }


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
