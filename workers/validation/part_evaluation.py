"""Results of a nomogram on one set of patients: discrimination, calibration, risk groups, treatment decisions.

The nomogram and the comparison models are applied as they are. What needs a value for every patient (C-index,
calibration, risk groups) takes the patients whose EBV DNA is known, and gives bounds with the others in either
category; what does not need it takes all.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.5 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import month_key
from workers.survival.cohort import Cohort, Outcome
from workers.survival.comparison_models import ComparisonModel
from workers.survival.concordance import Concordance, harrell_concordance, noether_concordance
from workers.survival.cox_models import CLINICAL_FACTORS
from workers.validation.analysed_patients import EBV_UNKNOWN, NOT_DETERMINED, AnalysedPatients, analysed
from workers.validation.baseline_table import MATCHED_FACTORS, FactorBalance, balance, follow_up, table_1
from workers.validation.calibration import Calibration, calibrate, calibration_slope
from workers.validation.decision_curve import DecisionCurve, decision_curve
from workers.validation.evaluation_options import EvaluationOptions
from workers.validation.predictions import CATEGORIES, CohortPredictions
from workers.validation.survival_comparison import (
    SurvivalComparison,
    compare_arms_by_preference,
    compare_risk_groups,
    predictive_interaction,
)

ALL = "all"
ARMS: Mapping[str, TreatmentArm | None] = {
    ALL: None,
    **{arm.value: arm for arm in (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)},
}
N_CALIBRATION_GROUPS = 3
_BALANCED_FACTORS = tuple(dict.fromkeys((*MATCHED_FACTORS, *CLINICAL_FACTORS)))
AS_GIVEN, FITTED_HERE = ", as given", ", fitted on this cohort"


@dataclass(frozen=True)
class ModelConcordance:
    """Both definitions of the C-index of one model in one arm."""

    noether: Concordance
    harrell: Concordance

    def to_json(self) -> dict[str, Any]:
        """Return Noether's C-index, with Harrell's inside."""
        return {**self.noether.to_json(), "harrell": self.harrell.to_json()}


@dataclass(frozen=True)
class CategoryBound:
    """What needs a value of EBV DNA, for all patients with the unknown ones taken as one category.

    Attributes
    ----------
    c_index : mapping of str to ModelConcordance
        Of the nomogram, by arm.
    risk : mapping of str to SurvivalComparison
        High against low risk, by arm.
    calibration_slope : float or None
        None for other endpoints than DFS, or without a fit.
    mean_predicted : mapping of float to float
        Mean predicted DFS under the treatment received, by months.
    """

    c_index: Mapping[str, ModelConcordance]
    risk: Mapping[str, SurvivalComparison]
    calibration_slope: float | None
    mean_predicted: Mapping[float, float]

    def to_json(self, horizons_months: Sequence[float]) -> dict[str, Any]:
        """Return the contract's JSON of one bound."""
        return {
            "c_index": {arm: result.to_json() for arm, result in self.c_index.items()},
            "risk_groups": {arm: result.to_json(horizons_months) for arm, result in self.risk.items()},
            "calibration_slope": self.calibration_slope,
            "mean_predicted": {month_key(month): value for month, value in self.mean_predicted.items()},
        }


