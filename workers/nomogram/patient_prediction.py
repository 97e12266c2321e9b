"""One patient's prediction as the contract's JSON and as formatted text, for the command line and the pages.

Formatted text follows the report's rule: each rate is rounded once, and the difference is that of the rounded rates,
so that command, page and report agree to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.decision_policy import DecisionPolicy
from config.indication.conventions import DAYS_PER_MONTH, displayed_difference, round_dfs
from config.indication.vocabulary import EbvCategory, TreatmentArm
from dicom_sr.report import numbers
from node.cases.ebv_dna import parse_ebv_dna
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import PREDICTIVE
from workers.nomogram.result import both_categories_to_json
from workers.nomogram.score_error import ScoreError
from workers.survival.covariates import PatientCovariates

CURVE_STEP_MONTHS = 0.5


@dataclass(frozen=True)
class PatientInputs:
    """Values that an operator enters for one patient.

    Attributes
    ----------
    age_years : float
        Age at the start of treatment.
    ebv_dna : str
        Laboratory value: a number of copies/mL, ``>4000``, ``<400``, ``not-detected`` or ``unknown``.
    prognostic_score, predictive_score : float
        In [-1, 1].
    """

    age_years: float
    ebv_dna: str
    prognostic_score: float
    predictive_score: float


def covariates_and_category(inputs: PatientInputs, decision: DecisionPolicy) -> tuple[PatientCovariates, EbvCategory]:
    """Return the nomogram's covariates and the EBV DNA category of one patient.

    Parameters
    ----------
    inputs : PatientInputs
        As entered.
    decision : DecisionPolicy
        The threshold of EBV DNA in copies/mL, and whether it is inclusive.

    Returns
    -------
    covariates : PatientCovariates
        With EBV DNA category 0 where it is unknown.
    category : EbvCategory
        Above the threshold, not above, or unknown.

    Raises
    ------
    IneligibleStudyError
        The EBV DNA value does not determine the side of the threshold, for example ``<5000``.
    """
    ebv_dna = parse_ebv_dna(inputs.ebv_dna, decision.ebv_threshold_copies_per_ml, decision.ebv_threshold_inclusive)
    category = EbvCategory(ebv_dna.category)
    covariates = PatientCovariates(
        inputs.age_years, category is EbvCategory.ABOVE, inputs.prognostic_score, inputs.predictive_score
    )
    return covariates, category


def prediction_to_json(
    nomogram: CoxNomogram,
    inputs: PatientInputs,
    decision: DecisionPolicy,
    horizons_months: Sequence[float],
    threshold: float,
    score_error: ScoreError | None = None,
) -> dict[str, Any]:
    """Return the contract's JSON of ``nomogram score``, identity of the nomogram included.

    Parameters
    ----------
    nomogram : CoxNomogram
        Of the model bundle or of a file.
    inputs : PatientInputs
        As entered; unknown EBV DNA gives both categories.
    decision : DecisionPolicy
        EBV DNA threshold and decision horizon.
    horizons_months : sequence of float
        When survival is reported, in months.
    threshold : float
        ICT+CCRT is better where its DFS exceeds CCRT's by more than this fraction.
    score_error : ScoreError, optional
        Errors of the scores; without them the intervals are of the Cox model only.

    Returns
    -------
    dict
        See CONTRACT, ``nomogram score``.
    """
    covariates, category = covariates_and_category(inputs, decision)
    options: dict[str, Any] = {
        "horizons_months": tuple(horizons_months),
        "threshold": threshold,
        "decision_horizon": float(decision.horizon_months),
        "score_error": score_error,
        "rule": decision.rule,
    }
    if category is EbvCategory.UNKNOWN:
        document = both_categories_to_json(nomogram.score_each_category(covariates, **options))
    else:
        document = nomogram.score(covariates, **options).to_json()
        document["ebv_dna_category"] = category.value
    document["inputs"]["ebv_dna"] = inputs.ebv_dna
    document["inputs"]["ebv_dna_threshold_copies_per_ml"] = decision.ebv_threshold_copies_per_ml
    return {**document, "nomogram": {"name": nomogram.name, "digest": nomogram.digest}}


def scenarios_by_category(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the numbers by EBV DNA category: one category where it is known, else both.

    Parameters
    ----------
    document : mapping
        From `prediction_to_json`.

    Returns
    -------
    dict
        Category -> points, DFS and difference.
    """
    both = document.get("by_ebv_dna_category")
    return dict(both) if both else {document["ebv_dna_category"]: document}


