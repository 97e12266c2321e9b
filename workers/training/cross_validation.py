"""Cross-validation: what a training is worth on patients that no part of it has seen.

Patients are dealt into folds, events and arms evenly. For each fold networks and nomogram are trained on the others and
asked about the fold. Risks of different folds come from different models, so C-indices count pairs within folds.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray, IndexArray
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
from workers.training.sequence_training import Progress
from workers.training.training_config import TrainingConfig
from workers.validation.survival_comparison import compare_arms_by_preference

FEWEST_FOLDS = 2
ARM_NAMES = (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)


@dataclass(frozen=True)
class OutOfFold:
    """What each patient was told by models that had not seen that patient.

    cohort : the n patients that were dealt into folds. fold : (n,) 1..K. scores : (n,) each. linear_predictor : (n,)
    under the treatment received, NaN where EBV DNA is unknown; benefit : (n,) DFS under ICT+CCRT minus that under CCRT
    at the decision horizon; both by the fold's nomogram. seconds : of all trainings.
    """

    cohort: Cohort
    fold: IndexArray
    scores: Scores
    linear_predictor: FloatArray
    benefit: FloatArray
    seconds: float
    horizon_months: int = NASOPHARYNX.decision.horizon_months  # of the benefit

    def concordance(self, patients: BoolArray | None = None) -> Concordance:
        """Harrell's C-index of the linear predictor, by pairs within folds; patients : (n,) of whom; None: all."""
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
    """Train once a fold on the patients `training` (n,) of the others, and score the fold.

    nomogram : kept for every fold; None: one is fitted in each, on the patients its networks learned from.
    work : what a finished fold said stays below, so a call after a kill goes on where it stood; its checkpoints go.
    The folds depend on the patients, the seed and the number of folds alone.
    Raises InputError where there are fewer events than folds, or a fold's nomogram cannot be fitted.
    """
    rows = np.flatnonzero(training)
    events, treated = cohort.outcome("dfs").event_observed[rows], cohort.treated[rows]
    _check(cohort, n_folds, int(events.sum()))
    fold = stratified_folds(events, treated, n_folds, np.random.default_rng(config.seed))
    found = {name: np.full(len(rows), np.nan) for name in ("prognostic", "predictive", "linear_predictor", "benefit")}
    seconds = 0.0
    place = work / f"folds-{n_folds}-{nomogram.digest.removeprefix('sha256:')[:8] if nomogram else 'fitted'}"
    horizon = indication.decision.horizon_months
    if horizon != NASOPHARYNX.decision.horizon_months:  # what a fold left is of one horizon
        place = place.with_name(f"{place.name}-{horizon}")
    for number in range(1, n_folds + 1):
        said = place / f"fold-{number}.npz"
        if not said.is_file():
            others = training.copy()
            others[rows[fold == number]] = False

            def tell(stage: str, done: int, total: int, note: str, number: int = number) -> None:
                progress(f"fold {number}/{n_folds} {stage}", done, total, note)

            folder = place / f"fold-{number}"
            learned = train_networks(cohort, others, store, config, folder, loader, tell)
            try:
                fitted = nomogram or fit_training_nomogram(
                    cohort, others, learned.scores, f"fold {number}", "out of fold", indication
                )
            except InputError as error:
                raise InputError(f"fold {number} of {n_folds}: {error}") from error
            _keep(said, cohort, learned.scores, fitted, horizon, sum(learned.seconds.values()))
            shutil.rmtree(folder)
        inside = fold == number
        with np.load(said, allow_pickle=False) as kept:
            for name, values in found.items():
                values[inside] = kept[name][rows[inside]]
            seconds += float(kept["seconds"])
    scores = Scores(found["prognostic"], found["predictive"])
    return OutOfFold(
        cohort.where(training), fold, scores, found["linear_predictor"], found["benefit"], seconds, horizon
    )


def _check(cohort: Cohort, n_folds: int, n_events: int) -> None:
    if n_folds < FEWEST_FOLDS or n_folds > n_events:
        raise InputError(
            f"{cohort.source}: expected {FEWEST_FOLDS} to {n_events} folds (each needs an event), found {n_folds}"
        )


def _keep(path: Path, cohort: Cohort, scores: Scores, nomogram: CoxNomogram, horizon: int, seconds: float) -> None:
    aside = path.with_suffix(".part")
    with aside.open("wb") as stream:
        np.savez(
            stream,
            prognostic=scores.prognostic,
            predictive=scores.predictive,
            linear_predictor=linear_predictor(cohort, scores, nomogram),
            benefit=dfs_gain(cohort, scores, nomogram, horizon),
            seconds=np.array(seconds),
        )
    aside.replace(path)


def out_of_fold_metrics(found: OutOfFold) -> dict[str, Any]:
    """For a manifest: C-indices with intervals, and the treatment's effect among those preferred for each regimen."""
    cohort, known = found.cohort, ~np.isnan(found.linear_predictor)
    groups = {"all": known, **{arm.value: cohort.treated == (arm is TreatmentArm.ICT_CCRT) for arm in ARM_NAMES}}
    c = {name: found.concordance(patients).to_json() for name, patients in groups.items()}
    decision = compare_arms_by_preference(cohort.outcome("dfs"), cohort.treated, found.benefit, 0.0)
    return {
        **{name: None if one["value"] is None else round(one["value"], 4) for name, one in c.items()},
        "ci95": {name: one["ci95"] and [round(end, 4) for end in one["ci95"]] for name, one in c.items()},
        "n": int(known.sum()),
        "n_events": int(cohort.outcome("dfs").event_observed[known].sum()),
        "folds": int(found.fold.max()),
        "pairs": "within folds",
        "decision": {
            name: {key: one.to_json()[key] for key in ("n", "n_events", "hazard_ratio", "ci95", "p_log_rank")}
            for name, one in decision.items()
        },
        "seconds": round(found.seconds, 1),
    }


def write_out_of_fold(found: OutOfFold, path: Path) -> None:
    """The patients with their out-of-fold scores in place of any others, for `cptdn nomogram evaluate`."""
    added = {
        "prognostic_score": found.scores.prognostic,
        "predictive_score": found.scores.predictive,
        "fold": found.fold,
        "out_of_fold_linear_predictor": found.linear_predictor,
        f"out_of_fold_dfs_difference_{found.horizon_months}": found.benefit,
    }
    texts = {name: column for name, column in found.cohort.texts.items() if name not in added}
    aside = path.with_suffix(".part")
    with aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*texts, *added])
        for row in range(len(found.cohort)):
            numbers = ["" if np.isnan(column[row]) else f"{column[row]:.6g}" for column in added.values()]
            writer.writerow([*(column[row] for column in texts.values()), *numbers])
    aside.replace(path)
