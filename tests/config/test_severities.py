"""One table has the severity of every code that the program gives."""

from __future__ import annotations

from collections import Counter

from config import severities
from config.indication.vocabulary import Condition, ConditionState, Severity
from config.messages.finding_reasons import FINDINGS
from config.messages.reasons import REASONS
from config.severities import SEVERITIES, condition_severity, invalidates, severity_of


def test_every_reason_finding_and_condition_has_one_severity() -> None:
    known = {*REASONS, *FINDINGS, *(condition.value for condition in Condition)}
    assert known - SEVERITIES.keys() == set()
    counts = Counter(str(code) for codes in severities._CODES.values() for code in codes)
    assert [code for code, n in counts.items() if n > 1] == []


def test_the_severities_are_ordered() -> None:
    assert sorted(Severity, key=lambda each: each.rank) == ["blocks", "invalidates", "cautions", "notes"]
    assert invalidates([Severity.NOTES, Severity.INVALIDATES])
    assert not invalidates([Severity.NOTES, Severity.CAUTIONS])


def test_a_code_of_another_version_is_a_caution() -> None:
    assert severity_of("code_of_another_version") is Severity.CAUTIONS


def test_only_a_condition_that_is_not_met_invalidates() -> None:
    state = {state: condition_severity(Condition.MODEL_RANGE, state) for state in ConditionState}
    assert state == {
        ConditionState.MET: Severity.NOTES,
        ConditionState.NOT_MET: Severity.INVALIDATES,
        ConditionState.NOT_CHECKED: Severity.CAUTIONS,
    }
    assert condition_severity(Condition.CONTOUR_DATE, ConditionState.NOT_MET) is Severity.CAUTIONS
