"""Scoring with the nomogram against lifelines' own prediction, in one run: `python -m tests.benchmarks.nomogram`.

Ours: both arms, 36 and 60 months, intervals and difference. lifelines: `predict_survival_function` called for each
patient and arm, without intervals, as a loop over patients would (measured on fewer patients, per patient).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter

from workers.nomogram.fitting import TrainingData, design_matrix, fit_nomogram
from workers.nomogram.model import PatientCovariates
from workers.nomogram.points import TERMS
from workers.training.cohort import read_cohort

COHORT = Path(__file__).parents[1] / "reference" / "statistics_cohort.csv"
ROUNDS = 5
LOOP = 100  # patients that lifelines scores in each round
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)


def patients(n: int) -> PatientCovariates:
    random = np.random.default_rng(n)
    above = random.integers(0, 2, n).astype(np.float64)
    return PatientCovariates(random.uniform(18, 70, n), above, random.uniform(-1, 1, n), random.uniform(-1, 1, n))


def seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def run() -> dict[str, Any]:
    """Medians of interleaved rounds: seconds by number of patients, and the ratio to lifelines' loop per patient."""
    cohort = read_cohort(COHORT)
    outcome = cohort.outcome("dfs")
    data = TrainingData(cohort.covariates(), cohort.treated, outcome.durations_days, outcome.event_observed)
    nomogram = fit_nomogram(data, name="benchmark", population="simulated").nomogram
    frame = pd.DataFrame(design_matrix(data), columns=list(TERMS))
    frame["days"], frame["event"] = outcome.durations_days, outcome.event_observed
    fitter = CoxPHFitter().fit(frame, "days", "event")
    asked = frame[list(TERMS)].head(LOOP)

    def loop() -> None:
        for at in range(len(asked)):
            for treated in (0.0, 1.0):
                row = asked.iloc[[at]].assign(treatment_ict=treated)
                row = row.assign(predictive_score_x_treatment_ict=row["predictive_score"] * treated)
                fitter.predict_survival_function(row, times=[1080, 1800])

    chosen = {n: patients(n) for n in SIZES}
    ours: dict[int, list[float]] = {n: [] for n in SIZES}
    theirs: list[float] = []
    for _ in range(ROUNDS):
        theirs.append(seconds(loop) / LOOP)
        for n, some in chosen.items():
            ours[n].append(seconds(lambda some=some: nomogram.score(some)))  # type: ignore[misc]
    medians = {n: median(values) for n, values in ours.items()}
    largest = SIZES[-1]
    return {
        "seconds_by_patients": {str(n): value for n, value in medians.items()},
        "spread_of_largest": [min(ours[largest]), max(ours[largest])],
        "lifelines_seconds_per_patient": median(theirs),
        "ratio_to_lifelines": median(theirs) / (medians[largest] / largest),
        "gates": {"1000000 patients within 2 s": medians[largest] <= 2.0},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=1) + "\n")
