"""What was fitted: univariate tests, interactions, selected factors, the nomogram's example and its mean points."""

from __future__ import annotations

import numpy as np

from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import AGE, EBV, PROGNOSTIC
from workers.survival.cohort import EBV as EBV_COLUMN
from workers.survival.cohort import SCORES, TRAINING
from workers.survival.covariates import PatientCovariates
from workers.survival.stepwise import stepwise_aic
from workers.validation.reproduction.published_cohort import (
    ARMS,
    COLUMNS,
    PublishedCohort,
    Values,
    has,
    in_arm,
    known,
    points_received,
)
from workers.validation.survival_comparison import predictive_interaction

_PER_TEN = {"age": "age_per10y", "tumor_volume": "tumor_volume_per10ml"}
SCRIPT_FACTORS = (
    "age", "sex", "HGBcut", "smokingcut", "drinkingcut", "ALBcut", "CRPcut", "LDHcut", "EBV_4k", "tumor_volume",
)  # fmt: skip
_EXAMPLE = PatientCovariates(40, True, 0.0, -0.4)
_ARM_NAMES = {TreatmentArm.ICT_CCRT: "ICT", TreatmentArm.CCRT: "CCRT"}
_SCRIPT_PATIENT = "343"  # whose linear predictor the published script found close to the mean


def univariate_values(published: PublishedCohort) -> Values:
    """Each clinical factor alone, and its interaction with the treatment, on the training patients."""
    for factor, test in published.univariate.items():
        prefix = f"univariate.training.{_PER_TEN.get(factor, factor)}"
        if test.fit is not None:
            ratio = float(test.fit.hazard_ratios[0]) ** test.per
            # Their 1 is female, ours male.
            yield f"{prefix}.hr", 1 / ratio if factor == "sex" else ratio, {}
            others = {"likelihood-ratio test": test.fit.chi2_p_value(test.fit.lr_chi2)}
            yield f"{prefix}.logrank_score_p", test.fit.chi2_p_value(test.fit.score_chi2), others
        if test.log_rank_p is not None:
            yield f"{prefix}.survdiff_p", test.log_rank_p, {}
        if test.interaction is not None:
            others = {} if test.interaction_lr_p is None else {"likelihood-ratio test": test.interaction_lr_p}
            yield f"{prefix}.treatment_interaction.wald_p", float(test.interaction.p_values[-1]), others


def interaction_values(published: PublishedCohort) -> Values:
    """Interaction of the Predictive-score with the treatment, in each cohort on its own."""
    for label, cohort in published.parts.items():
        if has(cohort, "predictive_score", endpoint="dfs"):
            interaction = predictive_interaction(cohort)
            if "p" in interaction:
                yield f"predictive_interaction.{label}.wald_p_interaction", interaction["p"], {}


def step_values(published: PublishedCohort) -> Values:
    """Factors of the clinical models that AIC selects, from the candidates of the published script and of the text."""
    training = published.parts.get(TRAINING)
    script = [COLUMNS[factor][0] for factor in SCRIPT_FACTORS]
    if training is None or not has(training, *script, endpoint="dfs"):
        return
    named = {column: name for name, (column, _) in COLUMNS.items()}
    for arm_name, arm in ARMS.items():
        cohort = in_arm(training, arm)
        for start, candidates in (("script10", script), ("plus_family", [*script, "family_history"])):
            if not has(cohort, *candidates, endpoint="dfs"):
                continue
            for keys, backward in ((("backward",), True), (("both", "stepAIC_both"), False)):
                selection = stepwise_aic(cohort, candidates, backward_only=backward)
                names = ",".join(sorted(map(named.__getitem__, selection.terms)))
                for key in keys:
                    yield f"step.{arm_name}.{start}.{key}.selected", names, {}
                    yield f"step.{arm_name}.{start}.{key}.aic", selection.aic, {}
                if start == "script10":
                    yield f"step.{arm_name}.start10.aic", selection.path[0].aic, {}


def example_values(published: PublishedCohort) -> Values:
    """Score the worked example of Figure 2: age 40, EBV DNA > 4000, Prognostic-score 0.0, Predictive-score -0.4."""
    if not _can_be_fitted(published):
        return
    nomogram = published.nomogram
    result = nomogram.score(_EXAMPLE, horizons_months=NASOPHARYNX.horizons_months)
    axes = {"age40": AGE, "EBV_gt4000": EBV, "Prog_0": PROGNOSTIC}
    points = {name: float(result.points[axis][0]) for name, axis in axes.items()}
    for name, value in points.items():
        yield f"example.points.{name}", value, {}
    yield "example.recommended", (TreatmentArm.ICT_CCRT if result.ict_preferred[0] else TreatmentArm.CCRT).value, {}
    for arm, name in _ARM_NAMES.items():
        estimates = result.arms[arm]
        predictive, total = float(estimates.predictive_points[0]), float(estimates.total_points[0])
        rounded = float(sum(map(round, (*points.values(), predictive))))
        yield f"example.points.Pred_m0.4.{name}", predictive, {}
        yield f"example.total_points.{name}", total, {"sum of points that were rounded before adding": rounded}
        yield f"example.dfs.{name}.1800", float(estimates.dfs[0, 1]), {}
    yield "example.difference.1800", float(result.difference[0, 1]), {}
    for printed_total, arm in ((122, TreatmentArm.ICT_CCRT), (147, TreatmentArm.CCRT)):
        total = float(result.arms[arm].total_points[0])
        others = {f"at the total before rounding, {total:.1f} points,": float(result.arms[arm].dfs[0, 1])}
        yield f"example.dfs_at_printed_total_{printed_total}.1800", _dfs_at(nomogram, float(printed_total)), others


def _can_be_fitted(published: PublishedCohort) -> bool:
    training = published.parts.get(TRAINING)
    return training is not None and has(training, EBV_COLUMN, *SCORES, endpoint="dfs")


def _dfs_at(nomogram: CoxNomogram, total_points: float) -> float:
    hazard = float(nomogram.baseline_hazard([60])[0])
    return float(np.exp(-hazard * np.exp(nomogram.scale.linear_predictor(total_points))))


def total_values(published: PublishedCohort) -> Values:
    """Total points of the training patients: their mean is the paper's cut of the risk groups."""
    if not _can_be_fitted(published):
        return
    training = known(published.parts[TRAINING], EBV_COLUMN, *SCORES)
    points = points_received(published.nomogram, training)
    yield "total_points.mean.training", float(points.mean()), {}
    yield "total_points.median.training", float(np.median(points)), {}
    if _SCRIPT_PATIENT in training.patient_ids:
        at = training.patient_ids.index(_SCRIPT_PATIENT)
        yield "total_points.of_script_patient_tra_data_242_PatID_343", float(points[at]), {}
