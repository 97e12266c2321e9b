"""Our value for each key of the re-analysis of the published cohort (R: survival, rms, survcomp's definitions).

The rows have no licence, so they are read from beside the checkout and never enter the project. Keys carry the
columns' names of the published files: age in units of 100 years, volume in units of 100 mL, sex 1 = female.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import stats

from config.arrays import BoolArray, FloatArray
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import AGE, EBV, INTERACTION, PREDICTIVE, PROGNOSTIC, TERMS, TREATMENT
from workers.survival.baseline_hazard import step_baseline
from workers.survival.cohort import ENDPOINTS, Cohort, Outcome
from workers.survival.concordance import harrell_concordance, noether_concordance
from workers.survival.covariates import PatientCovariates
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.cox_models import CohortModel, design_matrix, fit_terms
from workers.survival.proportional_hazards import proportional_hazards_test
from workers.validation.baseline_table import balance, follow_up
from workers.validation.calibration import Calibration, calibrate, calibration_slope, recalibrated
from workers.validation.group_tests import group_p
from workers.validation.matching import propensity_scores
from workers.validation.reproduction.published_cohort import ARMS, PublishedCohort
from workers.validation.reproduction.published_cohort import COLUMNS as FACTORS
from workers.validation.survival_comparison import (
    SurvivalComparison,
    compare_arms_by_preference,
    compare_risk_groups,
    total_points_received,
)

ICT, CCRT = TreatmentArm.ICT_CCRT, TreatmentArm.CCRT
COHORTS = ("training", "internal")
# published name -> (our column, units of ours in one of theirs)
COLUMNS = {
    **FACTORS,
    "Prog_score": ("prognostic_score", 1.0),
    "Pred_score": ("predictive_score", 1.0),
    "treatment": ("treatment_ict", 1.0),
    "Pred_score:treatment": ("predictive_score:treatment_ict", 1.0),
}
TERM_NAMES = {
    AGE: "age", PROGNOSTIC: "Prog_score", PREDICTIVE: "Pred_score",
    TREATMENT: "treatment", EBV: "EBV_4k", INTERACTION: "Pred_score:treatment",
}  # fmt: skip
MODELS = {
    "clin_all": "clinical_all", "clin_ccrt": "clinical_ccrt", "clin_ict": "clinical_ict_ccrt",
    "prog": "prognostic_score", "clin_prog": "clinical_prognostic_score", "radiomic": "scores", "cptdn": "cptdn",
}  # fmt: skip
FISHER_IN_R = ("internal", "EBV_4k")  # the one 2 x 2 table with large counts that was tested after Fisher there

Value = float | int | str | None
Pairs = Iterator[tuple[str, Value]]
ComputedValues = Mapping[str, tuple[float | int | str, Mapping[str, float | int | str]]]


class RowsOfCentre1:
    """The cohort, the fits on its training patients, and everything derived once."""

    def __init__(self, published: PublishedCohort) -> None:
        whole = published.whole(*COHORTS)
        assert whole is not None
        self.whole: Cohort = whole
        self.program = published
        self.parts = self.program.parts
        self.nomogram: CoxNomogram = self.program.nomogram
        self.models: Mapping[str, CohortModel] = self.program.models

    def points(self, cohort: Cohort) -> FloatArray:
        return total_points_received(self.nomogram.score(cohort.covariates()), cohort.treated)

    def difference(self, cohort: Cohort) -> FloatArray:
        return self.nomogram.score(cohort.covariates()).difference[:, 1]

    def difference_of_script(self, cohort: Cohort) -> FloatArray:
        """What the published script computed: the CCRT arm predicted with treatment = -1 in a 0/1 model."""
        scored = self.nomogram.score(cohort.covariates(), horizons_months=(60,))
        beta = self.nomogram.coefficients
        shift = beta[TREATMENT] + beta[INTERACTION] * cohort.column("predictive_score")
        hazard = self.nomogram.baseline_hazard([60])
        wrong = np.exp(-hazard * np.exp(scored.arms[CCRT].linear_predictor - shift))
        return np.asarray(scored.arms[ICT].dfs[:, 0] - wrong)

    def risk(self, cohort: Cohort) -> FloatArray:
        return self.nomogram.scale.linear_predictor(self.points(cohort))


def values(of: PublishedCohort, computed: ComputedValues) -> dict[str, Value]:
    """Key -> our value: what `nomogram reproduce` computes, and everything else of the re-analysis."""
    published = RowsOfCentre1(of)
    found: dict[str, Value] = {}
    for part in (
        _description, _univariate, _interaction, _models, _baseline, _nomogram, _example, _totals,
        _concordance, _risk, _decision, _calibration, _subgroups, _balance, _table_d1,
    ):  # fmt: skip
        found.update(part(published))
    return {**found, **{key: value for key, (value, _) in computed.items()}}


def _effect(prefix: str, fit: CoxFit, at: int, per: float, p_name: str = "wald_p") -> Pairs:
    coefficient, error = float(fit.coefficients[at]) * per, float(fit.standard_errors[at]) * per
    yield f"{prefix}.coef", coefficient
    yield f"{prefix}.se", error
    yield f"{prefix}.z", coefficient / error
    yield f"{prefix}.{p_name}", float(fit.p_values[at])
    yield f"{prefix}.hr", float(np.exp(coefficient))
    yield f"{prefix}.hr_lo", float(np.exp(coefficient - 1.959963984540054 * error))
    yield f"{prefix}.hr_hi", float(np.exp(coefficient + 1.959963984540054 * error))


def _model(prefix: str, fit: CoxFit, names: list[str]) -> Pairs:
    for at, name in enumerate(names):
        yield from _effect(f"{prefix}.{name}", fit, at, COLUMNS[name][1])
    yield f"{prefix}.n", fit.n
    yield f"{prefix}.nevent", fit.n_events
    yield f"{prefix}.loglik_null", fit.log_likelihood_null
    yield f"{prefix}.loglik", fit.log_likelihood
    yield f"{prefix}.aic", fit.aic
    for test, chi2 in (("lr", fit.lr_chi2), ("wald", fit.wald_chi2), ("score", fit.score_chi2)):
        yield f"{prefix}.{test}_chisq", chi2
        yield f"{prefix}.{test}_p" + ("_overall" if test == "wald" else ""), fit.chi2_p_value(chi2)


def _description(published: RowsOfCentre1) -> Pairs:
    for name, cohort in published.parts.items():
        times = follow_up(cohort)
        assert times is not None
        for statistic in ("median", "q1", "q3"):
            reverse = times["reverse_kaplan_meier_months"][statistic]
            yield f"followup.{name}.reverse_km_os_months30.{statistic}", reverse


def _univariate(published: RowsOfCentre1) -> Pairs:
    units = {"age": ("age_per10y", 10.0), "tumor_volume": ("tumor_volume_per10ml", 10.0), "sex": ("sex", -1.0)}
    for factor, test in published.program.univariate.items():
        name, per = units.get(factor, (factor, 1.0))
        fit, interaction = test.fit, test.interaction
        assert fit is not None
        assert interaction is not None
        prefix = f"univariate.training.{name}"
        yield from _effect(prefix, fit, 0, abs(per))
        if per < 0:  # their 1 is our 0: the ratio turns over, its interval changes ends
            low, high = fit.hazard_ratio_ci95[0]
            yield f"{prefix}.coef", -float(fit.coefficients[0])
            yield f"{prefix}.z", -float(fit.z[0])
            yield f"{prefix}.hr", 1 / float(fit.hazard_ratios[0])
            yield f"{prefix}.hr_lo", 1 / float(high)
            yield f"{prefix}.hr_hi", 1 / float(low)
        yield f"{prefix}.lr_p", fit.chi2_p_value(fit.lr_chi2)
        yield f"{prefix}.loglik", fit.log_likelihood
        yield f"{prefix}.treatment_interaction.coef", float(interaction.coefficients[2]) * per
        yield f"{prefix}.treatment_interaction.se", float(interaction.standard_errors[2]) * abs(per)


def _interaction(published: RowsOfCentre1) -> Pairs:
    names = ["Pred_score", "treatment", "Pred_score:treatment"]
    for name, cohort in published.parts.items():
        fit = fit_terms(cohort, [COLUMNS[term][0] for term in names])
        yield from _model(f"predictive_interaction.{name}", fit, names)


def _models(published: RowsOfCentre1) -> Pairs:
    named = {column: name for name, (column, _) in COLUMNS.items()}
    for key, name in MODELS.items():
        model = published.models[name]
        yield from _model(f"model.{key}", model.fit, [named[term] for term in model.fit.terms])
    training = published.parts["training"]
    outcome = training.outcome("dfs")
    cptdn = published.models["cptdn"]
    x = design_matrix(training, cptdn.specification.terms)
    breslow = fit_cox(x, cptdn.specification.terms, outcome.durations_days, outcome.event_observed, ties="breslow")
    yield "model.cptdn.breslow.loglik", breslow.log_likelihood
    proportional = proportional_hazards_test(cptdn.fit, x, outcome.durations_days, outcome.event_observed)
    yield "model.cptdn.coxzph_km.GLOBAL.p", proportional.p_global
    for at, term in enumerate(cptdn.fit.terms):
        name, per = named[term], COLUMNS[named[term]][1]
        yield f"model.cptdn.r_default_eps.{name}.coef", float(cptdn.fit.coefficients[at]) * per
        yield f"model.cptdn.breslow.{name}.coef", float(breslow.coefficients[at]) * per
        yield f"model.cptdn.coxzph_km.{name}.p", proportional.p_by_term[term]


def _baseline(published: RowsOfCentre1) -> Pairs:
    nomogram = published.nomogram
    days = nomogram.event_days
    for horizon in (1080, 1800):
        hazard = float(nomogram.baseline_hazard([horizon / 30])[0])
        terms = nomogram.variance_terms[horizon]
        yield f"cptdn.baseline.H0.{horizon}", hazard
        yield f"cptdn.baseline.S0.{horizon}", float(np.exp(-hazard))
        yield f"cptdn.baseline.last_event_time_le_{horizon}", float(days[days <= horizon][-1])
        yield f"cptdn.baseline.A.{horizon}", terms.a
        for at, term in enumerate(TERMS):
            yield f"cptdn.baseline.q.{horizon}.{TERM_NAMES[term]}", float(terms.q[at]) / COLUMNS[TERM_NAMES[term]][1]
    counts = np.array(nomogram.document["baseline"]["n_events"])
    yield "cptdn.baseline.n_event_times", len(days)
    yield "cptdn.baseline.n_events", int(counts.sum())
    yield "cptdn.baseline.n_tied_event_times", int((counts > 1).sum())
    training = published.parts["training"]
    yield "cptdn.mean_lp_uncentred.training", float(published.risk(training).mean())
    outcome = training.outcome("dfs")
    x = design_matrix(training, published.models["cptdn"].specification.terms)
    fit = published.models["cptdn"].fit
    at_means = step_baseline(x - x.mean(axis=0), outcome.durations_days, outcome.event_observed, fit.coefficients)
    for horizon in (1080, 1800):
        yield f"cptdn.baseline.H_at_means.{horizon}", at_means.hazard_at(horizon)


def _nomogram(published: RowsOfCentre1) -> Pairs:
    scale = published.nomogram.scale
    yield "nomogram.lp_per_point", scale.lp_per_point
    yield "nomogram.points_per_lp", 1 / scale.lp_per_point
    yield "nomogram.lp_at_zero_points", scale.lp_at_zero_points
    yield "nomogram.points_per_unit.age_year", scale.of_factor(AGE, 11.0) - scale.of_factor(AGE, 10.0)
    yield "nomogram.points_per_unit.Prog_score", scale.of_factor(PROGNOSTIC, 1.0) - scale.of_factor(PROGNOSTIC, 0.0)
    yield "nomogram.points.EBV_4k", scale.of_factor(EBV, 1.0)
    for arm, name in ((CCRT, "CCRT"), (ICT, "ICT")):
        zero = scale.of_predictive_score(arm, 0.0)
        yield f"nomogram.points_per_unit.Pred_score.{name}", scale.of_predictive_score(arm, 1.0) - zero
        yield f"nomogram.points.Pred_score0.{name}", zero
        for score in np.linspace(-1, 1, 11):
            points = scale.of_predictive_score(arm, float(score))
            yield f"nomogram.axis.Pred_score_{name}.{score:.1f}", points
    for age in range(10, 80, 5):
        yield f"nomogram.axis.age.{age}", scale.of_factor(AGE, float(age))
    for score in np.linspace(-1, 1, 11):
        yield f"nomogram.axis.Prog_score.{score:.1f}", scale.of_factor(PROGNOSTIC, float(score))
    for above in (0, 1):
        yield f"nomogram.axis.EBV_4k.{above}", scale.of_factor(EBV, float(above))
    for horizon, totals in published.nomogram.document["nomogram"]["total_points_at_ticks"].items():
        for dfs, total in zip(published.nomogram.document["nomogram"]["dfs_ticks"], totals, strict=True):
            yield f"nomogram.total_points_for_dfs.{horizon}.{dfs:g}", total
        hazard = float(published.nomogram.baseline_hazard([int(horizon) / 30])[0])
        for points in range(0, 241, 20):
            dfs = float(np.exp(-hazard * np.exp(scale.linear_predictor(float(points)))))
            yield f"nomogram.dfs_at_total_points.{horizon}.{points}", dfs


def _example(published: RowsOfCentre1) -> Pairs:
    result = published.nomogram.score(PatientCovariates(40, True, 0.0, -0.4))
    scale, names = published.nomogram.scale, {ICT: "ICT", CCRT: "CCRT"}
    for arm, name in names.items():
        found = result.arms[arm]
        for at, horizon in enumerate((1080, 1800)):
            prefix = f"example.dfs.{name}.{horizon}"
            value, low = float(found.dfs[0, at]), float(found.low[0, at])
            yield prefix, value
            yield f"{prefix}.se_logS", float(np.log(value / low)) / 1.959963984540054
            for interval in ("ci_log", "rms_survest"):
                yield f"{prefix}.{interval}.lo", low
                yield f"{prefix}.{interval}.hi", float(found.high[0, at])
            yield f"{prefix}.rms_survest", value
    for at, horizon in enumerate((1080, 1800)):
        low, high = float(result.difference_low[0, at]), float(result.difference_high[0, at])
        yield f"example.difference.{horizon}", float(result.difference[0, at])
        yield f"example.difference.{horizon}.se_delta", (high - low) / 2 / 1.959963984540054
        yield f"example.difference.{horizon}.lo", low
        yield f"example.difference.{horizon}.hi", high
    hazard = float(published.nomogram.baseline_hazard([60])[0])
    yield "example.total_points_that_give_81pct.1800", scale.total(float(np.log(-np.log(0.81) / hazard)))


def _totals(published: RowsOfCentre1) -> Pairs:
    yield "total_points.mean.internal", float(published.points(published.parts["internal"]).mean())
    yield "risk.cut_lp.mean", float(published.nomogram.document["risk_cut"]["mean_lp_training"])
    yield "risk.cut_lp.tp100", published.nomogram.scale.linear_predictor(100.0)


def _concordance(published: RowsOfCentre1) -> Pairs:
    for key, name in MODELS.items():
        for label, whole in published.parts.items():
            for arm_name, arm in ARMS.items():
                cohort = whole if arm is None else whole.arm(arm)
                outcome, risk = cohort.outcome("dfs"), published.models[name].risk(cohort)
                prefix = f"cindex.{key}.{label}.{arm_name}"
                for extra, function in (("", noether_concordance), (".harrell_survival", harrell_concordance)):
                    c = function(risk, outcome.durations_days, outcome.event_observed)
                    yield f"{prefix}{extra}.c", c.value
                    yield f"{prefix}{extra}.lo", c.ci95[0]
                    yield f"{prefix}{extra}.hi", c.ci95[1]
                    yield f"{prefix}{extra}.se", c.se
                    yield f"{prefix}{extra}.concordant", c.concordant
                    yield f"{prefix}{extra}.discordant", c.discordant
                    yield f"{prefix}{extra}.tied_x", c.tied_risk
                    if not extra:
                        yield f"{prefix}.n", c.n


def _two_groups(prefix: str, found: SurvivalComparison) -> Pairs:
    yield f"{prefix}.n", sum(found.n)
    for at in (0, 1):
        yield f"{prefix}.n{at}", found.n[at]
        yield f"{prefix}.ev{at}", found.events[at]
        curve = found.curves[at]
        assert curve is not None
        for horizon in (1080, 1800):
            yield f"{prefix}.km{horizon}.g{at}", curve.at(horizon).value
    if found.log_rank is not None:
        yield f"{prefix}.logrank_chisq", found.log_rank.chi2
        yield f"{prefix}.logrank_p", found.log_rank.p
    if found.score_chi2 is not None:
        yield f"{prefix}.coxscore_chisq", found.score_chi2
        yield f"{prefix}.coxscore_p", float(stats.chi2.sf(found.score_chi2, 1))
    if found.fit is None:
        yield f"{prefix}.hr", None
        return
    yield from _effect(prefix, found.fit, 0, 1.0)
    yield f"{prefix}.lr_p", found.fit.chi2_p_value(found.fit.lr_chi2)


def _of(outcome: Outcome, mask: BoolArray) -> Outcome:
    return Outcome(outcome.durations_days[mask], outcome.event_observed[mask])


def _risk(published: RowsOfCentre1) -> Pairs:
    for cut_name, cut in (("meanlp", published.nomogram.mean_total_points), ("tp100", 100.0)):
        for label, whole in published.parts.items():
            for arm_name, arm in ARMS.items():
                cohort = whole if arm is None else whole.arm(arm)
                for endpoint in ENDPOINTS:
                    found = compare_risk_groups(cohort.outcome(endpoint), published.points(cohort), cut)
                    yield from _two_groups(f"risk.{cut_name}.{label}.{arm_name}.{endpoint.upper()}", found)


def _decision(published: RowsOfCentre1) -> Pairs:
    names = {"ICT-preferred": "ict_preferred", "CCRT-preferred": "ccrt_preferred"}
    beta = published.nomogram.coefficients
    yield "decision.pred_score_threshold_0pct", -beta[TREATMENT] / beta[INTERACTION]
    for label, cohort in published.parts.items():
        yield f"decision.arm01.{label}.delta5.mean", float(published.difference(cohort).mean())
        for coding, difference in (
            ("arm01", published.difference(cohort)),
            ("scriptminus1", published.difference_of_script(cohort)),
        ):
            for percent in (0, 2, 5):
                for endpoint in ENDPOINTS:
                    groups = compare_arms_by_preference(
                        cohort.outcome(endpoint), cohort.treated, difference, percent / 100
                    )
                    for name, found in groups.items():
                        prefix = f"decision.{coding}.th{percent}pct.{label}.{names[name]}.{endpoint.upper()}"
                        yield from _two_groups(prefix, found)


def _calibration(published: RowsOfCentre1) -> Pairs:
    for label, cohort in published.parts.items():
        outcome = cohort.outcome("dfs")
        result = published.nomogram.score(cohort.covariates())
        risk = published.risk(cohort)
        for at, horizon in enumerate((1080, 1800)):
            predicted = np.where(cohort.treated, result.arms[ICT].dfs[:, at], result.arms[CCRT].dfs[:, at])
            for n_groups in (3, 5):
                found = calibrate(predicted, outcome, horizon, n_groups)
                prefix = f"calibration.quantile{n_groups}.{label}.{horizon}"
                yield from _calibration_groups(prefix, found, "km_se_greenwood")
                yield f"{prefix}.hl_chisq", found.hosmer_lemeshow_chi2
                yield f"{prefix}.hl_p_df2", found.hosmer_lemeshow(df=2).p
                yield f"{prefix}.hl_p_df_g", found.hosmer_lemeshow(df=n_groups).p
                yield f"{prefix}.mean_predicted_all", found.mean_predicted
                yield f"{prefix}.km_all", found.observed
            apparent = calibrate(recalibrated(risk, outcome, horizon), outcome, horizon, 3)
            prefix = f"calibration.script_apparent.{label}.{horizon}"
            yield f"{prefix}.refit_slope", float(calibration_slope(risk, outcome).coefficients[0])
            yield from _calibration_groups(prefix, apparent, "km_se")
            shape = sum((g.observed - g.predicted) ** 2 / (g.predicted * (1 - g.predicted)) for g in apparent.groups)
            for resamples in (100, 5):
                yield f"{prefix}.hl_p_df2_n{resamples}", float(stats.chi2.sf(resamples * shape, 2))


def _calibration_groups(prefix: str, found: Calibration, error: str) -> Pairs:
    for at, group in enumerate(found.groups, 1):
        yield f"{prefix}.g{at}.n", group.n
        yield f"{prefix}.g{at}.mean_predicted", group.predicted
        yield f"{prefix}.g{at}.km", group.observed
        yield f"{prefix}.g{at}.{error}", group.se if error == "km_se_greenwood" else group.se / group.observed


def _subgroups(published: RowsOfCentre1) -> Pairs:
    cohort = published.whole
    column = cohort.column
    masks = {
        "male": column("sex_male") == 1, "female": column("sex_male") == 0,
        "age_le42": column("age_years") <= 42, "age_gt42": column("age_years") > 42,
        "tv_le29": column("tumour_volume_ml") <= 29, "tv_gt29": column("tumour_volume_ml") > 29,
        "crp_normal": column("crp_abnormal") == 0, "crp_abnormal": column("crp_abnormal") == 1,
        "smoke_no": column("smoking") == 0, "smoke_yes": column("smoking") == 1,
        "family_no": column("family_history") == 0, "family_yes": column("family_history") == 1,
    }  # fmt: skip
    names = {"ICT-preferred": "ict_preferred", "CCRT-preferred": "ccrt_preferred"}
    for label, mask in masks.items():
        part = cohort.where(mask)
        outcome = part.outcome("dfs")
        found = compare_risk_groups(outcome, published.points(part), published.nomogram.mean_total_points)
        yield from _two_groups(f"subgroup_risk.meanlp.centre1.{label}.DFS", found)
        for name, groups in compare_arms_by_preference(outcome, part.treated, published.difference(part), 0.0).items():
            yield from _two_groups(f"subgroup_decision.th0pct.centre1.{label}.{names[name]}.DFS", groups)


def _balance(published: RowsOfCentre1) -> Pairs:
    factors = {name: COLUMNS[name] for name in list(COLUMNS)[:12]}
    for label, cohort in {"centre1": published.whole, **published.parts}.items():
        found = {b.factor: b for b in balance(cohort, cohort.treated, [column for column, _ in factors.values()])}
        for name, (column, per) in factors.items():
            b, prefix = found[column], f"balance.{label}.{name}"
            means, sign = (b.means, 1) if name != "sex" else ((1 - b.means[0], 1 - b.means[1]), -1)
            yield f"{prefix}.mean_ict", means[0] / per
            yield f"{prefix}.mean_ccrt", means[1] / per
            yield f"{prefix}.smd_treated_sd", sign * b.smd
            yield f"{prefix}.smd_pooled", sign * b.smd_pooled
            yield f"{prefix}.p", _fisher(cohort, column) if (label, name) == FISHER_IN_R else b.p
            if label == "centre1" and name not in ("WHOcut", "ALBcut", "CRPcut", "LDHcut"):
                yield f"balance.matchit_sum_all.centre1.{name}.std_mean_diff", sign * b.smd
    whole = published.whole
    matched = ("sex", "age", "HGBcut", "EBV_4k", "drinkingcut", "His_cancercut", "smokingcut", "tumor_volume")
    distance = propensity_scores(design_matrix(whole, [COLUMNS[name][0] for name in matched]), whole.treated)
    one, other = distance[whole.treated], distance[~whole.treated]
    yield "balance.matchit_sum_all.centre1.distance.std_mean_diff", float((one.mean() - other.mean()) / one.std(ddof=1))


def _fisher(cohort: Cohort, column: str) -> float:
    table = [[int(((cohort.column(column) == v) & (cohort.treated == t)).sum()) for t in (True, False)] for v in (0, 1)]
    return float(stats.fisher_exact(table).pvalue)


def _table_d1(published: RowsOfCentre1) -> Pairs:
    for label, cohort in published.parts.items():
        high = cohort.column("predictive_score") > 0
        for name in list(COLUMNS)[:12]:
            if name != "WHOcut":
                column = cohort.column(COLUMNS[name][0])
                yield f"tableD1.{label}.{name}.p", group_p(column[high], column[~high])
