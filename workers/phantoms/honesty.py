"""What a training promises and what it keeps, on phantoms whose truth is known.

Feature phantoms have no images: the multi-task networks of an ensemble are trained on drawn features, the nomogram is
fitted on out-of-fold scores, and everything is measured on phantoms that no part has seen. Beside it the same networks
with a nomogram on in-sample scores, as it was done before cross-fitting.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from config.arrays import Float32Array, IndexArray
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.fitting import TrainingData, fit_nomogram
from workers.nomogram.model import CoxNomogram
from workers.nomogram.score_error import score_error_of
from workers.phantoms.feature_cohort import FeaturePhantoms, draw_features
from workers.scores.ensemble import score_by_ensemble
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork
from workers.scores.scoring import Scores, score_many
from workers.survival.concordance import harrell_concordance
from workers.survival.covariates import PatientCovariates
from workers.survival.cox import fit_cox
from workers.training.batch_sampling import stratified_folds
from workers.training.phantom_evaluation import against_truth
from workers.training.score_training import train_scores
from workers.training.training_config import TrainingConfig

UNSEEN_SEED_OFFSET = 50_000  # seeds of the unseen phantoms are not those of any training


def feature_honesty(
    n: int, seed: int, config: TrainingConfig, n_folds: int = 5, n_unseen: int = 2000, n_features: int = 128
) -> dict[str, dict[str, float]]:
    """Train an ensemble on feature phantoms and measure it on unseen ones.

    Parameters
    ----------
    n, seed : int
        Size and seed of the training.
    config : TrainingConfig
        Of the multi-task networks.
    n_folds : int
        Members.
    n_unseen : int
        Phantoms to measure on.
    n_features : int
        Of each sequence.

    Returns
    -------
    dict of str to dict
        ``cross_fitted`` and ``in_sample``: calibration slope, C-index beside the oracle's, agreement of the
        recommendation where the true difference exceeds 5 %, coverage of the 95 % intervals, firm answers and the share
        of wrong ones among them.
    """
    training = draw_features(n, seed, n_features)
    unseen = draw_features(n_unseen, seed + UNSEEN_SEED_OFFSET, n_features)
    patients = _Patients(training)
    fold = stratified_folds(patients.events, patients.treated, n_folds, np.random.default_rng(seed))
    networks = [_member(training, fold, number, config) for number in range(1, n_folds + 1)]
    out_of_fold, in_sample = _training_scores(training, fold, networks)
    return {
        name: _measured(patients.fit(scores), networks, unseen)
        for name, scores in (("cross_fitted", out_of_fold), ("in_sample", in_sample))
    }


class _Patients:
    """Facts and follow-up of phantoms as arrays."""

    def __init__(self, phantoms: FeaturePhantoms) -> None:
        rows = [patient.record for patient in phantoms.patients]
        self.age = np.array([row["age_years"] for row in rows], dtype=np.float64)
        self.ebv = np.array([row["ebv_dna_gt_4000"] for row in rows], dtype=np.float64)
        self.days = np.array([row["dfs_days"] for row in rows], dtype=np.float64)
        self.events = np.array([row["dfs_event"] == 1 for row in rows])
        self.treated = np.array([row["treatment"] == TreatmentArm.ICT_CCRT.value for row in rows])

    def covariates(self, scores: Scores) -> PatientCovariates:
        return PatientCovariates(self.age, self.ebv, scores.prognostic, scores.predictive)

    def fit(self, scores: Scores) -> CoxNomogram:
        data = TrainingData(self.covariates(scores), self.treated, self.days, self.events)
        return fit_nomogram(data, name="phantoms", population="feature phantoms").nomogram


def _member(phantoms: FeaturePhantoms, fold: IndexArray, number: int, config: TrainingConfig) -> MultitaskNetwork:
    inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
    own = config.with_seed(config.seed + number)
    return train_scores(phantoms.features, phantoms.outcomes, inside, outside, own).network


def _by_role(features: Float32Array) -> dict[str, Float32Array]:
    return dict(zip(SEQUENCES, np.split(features, len(SEQUENCES), axis=1), strict=True))


def _training_scores(
    phantoms: FeaturePhantoms, fold: IndexArray, networks: list[MultitaskNetwork]
) -> tuple[Scores, Scores]:
    """Return the scores of the training patients: by the member that had not seen them, and the mean of the others."""
    features = _by_role(phantoms.features)
    scores = [score_many(features, network) for network in networks]
    seen = np.array([fold != number for number in range(1, len(networks) + 1)])

    by_member = np.array([each.prognostic for each in scores]), np.array([each.predictive for each in scores])
    rows = np.arange(len(fold))
    out_of_fold = Scores(*(values[fold - 1, rows] for values in by_member))
    in_sample = Scores(*((values * seen).sum(axis=0) / seen.sum(axis=0) for values in by_member))
    return out_of_fold, in_sample


def _measured(nomogram: CoxNomogram, networks: list[MultitaskNetwork], unseen: FeaturePhantoms) -> dict[str, Any]:
    patients, features = _Patients(unseen), _by_role(unseen.features)
    scores = score_by_ensemble([features] * len(networks), networks)
    covariates = patients.covariates(scores.mean)
    lp = {arm: nomogram.linear_predictor(covariates, arm) for arm in TreatmentArm}
    risk = np.where(patients.treated, lp[TreatmentArm.ICT_CCRT], lp[TreatmentArm.CCRT])
    true_risk = np.array([patient.linear_predictor for patient in unseen.patients])
    true_dfs = np.array([patient.dfs_60 for patient in unseen.patients])
    return {
        "calibration_slope": float(fit_cox(risk[:, None], ("risk",), patients.days, patients.events).coefficients[0]),
        "c_index": harrell_concordance(risk, patients.days, patients.events).value,
        "oracle_c_index": harrell_concordance(true_risk, patients.days, patients.events).value,
        **against_truth(nomogram, covariates, score_error_of(scores), true_dfs[:, 1], true_dfs[:, 0]),
    }
