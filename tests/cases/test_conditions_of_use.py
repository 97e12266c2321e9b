"""The conditions of use: each is met, not met or not checked, and never silently taken for met."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from config.decision_policy import active_policy
from config.indication.vocabulary import Condition
from config.settings import Settings
from node.cases.assessment import assess_inputs
from node.cases.case_inputs import CaseInputs
from node.cases.clinical_facts import DateFact, EbvResult, PriorTreatment, Provenance
from tests.cases.case_headers import BY_HAND, CE_T1W, NOW, T1W, T2W, case, facts, series, structure_set

MR_DAY = "20260501"
RECORDED = replace(
    facts(),
    ebv_dna=(EbvResult("12000", Provenance("laboratory", observed_on=date(2026, 4, 30))),),
    prior_treatment=PriorTreatment(given=False, provenance=BY_HAND),
)


def states(**changes: Any) -> dict[str, str]:
    """The states of a case of which everything that can be recorded is recorded, with changes."""
    settings = Settings()
    contour = structure_set(StructureSetDate=MR_DAY)
    inputs: CaseInputs = case(**{"images": study(), "related": [contour], "facts": RECORDED, **changes})
    assessment = assess_inputs(inputs, settings, active_policy(settings), NOW)
    return {condition["code"]: condition["state"] for condition in assessment.conditions}


def study(**ce_t1w: Any) -> list[Any]:
    headers = [T1W, T2W, {**CE_T1W, **ce_t1w}]
    return [
        image for number, header in enumerate(headers, 1) for image in series(number, {**header, "StudyDate": MR_DAY})
    ]


def test_each_condition_is_listed_once_in_the_order_of_the_vocabulary() -> None:
    assert list(states()) == [condition.value for condition in Condition]


def test_conditions_with_recorded_grounds_are_met() -> None:
    recorded = ("stage", "treatment_naive", "mr_age", "contrast", "contour_approved", "contour_date", "ebv_dna_window")
    assert {code: states()[code] for code in recorded} == dict.fromkeys(recorded, "met")


def test_what_nobody_recorded_is_not_checked_rather_than_met() -> None:
    nothing = replace(facts(ebv_dna=None, stage=None), treatment_start=None, diagnoses=())
    unknown = states(facts=nothing, images=study(ContrastBolusAgent=""), related=[])
    for of_model in active_policy(Settings()).conditions:
        assert unknown.pop(of_model.code.value) == of_model.state  # the bundle's own, whatever the case
    assert set(unknown.values()) == {"not_checked"}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("stage", {"facts": replace(RECORDED, stage=facts(stage="T4N2M0").stage)}),
        (
            "treatment_naive",
            {"facts": replace(RECORDED, prior_treatment=PriorTreatment(given=True, provenance=BY_HAND))},
        ),
        ("mr_age", {"facts": replace(RECORDED, treatment_start=DateFact(date(2026, 6, 20), BY_HAND))}),
        ("mr_age", {"facts": replace(RECORDED, treatment_start=DateFact(date(2026, 4, 30), BY_HAND))}),
        ("contour_approved", {"related": [structure_set(ApprovalStatus="UNAPPROVED")]}),
        ("contour_date", {"related": [structure_set(StructureSetDate="20260502")]}),
    ],
)
def test_a_condition_that_the_facts_contradict_is_not_met(code: str, changes: dict[str, Any]) -> None:
    assert states(**changes)[code] == "not_met"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("contrast", {"images": study(ContrastBolusAgent="")}),  # its name alone says that contrast was given
        ("contour_date", {"related": [structure_set(StructureSetDate="")]}),
        ("ebv_dna_window", {"facts": replace(RECORDED, treatment_start=None)}),
        ("ebv_dna_window", {"facts": replace(RECORDED, ebv_dna=(EbvResult("12000", Provenance("laboratory")),))}),
    ],
)
def test_a_condition_without_grounds_is_not_checked(code: str, changes: dict[str, Any]) -> None:
    assert states(**changes)[code] == "not_checked"