@dataclass(frozen=True)
class PartEvaluation:
    """Results on one set of patients. Mappings by arm have the keys ``all``, ``CCRT`` and ``ICT+CCRT``.

    Attributes
    ----------
    n, n_events : int
        Patients and events of the endpoint; EBV DNA known or not.
    analyses : sequence of AnalysedPatients
        Who is in each analysis.
    c_index : mapping of str to ModelConcordance
        Of the nomogram as given, by arm.
    c_index_of_score : mapping of str to ModelConcordance
        Of the Prognostic-score alone, by arm; all patients.
    c_index_of_models : mapping of str to mapping
        Of the comparison models of the nomogram, by name and arm.
    c_index_of_refitted : mapping of str to mapping
        Of models that were fitted on this cohort; empty unless asked for.
    risk : mapping of str to SurvivalComparison
        High against low risk, by arm.
    decision : mapping of str to mapping
        Threshold (``0.02``) -> preferred regimen -> effect of the treatment.
    calibration : mapping of float to Calibration
        By months; empty for other endpoints than DFS.
    calibration_slope : float or None
        None for other endpoints, or without events.
    net_benefit : DecisionCurve or None
        None for other endpoints.
    bounds : mapping of str to CategoryBound
        By the category that unknown EBV DNA is taken as; empty where none is unknown.
    table_1, follow_up, balance
        See `baseline_table`; all patients.
    predictive_interaction : mapping of str to object
        Of the Predictive-score with the treatment, estimated on these patients as a measure of them.
    """

    n: int
    n_events: int
    analyses: Sequence[AnalysedPatients]
    c_index: Mapping[str, ModelConcordance]
    c_index_of_score: Mapping[str, ModelConcordance]
    c_index_of_models: Mapping[str, Mapping[str, ModelConcordance]]
    c_index_of_refitted: Mapping[str, Mapping[str, ModelConcordance]]
    risk: Mapping[str, SurvivalComparison]
    decision: Mapping[str, Mapping[str, SurvivalComparison]]
    calibration: Mapping[float, Calibration]
    calibration_slope: float | None
    net_benefit: DecisionCurve | None
    bounds: Mapping[str, CategoryBound]
    table_1: Mapping[str, Any]
    follow_up: Mapping[str, Any] | None
    balance: Sequence[FactorBalance]
    predictive_interaction: Mapping[str, Any]

    def to_json(self, horizons_months: Sequence[float]) -> dict[str, Any]:
        """Return the contract's JSON of one set of patients."""
        return {
            "n": self.n,
            "n_events": self.n_events,
            "patients_in_analyses": [each.to_json() for each in self.analyses],
            "c_index": {arm: result.to_json() for arm, result in self.c_index.items()},
            "c_index_prognostic_score": {arm: result.to_json() for arm, result in self.c_index_of_score.items()},
            "c_index_models": _by_model(self.c_index_of_models),
            "c_index_refitted_models": _by_model(self.c_index_of_refitted),
            "risk_groups": {arm: result.to_json(horizons_months) for arm, result in self.risk.items()},
            "decision": {
                threshold: {name: result.to_json(horizons_months) for name, result in groups.items()}
                for threshold, groups in self.decision.items()
            },
            "calibration": {
                month_key(month): [group.to_json() for group in result.groups]
                for month, result in self.calibration.items()
            },
            "calibration_tests": {
                month_key(month): result.tests_to_json() for month, result in self.calibration.items()
            },
            "calibration_slope": self.calibration_slope,
            "decision_curve": self.net_benefit.to_json() if self.net_benefit else None,
            "ebv_dna_unknown_taken_as": {name: bound.to_json(horizons_months) for name, bound in self.bounds.items()},
            "table_1": dict(self.table_1),
            "follow_up": self.follow_up,
            "balance_of_arms": {result.factor: result.to_json() for result in self.balance},
            "predictive_interaction": dict(self.predictive_interaction),
        }


def compared_concordances(part: PartEvaluation) -> list[tuple[str, str, Mapping[str, ModelConcordance]]]:
    """Return the C-indices of the nomogram and of all models.

    Parameters
    ----------
    part : PartEvaluation
        Any.

    Returns
    -------
    list of (str, str, mapping)
        Name, place of the fit as a text, and C-indices by arm: the nomogram first, refitted models last.
    """
    rows: list[tuple[str, str, Mapping[str, ModelConcordance]]] = [("cptdn", AS_GIVEN, part.c_index)]
    rows += [(name, "", by_arm) for name, by_arm in part.c_index_of_models.items()]
    return rows + [(name, FITTED_HERE, by_arm) for name, by_arm in part.c_index_of_refitted.items()]


