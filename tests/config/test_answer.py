"""The answer is decided on displayed numbers: hand-made cases of the rule, and what may never happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.answer import decide
from config.indication.conventions import displayed_difference
from config.indication.vocabulary import Answer, AnswerGround, AnswerRule, TreatmentArm

ICT, CCRT, NONE = Answer.ICT_CCRT, Answer.CCRT, Answer.NO_RELIABLE_DIFFERENCE
INTERVAL, POINT = AnswerRule.INTERVAL, AnswerRule.POINT
INCLUDES, EXCLUDES = AnswerGround.INTERVAL_INCLUDES_THRESHOLD, AnswerGround.INTERVAL_EXCLUDES_THRESHOLD
tenths = st.integers(-1000, 1000)  # of a percentage point, as differences are displayed


@pytest.mark.parametrize(
    ("difference", "ci95", "threshold", "answer", "ground"),
    [
        (0.57, (0.31, 0.76), 0.0, ICT, EXCLUDES),
        (0.005, (-0.016, 0.027), 0.0, NONE, INCLUDES),  # +0.5 points (-1.6 to +2.7), an example of the issue
        (-0.07, (-0.12, -0.021), 0.0, CCRT, EXCLUDES),
        (0.02, (0.0, 0.04), 0.0, NONE, INCLUDES),  # an end that equals the threshold is included
        (0.02, (0.0004, 0.04), 0.0, NONE, INCLUDES),  # displayed as 0.0
        (0.02, (0.0006, 0.04), 0.0, ICT, EXCLUDES),  # displayed as +0.1
        (0.03, (0.01, 0.05), 0.02, NONE, INCLUDES),
        (0.005, (-0.005, 0.015), 0.02, CCRT, EXCLUDES),  # surely less than the threshold asks for
        (0.0, (0.001, 0.002), 0.0, NONE, INCLUDES),  # rounded rates: the difference itself is not beyond the threshold
        (0.1, None, 0.0, NONE, AnswerGround.NO_INTERVAL),
    ],
)
def test_the_interval_decides(
    difference: float, ci95: tuple[float, float] | None, threshold: float, answer: Answer, ground: AnswerGround
) -> None:
    decision = decide(difference, ci95, threshold, INTERVAL)
    assert (decision.answer, decision.ground) == (answer, ground)


@pytest.mark.parametrize(("difference", "answer"), [(0.021, ICT), (0.02, CCRT), (-0.1, CCRT)])
def test_the_bare_difference_decides_where_the_site_wants_it(difference: float, answer: Answer) -> None:
    """Zhong et al.: ICT+CCRT where it gains more than the threshold, else CCRT."""
    for ci95 in (None, (-0.5, 0.5)):
        decision = decide(difference, ci95, 0.02, POINT)
        assert (decision.answer, decision.ground) == (answer, AnswerGround.POINT_DIFFERENCE)


@pytest.mark.parametrize("rule", list(AnswerRule))
def test_what_is_not_valid_or_not_stable_gets_no_regimen(rule: AnswerRule) -> None:
    clear: tuple[float, tuple[float, float], float, AnswerRule] = (0.5, (0.4, 0.6), 0.0, rule)
    assert decide(*clear, is_valid=False, is_stable=False).ground is AnswerGround.NOT_VALID
    assert decide(*clear, is_stable=False).ground is AnswerGround.NOT_STABLE
    assert decide(*clear, is_valid=False).answer is decide(*clear, is_stable=False).answer is NONE


@given(tenths, st.none() | st.tuples(tenths, tenths), tenths, st.booleans(), st.booleans())
def test_never_a_regimen_with_an_interval_across_the_threshold(
    difference: int, ci95: tuple[int, int] | None, threshold: int, is_valid: bool, is_stable: bool
) -> None:
    interval = None if ci95 is None else (min(ci95) / 1000, max(ci95) / 1000)
    answer = decide(
        difference / 1000, interval, threshold / 1000, INTERVAL, is_valid=is_valid, is_stable=is_stable
    ).answer
    if answer is not NONE:
        assert ci95 is not None
        shown = (difference, *ci95)
        assert all(number > threshold for number in shown) or all(number < threshold for number in shown)
        assert (answer is ICT) == (difference > threshold)
        assert is_valid
        assert is_stable


def test_the_displayed_difference_is_that_of_the_displayed_rates() -> None:
    assert displayed_difference(0.8474, 0.8116) == 0.035  # 84.7 % and 81.2 %, not 3.58 rounded to 3.6


def test_the_two_arms_are_answers() -> None:
    assert [answer.arm for answer in Answer] == [TreatmentArm.ICT_CCRT, TreatmentArm.CCRT, None]
