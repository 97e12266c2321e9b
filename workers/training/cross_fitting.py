"""Cross-fitting: K members, each trained without one fold of the patients.

Every patient is scored by the member that had not seen that patient, and the nomogram is fitted on these out-of-fold
scores. Scores of patients that a network has learned from are too good, and a nomogram on them promises more than it
keeps: on 684 feature phantoms its calibration slope on unseen patients is 0.44 to 0.55.

References
----------
Chernozhukov et al., Econometrics Journal 2018;21:C1 (cross-fitting); Breiman, Mach Learn 1996;24:49 (stacked
regressions: the second stage learns from out-of-fold predictions).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from config.arrays import BoolArray, FloatArray, IndexArray
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from workers.nomogram.model import CoxNomogram
from workers.scores.score_scale import ScoreScale
from workers.scores.scoring import Scores
from workers.survival.cohort import Cohort
from workers.training.batch_sampling import stratified_folds
from workers.training.loading import BatchLoader
from workers.training.network_training import TrainedNetworks, train_networks
from workers.training.out_of_fold import OutOfFold, load_scores, predict_out_of_fold, save_scores
from workers.training.patch_store import PatchStore
from workers.training.training_config import Progress, TrainingConfig

FEWEST_FOLDS = 2


@dataclass(frozen=True)
class CrossFit:
    """The members of an ensemble and the folds that they did not see.

    Attributes
    ----------
    members : tuple of TrainedNetworks, length K
        Member k learned from all training patients outside fold k, on the grey scale of these patients.
    fold : int array, shape (n,)
        1 to K; 0 for patients that are not in the training.
    out_of_fold : Scores
        Shape (n,) each, by the member that had not seen the patient; NaN for patients that are not in the training.
    """

    members: tuple[TrainedNetworks, ...]
    fold: IndexArray
    out_of_fold: Scores

    @property
    def by_member(self) -> tuple[FloatArray, FloatArray]:
        """Prognostic-scores and Predictive-scores of all n patients by member, shape (K, n) each."""
        scores = [member.scores for member in self.members]
        return np.array([s.prognostic for s in scores]), np.array([s.predictive for s in scores])

    @property
    def ensemble(self) -> Scores:
        """Mean of the members' scores, as a report has it; seen for patients of the training."""
        prognostic, predictive = self.by_member
        return Scores(prognostic.mean(axis=0), predictive.mean(axis=0))

    def on_scale(self, scale: ScoreScale) -> CrossFit:
        """Return the members with networks and scores on another scale."""
        members = tuple(
            replace(member, score_network=member.score_network.on_scale(scale), scores=member.scores.on_scale(scale))
            for member in self.members
        )
        return CrossFit(members, self.fold, self.out_of_fold.on_scale(scale))

    @property
    def seconds(self) -> dict[str, float]:
        """Duration of each part, summed over the members."""
        return {name: sum(member.seconds[name] for member in self.members) for name in self.members[0].seconds}


def assign_folds(cohort: Cohort, training: BoolArray, n_folds: int, seed: int) -> IndexArray:
    """Assign the training patients to folds, events and arms evenly.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    training : bool array, shape (n,)
        The patients to assign.
    n_folds : int
        2 to the number of events.
    seed : int
        Folds depend on patients, seed and number alone, so that arms of an ablation are compared on the same folds.

    Returns
    -------
    int array, shape (n,)
        1 to K; 0 for the others.

    Raises
    ------
    InputError
        Fewer than 2 folds, or more than events.
    """
    require_folds(cohort, training, n_folds)
    rows = np.flatnonzero(training)
    events, treated = cohort.outcome("dfs").event_observed[rows], cohort.treated[rows]
    fold = np.zeros(len(training), dtype=np.intp)
    fold[rows] = stratified_folds(events, treated, n_folds, np.random.default_rng(seed))
    return fold


def require_folds(cohort: Cohort, training: BoolArray, n_folds: int) -> None:
    """Refuse fewer folds than 2, or more than there are events: InputError."""
    n_events = int(cohort.outcome("dfs").event_observed[training].sum())
    if n_folds < FEWEST_FOLDS or n_folds > n_events:
        raise InputError(
            f"{cohort.source}: expected {FEWEST_FOLDS} to {n_events} folds (each needs an event), found {n_folds}"
        )


