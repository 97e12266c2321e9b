"""A nomogram tested on a cohort: discrimination, calibration, risk groups, treatment decisions, net benefit.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.5 and 3; TRIPOD+AI, BMJ 2024;385:e078378.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import NomogramResult, month_key
from workers.survival.cohort import TRAINING, Cohort, Outcome
from workers.survival.concordance import Concordance, harrell_concordance, noether_concordance
from workers.survival.cox_models import (
    CPTDN_TERMS,
    CohortModel,
    FactorTest,
    complete_cases,
    design_matrix,
    fit_compared_models,
    fit_terms,
    model_to_json,
    univariate,
)
from workers.survival.proportional_hazards import ProportionalHazards, proportional_hazards_test
from workers.survival.stepwise import Selection, clinical_candidates, cptdn_candidates, stepwise_aic
from workers.validation.baseline_table import MATCHED_FACTORS, FactorBalance, balance, follow_up, table_1
from workers.validation.calibration import Calibration, calibrate, calibration_slope
from workers.validation.decision_curve import DecisionCurve, decision_curve
from workers.validation.survival_comparison import (
    HORIZONS_MONTHS,
    SurvivalComparison,
    compare_arms_by_preference,
    compare_risk_groups,
    subgroup_masks,
    total_points_received,
)

ALL = "all"
ARMS: Mapping[str, TreatmentArm | None] = {
    ALL: None,
    **{arm.value: arm for arm in (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT)},
}
THRESHOLDS = (0.0, 0.02, 0.05)
PAPER_SUBGROUPS = (
    "sex",
    "age_years",
    "tumour_volume_ml",
    "field_strength_3t",
    "crp_abnormal",
    "smoking",
    "family_history",
)
N_CALIBRATION_GROUPS = 3


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation computes.

    Attributes
    ----------
    endpoint : str
        ``dfs``, ``os``, ``dmfs`` or ``lrrfs``; calibration and net benefit exist for DFS only.
    horizons_months : tuple of float
        When survival and calibration are given.
    thresholds : tuple of float
        Fractions of DFS at the decision horizon from which ICT+CCRT is preferred.
    decision_horizon_months : float
        Horizon of the decision.
    subgroup_columns : tuple of str
        Columns whose values become subgroups.
    development : bool
        Also univariate tests, interactions, stepwise selection.
    """

    endpoint: str = "dfs"
    horizons_months: tuple[float, ...] = HORIZONS_MONTHS
    thresholds: tuple[float, ...] = THRESHOLDS
    decision_horizon_months: float = float(NASOPHARYNX.decision.horizon_months)
    subgroup_columns: tuple[str, ...] = ()
    development: bool = False


@dataclass(frozen=True)
class ModelConcordance:
    """Both definitions of the C-index of one model in one arm."""

    noether: Concordance
    harrell: Concordance

    def to_json(self) -> dict[str, Any]:
        """Return Noether's C-index, with Harrell's inside."""
        return {**self.noether.to_json(), "harrell": self.harrell.to_json()}


@dataclass(frozen=True)
class PartEvaluation:
    """Results on one set of patients. Mappings by arm have the keys ``all``, ``CCRT`` and ``ICT+CCRT``.

    Attributes
    ----------
    n, n_events : int
        Patients and events of the endpoint.
    c_index : mapping of str to ModelConcordance
        Of the nomogram, by arm.
    c_index_of_models : mapping of str to mapping
        Of the models fitted on the training patients, by name and arm.
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
    table_1, follow_up, balance
        See `baseline_table`.
    """

    n: int
    n_events: int
    c_index: Mapping[str, ModelConcordance]
    c_index_of_models: Mapping[str, Mapping[str, ModelConcordance]]
    risk: Mapping[str, SurvivalComparison]
    decision: Mapping[
        str, Mapping[str, SurvivalComparison]
    ]  # threshold "0.02" -> preferred regimen -> effect of treatment
    calibration: Mapping[float, Calibration]  # by months; empty for other endpoints than DFS
    calibration_slope: float | None
    net_benefit: DecisionCurve | None
    table_1: Mapping[str, Any]
    follow_up: Mapping[str, Any] | None
    balance: Sequence[FactorBalance]

    def to_json(self, horizons_months: Sequence[float]) -> dict[str, Any]:
        """Return the contract's JSON of one set of patients."""
        return {
            "n": self.n,
            "n_events": self.n_events,
            "c_index": {arm: result.to_json() for arm, result in self.c_index.items()},
            "c_index_models": {
                model: {arm: result.to_json() for arm, result in by_arm.items()}
                for model, by_arm in self.c_index_of_models.items()
            },
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
            "table_1": dict(self.table_1),
            "follow_up": self.follow_up,
            "balance_of_arms": {result.factor: result.to_json() for result in self.balance},
        }


