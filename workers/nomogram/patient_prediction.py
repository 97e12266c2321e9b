"""One patient's answer as the contract's JSON and as it is printed: the command line and the pages share both.

What is printed follows the report's rule: each rate is rounded once, and the difference is that of the rounded rates,
so command, page and report agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.decision_policy import DecisionPolicy
from config.indication.conventions import DAYS_PER_MONTH, round_dfs
from config.indication.vocabulary import EbvCategory, TreatmentArm
from dicom_sr.report import numbers
from node.cases.ebv_dna import parse_ebv_dna
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import both_categories_to_json
from workers.survival.covariates import PatientCovariates

CURVE_STEP_MONTHS = 0.5


@dataclass(frozen=True)
class PatientInputs:
    """What a person types in; `ebv_dna` in the laboratory's words (5000, >4000, not-detected, unknown)."""

    age_years: float
    ebv_dna: str
    prognostic_score: float
    predictive_score: float


def covariates_and_category(given: PatientInputs, decision: DecisionPolicy) -> tuple[PatientCovariates, EbvCategory]:
    """Covariates and EBV DNA category. Raises IneligibleStudyError for EBV DNA that leaves the side open."""
    found = parse_ebv_dna(given.ebv_dna, decision.ebv_threshold_copies_per_ml, decision.ebv_threshold_inclusive)
    category = EbvCategory(found.category)
    covariates = PatientCovariates(
        given.age_years, category is EbvCategory.ABOVE, given.prognostic_score, given.predictive_score
    )
    return covariates, category


def prediction_to_json(
    nomogram: CoxNomogram,
    given: PatientInputs,
    decision: DecisionPolicy,
    horizons_months: Sequence[float],
    threshold: float,
) -> dict[str, Any]:
    """The contract's JSON of `nomogram score`, identity of the nomogram included."""
    covariates, category = covariates_and_category(given, decision)
    options: dict[str, Any] = {
        "horizons_months": tuple(horizons_months),
        "threshold": threshold,
        "decision_horizon": float(decision.horizon_months),
    }
    if category is EbvCategory.UNKNOWN:
        document = both_categories_to_json(nomogram.score_each_category(covariates, **options))
    else:
        document = nomogram.score(covariates, **options).to_json()
        document["ebv_dna_category"] = category.value
    document["inputs"]["ebv_dna"] = given.ebv_dna
    document["inputs"]["ebv_dna_threshold_copies_per_ml"] = decision.ebv_threshold_copies_per_ml
    return {**document, "nomogram": {"name": nomogram.name, "digest": nomogram.digest}}


def scenarios_by_category(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """EBV DNA category -> its numbers: one category where it is known, else both."""
    both = document.get("by_ebv_dna_category")
    return dict(both) if both else {document["ebv_dna_category"]: document}


def formatted(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Texts of one scenario by arm and horizon, without units; an interval that is not known is None."""
    arms = {}
    for arm in TreatmentArm:
        points = {
            name: value[arm.value] if isinstance(value, Mapping) else value
            for name, value in scenario["points"].items()
        }
        arms[arm.value] = {
            "total_points": numbers.points(scenario["total_points"][arm.value]),
            "points": {name: numbers.points(value) for name, value in points.items()},
            "dfs": {
                month: {
                    "value": numbers.percent(round_dfs(dfs["value"])),
                    "ci95": None if dfs["ci95"] is None else numbers.interval(_ends(dfs["ci95"])),
                }
                for month, dfs in scenario["dfs"][arm.value].items()
            },
        }
    return {"arms": arms, "difference": {month: _difference(scenario, month) for month in scenario["difference"]}}


def _difference(scenario: Mapping[str, Any], month: str) -> dict[str, str | None]:
    ict, ccrt = (round_dfs(scenario["dfs"][arm.value][month]["value"]) for arm in TreatmentArm)
    ends = scenario["difference_ci95"][month]
    return {
        "value": numbers.signed_percent(round_dfs(ict - ccrt)),
        "ci95": None if ends is None else numbers.signed_interval(_ends(ends)),
    }


def _ends(ci95: Sequence[float]) -> tuple[float, float]:
    low, high = ci95
    return round_dfs(low), round_dfs(high)


def survival_curves(nomogram: CoxNomogram, given: PatientInputs, decision: DecisionPolicy) -> dict[str, Any]:
    """DFS of both arms over the whole follow-up, twice a month: {"months", "by_ebv_dna_category": {arm: [...]}}."""
    covariates, category = covariates_and_category(given, decision)
    longest = nomogram.follow_up_days / DAYS_PER_MONTH
    months = [CURVE_STEP_MONTHS * (i + 1) for i in range(int(longest / CURVE_STEP_MONTHS))]
    categories = [EbvCategory.NOT_ABOVE, EbvCategory.ABOVE] if category is EbvCategory.UNKNOWN else [category]
    by_category = {}
    for one in categories:
        patient = PatientCovariates(
            covariates.age_years, one is EbvCategory.ABOVE, covariates.prognostic_score, covariates.predictive_score
        )
        dfs = nomogram.dfs_by_arm(patient, months)
        by_category[one.value] = {arm.value: [1.0, *(round(float(s), 5) for s in dfs[arm][0])] for arm in TreatmentArm}
    return {"months": [0.0, *months], "by_ebv_dna_category": by_category}


def decision_boundary(nomogram: CoxNomogram, given: PatientInputs, decision: DecisionPolicy) -> float | None:
    """The Predictive-score at which the recommendation changes for this patient, to two decimals; None where it does
    not change between -1 and 1. Only at threshold 0 is it the same for every patient."""
    covariates, category = covariates_and_category(given, decision)
    above = category is EbvCategory.ABOVE

    def preferred(predictive: float) -> bool:
        patient = PatientCovariates(covariates.age_years, above, covariates.prognostic_score, predictive)
        found = nomogram.score(
            patient, (float(decision.horizon_months),), decision.threshold, float(decision.horizon_months)
        )
        return bool(found.ict_preferred[0])

    low, high = -1.0, 1.0
    if preferred(low) == preferred(high):
        return None
    at_low = preferred(low)
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if preferred(middle) == at_low else (low, middle)
    return round((low + high) / 2, 2)