def formatted(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts of one scenario by arm and horizon, without units.

    Parameters
    ----------
    scenario : mapping
        One value of `scenarios_by_category`.

    Returns
    -------
    dict
        ``arms`` (points and DFS in percent) and ``difference`` (percentage points); an unknown interval is None.
    """
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
    ict, ccrt = (scenario["dfs"][arm.value][month]["value"] for arm in TreatmentArm)
    ends = scenario["difference_ci95"][month]
    return {
        "value": numbers.signed_percent(displayed_difference(ict, ccrt)),
        # The interval is rounded from its own ends; half its width around the rounded difference would move it.
        "ci95": None if ends is None else numbers.signed_interval(_ends(ends)),
    }


def _ends(ci95: Sequence[float]) -> tuple[float, float]:
    low, high = ci95
    return round_dfs(low), round_dfs(high)


def survival_curves(nomogram: CoxNomogram, inputs: PatientInputs, decision: DecisionPolicy) -> dict[str, Any]:
    """Return the predicted DFS of both arms over the whole follow-up, in steps of half a month.

    Parameters
    ----------
    nomogram : CoxNomogram
        Its follow-up ends the curves.
    inputs : PatientInputs
        As entered.
    decision : DecisionPolicy
        EBV DNA threshold.

    Returns
    -------
    dict
        ``months`` (list of float, from 0) and ``by_ebv_dna_category`` (category -> arm -> list of DFS fractions).
    """
    covariates, category = covariates_and_category(inputs, decision)
    longest = nomogram.follow_up_days / DAYS_PER_MONTH
    # From the first step on, since the nomogram refuses a horizon of 0; S(0) = 1 is put in front below.
    months = [CURVE_STEP_MONTHS * (i + 1) for i in range(int(longest / CURVE_STEP_MONTHS))]
    categories = [EbvCategory.NOT_ABOVE, EbvCategory.ABOVE] if category is EbvCategory.UNKNOWN else [category]
    by_category = {}
    for shown_category in categories:
        above = shown_category is EbvCategory.ABOVE
        patient = PatientCovariates(
            covariates.age_years, above, covariates.prognostic_score, covariates.predictive_score
        )
        dfs = nomogram.dfs_by_arm(patient, months)
        by_category[shown_category.value] = {
            arm.value: [1.0, *(round(float(survival), 5) for survival in dfs[arm][0])] for arm in TreatmentArm
        }
    return {"months": [0.0, *months], "by_ebv_dna_category": by_category}


def answers_by_predictive_score(
    nomogram: CoxNomogram, inputs: PatientInputs, decision: DecisionPolicy
) -> list[dict[str, Any]]:
    """Return the answer over the range of the Predictive-score, the other inputs unchanged.

    Parameters
    ----------
    nomogram : CoxNomogram
        Its training range of the Predictive-score is covered; outside it no regimen is recommended.
    inputs : PatientInputs
        The entered Predictive-score is not read.
    decision : DecisionPolicy
        Threshold, horizon and rule of the decision.

    Returns
    -------
    list of {"answer", "from", "to"}
        Neighbouring stretches in ascending order, to two decimals; for unknown EBV DNA of the category not above the
        threshold.
    """
    covariates, category = covariates_and_category(inputs, decision)
    low, high = nomogram.training_ranges[PREDICTIVE]
    scores = np.arange(math.ceil(low * 100), math.floor(high * 100) + 1) / 100
    n, horizon = len(scores), float(decision.horizon_months)
    patients = PatientCovariates(
        np.full(n, covariates.age_years),
        np.full(n, float(category is EbvCategory.ABOVE)),
        np.full(n, covariates.prognostic_score),
        scores,
    )
    result = nomogram.score(patients, (horizon,), decision.threshold, horizon, rule=decision.rule)
    stretches: list[dict[str, Any]] = []
    for at, score in enumerate(scores.tolist()):
        answer = result.answer(at).value
        if not stretches or stretches[-1]["answer"] != answer:
            stretches.append({"answer": answer, "from": score, "to": score})
        stretches[-1]["to"] = score
    return stretches