@dataclass(frozen=True)
class SubgroupEvaluation:
    """Risk groups and treatment effects within one subgroup."""

    n: int
    risk: SurvivalComparison
    decision: Mapping[str, SurvivalComparison]

    def to_json(self, horizons_months: Sequence[float]) -> dict[str, Any]:
        """Return the contract's JSON of one subgroup."""
        return {
            "n": self.n,
            "risk_groups": self.risk.to_json(horizons_months),
            "decision": {name: comparison.to_json(horizons_months) for name, comparison in self.decision.items()},
        }


@dataclass(frozen=True)
class Development:
    """Univariate tests, stepwise selections and comparison models on the training patients.

    Attributes
    ----------
    label : str
        ``training`` or ``all``.
    univariate : sequence of FactorTest
        Each factor alone and with the treatment.
    selections : mapping of str to Selection
        Stepwise searches by name.
    models : mapping of str to CohortModel
        Comparison models by name.
    proportional_hazards : ProportionalHazards or None
        Of the CPTDN fitted here.
    not_fitted : mapping of str to str
        What could not be fitted, with the reason.
    """

    label: str
    univariate: Sequence[FactorTest]
    selections: Mapping[str, Selection]
    models: Mapping[str, CohortModel]
    proportional_hazards: ProportionalHazards | None
    not_fitted: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``--development``."""
        hazards = self.proportional_hazards
        return {
            "cohort": self.label,
            "univariate": {test.factor: test.to_json() for test in self.univariate},
            "stepwise": {name: selection.to_json() for name, selection in self.selections.items()},
            "models": {name: model_to_json(model.fit) for name, model in self.models.items()},
            "proportional_hazards": {"p": hazards.p_by_term, "p_global": hazards.p_global} if hazards else None,
            "not_fitted": dict(self.not_fitted),
        }


@dataclass(frozen=True)
class Evaluation:
    """Everything that ``nomogram evaluate`` reports."""

    options: EvaluationOptions
    nomogram: CoxNomogram
    source: str
    n_excluded: int
    whole: PartEvaluation
    parts: Mapping[str, PartEvaluation]  # by label of the column cohort, where there are several
    subgroups: Mapping[str, Mapping[str, SubgroupEvaluation]] = field(default_factory=dict)
    development: Development | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``nomogram evaluate``."""
        answer: dict[str, Any] = {
            "endpoint": self.options.endpoint,
            "nomogram": {"name": self.nomogram.name, "digest": self.nomogram.digest},
            "risk_cut_total_points": self.nomogram.mean_total_points,
            "decision_horizon_months": self.options.decision_horizon_months,
            "n_excluded_ebv_dna_unknown": self.n_excluded,
            **self.whole.to_json(self.options.horizons_months),
            "cohorts": {label: part.to_json(self.options.horizons_months) for label, part in self.parts.items()},
            "subgroups": {
                column: {label: subgroup.to_json(self.options.horizons_months) for label, subgroup in by_label.items()}
                for column, by_label in self.subgroups.items()
            },
        }
        if self.development is not None:
            answer["development"] = self.development.to_json()
        return answer


def subgroups_of_the_paper(cohort: Cohort) -> tuple[str, ...]:
    """Return the paper's subgroup columns that this cohort has with more than one value.

    Parameters
    ----------
    cohort : Cohort
        Any number of patients.

    Returns
    -------
    tuple of str
        In the order of `PAPER_SUBGROUPS`; a column with one known value would be one subgroup.
    """
    columns = {"sex": "sex_male"}
    present: list[str] = []
    for name in PAPER_SUBGROUPS:
        values = cohort.values.get(columns.get(name, name))
        if values is not None and len(np.unique(values[~np.isnan(values)])) > 1:
            present.append(name)
    return tuple(present)


