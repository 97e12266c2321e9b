"""Scoring with the nomogram against lifelines' own prediction.

Ours: both arms, 36 and 60 months, intervals and difference. lifelines: `predict_survival_function` called for each
patient and arm, without intervals, as a loop over patients would (measured on fewer patients, per patient). The table
that `cptdn nomogram score --batch` reads and writes is measured beside it.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter

from config.indication.vocabulary import EbvCategory
from tests.benchmarks.measuring import Options, Result, interleaved, seconds, timed
from workers.nomogram.batch import PatientTable, read_patients, score_patients, write_table
from workers.nomogram.fitting import TrainingData, design_matrix, fit_nomogram
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import TERMS
from workers.survival.cohort import read_cohort
from workers.survival.covariates import PatientCovariates

COHORT = Path(__file__).parents[1] / "reference" / "statistics_cohort.csv"
ROUNDS = 7
LOOP = 60  # patients that lifelines scores in each round
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
OPTIONS: dict[str, Any] = {"horizons_months": (36.0, 60.0), "threshold": 0.0, "decision_horizon": 60.0}


def patients(n: int) -> PatientCovariates:
    random = np.random.default_rng(n)
    above = random.integers(0, 2, n).astype(np.float64)
    return PatientCovariates(random.uniform(18, 70, n), above, random.uniform(-1, 1, n), random.uniform(-1, 1, n))


def run(options: Options) -> Result:
    """Seconds by number of patients, and the ratio to lifelines' loop per patient."""
    result = Result("nomogram")
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
    contestants = {"lifelines": timed(loop)}
    contestants |= {str(n): timed(lambda some=some: nomogram.score(some, **OPTIONS)) for n, some in chosen.items()}  # type: ignore[misc]
    found = interleaved(contestants, options.rounds(ROUNDS))
    theirs = [took / LOOP for took in found["lifelines"]]
    for n in SIZES:
        result.curve.setdefault("seconds by number of patients", {})[str(n)] = round(median(found[str(n)]), 6)
    largest = SIZES[-1]
    million = result.figure("ours: 1,000,000 patients", found[str(largest)], "s")
    result.figure("lifelines' loop: one patient", [took * 1e3 for took in theirs], "ms")
    faster = result.ratio("lifelines' loop / ours, per patient", theirs, [s / largest for s in found[str(largest)]])
    result.at_most("1,000,000 patients, both arms, two horizons with intervals, s", million, 2.0)
    result.at_least("lifelines' loop / ours, per patient", faster, 1000.0)
    _table(nomogram, 10_000 if options.quick else 100_000, result)
    return result


def _table(nomogram: CoxNomogram, n: int, result: Result) -> None:
    """The same through CSV files."""
    some = patients(n)
    with TemporaryDirectory() as temporary:
        given, answer = Path(temporary) / "in.csv", Path(temporary) / "out.csv"
        columns = {
            "patient_id": [f"P{at}" for at in range(n)], "age_years": some.age_years.tolist(),
            "ebv_dna_gt_4000": [str(int(one)) for one in some.ebv_dna_gt_threshold],
            "prognostic_score": some.prognostic_score.tolist(), "predictive_score": some.predictive_score.tolist(),
        }  # fmt: skip
        write_table(given, columns)
        table: list[PatientTable] = []
        answers: list[Any] = []
        reading = seconds(lambda: table.append(read_patients(given, EbvCategory)))
        scoring = seconds(lambda: answers.append(score_patients(nomogram, table[0], **OPTIONS)))
        writing = seconds(lambda: write_table(answer, answers[0]))
    for name, took in (("reading", reading), ("scoring", scoring), ("writing", writing)):
        result.figure(f"ours: {name} a table of {n} patients", [took], "s")
