"""R's answers about benefit, restricted means, AUC and optimism (`benefit.R`) beside ours, to 1e-6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.arrays import FloatArray, Int64Array
from tests.peers import shared
from workers.survival.cohort import Cohort, read_cohort
from workers.survival.cox_models import CPTDN_TERMS, design_matrix
from workers.survival.kaplan_meier import kaplan_meier
from workers.validation.benefit import evaluate_benefit
from workers.validation.benefit_calibration import benefit_pairs
from workers.validation.optimism import optimism
from workers.validation.policy_value import TreatmentData, WeightedPatients, net_benefit_of_choice, value_curve, weigh
from workers.validation.propensity import propensity_of
from workers.validation.survival_comparison import compare_arms_by_preference
from workers.validation.time_dependent_auc import time_dependent_auc
from workers.validation.weighted_survival import pseudo_survival, restricted_mean, restricted_mean_se

REFERENCE = Path(__file__).parent
THRESHOLDS = np.array([-0.1, 0, 0.02, 0.05, 0.1])
DAYS = 1800.0


class Case:
    """A cohort with the fixed model of the R script, and R's answers."""

    def __init__(self, cohort: Cohort, answers: str) -> None:
        self.cohort = cohort = cohort.with_known_ebv_dna()
        self.r: dict[str, Any] = json.loads((REFERENCE / answers).read_text())
        self.outcome = cohort.outcome("dfs")
        survival = np.array([self.predicted(0), self.predicted(1)])
        self.gain = survival[1] - survival[0]
        self.data = TreatmentData(
            self.outcome, cohort.treated, propensity_of(cohort), survival, self.gain, self.gain > 0, DAYS
        )
        self.patients: WeightedPatients = weigh(self.data)

    def predicted(self, arm: int) -> FloatArray:
        age, prognostic, predictive = (
            self.cohort.column(name) for name in ("age_years", "prognostic_score", "predictive_score")
        )
        risk = 0.03 * age + 2 * prognostic - predictive + 2 * predictive * arm + 0.2 * arm
        return np.exp(-0.02 * np.exp(risk))


@pytest.fixture(scope="module", params=["small", "simulated"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "small":
        return Case(read_cohort(REFERENCE / "statistics_cohort.csv"), "benefit.json")
    return Case(read_cohort(Path(shared("reference/cohort_simulated.csv"))), "benefit_simulated.json")


def test_propensity_and_pseudo_observations(case: Case) -> None:
    """R leaves each patient out in turn; here all are computed at once."""
    assert list(case.data.propensity.names) == case.r["covariates"]
    probability = case.data.propensity.probability(case.cohort.treated)
    assert probability[:10] == pytest.approx(case.r["propensity"], abs=1e-9)
    pseudo = np.empty(len(case.cohort))
    for arm in (False, True):
        inside = case.cohort.treated == arm
        pseudo[inside] = pseudo_survival(case.outcome.where(inside), DAYS)
    assert pseudo[:20] == pytest.approx(case.r["pseudo"], abs=1e-9)


def test_policy_values_and_curves(case: Case) -> None:
    n = len(case.cohort)
    rules = {"ccrt": np.zeros(n, dtype=bool), "ict": np.ones(n, dtype=bool), "recommendation": case.gain > 0}
    for name, rule in rules.items():
        assert case.patients.policy_value(rule) == pytest.approx(case.r["value"][name], abs=1e-9)
    value, share = value_curve(case.patients, THRESHOLDS)
    assert value == pytest.approx(case.r["curve"], abs=1e-9)
    net = net_benefit_of_choice(value, share, THRESHOLDS, float(case.patients.robust[0].mean()))
    assert net == pytest.approx(case.r["net_benefit"], abs=1e-9)


def test_calibration_of_benefit_and_restricted_means(case: Case) -> None:
    found = evaluate_benefit(case.data, n_bootstrap=20)
    slope, intercept = case.r["slope"]
    assert found.calibration["slope"].value == pytest.approx(slope, abs=1e-9)
    assert found.calibration["intercept"].value == pytest.approx(intercept, abs=1e-9)
    assert [found.e_for_benefit[name].value for name in ("mean", "median", "q90")] == pytest.approx(
        case.r["e_for_benefit"], abs=1e-8
    )
    for group, expected in zip(found.groups, case.r["groups"], strict=True):
        assert group.n == expected["n"]
        assert group.predicted == pytest.approx(expected["predicted"], abs=1e-12)
        assert group.observed.value == pytest.approx(expected["observed"], abs=1e-9)
    assert found.c_for_benefit.value == pytest.approx(case.r["c_for_benefit"], abs=1e-9)
    ccrt, ict = (days / 30 for days in case.r["rmst_weighted"])
    assert [found.restricted_means[name].value for name in ("CCRT", "ICT+CCRT", "difference")] == pytest.approx(
        [ccrt, ict, ict - ccrt], abs=1e-6
    )
    for arm, name in ((False, "ccrt"), (True, "ict")):
        part = case.outcome.where(case.cohort.treated == arm)
        curve = kaplan_meier(part.durations_days, part.event_observed)
        mean = restricted_mean(curve.days, curve.survival, DAYS)
        assert [mean, restricted_mean_se(curve, DAYS)] == pytest.approx(case.r["rmst"][name], abs=1e-6)


def test_pairs_without_free_partner_and_auc(case: Case) -> None:
    pairs = benefit_pairs(case.gain, case.cohort.treated, case.outcome, DAYS)
    assert len(pairs.gain) == min(case.cohort.treated.sum(), (~case.cohort.treated).sum())
    received = np.where(case.cohort.treated, case.data.survival[1], case.data.survival[0])
    assert time_dependent_auc(1 - received, case.outcome, DAYS) == pytest.approx(case.r["auc_60"], abs=1e-9)


def park_miller(seed: int, n: int) -> Int64Array:
    """The resample of the R script."""
    state, rows = seed, []
    for _ in range(n):
        state = 16807 * state % 2147483647
        rows.append(state % n)
    return np.array(rows)


def test_optimism_on_r_s_resamples(case: Case) -> None:
    resamples = [park_miller(seed, len(case.cohort)) for seed in range(1, 6)]
    found = optimism(design_matrix(case.cohort, CPTDN_TERMS), case.outcome, resamples)
    assert found is not None
    assert found.c_apparent == pytest.approx(case.r["optimism"]["c_apparent"], abs=1e-9)
    assert found.c_optimism == pytest.approx(case.r["optimism"]["c_optimism"], abs=1e-6)
    assert found.slope_optimism == pytest.approx(case.r["optimism"]["slope_optimism"], abs=1e-6)


def test_proportional_hazards_of_a_comparison(case: Case) -> None:
    groups = compare_arms_by_preference(case.outcome, case.cohort.treated, case.gain, 0.0)
    assert groups["ICT-preferred"].proportional_hazards_p == pytest.approx(case.r["zph"], abs=1e-6)
