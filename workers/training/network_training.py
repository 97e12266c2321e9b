"""Learning from patches: three SE-ResNets, the multi-task network on their features, and the CPTDN on its scores.

Source: Zhong et al., EBioMedicine 2021;70:103522, sections 2.3 and 2.4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.arrays import Float32Array
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.indication.vocabulary import SeriesRole
from workers.bundles.bundle import SCORES, WEIGHTS, load_weights, save_weights, sha256_of
from workers.features.se_resnet import SequenceNetwork
from workers.nomogram.fitting import TrainingData, fit_nomogram
from workers.nomogram.model import CoxNomogram
from workers.scores.multitask_network import MultitaskNetwork
from workers.scores.scoring import Scores, concatenated, score_many
from workers.survival.cohort import EBV, Cohort
from workers.survival.covariates import PatientCovariates
from workers.training.batch_sampling import validation_split
from workers.training.cohort_outcomes import OUTCOME_ENDPOINTS, outcomes_from_columns
from workers.training.loading import BatchLoader
from workers.training.patch_store import PatchStore
from workers.training.score_training import ScoreTraining, train_scores
from workers.training.sequence_training import Progress, cohort_features, train_sequence
from workers.training.training_config import TrainingConfig

TRANSFER_SOURCE = SeriesRole.CE_T1W  # the networks of the other two sequences may start from this one
TRAINING_ORDER = (
    TRANSFER_SOURCE.value,
    *(role.value for role in NASOPHARYNX.series_roles if role is not TRANSFER_SOURCE),
)


@dataclass(frozen=True)
class TrainedNetworks:
    """What a run leaves before it is packed."""

    networks: Mapping[str, SequenceNetwork]
    score_network: MultitaskNetwork
    features: Mapping[str, Float32Array]
    scores: Scores
    seconds: Mapping[str, float]
    history: Mapping[str, Any] = field(default_factory=dict)


def claim_work_folder(work: Path, config: TrainingConfig, cohort_file: Path) -> None:
    """Claim a working folder for one config on one cohort: resuming another one would mix two trainings.

    Raises InputError naming what differs from the training that the folder holds.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / "recipe.json"
    wanted = json.loads(json.dumps({**config.to_json(), "cohort_sha256": sha256_of(cohort_file)}))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in wanted if found.get(name) != wanted[name]]
        if changed:
            raise InputError(
                f"{work} holds a training with {changed[0]} = {found.get(changed[0])!r}, expected "
                f"{wanted[changed[0]]!r}: choose another working folder, or remove this one"
            )
    path.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def train_networks(
    cohort: Cohort,
    training: NDArray[np.bool_],
    store: PatchStore,
    config: TrainingConfig,
    work: Path,
    loader: BatchLoader,
    progress: Progress,
) -> TrainedNetworks:
    """The three SE-ResNets, then the multi-task network; weights are rounded as the bundle keeps them.

    training : (n,) whom to learn from; features and scores are those of everybody. work : checkpoints, so that a call
    after a kill goes on where it stood.
    """
    outcomes = outcomes_from_columns({name: list(column) for name, column in cohort.texts.items()})
    events = outcomes.event_observed[:, OUTCOME_ENDPOINTS.index(NASOPHARYNX.primary_endpoint)].numpy()
    rows = np.flatnonzero(training)
    held = validation_split(
        events[rows], cohort.treated[rows], config.validation_share, np.random.default_rng(config.seed)
    )
    inside, outside = rows[~held], rows[held]
    networks, features, seconds, history = {}, {}, {}, {}
    first: SequenceNetwork | None = None
    for role in TRAINING_ORDER:
        run = train_sequence(
            store, role, outcomes, inside, outside, config, work / WEIGHTS[role], loader, first, progress
        )
        first = first or (deepcopy(run.network) if config.transfer else None)
        networks[role] = _rounded(run.network, work / f"rounded-{WEIGHTS[role]}")
        features[role] = _kept_features(store, role, networks[role], loader, work)
        seconds[role], history[role] = run.seconds, run.history
    trained = train_scores(concatenated(features), outcomes, inside, outside, config, work / SCORES, progress)
    score_network = _rounded(trained.network, work / f"rounded-{SCORES}")
    seconds["scores"], history["scores"] = trained.seconds, _thinned(trained)
    return TrainedNetworks(networks, score_network, features, score_many(features, score_network), seconds, history)


def _thinned(run: ScoreTraining) -> list[dict[str, float]]:
    return run.history[:: max(1, len(run.history) // 20)]


def _rounded(network: Any, path: Path) -> Any:
    """The network with its weights as a bundle keeps them, so that what is measured is what is shipped."""
    save_weights(network, path)
    load_weights(network, path)
    return network


def _kept_features(
    store: PatchStore, role: str, network: SequenceNetwork, loader: BatchLoader, work: Path
) -> Float32Array:
    path = work / f"features-{role}.npy"
    if path.is_file():
        found: Float32Array = np.load(path, allow_pickle=False)
        return found
    features = cohort_features(store, role, network, loader)
    aside = path.with_suffix(".part.npy")
    np.save(aside, features, allow_pickle=False)
    aside.replace(path)
    return features


def fit_training_nomogram(
    cohort: Cohort,
    training: NDArray[np.bool_],
    scores: Scores,
    name: str,
    population: str,
    indication: Indication = NASOPHARYNX,
) -> CoxNomogram:
    """The CPTDN on the training patients (n,) whose EBV DNA is known. Raises SeparationError, InputError."""
    ebv = cohort.column(EBV)
    used = training & ~np.isnan(ebv)
    outcome = cohort.outcome("dfs")
    covariates = PatientCovariates(
        cohort.column("age_years")[used], ebv[used], scores.prognostic[used], scores.predictive[used]
    )
    data = TrainingData(covariates, cohort.treated[used], outcome.durations_days[used], outcome.event_observed[used])
    return fit_nomogram(data, name=name, population=population, indication=indication).nomogram
