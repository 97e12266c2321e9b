"""Cox models of a cohort by the names of their factors: univariate, treatment interactions, the models compared.

A term is a column of the cohort, ``treatment_ict`` (1 = ICT+CCRT), or a product ``a:b``. Models use complete cases.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.4 and 2.5 and Table 2.
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
from workers.survival.baseline_hazard import StepBaseline, step_baseline
from workers.survival.cohort import EBV, Cohort
from workers.survival.cox import CoxFit, fit_cox
from workers.survival.kaplan_meier import log_rank
from workers.survival.partial_likelihood import SeparationError

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
    """Terms of a model and the arm in which it is fitted.

    Attributes
    ----------
    terms : tuple of str
        Columns of the cohort, the treatment, products.
    arm : TreatmentArm or None
        None: the patients of both arms.
    """

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
        """Return predicted survival at a time.

        Parameters
        ----------
        cohort : Cohort
            n patients, from the model's own cohort or another.
        days : float
            Days since the start of follow-up.

        Returns
        -------
        array, shape (n,)
            Probability of no event by then; NaN where a factor is unknown.
        """
        # S(t|x) = exp(-H0(t) exp(lp)), with the baseline of x = 0 and the uncentred predictor.
        return np.exp(-self.baseline.hazard_at(days) * np.exp(self.risk(cohort)))

    def risk(self, cohort: Cohort) -> FloatArray:
        """Return the uncentred linear predictor.

        Returns
        -------
        array, shape (n,)
            Rises with risk; NaN where a factor is unknown.
        """
        return self.fit.linear_predictor(design_matrix(cohort, self.specification.terms))


def design_matrix(cohort: Cohort, terms: Sequence[str]) -> FloatArray:
    """Return the columns of the terms.

    Parameters
    ----------
    cohort : Cohort
        n patients.
    terms : sequence of str, length p
        Columns, ``treatment_ict`` or products ``a:b``.

    Returns
    -------
    array, shape (n, p)
        NaN where a value is unknown.

    Raises
    ------
    InputError
        A column is missing.
    """

    def column(term: str) -> FloatArray:
        if ":" in term:
            first, second = term.split(":")
            return column(first) * column(second)
        return cohort.treated.astype(np.float64) if term == TREATMENT else cohort.column(term)

    return np.column_stack([column(term) for term in terms])


def fit_terms(cohort: Cohort, terms: Sequence[str], endpoint: str = "dfs") -> CoxFit:
    """Fit one model on the complete cases.

    Parameters
    ----------
    cohort : Cohort
        Patients with a missing value in a term are left out.
    terms : sequence of str
        See `design_matrix`.
    endpoint : str
        Which follow-up.

    Raises
    ------
    InputError
        A column is missing, constant, or there is no event; SeparationError where the likelihood has no maximum.
    """
    x = design_matrix(cohort, terms)
    # Complete cases, as coxph with na.omit.
    complete = ~np.isnan(x).any(axis=1)
    outcome = cohort.outcome(endpoint)
    return fit_cox(x[complete], terms, outcome.durations_days[complete], outcome.event_observed[complete])


def fit_compared_models(
    cohort: Cohort, endpoint: str = "dfs", specifications: Mapping[str, ModelSpecification] = COMPARED_MODELS
) -> tuple[dict[str, CohortModel], dict[str, str]]:
    """Fit the paper's comparison models and the CPTDN, each in its arm.

    Parameters
    ----------
    cohort : Cohort
        Usually the training patients.
    endpoint : str
        Which follow-up.
    specifications : mapping of str to ModelSpecification
        What to fit, by name.

    Returns
    -------
    fitted : dict of str to CohortModel
        By the names of `specifications`.
    not_fitted : dict of str to str
        The reason why a model could not be fitted.

    References
    ----------
    Zhong et al. 2021, section 2.5 and Figure 3.
    """
    fitted: dict[str, CohortModel] = {}
    not_fitted: dict[str, str] = {}
    for name, specification in specifications.items():
        # Zhong et al. 2021, section 2.5: two of the clinical models are of one arm alone, but give every patient a
        # risk.
        part = cohort if specification.arm is None else cohort.arm(specification.arm)
        try:
            fit = fit_terms(part, specification.terms, endpoint)
        except InputError as error:
            not_fitted[name] = str(error)
            continue
        x = design_matrix(part, specification.terms)
        complete, outcome = complete_cases(x), part.outcome(endpoint)
        # From the rows of the fit; others would give a hazard that does not belong to the coefficients.
        baseline = step_baseline(
            x[complete], outcome.durations_days[complete], outcome.event_observed[complete], fit.coefficients
        )
        fitted[name] = CohortModel(name, specification, fit, baseline)
    return fitted, not_fitted


@dataclass(frozen=True)
class FactorTest:
    """One factor alone: its effect with three tests, and its interaction with the treatment.

    Attributes
    ----------
    factor : str
        Column of the cohort, or ``treatment_ict``.
    per : float
        Units per which the JSON form gives the hazard ratio (10 years, 10 mL, else 1).
    n : int
        Patients whose value is known.
    fit : CoxFit or None
        Univariate model; None where it cannot be fitted, with a reason.
    interaction : CoxFit or None
        Model of treatment, factor and product; None for the treatment itself or where the effect diverges.
    interaction_lr_p : float or None
        p of the likelihood-ratio test of the product.
    log_rank_p : float or None
        For a binary factor.
    reason : str
        Why a model is None.
    """

    factor: str
    per: float
    n: int
    fit: CoxFit | None
    interaction: CoxFit | None
    interaction_lr_p: float | None
    log_rank_p: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one factor, its hazard ratios per `per` units."""
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
            # The product is the last term of the interaction model.
            at = len(self.interaction.terms) - 1
            effect = term_to_json(self.interaction, at, self.per)
            answer["treatment_interaction"] = {**effect, "p_likelihood_ratio": self.interaction_lr_p}
        elif self.reason:
            answer["treatment_interaction"] = {"reason": self.reason}
        return answer


