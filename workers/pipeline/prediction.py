"""From the scores of a study to survival under both arms, and to how stable the answer is."""

from __future__ import annotations

from typing import Any

from config.decision_policy import DecisionPolicy
from config.errors import ModelBundleError
from config.indication.vocabulary import EbvCategory
from config.messages.message import message
from dicom_sr.report.treatment_report import Stability, StabilityPart
from node.cases.case_inputs import ComputeRequest
from workers.bundles.bundle import Bundle
from workers.nomogram.result import NomogramResult
from workers.pipeline.computation import Analysis
from workers.stability.held_answers import held_answers
from workers.survival.covariates import PatientCovariates


def predict_survival(
    analysis: Analysis, request: ComputeRequest, bundle: Bundle, decision: DecisionPolicy
) -> dict[EbvCategory, NomogramResult]:
    """Predict disease-free survival under both arms by the nomogram.

    Parameters
    ----------
    analysis : Analysis
        Both scores.
    request : ComputeRequest
        Age in years and category of EBV DNA.
    bundle : Bundle
        Its nomogram.
    decision : DecisionPolicy
        Horizons in months and the threshold of the recommendation.

    Returns
    -------
    dict of EbvCategory to NomogramResult
        The patient's category, or both categories when EBV DNA is unknown.

    Raises
    ------
    ModelBundleError
        The category was assessed at another threshold than the bundle was fitted with.
    HorizonError
        A horizon is beyond the follow-up of the fitted cohort.
    """
    # The job may be older than the active bundle: its category was assessed at the threshold of that time.
    assessed_at = request.decision.get("ebv_threshold_copies_per_ml", decision.ebv_threshold_copies_per_ml)
    if assessed_at != decision.ebv_threshold_copies_per_ml:
        raise ModelBundleError(
            message("cannot_compute.threshold", assessed=assessed_at, fitted=decision.ebv_threshold_copies_per_ml)
        )
    category = EbvCategory(request.ebv["category"])
    patient = _patient(analysis, request, category)
    options: dict[str, Any] = {
        "horizons_months": tuple(float(month) for month in decision.horizons_months),
        "threshold": decision.threshold,
        "decision_horizon": float(decision.horizon_months),
        "score_error": analysis.score_error,
        "rule": decision.rule,
    }
    if category is EbvCategory.UNKNOWN:
        return bundle.nomogram.score_each_category(patient, **options)
    return {category: bundle.nomogram.score(patient, **options)}


def answer_stability(
    analysis: Analysis, request: ComputeRequest, bundle: Bundle, decision: DecisionPolicy
) -> Stability | None:
    """Tell in how many recomputations with slightly other inputs the answer holds.

    Parameters
    ----------
    analysis, request, bundle, decision
        As of `predict_survival`.

    Returns
    -------
    Stability or None
        Of all categories of EBV DNA together where it is unknown: a recomputation holds where it holds in both. None
        where the variants were not computed.
    """
    if analysis.variants is None:
        return None
    category = EbvCategory(request.ebv["category"])
    categories = (False, True) if category is EbvCategory.UNKNOWN else (category is EbvCategory.ABOVE,)
    parts = held_answers(
        analysis.variants,
        _patient(analysis, request, category),
        categories,
        bundle.nomogram,
        float(decision.horizon_months),
        decision.threshold,
    )
    return Stability(
        held=sum(part.held for part in parts),
        of=sum(part.of for part in parts),
        minimum_share=decision.stability_share,
        parts=tuple(StabilityPart(part.kind.value, part.held, part.of) for part in parts),
    )


def _patient(analysis: Analysis, request: ComputeRequest, category: EbvCategory) -> PatientCovariates:
    return PatientCovariates(
        float(request.age_years or 0),  # None only in refused requests, which do not come here
        float(category is EbvCategory.ABOVE),
        analysis.prognostic_score,
        analysis.predictive_score,
    )
