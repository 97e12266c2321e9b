"""The value of following a recommendation: by hand, and on phantoms whose true effects are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from tests.validation.test_evaluation import COHORT_CSV
from workers.phantoms.population import PhantomPatient, draw_patient, published_nomogram
from workers.survival.cohort import Outcome, read_cohort
from workers.validation.benefit import Benefit, evaluate_benefit
from workers.validation.benefit_calibration import BenefitPairs, benefit_pairs, benefit_slope
from workers.validation.evaluation_options import EvaluationOptions
from workers.validation.horizon_figures import slope_over_time
from workers.validation.matching import nearest_free_partners
from workers.validation.policy_value import TreatmentData
from workers.validation.propensity import Propensity, propensity_of
from workers.validation.survival_comparison import compare_survival
from workers.validation.time_dependent_auc import time_dependent_auc
from workers.validation.weighted_survival import pseudo_survival, weighted_survival

RANDOMISED = "randomised"


def test_pseudo_observations_without_censoring_are_the_status() -> None:
    outcome = Outcome(np.array([5.0, 9, 2, 7, 9]), np.ones(5, dtype=bool))
    assert pseudo_survival(outcome, 6) == pytest.approx([0, 1, 0, 1, 1])


def test_pseudo_observations_by_hand() -> None:
    """Event 1, censored 2, event 3 of three patients; at 2.5 S = 2/3. Without the first S = 1, without the second or
    the third 1/2: 3 x 2/3 - 2 x (1, 1/2, 1/2)."""
    outcome = Outcome(np.array([1.0, 2, 3]), np.array([True, False, True]))
    assert pseudo_survival(outcome, 2.5) == pytest.approx([0, 1, 1])


def test_a_patient_of_weight_two_counts_as_two() -> None:
    days, events = np.array([1.0, 2, 3, 4]), np.array([True, False, True, False])
    twice = Outcome(np.append(days, 3.0), np.append(events, True))
    weighted = weighted_survival(Outcome(days, events), np.array([1.0, 1, 2, 1]))
    assert [weighted.at(day) for day in (0.5, 1, 3, 9)] == pytest.approx(
        [weighted_survival(twice, np.ones(5)).at(day) for day in (0.5, 1, 3, 9)]
    )


def test_auc_by_hand() -> None:
    """Two events by day 5, two patients beyond it: three of four pairs in the right order, one tie."""
    outcome = Outcome(np.array([1.0, 3, 9, 9]), np.array([True, True, False, False]))
    assert time_dependent_auc(np.array([0.9, 0.4, 0.4, 0.1]), outcome, 5) == pytest.approx(3.5 / 4)
    assert time_dependent_auc(np.ones(4), outcome, 20) is None


def test_c_for_benefit_by_hand() -> None:
    """Pairs with benefits 1, 0, -1 predicted in this order except for the last two: two of three are concordant."""
    pairs = BenefitPairs(np.array([0.3, 0.1, 0.2]), np.array([1.0, 0, -1]), np.ones(3))
    assert pairs.concordance() == pytest.approx(2 / 3)
    assert BenefitPairs(np.zeros(3), np.array([1.0, 0, -1]), np.ones(3)).concordance() == 0.5
    # A pair whose status is unknown has no weight.
    assert BenefitPairs(pairs.gain, pairs.benefit, np.array([1.0, 1, 0])).concordance() == 1


def test_partners_have_similar_predictions() -> None:
    gain = np.array([0.3, 0.1, -0.2, 0.29, -0.1, 0.0])
    treated = np.array([True, False, True, False, True, False])
    outcome = Outcome(np.array([9.0, 1, 9, 9, 1, 1]), np.array([False, True, False, False, True, True]))
    pairs = benefit_pairs(gain, treated, outcome, 5)
    # By hand: 0.3 with 0.29, -0.1 with 0.0, -0.2 with what is left, 0.1.
    assert pairs.gain == pytest.approx([0.295, -0.05, -0.05])
    assert pairs.benefit.tolist() == [0, 0, 1]


@given(
    scores=st.lists(st.integers(0, 9), min_size=1, max_size=20),
    seed=st.integers(0, 2**32 - 1),
    limit=st.none() | st.integers(0, 4),
)
@settings(max_examples=200, deadline=None)
def test_nearest_partners_are_those_of_a_search_through_all(scores: list[int], seed: int, limit: int | None) -> None:
    score = np.array(scores, dtype=np.float64)
    focal = np.random.default_rng(seed).random(len(score)) < 0.5
    free = [row for row in np.argsort(-score, kind="stable") if not focal[row]]
    expected = []
    for patient in (row for row in np.argsort(-score, kind="stable") if focal[row]):
        if free:
            nearest = min(free, key=lambda row: abs(score[row] - score[patient]))  # of equal ones the first
            if limit is None or abs(score[nearest] - score[patient]) <= limit:
                expected.append((patient, nearest))
                free.remove(nearest)
    assert nearest_free_partners(score, focal, limit) == expected


def test_slope_of_a_prediction_that_is_twice_too_large() -> None:
    gain = np.linspace(-0.4, 0.4, 9)
    assert benefit_slope(2 * gain, gain + 0.1) == pytest.approx([0.5, 0.1])


def test_crossing_hazards_are_said_and_read_by_periods() -> None:
    """Hazard twice as high in the first two years of follow-up and half as high later."""
    rng = np.random.default_rng(5)
    second = np.arange(2000) % 2 == 1
    early = rng.exponential(np.where(second, 600, 1200))
    days = np.where(early < 720, early, 720 + rng.exponential(np.where(second, 1200, 600)))
    outcome = Outcome(np.minimum(days, 1700), days < 1700)
    comparison = compare_survival(outcome, second, ("first", "second"))
    assert comparison.proportional_hazards_p is not None
    assert comparison.proportional_hazards_p < 1e-6
    assert "compare the restricted means" in comparison.to_json()["warning"]
    over_time = slope_over_time(second.astype(float), outcome)
    assert over_time is not None
    assert over_time.early is not None
    assert over_time.late is not None
    assert over_time.early > 0 > over_time.late
    proportional = Outcome(rng.exponential(np.where(second, 600, 1200)), np.ones(2000, dtype=bool))
    assert "warning" not in compare_survival(proportional, second, ("first", "second")).to_json()


def test_what_the_propensity_is_and_what_it_assumes() -> None:
    cohort = read_cohort(COHORT_CSV)
    estimated = propensity_of(cohort)
    assert {"age_years", "prognostic_score", "predictive_score"} <= set(estimated.names)
    assert "everything that decided both treatment and outcome" in estimated.to_json()["assumption"]
    trial = propensity_of(cohort, RANDOMISED).probability(cohort.treated)
    assert trial == pytest.approx(cohort.treated.mean())
    given = replace(cohort, values={**cohort.values, "planned": np.full(len(cohort), 0.4)})
    assert propensity_of(given, "planned").probability(cohort.treated)[0] == 0.4
    with pytest.raises(InputError, match="missing the numeric column nothing"):
        propensity_of(cohort, "nothing")
    certain = replace(cohort, values={**cohort.values, "planned": np.ones(len(cohort))})
    with pytest.raises(InputError, match="expected probabilities of ICT"):
        propensity_of(certain, "planned")


def test_unknown_covariates_are_a_category_where_enough_patients_have_none() -> None:
    cohort = read_cohort(COHORT_CSV)
    age = cohort.column("age_years").copy()
    age[:60] = np.nan
    smoking = cohort.column("smoking").copy()
    smoking[:3] = np.nan
    found = propensity_of(replace(cohort, values={**cohort.values, "age_years": age, "smoking": smoking}))
    assert "age_years unknown" in found.names
    assert "smoking unknown" in found.left_out


def phantom_patients(n: int, seed: int) -> list[PhantomPatient]:
    nomogram = published_nomogram()
    return [draw_patient(seed, number, nomogram) for number in range(n)]


def treatment_data(patients: list[PhantomPatient], survival: FloatArray, treated: BoolArray) -> TreatmentData:
    outcome = Outcome(
        np.array([float(p.record["dfs_days"]) for p in patients]),
        np.array([p.record["dfs_event"] == 1 for p in patients]),
    )
    nothing = np.zeros((len(patients), 0))
    gain = survival[1] - survival[0]
    return TreatmentData(outcome, treated, Propensity(RANDOMISED, nothing), survival, gain, gain > 0, 1800)


def true_survival(patients: list[PhantomPatient]) -> FloatArray:
    return np.array([p.dfs_60 for p in patients]).T


def treated_of(patients: list[PhantomPatient]) -> BoolArray:
    return np.array([p.record["treatment"] == "ICT+CCRT" for p in patients])


def test_the_true_model_is_calibrated_and_a_reversed_one_is_not() -> None:
    patients = phantom_patients(1500, 11)
    survival, treated = true_survival(patients), treated_of(patients)
    true = evaluate_benefit(treatment_data(patients, survival, treated), n_bootstrap=60)
    slope = true.calibration["slope"]
    assert slope.ci95 is not None
    assert slope.ci95[0] < 1 < slope.ci95[1]
    assert true.c_for_benefit.value is not None
    assert true.c_for_benefit.value > 0.6
    gained = true.values["doubly_robust"]["recommendation against the better of the two"]
    assert gained.ci95 is not None
    assert gained.ci95[0] > 0
    reversed_ = evaluate_benefit(treatment_data(patients, survival[::-1], treated), n_bootstrap=60)
    assert reversed_.calibration["slope"].value == pytest.approx(-slope.value, abs=0.25)  # type: ignore[operator]
    lost = reversed_.values["weighted"]["recommendation against the better of the two"]
    assert lost.ci95 is not None
    assert lost.ci95[1] < 0


def covered(benefits: Iterator[Benefit], values: FloatArray) -> dict[str, float]:
    """Share of intervals that contain the truth: policy values by both estimates, and the slope 1."""
    inside: dict[str, list[bool]] = {}
    for benefit in benefits:
        for estimate, figures in benefit.values.items():
            for policy, truth in zip(list(figures)[:3], values, strict=True):
                low, high = figures[policy].ci95 or (np.nan, np.nan)
                inside.setdefault(f"{estimate}, {policy}", []).append(low <= truth <= high)
        low, high = benefit.calibration["slope"].ci95 or (np.nan, np.nan)
        inside.setdefault("slope", []).append(low <= 1 <= high)
    return {name: float(np.mean(each)) for name, each in inside.items()}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_intervals_cover_the_truth_in_95_percent_of_400_cohorts() -> None:
    """True values of the three policies from all phantoms; the limits are those of the issue."""
    n_seeds, n = 400, 600
    patients = [phantom_patients(n, 1000 + seed) for seed in range(n_seeds)]
    truth = np.concatenate([true_survival(each) for each in patients], axis=1)
    recommended = np.where(truth[1] > truth[0], truth[1], truth[0])
    values = np.array([truth[0].mean(), truth[1].mean(), recommended.mean()])
    shares = covered(
        (
            evaluate_benefit(treatment_data(each, true_survival(each), treated_of(each)), n_bootstrap=200, seed=seed)
            for seed, each in enumerate(patients)
        ),
        values,
    )
    print(shares)
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


def test_large_cohorts_are_resampled_less_often_unless_asked() -> None:
    assert [EvaluationOptions().resamples_of(n) for n in (200, 10_000, 20_000, 200_000)] == [300, 300, 150, 100]
    assert EvaluationOptions(n_bootstrap=7).resamples_of(200_000) == 7