def examine_factor(cohort: Cohort, factor: str, endpoint: str = "dfs") -> FactorTest:
    """Fit one factor alone and with its treatment interaction, on the patients whose value is known.

    Parameters
    ----------
    cohort : Cohort
        Usually the training patients.
    factor : str
        A column, or ``treatment_ict``.
    endpoint : str
        Which follow-up.

    Returns
    -------
    FactorTest
        With a reason in place of a model that cannot be fitted.

    References
    ----------
    Zhong et al. 2021, section 2.4 and Table 2.
    """
    values = design_matrix(cohort, [factor])[:, 0]
    # One set of patients for all models of this factor, since a likelihood-ratio test compares models of equal rows.
    known = cohort.where(~np.isnan(values))
    per = PER_UNIT.get(factor, 1.0)
    outcome = known.outcome(endpoint)
    try:
        alone = fit_terms(known, [factor], endpoint)
    except InputError as error:
        return FactorTest(factor, per, len(known), None, None, None, None, str(error))
    # A score test and a log-rank test agree for two groups but for ties; the log-rank test is what journals print.
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
            # The two models differ in the product alone: one degree of freedom.
            lr_p = float(stats.chi2.sf(2 * (interaction.log_likelihood - main.log_likelihood), 1))
        except SeparationError as error:
            reason = str(error)
    return FactorTest(factor, per, len(known), alone, interaction, lr_p, ranks.p if ranks else None, reason)


def univariate(cohort: Cohort, endpoint: str = "dfs") -> list[FactorTest]:
    """Examine every clinical factor that the cohort has, the treatment and both scores.

    Parameters
    ----------
    cohort : Cohort
        Usually the training patients.
    endpoint : str
        Which follow-up.

    Returns
    -------
    list of FactorTest
        Clinical factors in the order of `CLINICAL_FACTORS`, then the treatment, then the scores.

    References
    ----------
    Zhong et al. 2021, section 2.4 and Table 2.
    """
    have = [factor for factor in CLINICAL_FACTORS if factor in cohort.values]
    scores = [score for score in ("prognostic_score", "predictive_score") if score in cohort.values]
    return [examine_factor(cohort, factor, endpoint) for factor in (*have, TREATMENT, *scores)]


def term_to_json(fit: CoxFit, at: int, per: float = 1.0) -> dict[str, Any]:
    """Return the effect of one term: coefficient, standard error, hazard ratio with interval, Wald p.

    Parameters
    ----------
    fit : CoxFit
        The model.
    at : int
        Position of the term.
    per : float
        Units of the covariate whose effect is given.
    """
    # exp(per * beta) = exp(beta) ** per, for the ends of the interval as well.
    low, high = (float(end) ** per for end in fit.hazard_ratio_ci95[at])
    return {
        "coef": float(fit.coefficients[at]) * per,
        "se": float(fit.standard_errors[at]) * per,
        "hazard_ratio": float(fit.hazard_ratios[at]) ** per,
        "ci95": [low, high],
        "p": float(fit.p_values[at]),
    }


def model_to_json(fit: CoxFit) -> dict[str, Any]:
    """Return all terms and the overall tests of a fitted model.

    Parameters
    ----------
    fit : CoxFit
        The model.

    Returns
    -------
    dict
        Hazard ratios of age and volume per ten units (see `PER_UNIT`), all others per unit.
    """
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
    """Return which patients have a value in every column.

    Parameters
    ----------
    x : array, shape (n, p)
        NaN where unknown.

    Returns
    -------
    bool array, shape (n,)
        True for complete cases.
    """
    return np.asarray(~np.isnan(x).any(axis=1))
