"""Abstention, wrong firm answers and the risk-coverage curve: counted by hand on ten patients, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.validation.abstention import answers_against_truth, certainty, wrong_by_rank

# By column: difference, half-width on both sides, true difference. Firm are those whose half-width is the smaller.
TEN = np.array(
    [
        (+0.30, 0.10, +0.20),  # certainty 3: right
        (-0.20, 0.10, -0.01),  # 2: right
        (+0.15, 0.10, -0.02),  # 1.5: wrong, by 2 points
        (-0.12, 0.10, +0.09),  # 1.2: wrong, by 9 points
        (+0.10, 0.10, +0.30),  # 1: the interval ends at the threshold, which it includes
        (+0.08, 0.10, +0.01),  # 0.8
        (-0.07, 0.10, +0.01),  # 0.7: wrong, had it been answered
        (+0.05, 0.10, +0.05),  # 0.5
        (-0.04, 0.10, -0.05),  # 0.4
        (+0.01, 0.10, -0.10),  # 0.1: wrong, had it been answered
    ]
)


def test_ten_patients_by_hand() -> None:
    difference, half, true = TEN.T
    answers = answers_against_truth(difference, difference - half, difference + half, true, 0.0)
    assert (answers["abstention"], answers["firm"]) == (0.6, 0.4)
    assert (answers["wrong_of_firm"], answers["grossly_wrong_of_firm"]) == (0.5, 0.25)
    # 0/1, 0/2, 1/3, 2/4, 2/5, 2/6, 3/7, 3/8, 3/9, 4/10 wrong.
    expected = [0, 0, 0.3333, 0.5, 0.4, 0.3333, 0.4286, 0.375, 0.3333, 0.4]
    assert list(answers["wrong_by_share_answered"].values()) == expected
    assert answers["answered_at_2_percent_wrong"] == 0.2


def test_the_threshold_of_the_model_counts() -> None:
    # Above 0 and below 5 %: firm against 0, firm for CCRT against 5 %, and wrong where the truth is 8 %.
    difference, low, high, true = (np.array([value]) for value in (0.03, 0.01, 0.045, 0.08))
    assert answers_against_truth(difference, low, high, true, 0.0)["wrong_of_firm"] == 0.0
    assert answers_against_truth(difference, low, high, true, 0.05)["wrong_of_firm"] == 1.0


def test_without_a_firm_answer_there_is_no_share_of_wrong_ones() -> None:
    difference, low, high = np.array([0.01]), np.array([-0.1]), np.array([0.1])
    answers = answers_against_truth(difference, low, high, np.array([-0.2]), 0.0)
    assert (answers["abstention"], answers["wrong_of_firm"], answers["answered_at_2_percent_wrong"]) == (1.0, None, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(-0.9, 0.9), st.floats(1e-6, 0.5), st.floats(1e-6, 0.5), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    st.floats(-0.3, 0.3),
)
def test_firm_answers_are_the_surest_ones(patients: list[tuple[float, float, float, bool]], threshold: float) -> None:
    difference, below, above = (np.array(column) for column in list(zip(*patients, strict=True))[:3])
    low, high = difference - below, difference + above
    certain = certainty(difference, low, high, threshold)
    firm = (low > threshold) | (high < threshold)
    if firm.any() and not firm.all():
        assert certain[firm].min() >= certain[~firm].max() - 1e-9
    wrong = np.array([patient[3] for patient in patients])
    curve = wrong_by_rank(certain, wrong)
    assert curve[-1] == pytest.approx(wrong.mean())