def _by_model(by_model: Mapping[str, Mapping[str, ModelConcordance]]) -> dict[str, Any]:
    return {name: {arm: result.to_json() for arm, result in by_arm.items()} for name, by_arm in by_model.items()}


def evaluate_part(
    cohort: Cohort,
    predictions: CohortPredictions,
    nomogram: CoxNomogram,
    models: Mapping[str, ComparisonModel],
    refitted: Mapping[str, ComparisonModel],
    options: EvaluationOptions,
) -> PartEvaluation:
    """Evaluate one set of patients.

    Parameters
    ----------
    cohort : Cohort
        n patients of both arms.
    predictions : CohortPredictions
        Of the same patients.
    nomogram : CoxNomogram
        Whose predictions these are.
    models, refitted : mapping of str to ComparisonModel
        Those of the nomogram, and those that were fitted on this cohort.
    options : EvaluationOptions
        What to compute.

    Returns
    -------
    PartEvaluation
        C-index, calibration and risk groups of the patients whose EBV DNA is known, all else of all.
    """
    outcome, known = cohort.outcome(options.endpoint), predictions.known
    everyone = np.ones(len(cohort), dtype=np.bool_)
    by_model = {name: concordance_by_arm(model.risk(cohort), outcome, cohort) for name, model in models.items()}
    bounds = {}
    if not known.all():
        bounds = {
            category.value: _bound(at, cohort, outcome, predictions, nomogram, options, everyone)
            for at, category in enumerate(CATEGORIES)
        }
    complete = _bound(0, cohort, outcome, predictions, nomogram, options, known)
    decision, in_decision = _decisions(cohort, outcome, predictions, options)
    return PartEvaluation(
        n=len(cohort),
        n_events=int(outcome.event_observed.sum()),
        analyses=(
            analysed("characteristics, follow-up and balance of the arms", outcome, everyone),
            *in_decision,
            analysed("C-index, calibration and risk groups of the nomogram", outcome, known, EBV_UNKNOWN),
            *(_analysed_model(name, model, cohort, outcome) for name, model in models.items()),
        ),
        c_index=complete.c_index,
        c_index_of_score=concordance_by_arm(cohort.column("prognostic_score"), outcome, cohort),
        c_index_of_models=by_model,
        c_index_of_refitted={
            name: concordance_by_arm(model.risk(cohort), outcome, cohort) for name, model in refitted.items()
        },
        risk=complete.risk,
        decision=decision,
        # The nomogram predicts DFS; its rates compared with another endpoint would not be a calibration.
        calibration=_calibrations(cohort, predictions, options) if options.endpoint == "dfs" and known.any() else {},
        calibration_slope=complete.calibration_slope,
        net_benefit=_net_benefit(cohort, predictions, models, options),
        bounds=bounds,
        table_1=table_1(cohort),
        follow_up=follow_up(cohort),
        balance=balance(cohort, cohort.treated, [name for name in _BALANCED_FACTORS if name in cohort.values]),
        predictive_interaction=predictive_interaction(cohort, options.endpoint),
    )


def concordance_by_arm(risk: FloatArray, outcome: Outcome, cohort: Cohort) -> dict[str, ModelConcordance]:
    """Return both C-indices of a risk in all patients and in each arm.

    Parameters
    ----------
    risk : array, shape (n,)
        NaN: the patient is left out.
    outcome : Outcome
        Follow-up of the n patients.
    cohort : Cohort
        Their treatment.

    Returns
    -------
    dict of str to ModelConcordance
        By the keys of `ARMS`.
    """
    known = ~np.isnan(risk)
    masks = {
        name: known if arm is None else known & (cohort.treated == (arm is TreatmentArm.ICT_CCRT))
        for name, arm in ARMS.items()
    }
    return {name: _concordance(risk[mask], outcome.where(mask)) for name, mask in masks.items()}


