"""Cross-validation: the performance of a training on patients that no part of it has seen.

Patients are assigned to folds, events and arms evenly. For each fold networks and nomogram are trained on the other
folds and predict this one. Risks of different folds come from different models, so C-indices count pairs within folds.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray, IndexArray
from config.atomic_files import replacing
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.scores.scoring import Scores
from workers.survival.cohort import Cohort
from workers.survival.concordance import Concordance, harrell_concordance
from workers.training.batch_sampling import stratified_folds
from workers.training.loading import BatchLoader
from workers.training.model_evaluation import dfs_gain, linear_predictor
from workers.training.network_training import fit_training_nomogram, train_networks
from workers.training.patch_store import PatchStore
from workers.training.training_config import Progress, TrainingConfig
from workers.validation.survival_comparison import compare_arms_by_preference

FEWEST_FOLDS = 2
ARM_NAMES = (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for each patient by models that had not seen that patient.

    Attributes
    ----------
    cohort : Cohort
        The n patients that were assigned to folds.
    fold : int array, shape (n,)
        1 to K.
    scores : Scores
        Both scores, shape (n,) each.
    linear_predictor : array, shape (n,)
        Of the fold's nomogram under the treatment received; NaN where EBV DNA is unknown.
    benefit : array, shape (n,)
        DFS under ICT+CCRT minus that under CCRT at the decision horizon, by the fold's nomogram.
    seconds : float
        Duration of all trainings.
    horizon_months : int
        Of the benefit.
    """

    cohort: Cohort
    fold: IndexArray
    scores: Scores
    linear_predictor: FloatArray
    benefit: FloatArray
    seconds: float
    horizon_months: int = NASOPHARYNX.decision.horizon_months  # of the benefit

    def concordance(self, patients: BoolArray | None = None) -> Concordance:
        """Return Harrell's C-index of the linear predictor, by pairs within folds.

        Parameters
        ----------
        patients : bool array, shape (n,), optional
            Which patients; all by default. Those with unknown EBV DNA are left out.
        """
        used = ~np.isnan(self.linear_predictor) if patients is None else patients & ~np.isnan(self.linear_predictor)
        outcome = self.cohort.outcome("dfs")
        return harrell_concordance(
            self.linear_predictor[used], outcome.durations_days[used], outcome.event_observed[used], self.fold[used]
        )


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
    """Train once per fold on the patients of the other folds, and predict the fold.

    Parameters
    ----------
    cohort : Cohort
        All patients of the store.
    training : bool array, shape (n,)
        The patients to assign to folds.
    store : PatchStore
        Their patches.
    config : TrainingConfig
        Its seed also decides the folds; they depend on patients, seed and number of folds alone.
    n_folds : int
        2 to the number of events.
    work : Path
        The predictions of a finished fold are saved below it, so that a call after a kill resumes; checkpoints of a
        finished fold are deleted.
    nomogram : CoxNomogram or None
        Used for every fold; None: one is fitted in each, on its training patients.
    loader : BatchLoader
        Device and loader threads.
    progress : Progress
        Called after every epoch and check.
    indication : Indication
        Its decision horizon is that of the benefit.

    Returns
    -------
    OutOfFold
        Of the patients in `training`.

    Raises
    ------
    InputError
        Fewer events than folds, or a fold's nomogram cannot be fitted.
    """
    require_folds(cohort, training, n_folds)
    rows = np.flatnonzero(training)
    events, treated = cohort.outcome("dfs").event_observed[rows], cohort.treated[rows]
    # From the seed of the configuration: arms of an ablation with the same seed are compared on the same folds.
    fold = stratified_folds(events, treated, n_folds, np.random.default_rng(config.seed))
    names = ("prognostic", "predictive", "linear_predictor", "benefit")
    predictions = {name: np.full(len(rows), np.nan) for name in names}
    seconds = 0.0
    place = work / f"folds-{n_folds}-{nomogram.digest.removeprefix('sha256:')[:8] if nomogram else 'fitted'}"
    horizon = indication.decision.horizon_months
    if horizon != NASOPHARYNX.decision.horizon_months:  # the saved gain of a fold is that at one horizon
        place = place.with_name(f"{place.name}-{horizon}")
    for number in range(1, n_folds + 1):
        saved = place / f"fold-{number}.npz"
        if not saved.is_file():
            others = training.copy()
            others[rows[fold == number]] = False

            def fold_progress(stage: str, done: int, total: int, note: str, number: int = number) -> None:
                progress(f"fold {number}/{n_folds} {stage}", done, total, note)

            folder = place / f"fold-{number}"
            trained = train_networks(cohort, others, store, config, folder, loader, fold_progress)
            try:
                fitted = nomogram or fit_training_nomogram(
                    cohort, others, trained.scores, f"fold {number}", "out of fold", indication
                )
            except InputError as error:
                raise InputError(f"fold {number} of {n_folds}: {error}") from error
            _save_fold(saved, cohort, trained.scores, fitted, horizon, sum(trained.seconds.values()))
            shutil.rmtree(folder)  # the checkpoints of a finished fold are as large as a bundle
        inside = fold == number
        with np.load(saved, allow_pickle=False) as archive:
            for name, values in predictions.items():
                # A fold's file has predictions for the whole cohort; only those for the patients left out are read.
                values[inside] = archive[name][rows[inside]]
            seconds += float(archive["seconds"])
    scores = Scores(predictions["prognostic"], predictions["predictive"])
    return OutOfFold(
        cohort.where(training), fold, scores, predictions["linear_predictor"], predictions["benefit"], seconds, horizon
    )


