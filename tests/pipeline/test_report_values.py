"""Values of a report that follow from several findings."""

from __future__ import annotations

import pytest

from config.indication.vocabulary import ConditionState
from dicom_sr.report.treatment_report import Reason
from workers.pipeline.report_values import model_range_state

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
