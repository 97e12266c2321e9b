"""R's answers on the simulated cohort beside the checkout: fits, selection, groups, calibration, matching.

R fitted with its default eps = 1e-9, so coefficients agree to about 1e-8; counts, Kaplan-Meier, log-rank, C-index and
standardised differences agree to 1e-10, selected terms and pairs exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.arrays import FloatArray
from config.indication.vocabulary import TreatmentArm
from tests.peers import shared
from workers.nomogram.fitting import TrainingData, fit_nomogram
from workers.nomogram.points import AGE, EBV, PROGNOSTIC
from workers.survival.baseline_hazard import step_baseline
from workers.survival.cohort import Cohort, read_cohort
from workers.survival.concordance import harrell_concordance
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.cox_models import CPTDN_TERMS, design_matrix, examine_factor, fit_compared_models, fit_terms
from workers.survival.stepwise import clinical_candidates, cptdn_candidates, stepwise_aic
from workers.validation.calibration import calibrate
from workers.validation.matching import match
from workers.validation.survival_comparison import (
    SurvivalComparison,
    compare_arms_by_preference,
    compare_survival,
    total_points_received,
)

ICT, CCRT = TreatmentArm.ICT_CCRT, TreatmentArm.CCRT
COLUMN = {
    "age": "age_years", "sex_male": "sex_male", "haemoglobin_abnormal": "haemoglobin_abnormal",
    "family_history": "family_history", "smoking": "smoking", "drinking": "drinking", "who_type3": "who_type_iii",
    "albumin_abnormal": "albumin_abnormal", "crp_abnormal": "crp_abnormal", "ldh_abnormal": "ldh_abnormal",
    "ebv_high": "ebv_dna_gt_4000", "tumour_volume": "tumour_volume_ml", "treatment_ict": "treatment_ict",
    "prognostic_score": "prognostic_score", "predictive_score": "predictive_score",
    "predictive_score:treatment_ict": "predictive_score:treatment_ict",
}  # fmt: skip
LABELS = {"training": "training", "internal_test": "internal", "external_test": "external"}
ARMS: dict[str, TreatmentArm | None] = {"all": None, "ccrt": CCRT, "ict": ICT}


class Simulated:
    """The cohort, the CPTDN fitted on its training part, and the arms' survival with Breslow's hazard as in the R
    script (`Sarm(..., ctype = 1)`), which its groups and calibration use."""

    def __init__(self) -> None:
        self.cohort = read_cohort(Path(shared("reference/cohort_simulated.csv")))
        self.expected: dict[str, Any] = json.loads(shared("reference/expected.json").read_text())
        self.training = self.cohort.labelled("training")
        outcome = self.training.outcome("dfs")
        self.fit = fit_terms(self.training, CPTDN_TERMS)
        self.fitted = fit_nomogram(
            TrainingData(
                self.training.covariates(), self.training.treated, outcome.durations_days, outcome.event_observed
            ),
            name="simulated",
            population="",
        )
        x = design_matrix(self.training, CPTDN_TERMS)
        days, events = outcome.durations_days, outcome.event_observed
        self.breslow = step_baseline(x, days, events, self.fit.coefficients, ties="breslow")

    def part(self, name: str) -> Cohort:
        if name == "combined_test":
            return self.cohort.where(np.array([label != "training" for label in self.cohort.labels]))
        return self.cohort.labelled(LABELS[name])

    def arms(self, cohort: Cohort, days: float) -> dict[TreatmentArm, FloatArray]:
        result = self.fitted.nomogram.score(cohort.covariates())
        hazard = self.breslow.hazard_at(days)
        return {arm: np.exp(-hazard * np.exp(found.linear_predictor)) for arm, found in result.arms.items()}

    def difference(self, cohort: Cohort) -> FloatArray:
        arms = self.arms(cohort, 1800)
        return arms[ICT] - arms[CCRT]

    def received(self, cohort: Cohort, days: float) -> FloatArray:
        arms = self.arms(cohort, days)
        return np.where(cohort.treated, arms[ICT], arms[CCRT])

    def points(self, cohort: Cohort) -> FloatArray:
        return total_points_received(self.fitted.nomogram.score(cohort.covariates()), cohort.treated)


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return Simulated()


def check_fit(found: CoxFit, expected: dict[str, Any]) -> None:
    for name, term in expected["terms"].items():
        at = found.index(COLUMN[name])
        assert found.coefficients[at] == pytest.approx(term["coef"], rel=1e-5, abs=1e-7)
        assert found.standard_errors[at] == pytest.approx(term["se"], rel=1e-5)
        assert found.p_values[at] == pytest.approx(term["p_wald"], rel=1e-5)
        assert found.hazard_ratio_ci95[at] == pytest.approx([term["hr_lo"], term["hr_hi"]], rel=1e-5)
    assert found.log_likelihood_null == pytest.approx(expected["loglik_null"], abs=1e-9)
    assert found.log_likelihood == pytest.approx(expected["loglik"], abs=1e-7)
    assert found.aic == pytest.approx(expected["aic"], abs=1e-7)
    assert found.bic == pytest.approx(expected["bic_events"], abs=1e-7)
    assert found.lr_chi2 == pytest.approx(expected["lr_stat"], abs=1e-6)
    assert (found.n, found.n_events) == (expected["n"], expected["nevent"])


def test_univariate(simulated: Simulated) -> None:
    for name, expected in simulated.expected["univariate"].items():
        if name == "age_per10":
            continue
        found = examine_factor(simulated.training, COLUMN[name])
        assert found.fit is not None
        check_fit(found.fit, expected)
        assert found.fit.chi2_p_value(found.fit.lr_chi2) == pytest.approx(expected["p_lr"], rel=1e-6)
        assert found.fit.chi2_p_value(found.fit.score_chi2) == pytest.approx(expected["p_score"], abs=1e-10)
        if found.log_rank_p is not None:
            assert found.log_rank_p == pytest.approx(expected["logrank"]["p"], abs=1e-10)
    per_decade = examine_factor(simulated.training, "age_years").to_json()
    assert per_decade["hazard_ratio"] == pytest.approx(simulated.expected["univariate"]["age_per10"]["hr"], rel=1e-6)


@pytest.mark.parametrize("label", LABELS)
def test_interactions_with_treatment(simulated: Simulated, label: str) -> None:
    for name, expected in simulated.expected["interaction"][label].items():
        found = examine_factor(simulated.part(label), COLUMN[name])
        if expected["possibly_infinite"]:
            assert found.interaction is None, name
            assert "diverges" in found.reason
            continue
        assert found.interaction is not None, name
        assert found.interaction.coefficients[2] == pytest.approx(expected["coef"], rel=1e-4)
        assert found.interaction.standard_errors[2] == pytest.approx(expected["se"], rel=1e-5)
        assert found.interaction.p_values[2] == pytest.approx(expected["p_wald"], rel=1e-4)
        assert found.interaction_lr_p == pytest.approx(expected["p_lr"], rel=1e-5)
        assert found.interaction.log_likelihood == pytest.approx(expected["loglik"], abs=1e-7)


def test_stepwise_from_the_full_model_takes_r_s_path(simulated: Simulated) -> None:
    expected = simulated.expected["stepaic"]
    found = stepwise_aic(simulated.training, cptdn_candidates(simulated.training))
    assert set(found.terms) == {COLUMN[name] for name in expected["selected"]}
    assert [step.aic for step in found.path] == pytest.approx([step["aic"] for step in expected["path"]], abs=1e-6)
    moves = [step["step"].split() for step in expected["path"]]
    assert [step.move.split() for step in found.path] == [[*m[:1], *(COLUMN[name] for name in m[1:])] for m in moves]
    assert found.fit is not None
    for name, coefficient in expected["coefs"].items():
        assert found.fit.coefficients[found.fit.index(COLUMN[name])] == pytest.approx(coefficient, rel=1e-6)


def test_stepwise_from_nothing_and_in_each_arm(simulated: Simulated) -> None:
    expected = simulated.expected["stepaic_from_null"]
    found = stepwise_aic(simulated.training, cptdn_candidates(simulated.training), start_full=False)
    assert {frozenset(term.split(":")) for term in found.terms} == {
        frozenset(COLUMN[part] for part in name.split(":")) for name in expected["selected"]
    }
    assert found.aic == pytest.approx(expected["aic"], abs=1e-7)
    for arm_name, clinical in simulated.expected["stepaic_clinical"].items():
        arm = ARMS[arm_name]
        cohort = simulated.training if arm is None else simulated.training.arm(arm)
        selection = stepwise_aic(cohort, clinical_candidates(cohort))
        selected = [clinical["selected"]] if isinstance(clinical["selected"], str) else clinical["selected"]
        assert set(selection.terms) == {COLUMN[name] for name in selected}
        assert selection.aic == pytest.approx(clinical["aic"], abs=1e-7)
        assert selection.path[0].aic == pytest.approx(clinical["full_aic"], abs=1e-6)


def test_cptdn_and_compared_models(simulated: Simulated) -> None:
    check_fit(simulated.fit, simulated.expected["cptdn"])
    names = list(simulated.expected["cptdn"]["terms"])
    order = [simulated.fit.index(COLUMN[name]) for name in names]
    covariance = simulated.fit.covariance[np.ix_(order, order)]
    np.testing.assert_allclose(covariance, simulated.expected["cptdn"]["vcov"], rtol=1e-5, atol=1e-9)
    outcome = simulated.training.outcome("dfs")
    x = design_matrix(simulated.training, CPTDN_TERMS)
    breslow = fit_cox(x, CPTDN_TERMS, outcome.durations_days, outcome.event_observed, ties="breslow")
    check_fit(breslow, simulated.expected["cptdn_breslow_ties"])
    models = fit_compared_models(simulated.training)[0]
    for theirs, ours in {
        "clin_all": "clinical_all", "clin_ccrt": "clinical_ccrt",
        "clin_ictccrt": "clinical_ict_ccrt", "clin_prog_all": "clinical_prognostic_score",
    }.items():  # fmt: skip
        check_fit(models[ours].fit, simulated.expected["models"][theirs])


def test_product_without_main_effects(simulated: Simulated) -> None:
    expected = simulated.expected["cptdn_product_only"]
    sign = np.where(simulated.training.treated, 1.0, -1.0)
    x = np.column_stack(
        (design_matrix(simulated.training, CPTDN_TERMS[:3]), sign * simulated.training.column("predictive_score"))
    )
    outcome = simulated.training.outcome("dfs")
    found = fit_cox(
        x, ["age_years", "ebv_dna_gt_4000", "prognostic_score", "tp"], outcome.durations_days, outcome.event_observed
    )
    for name, term in expected["terms"].items():
        assert found.coefficients[found.index(COLUMN.get(name, name))] == pytest.approx(term["coef"], rel=1e-5)
    assert found.aic == pytest.approx(expected["aic"], abs=1e-7)


def test_baseline_hazards(simulated: Simulated) -> None:
    expected = simulated.expected["baseline"]
    nomogram = simulated.fitted.nomogram
    for month, key in ((36, "h36"), (60, "h60")):
        hazard = float(nomogram.baseline_hazard([month])[0])
        assert hazard == pytest.approx(expected["efron_hazard_x0"][key], rel=1e-7)
        assert simulated.breslow.hazard_at(month * 30) == pytest.approx(expected["breslow_hazard_x0"][key], rel=1e-7)
    assert float(nomogram.baseline_hazard([60])[0]) == pytest.approx(expected["basehaz_centered_false_60"], rel=1e-7)


def test_predictions(simulated: Simulated) -> None:
    expected = {entry["id"]: entry for entry in simulated.expected["predictions20"]}
    whole = simulated.cohort
    cohort = whole.where(np.array([identity in expected for identity in whole.patient_ids]))
    result = simulated.fitted.nomogram.score(cohort.covariates())
    for at, identity in enumerate(cohort.patient_ids):
        entry = expected[identity]
        received = result.arms[ICT if cohort.treated[at] else CCRT]
        assert received.linear_predictor[at] == pytest.approx(entry["lp"], abs=1e-7)
        for column, month in enumerate((36, 60)):
            for arm, name in ((ICT, "ict"), (CCRT, "ccrt")):
                assert result.arms[arm].dfs[at, column] == pytest.approx(entry[f"s{month}_{name}_c2"], abs=1e-7)
                breslow = simulated.arms(cohort, month * 30)[arm][at]
                assert breslow == pytest.approx(entry[f"s{month}_{name}_c1"], abs=1e-7)
        assert result.difference[at, 1] == pytest.approx(entry["diff60_efron"], abs=1e-7)
    assert len(cohort) == 20


def test_nomogram_axes(simulated: Simulated) -> None:
    expected, nomogram = simulated.expected["nomogram"], simulated.fitted.nomogram
    scale = nomogram.scale
    assert 1 / scale.lp_per_point == pytest.approx(expected["points_per_lp"], rel=1e-7)
    for factor, name in ((AGE, "age"), (PROGNOSTIC, "prognostic_score"), (EBV, "ebv_high")):
        axis = expected["axes"][name]
        points = scale.of_factor(factor, np.array(axis["values"], dtype=float))
        np.testing.assert_allclose(points, axis["points"], atol=1e-6)
        assert scale.axis_ranges[factor] == (min(axis["values"]), max(axis["values"]))
    for arm, name in ((CCRT, "predictive_score (treatment_ict=0)"), (ICT, "predictive_score (treatment_ict=1)")):
        axis = expected["axes"][name]
        points = scale.of_predictive_score(arm, np.array(axis["values"], dtype=float))
        np.testing.assert_allclose(points, axis["points"], atol=1e-6)
    assert scale.axis_ranges["total_points"][1] == max(expected["total_points_axis"]["points"])
    for row in expected["total_points_table"]:
        lp = scale.linear_predictor(float(row["points"]))
        for month, key in ((36, "s36_cph"), (60, "s60_efron")):
            dfs = float(np.exp(-nomogram.baseline_hazard([month])[0] * np.exp(lp)))
            assert dfs == pytest.approx(row[key], abs=1e-7)
    assert nomogram.mean_total_points == pytest.approx(expected["mean_total_points_training"], abs=1e-6)
    equal = nomogram.document["decision"]["predictive_score_equal_arms"]
    assert equal == pytest.approx(expected["switch_point_predictive_score"], abs=1e-8)


@pytest.mark.parametrize("label", [*LABELS, "combined_test"])
def test_concordance(simulated: Simulated, label: str) -> None:
    models = fit_compared_models(simulated.training)[0]
    named = {"cptdn": "cptdn", "clin_all": "clinical_all", "clin_ccrt": "clinical_ccrt",
             "clin_ictccrt": "clinical_ict_ccrt", "clin_prog_all": "clinical_prognostic_score"}  # fmt: skip
    for arm_name, by_model in simulated.expected["concordance"][label].items():
        whole, arm = simulated.part(label), ARMS[arm_name]
        cohort = whole if arm is None else whole.arm(arm)
        outcome = cohort.outcome("dfs")
        for name, expected in by_model.items():
            risk = models[named[name]].risk(cohort) if name in named else cohort.column(name)
            found = harrell_concordance(risk, outcome.durations_days, outcome.event_observed)
            assert found.value == pytest.approx(expected["c"], abs=1e-10)
            assert found.se == pytest.approx(expected["se"], abs=1e-10)
            assert found.ci95 == pytest.approx((expected["lo"], expected["hi"]), abs=1e-10)
            counts = (found.concordant, found.discordant, found.tied_risk)
            assert counts == (expected["concordant"], expected["discordant"], expected["tied_x"])


def check_groups(found: SurvivalComparison, expected: dict[str, Any]) -> None:
    assert (sum(found.n), sum(found.events)) == (expected["n"], expected["events"])
    assert found.log_rank is not None
    assert found.log_rank.chi2 == pytest.approx(expected["chisq"], abs=1e-9)
    assert found.log_rank.p == pytest.approx(expected["p_logrank"], rel=1e-8, abs=1e-12)
    assert found.log_rank.observed == pytest.approx(expected["obs"])
    assert found.log_rank.expected == pytest.approx(expected["exp"], abs=1e-10)
    assert found.log_rank.variance == pytest.approx(expected["var"], abs=1e-10)
    if expected["possibly_infinite"]:
        assert found.fit is None
        assert "diverges" in found.reason
    else:
        assert found.fit is not None
        assert found.fit.coefficients[0] == pytest.approx(expected["coef"], rel=1e-6, abs=1e-7)
        assert found.fit.standard_errors[0] == pytest.approx(expected["se"], rel=1e-6)
        assert found.fit.hazard_ratio_ci95[0] == pytest.approx([expected["lo"], expected["hi"]], rel=1e-6)
        assert found.fit.p_values[0] == pytest.approx(expected["p_wald"], rel=1e-5)
    for group in expected["groups"]:
        at, curve = group["group"], found.curves[group["group"]]
        assert curve is not None
        assert (found.n[at], found.events[at]) == (group["n"], group["events"])
        for column, month in enumerate((12, 36, 60)):
            here = curve.at(month * 30.0)
            assert here.value == pytest.approx(group["km"][column], abs=1e-10)
            assert here.se == pytest.approx(group["se"][column], abs=1e-10)
            assert here.n_at_risk == group["nrisk"][column]
            if here.ci95 is not None:
                assert here.ci95 == pytest.approx((group["lo"][column], group["hi"][column]), abs=1e-10)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.05])
def test_decision_groups(simulated: Simulated, label: str, threshold: float) -> None:
    cohort = simulated.part(label)
    expected = simulated.expected["decision"][f"thr_{threshold:g}"][label]
    found = compare_arms_by_preference(cohort.outcome("dfs"), cohort.treated, simulated.difference(cohort), threshold)
    check_groups(found["ICT-preferred"], expected["ict_preferred"])
    check_groups(found["CCRT-preferred"], expected["ccrt_preferred"])
    assert sum(found["ICT-preferred"].n) == expected["n_ict_preferred"]


@pytest.mark.parametrize("label", LABELS)
def test_risk_groups(simulated: Simulated, label: str) -> None:
    for arm_name, arm in ARMS.items():
        whole = simulated.part(label)
        cohort = whole if arm is None else whole.arm(arm)
        high = simulated.points(cohort) > simulated.fitted.nomogram.mean_total_points
        found = compare_survival(cohort.outcome("dfs"), high, ("low", "high"))
        check_groups(found, simulated.expected["risk_strat"][label][arm_name])


def subgroup_masks(cohort: Cohort) -> Iterator[tuple[str, Any]]:
    column = cohort.column
    yield from (("male", column("sex_male") == 1), ("female", column("sex_male") == 0))
    yield from (("age_le42", column("age_years") <= 42), ("age_gt42", column("age_years") > 42))
    yield from (("vol_le29", column("tumour_volume_ml") <= 29), ("vol_gt29", column("tumour_volume_ml") > 29))
    yield from (("field_3t", column("field_strength_3t") == 1), ("field_lt3t", column("field_strength_3t") == 0))
    yield from (("crp_normal", column("crp_abnormal") == 0), ("crp_abnormal", column("crp_abnormal") == 1))
    yield from (("smoking", column("smoking") == 1), ("nonsmoking", column("smoking") == 0))


def test_subgroups_of_the_test_cohorts(simulated: Simulated) -> None:
    whole = simulated.part("combined_test")
    compared = 0
    for name, mask in subgroup_masks(whole):
        expected = simulated.expected["subgroups_combined_test"][name]
        cohort = whole.where(mask)
        outcome = cohort.outcome("dfs")
        found = compare_arms_by_preference(outcome, cohort.treated, simulated.difference(cohort), 0.0)
        check_groups(found["ICT-preferred"], expected["ict_preferred"])
        check_groups(found["CCRT-preferred"], expected["ccrt_preferred"])
        high = simulated.points(cohort) > simulated.fitted.nomogram.mean_total_points
        check_groups(compare_survival(outcome, high, ("low", "high")), expected["risk"])
        compared += 1
    assert compared == len(simulated.expected["subgroups_combined_test"])


@pytest.mark.parametrize("label", LABELS)
def test_calibration(simulated: Simulated, label: str) -> None:
    cohort = simulated.part(label)
    for key, month, n_groups in (("t36", 36, 5), ("t60", 60, 5), ("t60_G3", 60, 3)):
        expected = simulated.expected["calibration"]["by"][label][key]
        found = calibrate(simulated.received(cohort, month * 30), cohort.outcome("dfs"), month * 30, n_groups)
        for groups, theirs in ((found.groups, expected["groups"]), (found.merged, expected["collapsed"]["groups"])):
            assert [(g.n, g.events) for g in groups] == [(g["n"], g["events_by_t"]) for g in theirs]
            assert [g.predicted for g in groups] == pytest.approx([g["mean_pred"] for g in theirs], abs=1e-7)
            assert [g.observed for g in groups] == pytest.approx([g["km"] for g in theirs], abs=1e-10)
            assert [g.se for g in groups] == pytest.approx([g["se"] for g in theirs], abs=1e-10)
        test = found.hosmer_lemeshow()
        assert (test.chi2, test.p) == pytest.approx((expected["nam_dagostino_chisq"], expected["nd_p"]), rel=1e-5)
        merged = found.greenwood_nam_dagostino()
        if merged is not None:
            assert merged.chi2 == pytest.approx(expected["collapsed"]["chisq"], rel=1e-5)
            assert (merged.df, merged.p) == pytest.approx(
                (expected["collapsed"]["df"], expected["collapsed"]["p"]), rel=1e-5
            )
        if n_groups == 3:
            authors = simulated.expected["hl_authors"]["by"][label]["t60"]
            assert found.hosmer_lemeshow(df=2).p == pytest.approx(authors["p"], rel=1e-5)


@pytest.fixture(scope="module")
def unmatched() -> Cohort:
    return read_cohort(Path(shared("reference/unmatched_simulated.csv")), endpoints=())


@pytest.mark.parametrize(
    ("key", "caliper"), [("exact_greedy", None), ("exact_greedy_caliper002", 0.02), ("exact_greedy_caliper02", 0.2)]
)
def test_matching_finds_r_s_pairs(simulated: Simulated, unmatched: Cohort, key: str, caliper: float | None) -> None:
    expected = simulated.expected["matching"][key]
    found = match(unmatched, caliper=caliper)
    pairs = sorted((unmatched.patient_ids[one], unmatched.patient_ids[other]) for one, other in found.pairs)
    assert pairs == [tuple(pair) for pair in expected["pairs"]]
    assert len(pairs) == expected["n_pairs"]
    assert found.focal_arm is CCRT
    if caliper is not None:
        assert found.caliper == pytest.approx(expected["caliper"], rel=1e-8)
    after = {balance.factor: balance.smd for balance in found.after}
    for name, smd in expected["smd_after"].items():
        assert after[COLUMN[name]] == pytest.approx(smd, abs=1e-10)


def test_propensity_and_balance_before_matching(simulated: Simulated, unmatched: Cohort) -> None:
    expected = simulated.expected["matching"]["plain"]
    found = match(unmatched)
    for identity, propensity in expected["distance_first10"].items():
        assert found.propensity[unmatched.patient_ids.index(identity)] == pytest.approx(propensity, abs=1e-9)
    before = {balance.factor: balance.smd for balance in found.before}
    for name, smd in expected["smd_before"].items():
        if name != "distance":
            assert before[COLUMN[name]] == pytest.approx(smd, abs=1e-10)


def test_matching_within_centres(simulated: Simulated, unmatched: Cohort) -> None:
    """MatchIt's pairs are not nearest there; the count is, and partners share their centre."""
    found = match(unmatched, exact="centre")
    assert len(found.pairs) == simulated.expected["matching"]["exact_centre"]["n_pairs"]
    centre = unmatched.texts["centre"]
    assert all(centre[one] == centre[other] for one, other in found.pairs)
