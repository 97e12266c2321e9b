"""Against R without any other data: `statistics.R` simulated the cohorts beside it and wrote R's numbers.

Run `Rscript statistics.R statistics_cohort.csv statistics_unmatched.csv statistics.json` in this folder to renew them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test

from config.indication.vocabulary import TreatmentArm
from workers.nomogram.fitting import TrainingData, design_matrix, fit_nomogram
from workers.nomogram.points import TERMS, pretty_range, pretty_step
from workers.survival.baseline_hazard import step_baseline
from workers.survival.cohort import Cohort, read_cohort
from workers.survival.concordance import concordance_difference, harrell_concordance, noether_concordance
from workers.survival.covariates import PatientCovariates
from workers.survival.cox import fit_cox
from workers.survival.cox_models import examine_factor
from workers.survival.kaplan_meier import kaplan_meier, log_rank
from workers.survival.partial_likelihood import SeparationError, newton
from workers.survival.proportional_hazards import proportional_hazards_test
from workers.survival.stepwise import stepwise_aic
from workers.validation.calibration import calibrate
from workers.validation.group_tests import group_p
from workers.validation.matching import match
from workers.validation.survival_comparison import compare_survival, predictive_interaction

HERE = Path(__file__).parent
R: dict[str, Any] = json.loads((HERE / "statistics.json").read_text())
COHORT = read_cohort(HERE / "statistics_cohort.csv")
UNMATCHED = read_cohort(HERE / "statistics_unmatched.csv", endpoints=())
OUTCOME = COHORT.outcome("dfs")
DATA = TrainingData(COHORT.covariates(), COHORT.treated, OUTCOME.durations_days, OUTCOME.event_observed)
X = design_matrix(DATA)
FITTED = fit_nomogram(DATA, name="test", population="simulated")
FIT = FITTED.fit
LP = FIT.linear_predictor(X)
EXACT = 1e-10


def test_the_cohort_has_tied_event_times() -> None:
    assert R["cptdn"]["tied_event_times"] > 5


def test_cptdn() -> None:
    np.testing.assert_allclose(FIT.coefficients, R["cptdn"]["coef"], atol=1e-10)
    np.testing.assert_allclose(FIT.covariance, R["cptdn"]["covariance"], atol=1e-10)
    assert [FIT.log_likelihood_null, FIT.log_likelihood] == pytest.approx(R["cptdn"]["loglik"], abs=1e-10)
    assert FIT.score_chi2 == pytest.approx(R["cptdn"]["score"], rel=1e-9)
    assert FIT.wald_chi2 == pytest.approx(R["cptdn"]["wald"], rel=1e-9)


def test_breslow_ties() -> None:
    found = fit_cox(X, TERMS, OUTCOME.durations_days, OUTCOME.event_observed, ties="breslow")
    np.testing.assert_allclose(found.coefficients, R["cptdn"]["breslow"], atol=1e-9)


def test_proportional_hazards() -> None:
    found = proportional_hazards_test(FIT, X, OUTCOME.durations_days, OUTCOME.event_observed)
    assert [*found.p_by_term.values(), found.p_global] == pytest.approx(R["cptdn"]["zph"], rel=1e-8)


def test_survival_and_intervals_of_both_arms() -> None:
    columns = ("age_years", "ebv_dna_gt_4000", "prognostic_score", "predictive_score")
    patients = [np.array([float(row[name]) for row in R["survival"]["patients"]]) for name in columns]
    result = FITTED.nomogram.score(PatientCovariates(*patients))
    for arm, key in ((TreatmentArm.ICT_CCRT, "ict"), (TreatmentArm.CCRT, "ccrt")):
        found, expected = result.arms[arm], R["survival"][key]
        np.testing.assert_allclose(found.dfs, expected["surv"], atol=EXACT)
        np.testing.assert_allclose(found.low, expected["lower"], atol=EXACT)
        np.testing.assert_allclose(found.high, expected["upper"], atol=EXACT)


def test_step_baseline() -> None:
    found = step_baseline(X, OUTCOME.durations_days, OUTCOME.event_observed, FIT.coefficients)
    np.testing.assert_array_equal(found.event_days, R["baseline"]["days"])
    np.testing.assert_allclose(found.cumulative_hazard, R["baseline"]["cumhaz"], rtol=1e-10)


def test_interval_of_the_difference_is_the_delta_method() -> None:
    """Against a numerical gradient over the six coefficients and the baseline hazard, whose joint covariance is
    (Cov, -Cov q; -q' Cov, A + q' Cov q)."""
    nomogram = FITTED.nomogram
    terms, hazard = nomogram.variance_terms[1800.0], float(nomogram.baseline_hazard([60])[0])
    beta = np.array([nomogram.coefficients[term] for term in TERMS])
    joint = np.zeros((7, 7))
    joint[:6, :6] = nomogram.covariance
    joint[:6, 6] = joint[6, :6] = -nomogram.covariance @ terms.q
    joint[6, 6] = terms.a + terms.q @ nomogram.covariance @ terms.q

    def difference(values: Any) -> float:
        rows = np.array([[40, 0.0, -0.4, treated, 1.0, -0.4 * treated] for treated in (1.0, 0.0)])
        ict, ccrt = np.exp(-values[6] * np.exp(rows @ values[:6]))
        return float(ict - ccrt)

    here, steps = np.append(beta, hazard), np.append(np.full(6, 1e-6), hazard * 1e-5)
    gradient = [
        (difference(here + step) - difference(here - step)) / (2 * steps[at]) for at, step in enumerate(np.diag(steps))
    ]
    expected = 1.959963984540054 * np.sqrt(np.array(gradient) @ joint @ np.array(gradient))
    result = nomogram.score(PatientCovariates(40, True, 0.0, -0.4))
    assert (result.difference_high - result.difference)[0, 1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("factor", R["univariate"])
def test_univariate(factor: str) -> None:
    expected, found = R["univariate"][factor], examine_factor(COHORT, factor)
    assert found.fit is not None
    assert found.fit.coefficients[0] == pytest.approx(expected["coef"], abs=1e-10)
    assert found.fit.standard_errors[0] == pytest.approx(expected["se"], abs=1e-10)
    assert found.fit.score_chi2 == pytest.approx(expected["score"], rel=1e-9)
    assert found.fit.chi2_p_value(found.fit.lr_chi2) == pytest.approx(expected["lr_p"], rel=1e-8)
    assert (found.log_rank_p is None) == ("logrank" not in expected or expected["logrank"] is None)


def test_interaction_of_the_predictive_score() -> None:
    found, expected = predictive_interaction(COHORT), R["interaction"]
    assert found["coef"] == pytest.approx(expected["coef"], abs=1e-10)
    assert found["se"] == pytest.approx(expected["se"], abs=1e-10)
    assert found["p"] == pytest.approx(expected["p"], rel=1e-8)
    separated = COHORT.where(~COHORT.treated | ~OUTCOME.event_observed)
    assert "diverges" in predictive_interaction(separated)["reason"]


def test_stepwise() -> None:
    candidates = [
        "age_years", "sex_male", "smoking", "ebv_dna_gt_4000", "tumour_volume_ml",
        "prognostic_score", "predictive_score", "treatment_ict", "predictive_score:treatment_ict",
    ]  # fmt: skip
    named = {"ict": "treatment_ict", "male": "sex_male", "predictive_score:ict": "predictive_score:treatment_ict"}
    found = stepwise_aic(COHORT, candidates)
    assert set(found.terms) == {named.get(term, term) for term in R["step"]["selected"]}
    assert found.aic == pytest.approx(R["step"]["aic"], abs=1e-7)
    assert found.path[0].aic == pytest.approx(R["step"]["start"], abs=1e-7)


def test_a_main_effect_stays_while_its_product_is_in() -> None:
    found = stepwise_aic(
        COHORT, ["prognostic_score", "predictive_score", "treatment_ict", "predictive_score:treatment_ict"]
    )
    assert found.terms.index("predictive_score:treatment_ict") > 0
    assert {"predictive_score", "treatment_ict"} <= set(found.terms)


def test_newton_search_reaches_lifelines_maximum() -> None:
    beta, sums = newton(X - X.mean(axis=0), OUTCOME.durations_days, OUTCOME.event_observed)
    np.testing.assert_allclose(beta, FIT.coefficients, atol=1e-11)
    assert sums.log_likelihood == pytest.approx(FIT.log_likelihood, abs=1e-10)


def test_both_concordances() -> None:
    expected = R["concordance"]
    harrell = harrell_concordance(LP, OUTCOME.durations_days, OUTCOME.event_observed)
    noether = noether_concordance(LP, OUTCOME.durations_days, OUTCOME.event_observed)
    assert (harrell.value, harrell.se) == pytest.approx((expected["harrell"], expected["harrell_se"]), abs=EXACT)
    assert (noether.value, noether.se) == pytest.approx((expected["noether"], expected["noether_se"]), abs=EXACT)


def test_concordance_of_the_opposite_risk_is_the_complement() -> None:
    for concordance in (harrell_concordance, noether_concordance):
        found = concordance(LP, OUTCOME.durations_days, OUTCOME.event_observed)
        opposite = concordance(-LP, OUTCOME.durations_days, OUTCOME.event_observed)
        assert found.value + opposite.value == pytest.approx(1)
        assert found.se == pytest.approx(opposite.se)


def test_arms_compared() -> None:
    expected, found = R["arms"], compare_survival(OUTCOME, COHORT.treated, ("CCRT", "ICT+CCRT"))
    at = 0
    for curve in found.curves:
        assert curve is not None
        for days in (360, 1080, 1800):
            here = curve.at(days)
            assert here.value == pytest.approx(expected["survival"][at], abs=EXACT)
            assert here.se == pytest.approx(expected["se"][at], abs=EXACT)
            assert here.ci95 == pytest.approx((expected["lower"][at], expected["upper"][at]), abs=EXACT)
            assert here.n_at_risk == expected["n_risk"][at]
            at += 1
    assert found.log_rank is not None
    assert found.log_rank.chi2 == pytest.approx(expected["chisq"], abs=EXACT)
    assert found.log_rank.expected == pytest.approx(expected["expected"], abs=EXACT)
    assert found.fit is not None
    assert found.fit.coefficients[0] == pytest.approx(expected["coef"], abs=EXACT)


def test_survival_and_log_rank_equal_lifelines() -> None:
    days, events, ict = OUTCOME.durations_days, OUTCOME.event_observed, COHORT.treated
    fitted = KaplanMeierFitter().fit(days, events)
    curve = kaplan_meier(days, events)
    np.testing.assert_allclose(curve.survival, fitted.survival_function_at_times(curve.days), atol=1e-12)
    found = log_rank(days, events, ict)
    assert found is not None
    theirs = logrank_test(days[ict], days[~ict], events[ict], events[~ict])
    assert found.chi2 == pytest.approx(theirs.test_statistic, rel=1e-10)


def test_reverse_kaplan_meier_follow_up() -> None:
    reverse = kaplan_meier(OUTCOME.durations_days, ~OUTCOME.event_observed)
    assert [reverse.quantile(q) for q in (0.25, 0.5, 0.75)] == R["follow_up"]


def test_calibration() -> None:
    hazard = FITTED.nomogram.baseline_hazard([60])[0]
    found = calibrate(np.exp(-hazard * np.exp(LP)), OUTCOME, 1800, 5)
    for group, expected in zip(found.groups, R["calibration"], strict=True):
        assert group.n == expected["n"]
        assert group.predicted == pytest.approx(expected["predicted"], abs=EXACT)
        assert group.observed == pytest.approx(expected["km"], abs=EXACT)
        assert group.se == pytest.approx(expected["se"], abs=EXACT)
    by_hand = sum(
        g["n"] * (g["km"] - g["predicted"]) ** 2 / (g["predicted"] * (1 - g["predicted"])) for g in R["calibration"]
    )
    assert found.hosmer_lemeshow().chi2 == pytest.approx(by_hand)


def pairs_of(cohort: Cohort, **options: Any) -> list[list[str]]:
    covariates = ("sex_male", "age_years", "smoking", "tumour_volume_ml", "ebv_dna_gt_4000")
    found = match(cohort, covariates, **options)
    return [[cohort.patient_ids[one], cohort.patient_ids[other]] for one, other in found.pairs]


def test_matching() -> None:
    assert pairs_of(UNMATCHED) == R["matching"]["plain"]
    assert pairs_of(UNMATCHED, caliper=0.1) == R["matching"]["caliper"]
    assert pairs_of(UNMATCHED, exact="centre") == R["matching"]["centres"]
    assert len(R["matching"]["caliper"]) < len(R["matching"]["plain"])
    found = match(UNMATCHED, ("sex_male", "age_years", "smoking", "tumour_volume_ml", "ebv_dna_gt_4000"))
    np.testing.assert_allclose(found.propensity[:5], R["matching"]["propensity"], atol=1e-10)


def test_tests_of_two_groups() -> None:
    ict = COHORT.treated
    age, smoking = COHORT.column("age_years"), COHORT.column("smoking")
    assert group_p(age[ict], age[~ict]) == pytest.approx(R["tests"]["wilcoxon"], rel=1e-9)
    assert group_p(smoking[ict], smoking[~ict]) == pytest.approx(R["tests"]["chisq"], rel=1e-9)
    few = slice(0, 14)
    assert group_p(smoking[few][ict[few]], smoking[few][~ict[few]]) == pytest.approx(R["tests"]["fisher"], rel=1e-9)


@pytest.mark.parametrize("entry", R["pretty"], ids=lambda entry: str(entry["range"]))
def test_axes_are_r_s_pretty(entry: dict[str, Any]) -> None:
    low, high = entry["range"]
    assert pretty_range(low, high) == pytest.approx((entry["pretty"][0], entry["pretty"][-1]))
    assert pretty_step(low, high) == pytest.approx(entry["pretty"][1] - entry["pretty"][0])


def test_separation_is_refused_with_its_covariate() -> None:
    marker = OUTCOME.event_observed.astype(float)
    with pytest.raises(SeparationError, match="the effect of marker diverges"):
        fit_cox(np.column_stack((X[:, 0], marker)), ["age", "marker"], OUTCOME.durations_days, OUTCOME.event_observed)
    with pytest.raises(SeparationError, match="depend on each other"):
        fit_cox(X[:, [0, 0]], ["age", "again"], OUTCOME.durations_days, OUTCOME.event_observed)


@pytest.mark.parametrize("pairs", ["strata", "all"])
def test_concordance_within_strata_and_its_difference(pairs: str) -> None:
    expected = json.loads((HERE / "concordance.json").read_text())[pairs]
    scores = COHORT.column("prognostic_score"), COHORT.column("predictive_score")
    risks = {"first": scores[0], "second": np.round(scores[0] + scores[1], 1)}
    strata = np.arange(len(COHORT)) % 3 + 1 if pairs == "strata" else None
    found = {
        name: harrell_concordance(risk, OUTCOME.durations_days, OUTCOME.event_observed, strata)
        for name, risk in risks.items()
    }
    for name, one in found.items():
        assert [one.value, one.se] == pytest.approx([expected[name]["value"], expected[name]["se"]], abs=EXACT)
    difference = concordance_difference([found["first"]], [found["second"]])
    assert [difference.value, difference.se] == pytest.approx(list(expected["difference"].values()), abs=EXACT)
