"""Values of a report that follow from several findings."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from config.bundle_conditions import ModelCondition
from config.decision_policy import DecisionPolicy
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import Condition, ConditionState
from dicom_sr.report.treatment_report import Reason
from node.cases.case_inputs import ComputeRequest
from workers.pipeline.report_values import _conditions, model_range_state

OLD = Reason("extrapolated", "The age 80 is outside the training cohort (14 to 72).")
UNCHECKED = Reason("plausibility_not_checked", "The bundle has no limits of plausibility.")


@pytest.mark.parametrize(
    ("outside", "unchecked", "state", "text"),
    [
        ([], [], ConditionState.MET, "range of the training cohort"),
        ([], [UNCHECKED], ConditionState.NOT_CHECKED, UNCHECKED.text),
        ([OLD], [], ConditionState.NOT_MET, OLD.text),
        ([OLD], [UNCHECKED], ConditionState.NOT_MET, OLD.text),
    ],
)
def test_the_range_of_the_model_is_met_only_when_everything_was_checked_and_nothing_is_outside(
    outside: list[Reason], unchecked: list[Reason], state: ConditionState, text: str
) -> None:
    found, grounds = model_range_state(outside, unchecked)
    assert found is state
    assert text in grounds


def test_the_bundle_that_computes_decides_its_conditions_also_for_a_request_of_an_earlier_version() -> None:
    assessed = [
        {"code": "disease", "state": "met", "text": "C11.9"},
        {"code": "model_range", "state": "not_checked", "text": "later"},
        {"code": "model_admission", "state": "met", "text": "of the bundle that was active"},
    ]
    request = cast(ComputeRequest, SimpleNamespace(conditions=assessed))
    of_model = (
        ModelCondition(Condition.MODEL_ADMISSION, ConditionState.NOT_MET, "slope 0.3"),
        ModelCondition(Condition.TRIAL_EVIDENCE, ConditionState.NOT_MET, "-2.4 points"),
    )
    policy = replace(DecisionPolicy.of(NASOPHARYNX), conditions=of_model)
    found = [
        (one.code.value, one.state.value, one.text)
        for one in _conditions(request, policy, {Condition.MODEL_RANGE: (ConditionState.MET, "in")})
    ]
    assert found == [
        ("disease", "met", "C11.9"), ("model_range", "met", "in"), ("model_admission", "not_met", "slope 0.3"),
        ("trial_evidence", "not_met", "-2.4 points"),
    ]  # fmt: skip