def _concordance(risk: FloatArray, outcome: Outcome) -> ModelConcordance:
    return ModelConcordance(
        noether_concordance(risk, outcome.durations_days, outcome.event_observed),
        harrell_concordance(risk, outcome.durations_days, outcome.event_observed),
    )


def _bound(
    category: int,
    cohort: Cohort,
    outcome: Outcome,
    predictions: CohortPredictions,
    nomogram: CoxNomogram,
    options: EvaluationOptions,
    inside: BoolArray,
) -> CategoryBound:
    """Evaluate what needs EBV DNA on some patients, the unknown ones among them taken as one category."""
    points = np.where(inside, predictions.points[category], np.nan)
    rows = {
        name: inside if arm is None else inside & (cohort.treated == (arm is TreatmentArm.ICT_CCRT))
        for name, arm in ARMS.items()
    }
    slope = None
    if options.endpoint == "dfs" and outcome.event_observed[inside].any():
        # Points are linear in the linear predictor, so it is recovered from them without scoring again.
        try:
            fit = calibration_slope(nomogram.scale.linear_predictor(points[inside]), outcome.where(inside))
            slope = float(fit.coefficients[0])
        except InputError:
            slope = None  # equal predictions, or predictions that separate the events
    return CategoryBound(
        c_index=concordance_by_arm(points, outcome, cohort),
        risk={
            arm: compare_risk_groups(outcome.where(mask), points[mask], options.risk_cut_of(nomogram))
            for arm, mask in rows.items()
        },
        calibration_slope=slope,
        mean_predicted={
            month: float(predictions.received(at)[category][inside].mean())
            for at, month in enumerate(options.horizons_months)
            if inside.any()
        },
    )


def _decisions(
    cohort: Cohort, outcome: Outcome, predictions: CohortPredictions, options: EvaluationOptions
) -> tuple[dict[str, dict[str, SurvivalComparison]], list[AnalysedPatients]]:
    """Compare the arms by preferred regimen, among all patients whose recommendation is determined."""
    decision, analyses = {}, []
    for threshold in options.thresholds:
        _, determined = predictions.preferred(threshold)
        gain = predictions.gain[0][determined]  # either category: both are on the same side of the threshold
        inside = outcome.where(determined)
        decision[f"{threshold:.2f}"] = compare_arms_by_preference(inside, cohort.treated[determined], gain, threshold)
        name = f"treatment effect by recommendation at {100 * threshold:g} %"
        analyses.append(analysed(name, outcome, determined, NOT_DETERMINED))
    return decision, analyses


def _analysed_model(name: str, model: ComparisonModel, cohort: Cohort, outcome: Outcome) -> AnalysedPatients:
    known = ~np.isnan(model.risk(cohort))
    return analysed(f"C-index of the model {name}", outcome, known, "a factor of the model is unknown")


def _calibrations(
    cohort: Cohort, predictions: CohortPredictions, options: EvaluationOptions
) -> dict[float, Calibration]:
    known = predictions.known
    outcome = cohort.outcome("dfs").where(known)
    return {
        month: calibrate(predictions.received(at)[0][known], outcome, month * DAYS_PER_MONTH, N_CALIBRATION_GROUPS)
        for at, month in enumerate(options.horizons_months)
    }


def _net_benefit(
    cohort: Cohort,
    predictions: CohortPredictions,
    models: Mapping[str, ComparisonModel],
    options: EvaluationOptions,
) -> DecisionCurve | None:
    known = predictions.known
    if options.endpoint != "dfs" or not known.any():
        return None
    rules = {"CPTDN": 1 - predictions.received(-1)[0][known]}
    for name in ("clinical_all", "clinical_prognostic_score"):
        if name in models:
            predicted = 1 - models[name].survival(cohort, options.decision_days)[known]
            # Curves of different patients cannot be compared, so a rule with gaps is left out.
            if not np.isnan(predicted).any():
                rules[name] = predicted
    return decision_curve(rules, cohort.outcome("dfs").where(known), options.decision_days)