def evaluate(cohort: Cohort, nomogram: CoxNomogram, options: EvaluationOptions = EvaluationOptions()) -> Evaluation:
    """Test a nomogram on the patients whose EBV DNA is known.

    Parameters
    ----------
    cohort : Cohort
        Patients with a label ``training`` also fit the comparison models; without that label all patients do.
    nomogram : CoxNomogram
        Tested as it is.
    options : EvaluationOptions
        What to compute.

    Returns
    -------
    Evaluation
        All patients, and each label of the column cohort where there are several.

    Raises
    ------
    InputError
        The endpoint is missing or had no event.

    References
    ----------
    Zhong et al. 2021, sections 2.5 and 3.
    """
    # A nomogram needs the category. Patients without one are counted in the report rather than imputed.
    complete = cohort.with_known_ebv_dna()
    if not len(complete) or not complete.outcome(options.endpoint).event_observed.any():
        raise InputError(f"{cohort.source}: no event in {options.endpoint} among {len(complete)} patients to evaluate")
    labels = sorted(set(complete.labels) - {""}, key=lambda label: (label != TRAINING, label))
    # From the training patients where the table has any; else the comparison models are tested on the patients that
    # they were fitted on, and look better than they are.
    training = complete.labelled(TRAINING) if TRAINING in labels else complete
    models, not_fitted = _compared_models(training)
    parts = {label: complete.labelled(label) for label in labels} if len(labels) > 1 else {}
    return Evaluation(
        options=options,
        nomogram=nomogram,
        source=cohort.source,
        n_excluded=len(cohort) - len(complete),
        whole=_evaluate_part(complete, nomogram, models, options),
        parts={label: _evaluate_part(part, nomogram, models, options) for label, part in parts.items()},
        subgroups={column: _subgroups(complete, column, nomogram, options) for column in options.subgroup_columns},
        development=_development(training, models, not_fitted, options) if options.development else None,
    )


def _evaluate_part(
    cohort: Cohort, nomogram: CoxNomogram, models: Mapping[str, CohortModel], options: EvaluationOptions
) -> PartEvaluation:
    outcome = cohort.outcome(options.endpoint)
    result = _score(cohort, nomogram, options)
    points = total_points_received(result, cohort.treated)
    rows = {name: cohort.treated == (arm is TreatmentArm.ICT_CCRT) for name, arm in ARMS.items() if arm is not None}
    rows = {ALL: np.ones(len(cohort), dtype=np.bool_), **rows}
    risks = {name: model.risk(cohort) for name, model in models.items()}
    # The nomogram predicts DFS; its rates compared with another endpoint would not be a calibration.
    calibrations = _calibrations(cohort, result, options) if options.endpoint == "dfs" else {}
    slope = None
    if options.endpoint == "dfs" and outcome.event_observed.any():
        # Points are linear in the linear predictor, so it is recovered from them without scoring again.
        slope = float(calibration_slope(nomogram.scale.linear_predictor(points), outcome).coefficients[0])
    gains = result.difference[:, -1]  # the decision horizon is the last column, see _score
    return PartEvaluation(
        n=len(cohort),
        n_events=int(outcome.event_observed.sum()),
        c_index={arm: _concordance(points, outcome, mask) for arm, mask in rows.items()},
        c_index_of_models={
            name: {arm: _concordance(risk, outcome, mask) for arm, mask in rows.items()} for name, risk in risks.items()
        },
        risk={
            arm: compare_risk_groups(outcome.where(mask), points[mask], nomogram.mean_total_points)
            for arm, mask in rows.items()
        },
        decision={
            f"{threshold:.2f}": compare_arms_by_preference(outcome, cohort.treated, gains, threshold)
            for threshold in options.thresholds
        },
        calibration=calibrations,
        calibration_slope=slope,
        net_benefit=_net_benefit(cohort, result, models, outcome, options),
        table_1=table_1(cohort),
        follow_up=follow_up(cohort),
        balance=balance(cohort, cohort.treated, [name for name in MATCHED_FACTORS if name in cohort.values]),
    )


def _score(cohort: Cohort, nomogram: CoxNomogram, options: EvaluationOptions) -> NomogramResult:
    """Score at the horizons of the options, and at the decision horizon as the last column."""
    # One pass for both, even where the decision horizon is also reported: the last column is always the decision's.
    horizons = (*options.horizons_months, options.decision_horizon_months)
    return nomogram.score(cohort.covariates(), horizons, decision_horizon=options.decision_horizon_months)


def _calibrations(cohort: Cohort, result: NomogramResult, options: EvaluationOptions) -> dict[float, Calibration]:
    outcome = cohort.outcome("dfs")
    return {
        month: calibrate(_received(result, cohort, at), outcome, month * DAYS_PER_MONTH, N_CALIBRATION_GROUPS)
        for at, month in enumerate(options.horizons_months)
    }


