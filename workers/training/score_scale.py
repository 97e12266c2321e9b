"""Scores on the scale of a nomogram that is given, not fitted: ``cptdn train --nomogram``.

The networks learn the order of risks by partial likelihoods, which say nothing about the zero and the unit of a score.
With a nomogram of other scores, its survival would be off: of an ensemble on 1,200 phantoms under the published
nomogram by 13 percentage points on average. Zero and unit are those under which the nomogram, baseline included, gives
the observed events the largest likelihood.

References
----------
Crowson, Atkinson and Therneau, Stat Methods Med Res 2016;25:1692 (events as Poisson counts with the predicted
cumulative hazard as their mean).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from config.arrays import BoolArray, FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from workers.nomogram.model import CoxNomogram
from workers.scores.score_scale import LinearScale, ScoreScale
from workers.scores.scoring import Scores
from workers.survival.cohort import EBV, Cohort
from workers.training.model_evaluation import linear_predictor

FEWEST_EVENTS = 10  # fewer say nothing about four numbers
INTERCEPTS = (-1.5, 1.5)  # tanh reaches 0.9 there
LOG_SLOPES = (float(np.log(0.05)), float(np.log(20.0)))


def fit_score_scale(cohort: Cohort, patients: BoolArray, scores: Scores, nomogram: CoxNomogram) -> ScoreScale:
    """Fit zero and unit of both scores to a nomogram.

    Parameters
    ----------
    cohort : Cohort
        n patients; those with unknown EBV DNA are left out.
    patients : bool array, shape (n,)
        Whose outcomes are used, up to the follow-up of the nomogram's cohort.
    scores : Scores
        Of n patients, by networks that had not seen `patients`.
    nomogram : CoxNomogram
        With its baseline.

    Returns
    -------
    ScoreScale
        Of the largest likelihood, with intercepts from -1.5 to 1.5 and slopes from 0.05 to 20. The scores as they are
        where there are fewer than 10 events.
    """
    used = patients & ~np.isnan(cohort.column(EBV))
    chosen, own = cohort.where(used), scores.of(used)
    outcome = chosen.outcome("dfs")
    last_day = nomogram.follow_up_days
    days = np.clip(outcome.durations_days, 1.0, last_day)
    event = outcome.event_observed & (outcome.durations_days <= last_day)
    if int(event.sum()) < FEWEST_EVENTS:
        return ScoreScale()
    hazard = nomogram.baseline_hazard((days / DAYS_PER_MONTH).tolist())

    def minus_log_likelihood(parameters: FloatArray) -> float:
        lp = linear_predictor(chosen, own.on_scale(_scale(parameters)), nomogram)
        return float(np.sum(hazard * np.exp(lp)) - np.sum(lp[event])) / len(lp)

    found = minimize(minus_log_likelihood, np.zeros(4), method="L-BFGS-B", bounds=[INTERCEPTS, LOG_SLOPES] * 2)
    return _scale(found.x)


def _scale(parameters: FloatArray) -> ScoreScale:
    intercepts, slopes = parameters[::2], np.exp(parameters[1::2])
    prognostic, predictive = (
        LinearScale(float(intercept), float(slope)) for intercept, slope in zip(intercepts, slopes, strict=True)
    )
    return ScoreScale(prognostic, predictive)