def require_folds(cohort: Cohort, training: BoolArray, n_folds: int) -> None:
    """Check that every fold can have an event.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    training : bool array, shape (n,)
        The patients to assign to folds.
    n_folds : int
        Number of folds.

    Raises
    ------
    InputError
        Fewer than 2 folds, or more than events.
    """
    n_events = int(cohort.outcome("dfs").event_observed[training].sum())
    if n_folds < FEWEST_FOLDS or n_folds > n_events:
        raise InputError(
            f"{cohort.source}: expected {FEWEST_FOLDS} to {n_events} folds (each needs an event), found {n_folds}"
        )


def _save_fold(path: Path, cohort: Cohort, scores: Scores, nomogram: CoxNomogram, horizon: int, seconds: float) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:  # savez appends .npz to a path, not to a stream
        np.savez(
            stream,
            prognostic=scores.prognostic,
            predictive=scores.predictive,
            linear_predictor=linear_predictor(cohort, scores, nomogram),
            benefit=dfs_gain(cohort, scores, nomogram, horizon),
            seconds=np.array(seconds),
        )


def out_of_fold_metrics(predictions: OutOfFold) -> dict[str, Any]:
    """Return the manifest's entry: C-indices with intervals, and the treatment's effect by preferred regimen."""
    cohort, known = predictions.cohort, ~np.isnan(predictions.linear_predictor)
    groups = {"all": known, **{arm.value: cohort.treated == (arm is TreatmentArm.ICT_CCRT) for arm in ARM_NAMES}}
    c = {name: predictions.concordance(patients).to_json() for name, patients in groups.items()}
    # NaN gains (EBV DNA unknown) compare false and would count as CCRT-preferred; `dfs_gain` has none, since the sign
    # of the gain does not depend on EBV DNA.
    decision = compare_arms_by_preference(cohort.outcome("dfs"), cohort.treated, predictions.benefit, 0.0)
    return {
        **{name: None if value["value"] is None else round(value["value"], 4) for name, value in c.items()},
        "ci95": {name: value["ci95"] and [round(end, 4) for end in value["ci95"]] for name, value in c.items()},
        "n": int(known.sum()),
        "n_events": int(cohort.outcome("dfs").event_observed[known].sum()),
        "folds": int(predictions.fold.max()),
        "pairs": "within folds",
        "decision": {
            name: {key: value.to_json()[key] for key in ("n", "n_events", "hazard_ratio", "ci95", "p_log_rank")}
            for name, value in decision.items()
        },
        "seconds": round(predictions.seconds, 1),
    }


def write_out_of_fold(predictions: OutOfFold, path: Path) -> None:
    """Write the patients with their out-of-fold scores in place of any others, for ``cptdn nomogram evaluate``."""
    added = {
        "prognostic_score": predictions.scores.prognostic,
        "predictive_score": predictions.scores.predictive,
        "fold": predictions.fold,
        "out_of_fold_linear_predictor": predictions.linear_predictor,
        f"out_of_fold_dfs_difference_{predictions.horizon_months}": predictions.benefit,
    }
    texts = {name: column for name, column in predictions.cohort.texts.items() if name not in added}
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*texts, *added])
        for row in range(len(predictions.cohort)):
            numbers = ["" if np.isnan(column[row]) else f"{column[row]:.6g}" for column in added.values()]
            writer.writerow([*(column[row] for column in texts.values()), *numbers])
