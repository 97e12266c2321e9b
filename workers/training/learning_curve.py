"""The C-index of unseen patients by the size of the training part, which says whether more patients would help.

For each fold the multi-task network learns from a share of the patients outside it, on the features of the fold's
SE-ResNets, which learned from all patients outside it: the curve shows what more patients would bring to the signatures
and the nomogram, and flatters small shares, whose SE-ResNets would have been worse. The nomogram of a fold is fitted on
the out-of-fold scores of the same share of the other folds. All patients of the training are predicted at every share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from config.arrays import BoolArray, Float32Array, FloatArray, IndexArray
from config.errors import InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from workers.nomogram.model import CoxNomogram
from workers.scores.scoring import Scores, concatenated, score_many
from workers.survival.cohort import Cohort
from workers.survival.ridge import Penalty
from workers.training.batch_sampling import validation_split
from workers.training.cohort_outcomes import outcomes_from_columns
from workers.training.out_of_fold import load_scores, predict_out_of_fold, save_scores
from workers.training.score_training import CPU, train_scores
from workers.training.training_config import Progress, TrainingConfig

SHARES = (0.25, 0.5, 0.75, 1.0)
FEWEST_PATIENTS = 10  # fewer have no spread to standardise the features by
DIGITS = 4
NOTHING = {"value": None, "ci95": None}


def learning_curve(
    cohort: Cohort,
    fold: IndexArray,
    features: Sequence[Mapping[str, Float32Array]],
    out_of_fold: Scores,
    config: TrainingConfig,
    work: Path,
    *,
    nomogram: CoxNomogram | None = None,
    indication: Indication = NASOPHARYNX,
    penalty: Penalty = None,
    shares: Sequence[float] = SHARES,
    device: torch.device = CPU,
    progress: Progress = lambda stage, done, total, note: None,
) -> dict[str, Any]:
    """Return the unseen C-index by share of the training patients.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    fold : int array, shape (n,)
        1 to K; 0 for patients that are not in the training.
    features : sequence of mappings of str to float32, shape (n, c), length K
        Features of all patients by role, from the SE-ResNets of member k, which had not seen fold k.
    out_of_fold : Scores
        Shape (n,) each, by the members as they are: the curve's last point, which needs no training.
    config : TrainingConfig
        Its ``scores_*`` values; member k trains with its seed + k.
    work : Path
        Scores of finished trainings are saved below it, so that a call after a kill resumes.
    nomogram : CoxNomogram, optional
        Used for every fold; by default one is fitted for each.
    indication : Indication
        What the nomogram is fitted for.
    penalty : float, "auto" or None
        Of a ridge-penalised fit of the nomogram.
    shares : sequence of float
        In (0, 1], ascending. The patients of a share are in every greater one, and events and arms keep their parts.
    device : torch.device
        Where the multi-task networks train.
    progress : Progress
        Called after every training.

    Returns
    -------
    dict
        JSON: for each share (``25 %``) ``n`` and ``n_events`` (training patients of a fold, mean over the folds) and
        ``c_index`` with ``value`` and ``ci95``: Harrell's, by pairs within folds. Both are null where no nomogram can
        be fitted; ``reason`` says why.
    """
    training, n_folds = fold > 0, len(features)
    events = cohort.outcome("dfs").event_observed
    rank = nested_order(events, cohort.treated, training, config.seed)
    points: dict[str, Any] = {}
    for at, share in enumerate(shares):
        chosen = training & (rank < share)
        per_fold = [chosen & (fold != number) for number in range(1, n_folds + 1)]
        point: dict[str, Any] = {
            "n": round(float(np.mean([part.sum() for part in per_fold]))),
            "n_events": round(float(np.mean([(part & events).sum() for part in per_fold]))),
        }
        points[f"{100 * share:g} %"] = point
        if min(int(part.sum()) for part in per_fold) < FEWEST_PATIENTS:
            point |= {"c_index": NOTHING, "reason": f"fewer than {FEWEST_PATIENTS} patients to learn from"}
            continue
        scores = Scores(np.full(len(fold), np.nan), np.full(len(fold), np.nan)) if share < 1 else out_of_fold
        for number in range(1, n_folds + 1) if share < 1 else ():
            learned_from = np.flatnonzero(chosen & (fold != number))
            saved = work / "learning-curve" / f"share-{share:g}-fold-{number}.npz"
            own = _scores_of_share(cohort, features[number - 1], learned_from, config, number, saved, device)
            inside = fold == number
            scores.prognostic[inside], scores.predictive[inside] = own.prognostic[inside], own.predictive[inside]
            progress("learning curve", at * n_folds + number, len(shares) * n_folds, f"{100 * share:g} % of patients")
        point |= _unseen_c_index(cohort, fold, scores, chosen, nomogram, indication, penalty)
    return points


def nested_order(events: BoolArray, treated: BoolArray, training: BoolArray, seed: int) -> FloatArray:
    """Return for each training patient the share from which on the patient is among the chosen ones.

    Parameters
    ----------
    events, treated : bool array, shape (n,)
        Event, and ICT+CCRT.
    training : bool array, shape (n,)
        The patients to order.
    seed : int
        Of the order.

    Returns
    -------
    array, shape (n,)
        In [0, 1), evenly spaced within each event-by-arm group; NaN for the others.
    """
    rng = np.random.default_rng(seed)
    rank = np.full(len(events), np.nan)
    for event in (False, True):
        for arm in (False, True):
            group = np.flatnonzero(training & (events == event) & (treated == arm))
            rank[rng.permutation(group)] = (np.arange(len(group)) + 0.5) / max(len(group), 1)
    return rank


def _scores_of_share(
    cohort: Cohort,
    features: Mapping[str, Float32Array],
    learned_from: IndexArray,
    config: TrainingConfig,
    number: int,
    saved: Path,
    device: torch.device,
) -> Scores:
    if not saved.is_file():
        outcomes = outcomes_from_columns({name: list(column) for name, column in cohort.texts.items()})
        held = np.zeros(len(learned_from), dtype=bool)
        if config.stops_early:
            events = cohort.outcome("dfs").event_observed[learned_from]
            rng = np.random.default_rng(config.seed)
            held = validation_split(events, cohort.treated[learned_from], config.validation_share, rng)
        network = train_scores(
            concatenated(features),
            outcomes,
            learned_from[~held],
            learned_from[held],
            config.with_seed(config.seed + number),
            device=device,
        ).network
        save_scores(saved, score_many(features, network))
    return load_scores(saved)[0]


def _unseen_c_index(
    cohort: Cohort,
    fold: IndexArray,
    scores: Scores,
    chosen: BoolArray,
    nomogram: CoxNomogram | None,
    indication: Indication,
    penalty: Penalty,
) -> dict[str, Any]:
    try:
        unseen = predict_out_of_fold(cohort, fold, scores, nomogram, indication, penalty=penalty, fitted_on=chosen)
    except InputError as error:
        return {"c_index": NOTHING, "reason": str(error)}
    concordance = unseen.concordance()
    if np.isnan(concordance.value):
        return {"c_index": NOTHING, "reason": "no comparable pair of patients"}
    low, high = concordance.ci95
    ends = [round(max(low, 0.0), DIGITS), round(min(high, 1.0), DIGITS)]
    return {"c_index": {"value": round(concordance.value, DIGITS), "ci95": ends}}
