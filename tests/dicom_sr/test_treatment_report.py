from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.indication.vocabulary import Answer, EbvCategory, TreatmentArm
from dicom_sr.report import numbers
from dicom_sr.report.normalisation import clean_text
from dicom_sr.report.treatment_report import ArmResult, DfsEstimate, EbvDna, Reason, Scenario, Scores


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_displayed_difference_is_displayed_minus_displayed(ict: float, ccrt: float) -> None:
    arms = [
        ArmResult(arm, {}, 0.0, {60: DfsEstimate.rounded(value, value, value)})
        for arm, value in ((TreatmentArm.ICT_CCRT, ict), (TreatmentArm.CCRT, ccrt))
    ]
    scenario = Scenario(EbvCategory.ABOVE, arms[0], arms[1], Answer.CCRT)
    tenths = [round(float(numbers.percent(arm.dfs[60].value)) * 10) for arm in arms]
    shown = numbers.signed_percent(scenario.difference(60))
    assert round(float(shown) * 10) == tenths[0] - tenths[1]
    assert not shown.startswith("-0.0")


def test_numbers_are_rounded_when_the_value_is_built() -> None:
    assert DfsEstimate(0.78449, (0.70051, 0.85)).value == 0.784
    assert DfsEstimate(0.78449, (0.70051, 0.85)).ci95 == (0.701, 0.85)
    assert Scores(0.123456, -0.00001) == Scores(0.1235, 0.0)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_report_holds_finite_numbers_only(wrong: float) -> None:
    with pytest.raises(ValueError, match="expected finite numbers"):
        Scores(wrong, 0.0)


def test_text_is_cleaned_when_the_value_is_built() -> None:
    assert Reason("a", " one\x00two \r\n three\t").text == "one two\n three"
    assert EbvDna(EbvCategory.UNKNOWN, as_given="  ").as_given is None


@given(st.text())
def test_clean_text_changes_nothing_the_second_time(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)
