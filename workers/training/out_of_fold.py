"""Predictions for each training patient by models that had not seen that patient, and their performance.

The nomogram is cross-fitted as the networks are: that of a fold was fitted on the out-of-fold scores of the other
folds. Scores of different folds come from different networks, so C-indices count pairs within folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray, IndexArray
from config.atomic_files import replacing
from config.errors import InputError
from config.indication.profile import Indication
from workers.nomogram.model import CoxNomogram
from workers.scores.scoring import Scores
from workers.survival.cohort import Cohort
from workers.survival.concordance import Concordance, harrell_concordance
from workers.survival.ridge import Penalty
from workers.training.model_evaluation import dfs_gain, linear_predictor, survival_as_treated
from workers.training.network_training import fit_training_nomogram
from workers.training.score_scale import fit_score_scale
from workers.validation.survival_comparison import compare_arms_by_preference
from workers.validation.unseen_performance import unseen_performance


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
    survival : mapping of int to array, shape (n,)
        DFS under the treatment received, by horizon in months; NaN where EBV DNA is unknown.
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
    survival: dict[int, FloatArray]
    benefit: FloatArray
    seconds: float
    horizon_months: int

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


def predict_out_of_fold(
    cohort: Cohort,
    fold: IndexArray,
    scores: Scores,
    nomogram: CoxNomogram | None,
    indication: Indication,
    seconds: float = 0.0,
    penalty: Penalty = None,
    fitted_on: BoolArray | None = None,
) -> OutOfFold:
    """Predict each training patient by a nomogram that had not seen that patient.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    fold : int array, shape (n,)
        1 to K; 0 for patients that are not in the training.
    scores : Scores
        Out of fold, shape (n,) each.
    nomogram : CoxNomogram or None
        Used for every fold, with the fold's scores on the scale that the other folds give (`fit_score_scale`); None:
        the nomogram of a fold is fitted on the out-of-fold scores of the other folds.
    indication : Indication
        Its horizons, and that of the benefit.
    seconds : float
        Duration of the trainings.
    penalty : float, "auto" or None
        Of a ridge-penalised fit of each fold's nomogram.
    fitted_on : bool array, shape (n,), optional
        Training patients that nomograms or scales are fitted on; all by default.

    Returns
    -------
    OutOfFold
        Of the patients in a fold.

    Raises
    ------
    InputError
        The nomogram of a fold cannot be fitted.
    """
    training = fold > 0
    learned_from = training if fitted_on is None else training & fitted_on
    horizon = indication.decision.horizon_months
    lp, benefit = np.full(len(fold), np.nan), np.full(len(fold), np.nan)
    survival = {month: np.full(len(fold), np.nan) for month in indication.horizons_months}
    used = Scores(scores.prognostic.copy(), scores.predictive.copy())
    for number in range(1, int(fold.max()) + 1):
        inside = fold == number
        others, own = learned_from & ~inside, scores.of(inside)
        try:
            if nomogram is not None:
                own = own.on_scale(fit_score_scale(cohort, others, scores, nomogram))
            fitted = nomogram or fit_training_nomogram(
                cohort, others, scores, f"fold {number}", "out of fold", indication, penalty
            )
        except InputError as error:
            raise InputError(f"fold {number} of {int(fold.max())}: {error}") from error
        patients = cohort.where(inside)
        used.prognostic[inside], used.predictive[inside] = own.prognostic, own.predictive
        lp[inside] = linear_predictor(patients, own, fitted)
        benefit[inside] = dfs_gain(patients, own, fitted, horizon)
        for month, values in survival_as_treated(patients, own, fitted, indication.horizons_months).items():
            survival[month][inside] = values
    return OutOfFold(
        cohort.where(training),
        fold[training],
        used.of(training),
        lp[training],
        {month: values[training] for month, values in survival.items()},
        benefit[training],
        seconds,
        horizon,
    )


def out_of_fold_metrics(predictions: OutOfFold) -> dict[str, Any]:
    """Return the manifest's entry: performance on unseen patients, and the treatment's effect by preferred regimen."""
    outcome, treated = predictions.cohort.outcome("dfs"), predictions.cohort.treated
    # NaN gains (EBV DNA unknown) compare false and would count as CCRT-preferred; `dfs_gain` has none, since the sign
    # of the gain does not depend on EBV DNA.
    decision = compare_arms_by_preference(outcome, treated, predictions.benefit, 0.0)
    return {
        **unseen_performance(
            predictions.linear_predictor,
            predictions.survival,
            outcome.durations_days,
            outcome.event_observed,
            treated,
            groups=predictions.fold,
            decision_month=predictions.horizon_months,
        ),
        "folds": int(predictions.fold.max()),
        "pairs": "within folds",
        "decision": {
            name: {key: value.to_json()[key] for key in ("n", "n_events", "hazard_ratio", "ci95", "p_log_rank")}
            for name, value in decision.items()
        },
    }


def save_scores(path: Path, scores: Scores, seconds: float = 0.0) -> None:
    """Write the scores of a finished training, whole or not at all; the folder is created if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as stream:  # savez appends .npz to a path, not to a stream
        np.savez(stream, prognostic=scores.prognostic, predictive=scores.predictive, seconds=np.array(seconds))


def load_scores(path: Path) -> tuple[Scores, float]:
    """Return the scores and seconds that `save_scores` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return Scores(archive["prognostic"], archive["predictive"]), float(archive["seconds"])
