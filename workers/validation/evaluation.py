"""A nomogram tested on a cohort: discrimination, calibration, risk groups, treatment decisions, net benefit.

The evaluation is locked: it applies the nomogram and the comparison models that were fitted with it, and fits a model
only where that is asked for.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.5 and 3; TRIPOD+AI, BMJ 2024;385:e078378.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.errors import InputError
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import TRAINING, Cohort
from workers.survival.comparison_models import ComparisonModel, ComparisonModels, fixed_model
from workers.survival.cox_models import CohortModel, complete_cases, design_matrix, fit_compared_models
from workers.validation.baseline_table import compare_labels
from workers.validation.development import Development, develop
from workers.validation.evaluation_options import USUAL_OPTIONS, EvaluationOptions
from workers.validation.optimism import Optimism, optimism, random_resamples
from workers.validation.part_computation import evaluate_part
from workers.validation.part_evaluation import PartEvaluation
from workers.validation.predictions import CohortPredictions, predict_cohort
from workers.validation.survival_comparison import (
    SurvivalComparison,
    compare_arms_by_preference,
    compare_risk_groups,
    subgroup_masks,
)

PAPER_SUBGROUPS = (
    "sex",
    "age_years",
    "tumour_volume_ml",
    "field_strength_3t",
    "crp_abnormal",
    "smoking",
    "family_history",
)
NO_MODELS = "no comparison models in this nomogram"


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
class ComparedModels:
    """The models beside the nomogram in an evaluation.

    Attributes
    ----------
    given : ComparisonModels or None
        Those that were fitted with the nomogram; None where it has none.
    refitted : ComparisonModels or None
        Fitted on the evaluated cohort; None unless asked for.
    not_evaluated : mapping of str to str
        Given models whose factors the cohort does not have, with the reason.
    optimism : mapping of str to Optimism
        Of the refitted models, on the patients that they were fitted on.
    """

    given: ComparisonModels | None
    refitted: ComparisonModels | None
    not_evaluated: Mapping[str, str]
    optimism: Mapping[str, Optimism] = field(default_factory=dict)

    @property
    def evaluated(self) -> dict[str, ComparisonModel]:
        """Given models that the cohort has all factors of.

        Returns
        -------
        dict of str to ComparisonModel
            By name.
        """
        models = self.given.models if self.given else {}
        return {name: model for name, model in models.items() if name not in self.not_evaluated}

    def to_json(self) -> dict[str, Any]:
        """Return where each model was fitted, and what could not be fitted or evaluated.

        Returns
        -------
        dict
            ``given`` and ``refitted``, null where there are none; ``text`` says so.
        """

        def described(models: ComparisonModels) -> dict[str, Any]:
            fits = {
                name: {
                    "terms": list(model.terms),
                    "arm": None if model.arm is None else model.arm.value,
                    "n": model.n,
                    "n_events": model.n_events,
                }
                for name, model in models.models.items()
            }
            return {"fitted_on": models.fitted_on, "models": fits, "not_fitted": dict(models.not_fitted)}

        return {
            "given": described(self.given) if self.given else None,
            "refitted": described(self.refitted) if self.refitted else None,
            "not_evaluated": dict(self.not_evaluated),
            "optimism_of_refitted": {name: each.to_json() for name, each in self.optimism.items()},
            "text": None if self.given else NO_MODELS,
        }


@dataclass(frozen=True)
class Evaluation:
    """Everything that ``nomogram evaluate`` reports."""

    options: EvaluationOptions
    nomogram: CoxNomogram
    source: str
    n_ebv_dna_unknown: int
    models: ComparedModels
    whole: PartEvaluation
    parts: Mapping[str, PartEvaluation]  # by label of the column cohort, where there are several
    patients_digests: Mapping[str, str] = field(default_factory=dict)  # by label, of the patients with known EBV DNA
    difference_of_cohorts: Mapping[str, float] = field(default_factory=dict)  # factor -> p, where there are several
    subgroups: Mapping[str, Mapping[str, SubgroupEvaluation]] = field(default_factory=dict)
    development: Development | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``nomogram evaluate``."""
        answer: dict[str, Any] = {
            "endpoint": self.options.endpoint,
            "nomogram": {"name": self.nomogram.name, "digest": self.nomogram.digest},
            "risk_cut_total_points": self.options.risk_cut_of(self.nomogram),
            "decision_horizon_months": self.options.decision_horizon_months,
            "decision_groups": "by the difference alone, as in the paper",
            "n_ebv_dna_unknown": self.n_ebv_dna_unknown,
            "comparison_models": self.models.to_json(),
            **self.whole.to_json(self.options.horizons_months),
            "difference_of_cohorts": dict(self.difference_of_cohorts),
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


def evaluate(
    cohort: Cohort,
    nomogram: CoxNomogram,
    options: EvaluationOptions = USUAL_OPTIONS,
    models: ComparisonModels | None = None,
) -> Evaluation:
    """Test a nomogram on a cohort.

    Parameters
    ----------
    cohort : Cohort
        With or without EBV DNA of every patient. Only where a fit is asked for: patients with a label ``training`` are
        fitted, all patients where none has that label.
    nomogram : CoxNomogram
        Tested as it is.
    options : EvaluationOptions
        What to compute.
    models : ComparisonModels, optional
        Fitted with the nomogram; tested as they are.

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
    if not cohort.outcome(options.endpoint).event_observed.any():
        raise InputError(f"{cohort.source}: no event in {options.endpoint} among {len(cohort)} patients to evaluate")
    labels = sorted(set(cohort.labels) - {""}, key=lambda label: (label != TRAINING, label))
    fitted, compared, development = None, ComparedModels(models, None, _not_evaluated(cohort, models)), None
    if options.refit or options.development:
        training = cohort.with_known_ebv_dna()
        training = training.labelled(TRAINING) if TRAINING in labels else training
        fitted, refitted = _refitted(training, TRAINING in labels)
        lost = _optimism(training, fitted, options.resamples_of(len(training)))
        compared = ComparedModels(models, refitted, compared.not_evaluated, lost)
        if options.development:
            development = develop(training, fitted, refitted.not_fitted, options.endpoint)
    # One pass for all horizons, even where the decision horizon is also reported: the last one is the decision's.
    horizons = (*options.horizons_months, options.decision_horizon_months)
    predictions = predict_cohort(cohort, nomogram, horizons)
    refits = compared.refitted.models if compared.refitted else {}

    def part(selected: Any = None) -> PartEvaluation:
        some, theirs = (
            (cohort, predictions) if selected is None else (cohort.where(selected), predictions.where(selected))
        )
        return evaluate_part(some, theirs, nomogram, compared.evaluated, refits, options)

    of_label = np.array(cohort.labels)
    selections = {label: of_label == label for label in labels} if len(labels) > 1 else {}
    known = {label: cohort.where(predictions.known & selected) for label, selected in selections.items()}
    known = known or {"": cohort.where(predictions.known)}
    return Evaluation(
        options=options,
        nomogram=nomogram,
        source=cohort.source,
        n_ebv_dna_unknown=int((~predictions.known).sum()),
        models=compared,
        whole=part(),
        parts={label: part(selected) for label, selected in selections.items()},
        patients_digests={label: some.patients_digest() for label, some in known.items()},
        difference_of_cohorts=compare_labels(cohort) if len(labels) > 1 else {},
        subgroups={
            column: _subgroups(cohort, column, predictions, nomogram, options) for column in options.subgroup_columns
        },
        development=development,
    )


def _not_evaluated(cohort: Cohort, models: ComparisonModels | None) -> dict[str, str]:
    """Return the models that need a column which the cohort does not have."""
    reasons: dict[str, str] = {}
    for name, model in (models.models if models else {}).items():
        try:
            model.risk(cohort.where(np.zeros(len(cohort), dtype=np.bool_)))
        except InputError as error:
            reasons[name] = str(error)
    return reasons


def _refitted(training: Cohort, labelled: bool) -> tuple[Mapping[str, CohortModel], ComparisonModels]:
    """Fit the comparison models and the CPTDN on DFS of this cohort."""
    where = f"this cohort ({'patients labelled training' if labelled else 'all patients'})"
    if "dfs" not in training.outcomes or not training.outcomes["dfs"].event_observed.any():
        return {}, ComparisonModels({}, {"all": f"{training.source} has no event in dfs"}, where)
    fitted, not_fitted = fit_compared_models(training)
    return fitted, ComparisonModels({name: fixed_model(model) for name, model in fitted.items()}, not_fitted, where)


def _optimism(training: Cohort, fitted: Mapping[str, CohortModel], n_resamples: int) -> dict[str, Optimism]:
    answer: dict[str, Optimism] = {}
    for name, model in fitted.items():
        part = training if model.specification.arm is None else training.arm(model.specification.arm)
        x = design_matrix(part, model.specification.terms)
        known = complete_cases(x)
        rows = random_resamples(int(known.sum()), n_resamples)
        if found := optimism(x[known], part.outcome("dfs").where(known), rows):
            answer[name] = found
    return answer


def _subgroups(
    cohort: Cohort, column: str, predictions: CohortPredictions, nomogram: CoxNomogram, options: EvaluationOptions
) -> dict[str, SubgroupEvaluation]:
    evaluations: dict[str, SubgroupEvaluation] = {}
    outcome = cohort.outcome(options.endpoint)
    # At the first threshold only: subgroups divided further contain few events.
    threshold = options.thresholds[0]
    _, determined = predictions.preferred(threshold)
    for label, mask in subgroup_masks(cohort, column).items():
        if not mask.any():
            continue
        known, decided = mask & predictions.known, mask & determined
        evaluations[label] = SubgroupEvaluation(
            n=int(mask.sum()),
            risk=compare_risk_groups(outcome.where(known), predictions.points[0][known], options.risk_cut_of(nomogram)),
            decision=compare_arms_by_preference(
                outcome.where(decided), cohort.treated[decided], predictions.gain[0][decided], threshold
            ),
        )
    return evaluations