def cross_fit(
    cohort: Cohort,
    training: BoolArray,
    store: PatchStore,
    config: TrainingConfig,
    n_folds: int,
    work: Path,
    loader: BatchLoader,
    progress: Progress,
) -> CrossFit:
    """Train a member for each fold on the patients of the other folds.

    Parameters
    ----------
    cohort : Cohort
        All n patients of the store.
    training : bool array, shape (n,)
        The patients to learn from.
    store : PatchStore
        Their patches.
    config : TrainingConfig
        Its seed also decides the folds.
    n_folds : int
        2 to the number of events.
    work : Path
        Checkpoints of each member in a folder below it; a call after a kill resumes.
    loader : BatchLoader
        Device and loader threads.
    progress : Progress
        Called after every epoch and check.

    Returns
    -------
    CrossFit
        With the networks of all members.

    Raises
    ------
    InputError
        Fewer events than folds.
    """
    fold = assign_folds(cohort, training, n_folds, config.seed)
    members = []
    scores = Scores(np.full(len(fold), np.nan), np.full(len(fold), np.nan))
    for number in range(1, n_folds + 1):
        member = _train_member(cohort, training, fold, number, store, config, work, loader, progress)
        _take_over(scores, member.scores, fold == number)
        members.append(member)
    return CrossFit(tuple(members), fold, scores)


def _train_member(
    cohort: Cohort,
    training: BoolArray,
    fold: IndexArray,
    number: int,
    store: PatchStore,
    config: TrainingConfig,
    work: Path,
    loader: BatchLoader,
    progress: Progress,
) -> TrainedNetworks:
    title = f"member {number}/{int(fold.max())}"

    def member_progress(stage: str, done: int, total: int, note: str) -> None:
        progress(f"{title} {stage}", done, total, note)

    # Other first weights and batches for each member: their spread then contains the chance of both.
    own = config.with_seed(config.seed + number)
    learned_from = training & (fold != number)
    store = store.on_scale_of(cohort.where(learned_from).patient_ids)
    folder = work / f"member-{number}"
    return train_networks(cohort, learned_from, store, own, folder, loader, member_progress, watched=fold == number)


def _take_over(into: Scores, scores: Scores, patients: BoolArray) -> None:
    into.prognostic[patients] = scores.prognostic[patients]
    into.predictive[patients] = scores.predictive[patients]


def cross_validate(
    cohort: Cohort,
    training: BoolArray,
    store: PatchStore,
    config: TrainingConfig,
    n_folds: int,
    work: Path,
    nomogram: CoxNomogram | None,
    loader: BatchLoader,
    progress: Progress,
    indication: Indication = NASOPHARYNX,
) -> OutOfFold:
    """Return the out-of-fold predictions of `cross_fit` without keeping its networks, for the comparison of choices.

    Parameters
    ----------
    cohort, training, store, config, n_folds, work, loader, progress
        As of `cross_fit`. The scores of a finished member are saved, its checkpoints are deleted.
    nomogram, indication
        As of `predict_out_of_fold`.

    Returns
    -------
    OutOfFold
        Of the patients in `training`.

    Raises
    ------
    InputError
        Fewer events than folds, or a fold's nomogram cannot be fitted.
    """
    fold = assign_folds(cohort, training, n_folds, config.seed)
    scores = Scores(np.full(len(fold), np.nan), np.full(len(fold), np.nan))
    seconds = 0.0
    for number in range(1, n_folds + 1):
        saved = work / f"scores-{n_folds}-{number}.npz"
        if not saved.is_file():
            folder = work / f"folds-{n_folds}"
            trained = _train_member(cohort, training, fold, number, store, config, folder, loader, progress)
            save_scores(saved, trained.scores, sum(trained.seconds.values()))
            shutil.rmtree(folder / f"member-{number}")  # the checkpoints are as large as a bundle
        # A member has scored the whole cohort; only the patients it had not seen are read.
        member_scores, member_seconds = load_scores(saved)
        _take_over(scores, member_scores, fold == number)
        seconds += member_seconds
    return predict_out_of_fold(cohort, fold, scores, nomogram, indication, seconds)
