"""The evaluation of one set of patients: what `PartEvaluation` contains, computed.

The nomogram and the comparison models are applied as they are. What needs a value for every patient (C-index,
calibration, risk groups) takes the patients whose EBV DNA is known, and gives bounds with the others in either
category; what does not need it takes all.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.5 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import EBV, Cohort, Outcome
from workers.survival.comparison_models import ComparisonModel
from workers.survival.concordance import harrell_concordance, noether_concordance
from workers.survival.cox_models import CLINICAL_FACTORS
from workers.validation.analysed_patients import EBV_UNKNOWN, NOT_DETERMINED, AnalysedPatients, analysed
from workers.validation.baseline_table import MATCHED_FACTORS, balance, follow_up, table_1
from workers.validation.benefit import Benefit, evaluate_benefit
from workers.validation.calibration import Calibration, calibrate, calibration_slope
from workers.validation.decision_curve import DecisionCurve, decision_curve
from workers.validation.evaluation_options import EvaluationOptions
from workers.validation.horizon_figures import horizon_figures, slope_over_time
from workers.validation.part_evaluation import ARMS, CategoryBound, ModelConcordance, PartEvaluation
from workers.validation.policy_value import TreatmentData
from workers.validation.predictions import CATEGORIES, CohortPredictions
from workers.validation.propensity import ESTIMATE, RANDOMISED, propensity_of
from workers.validation.smooth_calibration import smooth_observed
from workers.validation.survival_comparison import (
    SurvivalComparison,
    compare_arms_by_preference,
    compare_risk_groups,
    predictive_interaction,
)

N_CALIBRATION_GROUPS = 3
_BALANCED_FACTORS = tuple(dict.fromkeys((*MATCHED_FACTORS, *CLINICAL_FACTORS)))


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
    benefit, no_benefit = _benefit(cohort, predictions, options)
    n_resamples = options.resamples_of(len(cohort))
    of_dfs = options.endpoint == "dfs" and bool(known.any())
    risk = nomogram.scale.linear_predictor(predictions.points[0][known])
    return PartEvaluation(
        n=len(cohort),
        n_events=int(outcome.event_observed.sum()),
        analyses=(
            analysed("characteristics, follow-up and balance of the arms", outcome, everyone),
            *_in_benefit(outcome, predictions, benefit, options),
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
        calibration=_calibrations(cohort, predictions, options) if of_dfs else {},
        calibration_slope=complete.calibration_slope,
        slope_over_time=slope_over_time(risk, outcome.where(known)) if of_dfs else None,
        at_horizons={
            month: horizon_figures(
                predictions.received(at)[0][known], outcome.where(known), month * DAYS_PER_MONTH, n_resamples
            )
            for at, month in enumerate(options.horizons_months)
            if of_dfs
        },
        smooth_calibration=_smooth_calibrations(cohort, predictions, options) if of_dfs else {},
        benefit=benefit,
        no_benefit=no_benefit,
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
    return analysed(
        f"C-index of the model {name.replace('_', ' ')}", outcome, known, "a factor of the model is unknown"
    )


def _calibrations(
    cohort: Cohort, predictions: CohortPredictions, options: EvaluationOptions
) -> dict[float, Calibration]:
    known = predictions.known
    outcome = cohort.outcome("dfs").where(known)
    return {
        month: calibrate(predictions.received(at)[0][known], outcome, month * DAYS_PER_MONTH, N_CALIBRATION_GROUPS)
        for at, month in enumerate(options.horizons_months)
    }


def _smooth_calibrations(
    cohort: Cohort, predictions: CohortPredictions, options: EvaluationOptions
) -> dict[float, FloatArray]:
    outcome = cohort.outcome("dfs").where(predictions.known)
    curves: dict[float, FloatArray] = {}
    for at, month in enumerate(options.horizons_months):
        predicted = predictions.received(at)[0][predictions.known]
        observed = smooth_observed(predicted, outcome, month * DAYS_PER_MONTH)
        if observed is not None:
            # Between these quantiles: a spline has no support at the last few patients of either side.
            place = np.argsort(predicted)[np.round(np.linspace(0.01, 0.99, 101) * (len(predicted) - 1)).astype(int)]
            curves[month] = np.array([predicted[place], observed[place]])
    return curves


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


def _benefit(cohort: Cohort, predictions: CohortPredictions, options: EvaluationOptions) -> tuple[Benefit | None, str]:
    """Return what following the recommendation is worth, or why that cannot be said."""
    if options.endpoint != "dfs":
        return None, "the nomogram predicts disease-free survival"
    ict_preferred, determined = predictions.preferred(options.thresholds[0])
    part, known = predictions.where(determined), predictions.known[determined]
    # Patients of unknown EBV DNA are predicted as the mean over both categories by the share among the known. This is
    # only the augmentation of the doubly robust values, which stay consistent with any prediction there.
    share = float(np.nanmean(cohort.column(EBV))) if known.any() else 0.5
    survival = (1 - share) * part.survival_by_arm[0, :, -1] + share * part.survival_by_arm[1, :, -1]
    try:
        data = TreatmentData(
            outcome=cohort.outcome("dfs").where(determined),
            treated=part.treated,
            propensity=propensity_of(cohort.where(determined), options.propensity),
            survival=survival,
            gain=np.where(known, part.gain[0], np.nan),
            ict_preferred=ict_preferred[determined],
            days=options.decision_days,
        )
        return evaluate_benefit(data, options.resamples_of(len(cohort))), ""
    except InputError as error:
        if options.propensity not in (ESTIMATE, RANDOMISED):
            raise  # a column that the operator named
        return None, str(error)


def _in_benefit(
    outcome: Outcome, predictions: CohortPredictions, benefit: Benefit | None, options: EvaluationOptions
) -> tuple[AnalysedPatients, ...]:
    if benefit is None:
        return ()
    _, determined = predictions.preferred(options.thresholds[0])
    return (
        analysed("value of following the recommendation", outcome, determined, NOT_DETERMINED),
        analysed("calibration of the predicted benefit", outcome, predictions.known, EBV_UNKNOWN),
    )
