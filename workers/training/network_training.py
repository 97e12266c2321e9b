"""Networks from patches: three SE-ResNets, the multi-task network on their features, and a CPTDN on its scores.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.3 and 2.4.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.arrays import BoolArray, Float32Array
from config.atomic_files import replacing, write_atomically
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.indication.vocabulary import SeriesRole
from workers.bundles.bundle_files import SCORES, WEIGHTS, load_weights, save_weights, sha256_of
from workers.features.se_resnet import SequenceNetwork
from workers.nomogram.fitting import TrainingData, fit_nomogram
from workers.nomogram.model import CoxNomogram
from workers.scores.multitask_network import MultitaskNetwork
from workers.scores.scoring import Scores, concatenated, score_many
from workers.survival.cohort import EBV, Cohort
from workers.survival.covariates import PatientCovariates
from workers.survival.ridge import Penalty
from workers.training.batch_sampling import validation_split
from workers.training.cohort_outcomes import OUTCOME_ENDPOINTS, outcomes_from_columns
from workers.training.loading import BatchLoader
from workers.training.patch_store import PatchStore
from workers.training.precision import RECIPE
from workers.training.score_training import ScoreTraining, train_scores
from workers.training.sequence_training import cohort_features, train_sequence
from workers.training.training_config import Progress, TrainingConfig

TRANSFER_SOURCE = SeriesRole.CE_T1W  # the networks of the other two sequences may start from this one
TRAINING_ORDER = (
    TRANSFER_SOURCE.value,
    *(role.value for role in NASOPHARYNX.series_roles if role is not TRANSFER_SOURCE),
)


@dataclass(frozen=True)
class TrainedNetworks:
    """The result of a training before it is packed as a bundle.

    Attributes
    ----------
    networks : mapping of str to SequenceNetwork
        By role.
    score_network : MultitaskNetwork
        On the concatenated features.
    features : mapping of str to array, shape (n, c)
        Deep features of all n patients of the cohort, by role.
    scores : Scores
        Of all patients.
    seconds : mapping of str to float
        Duration of each part.
    history : mapping of str to list
        Loss and validation C-index by epoch or check.
    """

    networks: Mapping[str, SequenceNetwork]
    score_network: MultitaskNetwork
    features: Mapping[str, Float32Array]
    scores: Scores
    seconds: Mapping[str, float]
    history: Mapping[str, Any] = field(default_factory=dict)


def claim_work_folder(
    work: Path,
    config: TrainingConfig,
    cohort_file: Path,
    n_folds: int | None = None,
    without: Collection[str] = (),
) -> None:
    """Claim a working folder for one configuration on one cohort table.

    Resuming the training of another one would mix the two.

    Parameters
    ----------
    work : Path
        Created if necessary.
    config : TrainingConfig
        Its values are written into the folder.
    cohort_file : Path
        Its SHA-256 is written into the folder.
    n_folds : int, optional
        Number of members, where they decide the content of the folder.
    without : collection of str
        Patients of the table that are left out.

    Raises
    ------
    InputError
        The folder contains another training; names the first difference.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / RECIPE
    # Through JSON and back, so that tuples compare equal to the lists of the file.
    requested = json.loads(
        json.dumps(
            {
                **config.to_json(),
                "cohort_sha256": sha256_of(cohort_file),
                "members": n_folds,
                "left_out": sorted(without),
            }
        )
    )
    if path.is_file():
        present = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in requested if present.get(name) != requested[name]]
        # A resumed run with other settings would mix two trainings in one bundle.
        if changed:
            raise InputError(
                f"{work} contains a training with {changed[0]} = {present.get(changed[0])!r}, expected "
                f"{requested[changed[0]]!r}: choose another working folder, or remove this one"
            )
    write_atomically(path, json.dumps(requested, indent=1))


