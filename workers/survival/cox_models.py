"""Cox models of a cohort by the names of their factors: univariate, treatment interactions, the models compared.

A term is a column of the cohort, `treatment_ict` (1 = ICT+CCRT), or a product "a:b". Models use complete cases.
Source: Zhong et al., EBioMedicine 2021;70:103522, sections 2.4 and 2.5 and Table 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.survival.cohort import EBV, Cohort
from workers.survival.cox import CoxFit, SeparationError, StepBaseline, fit_cox, step_baseline
from workers.survival.kaplan_meier import log_rank

TREATMENT = "treatment_ict"
INTERACTION = f"predictive_score:{TREATMENT}"
CLINICAL_FACTORS = (
    "age_years",
    "sex_male",
    "haemoglobin_abnormal",
    "family_history",
    "smoking",
    "drinking",
    "who_type_iii",
    "albumin_abnormal",
    "crp_abnormal",
    "ldh_abnormal",
    EBV,
    "tumour_volume_ml",
)
PER_UNIT = {"age_years": 10.0, "tumour_volume_ml": 10.0}  # hazard ratios per ten years, per ten mL
CPTDN_TERMS = ("age_years", EBV, "prognostic_score", "predictive_score", TREATMENT, INTERACTION)


@dataclass(frozen=True)
class ModelSpecification:
    """Terms of a model and the arm it is fitted in (None: both)."""

    terms: tuple[str, ...]
    arm: TreatmentArm | None = None


COMPARED_MODELS: Mapping[str, ModelSpecification] = {
    "clinical_all": ModelSpecification(("age_years", EBV)),
    "clinical_ccrt": ModelSpecification(("tumour_volume_ml", EBV), TreatmentArm.CCRT),
    "clinical_ict_ccrt": ModelSpecification(("age_years", EBV), TreatmentArm.ICT_CCRT),
    "prognostic_score": ModelSpecification(("prognostic_score",)),
    "clinical_prognostic_score": ModelSpecification(("age_years", EBV, "prognostic_score")),
    "scores": ModelSpecification(("prognostic_score", "predictive_score", TREATMENT, INTERACTION)),
    "cptdn": ModelSpecification(CPTDN_TERMS),
}


@dataclass(frozen=True)
class CohortModel:
    """A fitted model that gives every patient of any cohort a risk."""

    name: str
    specification: ModelSpecification
    fit: CoxFit
    baseline: StepBaseline

    def survival(self, cohort: Cohort, days: float) -> FloatArray:
        """(n,) probability of no event by a time; NaN where a factor is unknown."""
        return np.exp(-self.baseline.hazard_at(days) * np.exp(self.risk(cohort)))

    def risk(self, cohort: Cohort) -> FloatArray:
        """(n,) uncentred linear predictor; NaN where a factor is unknown."""
        return self.fit.linear_predictor(design_matrix(cohort, self.specification.terms))


def design_matrix(cohort: Cohort, terms: Sequence[str]) -> FloatArray:
    """(n, p) columns of the terms; NaN where unknown. Raises InputError for a column that the cohort lacks."""

    def column(term: str) -> FloatArray:
        if ":" in term:
            one, other = term.split(":")
            return column(one) * column(other)
        return cohort.treated.astype(np.float64) if term == TREATMENT else cohort.column(term)

    return np.column_stack([column(term) for term in terms])


def fit_terms(cohort: Cohort, terms: Sequence[str], endpoint: str = "dfs") -> CoxFit:
    """Fit one model on the complete cases. Raises InputError, SeparationError."""
    x = design_matrix(cohort, terms)
    complete = ~np.isnan(x).any(axis=1)
    outcome = cohort.outcome(endpoint)
    return fit_cox(x[complete], terms, outcome.durations_days[complete], outcome.event_observed[complete])


def fit_compared_models(cohort: Cohort, endpoint: str = "dfs") -> tuple[dict[str, CohortModel], dict[str, str]]:
    """The paper's comparison models and the CPTDN, each fitted in its arm; and why a model could not be fitted."""
    fitted: dict[str, CohortModel] = {}
    not_fitted: dict[str, str] = {}
    for name, specification in COMPARED_MODELS.items():
        part = cohort if specification.arm is None else cohort.arm(specification.arm)
        try:
            fit = fit_terms(part, specification.terms, endpoint)
        except InputError as error:
            not_fitted[name] = str(error)
            continue
        x = design_matrix(part, specification.terms)
        complete, outcome = complete_cases(x), part.outcome(endpoint)
        baseline = step_baseline(
            x[complete], outcome.durations_days[complete], outcome.event_observed[complete], fit.coefficients
        )
        fitted[name] = CohortModel(name, specification, fit, baseline)
    return fitted, not_fitted