def _received(result: NomogramResult, cohort: Cohort, column: int) -> FloatArray:
    """Return the predicted DFS (n,) under the treatment that each patient received."""
    ict, ccrt = (result.arms[arm].dfs[:, column] for arm in (TreatmentArm.ICT_CCRT, TreatmentArm.CCRT))
    return np.where(cohort.treated, ict, ccrt)


def _concordance(risk: FloatArray, outcome: Outcome, mask: Any) -> ModelConcordance:
    # A comparison model can need a factor that is unknown for some patients; it is judged on the others.
    mask = mask & ~np.isnan(risk)
    part = outcome.where(mask)
    return ModelConcordance(
        noether_concordance(risk[mask], part.durations_days, part.event_observed),
        harrell_concordance(risk[mask], part.durations_days, part.event_observed),
    )


def _net_benefit(
    cohort: Cohort,
    result: NomogramResult,
    models: Mapping[str, CohortModel],
    outcome: Outcome,
    options: EvaluationOptions,
) -> DecisionCurve | None:
    if options.endpoint != "dfs":
        return None
    days = options.decision_horizon_months * DAYS_PER_MONTH
    rules = {"CPTDN": 1 - _received(result, cohort, -1)}
    for name in ("clinical_all", "clinical_prognostic_score"):
        if name in models:
            predicted = 1 - models[name].survival(cohort, days)
            # Curves of different patients cannot be compared, so a rule with gaps is left out.
            if not np.isnan(predicted).any():
                rules[name] = predicted
    return decision_curve(rules, outcome, days)


def _subgroups(
    cohort: Cohort, column: str, nomogram: CoxNomogram, options: EvaluationOptions
) -> dict[str, SubgroupEvaluation]:
    evaluations: dict[str, SubgroupEvaluation] = {}
    for label, mask in subgroup_masks(cohort, column).items():
        part = cohort.where(mask)
        if not len(part):
            continue
        outcome, result = part.outcome(options.endpoint), _score(part, nomogram, options)
        evaluations[label] = SubgroupEvaluation(
            n=len(part),
            risk=compare_risk_groups(outcome, total_points_received(result, part.treated), nomogram.mean_total_points),
            # At the first threshold only: subgroups divided further contain few events.
            decision=compare_arms_by_preference(outcome, part.treated, result.difference[:, -1], options.thresholds[0]),
        )
    return evaluations


def _compared_models(training: Cohort) -> tuple[dict[str, CohortModel], dict[str, str]]:
    """Fit the comparison models on DFS; return those that can be fitted, and why the others cannot."""
    if "dfs" not in training.outcomes or not training.outcomes["dfs"].event_observed.any():
        return {}, {"all": f"{training.source} has no event in dfs"}
    return fit_compared_models(training)


def _development(
    training: Cohort, models: Mapping[str, CohortModel], not_fitted: Mapping[str, str], options: EvaluationOptions
) -> Development:
    searches: dict[str, tuple[Cohort, list[str]]] = {
        "clinical_all": (training, clinical_candidates(training)),
        # Zhong et al. 2021, section 2.5: the clinical models of one arm are selected within it.
        "clinical_ccrt": (training.arm(TreatmentArm.CCRT), clinical_candidates(training)),
        "clinical_ict_ccrt": (training.arm(TreatmentArm.ICT_CCRT), clinical_candidates(training)),
        "cptdn": (training, cptdn_candidates(training)),
    }
    selections: dict[str, Selection] = {}
    reasons = dict(not_fitted)
    for name, (part, candidates) in searches.items():
        try:
            selections[name] = stepwise_aic(part, candidates, options.endpoint)
        except InputError as error:
            reasons[f"stepwise {name}"] = str(error)
    hazards = None
    if "cptdn" in models:
        x = design_matrix(training, CPTDN_TERMS)
        complete = complete_cases(x)
        outcome = training.outcome("dfs").where(complete)
        # Fitted here, not taken from the nomogram: the test needs the rows of the fit.
        fit = fit_terms(training, CPTDN_TERMS)
        hazards = proportional_hazards_test(fit, x[complete], outcome.durations_days, outcome.event_observed)
    return Development(
        label=TRAINING if set(training.labels) == {TRAINING} else ALL,
        univariate=univariate(training, options.endpoint),
        selections=selections,
        models=models,
        proportional_hazards=hazards,
        not_fitted=reasons,
    )