def train_networks(
    cohort: Cohort,
    training: NDArray[np.bool_],
    store: PatchStore,
    config: TrainingConfig,
    work: Path,
    loader: BatchLoader,
    progress: Progress,
    watched: BoolArray | None = None,
) -> TrainedNetworks:
    """Train the three SE-ResNets, then the multi-task network.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    training : bool array, shape (n,)
        The patients to learn from; features and scores are returned for all.
    store : PatchStore
        Patches of all patients.
    config : TrainingConfig
        What to train.
    work : Path
        Folder of the checkpoints, so that a call after a kill resumes.
    loader : BatchLoader
        Device and loader threads.
    progress : Progress
        Called after every epoch and check.
    watched : bool array, shape (n,), optional
        Patients outside the training whose C-index the history shows; nothing is decided by it. With early stopping a
        part of the training patients is held back and watched instead.

    Returns
    -------
    TrainedNetworks
        With weights rounded to the precision of a bundle.
    """
    outcomes = outcomes_from_columns({name: list(column) for name, column in cohort.texts.items()})
    events = outcomes.event_observed[:, OUTCOME_ENDPOINTS.index(NASOPHARYNX.primary_endpoint)].numpy()
    rows = np.flatnonzero(training)
    inside, outside = rows, np.flatnonzero(watched) if watched is not None else rows[:0]
    if config.stops_early:
        # Patients that decide when to stop are seen by the networks; those of a fold must not be.
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
        # A copy: the network itself is rounded to the precision of a bundle below.
        first = first or (deepcopy(run.network) if config.transfer else None)
        networks[role] = _rounded(run.network, work / f"rounded-{WEIGHTS[role]}")
        features[role] = _cached_features(store, role, networks[role], loader, work)
        seconds[role], history[role] = run.seconds, run.history
    trained = train_scores(
        concatenated(features), outcomes, inside, outside, config, work / SCORES, progress, loader.device
    )
    # float16 matrices are shipped: scores, nomogram and metrics are computed with the weights that a site will load.
    score_network = _rounded(trained.network, work / f"rounded-{SCORES}")
    seconds["scores"], history["scores"] = trained.seconds, _thinned(trained)
    scores = score_many(features, score_network)
    return TrainedNetworks(networks, score_network, features, scores, seconds, history)


def _thinned(run: ScoreTraining) -> list[dict[str, float]]:
    # The manifest is text that people read; a few dozen points show the course.
    return run.history[:: max(1, len(run.history) // 20)]


def _rounded(network: Any, path: Path) -> Any:
    """Return the network with its weights as a bundle stores them, so that the shipped weights are measured."""
    save_weights(network, path)
    load_weights(network, path)
    return network


def _cached_features(
    store: PatchStore, role: str, network: SequenceNetwork, loader: BatchLoader, work: Path
) -> Float32Array:
    path = work / f"features-{role}.npy"
    if path.is_file():
        saved: Float32Array = np.load(path, allow_pickle=False)
        return saved
    features = cohort_features(store, role, network, loader)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    return features


def fit_training_nomogram(
    cohort: Cohort,
    training: NDArray[np.bool_],
    scores: Scores,
    name: str,
    population: str,
    indication: Indication = NASOPHARYNX,
    penalty: Penalty = None,
) -> CoxNomogram:
    """Fit the CPTDN on the training patients whose EBV DNA is known.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    training : bool array, shape (n,)
        The patients to fit.
    scores : Scores
        Shape (n,) each.
    name, population : str
        Shown in reports.
    indication : Indication
        What the nomogram is fitted for.
    penalty : float, "auto" or None
        Of a ridge-penalised fit.

    Raises
    ------
    InputError
        No event, constant column or short follow-up; SeparationError where the likelihood has no maximum.
    """
    ebv = cohort.column(EBV)
    # Complete cases for the fit; patients without EBV DNA still trained the networks, which do not read it.
    used = training & ~np.isnan(ebv)
    outcome = cohort.outcome("dfs")
    covariates = PatientCovariates(
        cohort.column("age_years")[used], ebv[used], scores.prognostic[used], scores.predictive[used]
    )
    data = TrainingData(covariates, cohort.treated[used], outcome.durations_days[used], outcome.event_observed[used])
    return fit_nomogram(data, name=name, population=population, indication=indication, penalty=penalty).nomogram