@dataclass(frozen=True)
class FactorTest:
    """One factor alone: effect per `per` units with the three tests, the log-rank test of a binary factor, and its
    interaction with the treatment (None, with a reason, where the effect diverges)."""

    factor: str
    per: float
    n: int
    fit: CoxFit | None
    interaction: CoxFit | None
    interaction_lr_p: float | None
    log_rank_p: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"per": self.per, "n": self.n}
        if self.fit is None:
            return {**answer, "reason": self.reason}
        answer.update(term_to_json(self.fit, 0, self.per))
        answer.update(
            p_likelihood_ratio=self.fit.chi2_p_value(self.fit.lr_chi2),
            p_score=self.fit.chi2_p_value(self.fit.score_chi2),
            score_chi2=self.fit.score_chi2,
            p_log_rank=self.log_rank_p,
            log_likelihood=self.fit.log_likelihood,
            aic=self.fit.aic,
        )
        if self.interaction is not None:
            at = len(self.interaction.terms) - 1
            effect = term_to_json(self.interaction, at, self.per)
            answer["treatment_interaction"] = {**effect, "p_likelihood_ratio": self.interaction_lr_p}
        elif self.reason:
            answer["treatment_interaction"] = {"reason": self.reason}
        return answer


def examine_factor(cohort: Cohort, factor: str, endpoint: str = "dfs") -> FactorTest:
    """Univariate Cox model of one factor and its interaction with the treatment, on the patients who have it."""
    values = design_matrix(cohort, [factor])[:, 0]
    known = cohort.where(~np.isnan(values))
    per = PER_UNIT.get(factor, 1.0)
    outcome = known.outcome(endpoint)
    try:
        alone = fit_terms(known, [factor], endpoint)
    except InputError as error:
        return FactorTest(factor, per, len(known), None, None, None, None, str(error))
    binary = set(np.unique(values[~np.isnan(values)])) == {0.0, 1.0}
    ranks = (
        log_rank(outcome.durations_days, outcome.event_observed, design_matrix(known, [factor])[:, 0] == 1)
        if binary
        else None
    )
    interaction, lr_p, reason = None, None, ""
    if factor != TREATMENT:
        try:
            main = fit_terms(known, [TREATMENT, factor], endpoint)
            interaction = fit_terms(known, [TREATMENT, factor, f"{factor}:{TREATMENT}"], endpoint)
            lr_p = float(stats.chi2.sf(2 * (interaction.log_likelihood - main.log_likelihood), 1))
        except SeparationError as error:
            reason = str(error)
    return FactorTest(factor, per, len(known), alone, interaction, lr_p, ranks.p if ranks else None, reason)


def univariate(cohort: Cohort, endpoint: str = "dfs") -> list[FactorTest]:
    """Every clinical factor that the cohort has, the treatment and both scores."""
    have = [factor for factor in CLINICAL_FACTORS if factor in cohort.values]
    scores = [score for score in ("prognostic_score", "predictive_score") if score in cohort.values]
    return [examine_factor(cohort, factor, endpoint) for factor in (*have, TREATMENT, *scores)]


def term_to_json(fit: CoxFit, at: int, per: float = 1.0) -> dict[str, Any]:
    """Coefficient, standard error, hazard ratio with interval and Wald p of one term, per `per` units."""
    low, high = (float(end) ** per for end in fit.hazard_ratio_ci95[at])
    return {
        "coef": float(fit.coefficients[at]) * per,
        "se": float(fit.standard_errors[at]) * per,
        "hazard_ratio": float(fit.hazard_ratios[at]) ** per,
        "ci95": [low, high],
        "p": float(fit.p_values[at]),
    }


def model_to_json(fit: CoxFit) -> dict[str, Any]:
    """All terms and the overall tests of a fitted model."""
    return {
        "terms": {term: term_to_json(fit, at, PER_UNIT.get(term, 1.0)) for at, term in enumerate(fit.terms)},
        "n": fit.n,
        "n_events": fit.n_events,
        "log_likelihood_null": fit.log_likelihood_null,
        "log_likelihood": fit.log_likelihood,
        "aic": fit.aic,
        "bic": fit.bic,
        "likelihood_ratio": {"chi2": fit.lr_chi2, "p": fit.chi2_p_value(fit.lr_chi2)},
        "wald": {"chi2": fit.wald_chi2, "p": fit.chi2_p_value(fit.wald_chi2)},
        "score": {"chi2": fit.score_chi2, "p": fit.chi2_p_value(fit.score_chi2)},
    }


def complete_cases(x: FloatArray) -> BoolArray:
    """(n,) True for complete cases of columns (n, p)."""
    return np.asarray(~np.isnan(x).any(axis=1))
