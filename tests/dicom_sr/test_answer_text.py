"""The answer as a sentence, and what stands before what: whatever was computed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from config.indication.vocabulary import Answer, AnswerGround, AnswerRule, Condition, ConditionState, Severity
from config.severities import SEVERITIES
from dicom_sr.content.evaluations import qualitative_evaluations
from dicom_sr.report.answer_text import AnswerStatement, answer_sentence, rule_text
from dicom_sr.report.json_form import dump, load, to_json
from dicom_sr.report.plain_text import answer_lines, plain_text
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import ConditionOfUse, Reason, Scenario, Stability, TreatmentReport
from dicom_sr.report.wording import CHINESE, ENGLISH
from tests.dicom_sr import samples

NONE = Answer.NO_RELIABLE_DIFFERENCE
INCLUDES = AnswerGround.INTERVAL_INCLUDES_THRESHOLD
codes = st.lists(st.sampled_from(sorted(SEVERITIES)), max_size=8, unique=True)
states = st.lists(st.sampled_from(list(ConditionState)), min_size=len(Condition), max_size=len(Condition))


def decided(report: TreatmentReport) -> TreatmentReport:
    """The report with the answers that its numbers and reasons give."""
    return replace(
        report,
        scenarios=tuple(
            Scenario.decided(
                one.ebv_category, one.ict_ccrt, one.ccrt, one.difference_ci95, report.model,
                is_valid=report.is_valid, stability=report.stability,
            )
            for one in report.scenarios
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "english"),
    [
        (
            AnswerStatement(NONE, INCLUDES, 0.005, (-0.016, 0.027), 60, 0.0),
            "No reliable difference: 5-year DFS with ICT+CCRT minus CCRT is +0.5 percentage points (95 % CI -1.6 to "
            "+2.7); the interval includes zero",
        ),
        (
            AnswerStatement(NONE, INCLUDES, 0.02, (-0.01, 0.05), 60, 0.02, Stability(41, 50, 0.9)),
            "No reliable difference: 5-year DFS with ICT+CCRT minus CCRT is +2.0 percentage points (95 % CI -1.0 to "
            "+5.0); the interval includes the threshold of 2 percentage points; the difference stays on the same "
            "side of it in 41 of 50 recomputations",
        ),
        (
            AnswerStatement(
                Answer.ICT_CCRT, AnswerGround.INTERVAL_EXCLUDES_THRESHOLD, 0.18, (0.052, 0.308), 36, 0.0,
                Stability(47, 50, 0.9),
            ),
            "ICT+CCRT: 3-year DFS with ICT+CCRT minus CCRT is +18.0 percentage points (95 % CI +5.2 to +30.8); the "
            "interval excludes zero; the answer holds in 47 of 50 recomputations",
        ),
        (
            AnswerStatement(NONE, AnswerGround.NOT_STABLE, 0.18, (0.052, 0.308), 60, 0.0, Stability(41, 50, 0.9)),
            "No reliable difference: 5-year DFS with ICT+CCRT minus CCRT is +18.0 percentage points (95 % CI +5.2 to "
            "+30.8), but that holds in only 41 of 50 recomputations (at least 90 % are required)",
        ),
        (
            AnswerStatement(NONE, AnswerGround.NO_INTERVAL, -0.07, None, 30, 0.0),
            "No reliable difference: 30-month DFS with ICT+CCRT minus CCRT is -7.0 percentage points (no 95 % CI); "
            "without an interval it cannot be told from chance",
        ),
    ],
)  # fmt: skip
def test_the_sentence_has_answer_difference_interval_and_ground(statement: AnswerStatement, english: str) -> None:
    assert answer_sentence(statement, ENGLISH) == english


@pytest.mark.parametrize("ground", list(AnswerGround))
def test_both_languages_have_the_same_numbers_for_every_ground(ground: AnswerGround) -> None:
    statement = AnswerStatement(NONE, ground, -0.031, (-0.06, 0.012), 60, 0.025, Stability(7, 31, 0.55))
    english, chinese = (answer_sentence(statement, words) for words in (ENGLISH, CHINESE))
    assert "-3.1" in english
    assert "-6.0 to +1.2" in english
    assert "-3.1" in chinese
    assert "-6.0 至 +1.2" in chinese
    assert ("7" in english.split(";")[-1]) == ("31" in chinese)


@pytest.mark.parametrize("rule", list(AnswerRule))
def test_the_rule_names_horizon_and_threshold(rule: AnswerRule) -> None:
    for words in (ENGLISH, CHINESE):
        assert "2.5" in rule_text(rule, 60, 0.025, words)
        assert "5" in rule_text(rule, 60, 0.025, words)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(codes, codes, states)
def test_the_gravest_is_always_first_and_nothing_is_left_out(
    of_warnings: list[str], of_quality: list[str], state: list[ConditionState]
) -> None:
    warnings = tuple(Reason(code, f"Warning of {code}.") for code in of_warnings)
    quality = tuple(Reason(code, f"Finding of {code}.") for code in of_quality)
    conditions = tuple(
        ConditionOfUse(code, each, f"Grounds of {code.value}.") for code, each in zip(Condition, state, strict=True)
    )
    report = decided(samples.scored(warnings=warnings, quality=quality, conditions=conditions))
    document = to_json(report)
    ranks = [Severity(one["severity"]).rank for one in document["conditions"]]
    assert ranks == sorted(ranks)
    for name in ("warnings", "quality"):
        ranks = [Severity(one["severity"]).rank for one in document[name]]
        assert ranks == sorted(ranks)
    in_sr = [
        str(item.TextValue).rpartition(" [")[2].rstrip("]")
        for item in qualitative_evaluations(report, ReportOptions()).ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue in ("WARNING", "QUALITY")
    ]
    assert sorted(in_sr) == sorted(reason.code for reason in (*warnings, *quality))
    assert [SEVERITIES[code].rank for code in in_sr] == sorted(SEVERITIES[code].rank for code in in_sr)
    text = plain_text(report)
    places = [text.index(f"- {reason.text}") for reason in report.findings]
    assert places == sorted(places)
    assert (report.recommendation is NONE) == (not report.is_valid)
    if not report.is_valid:
        beside = answer_lines(report, ENGLISH)[1:]
        invalid = [reason for reason in report.findings if reason.severity.rank <= Severity.INVALIDATES.rank]
        assert all(any(reason.text in line for line in beside) for reason in invalid)


def test_a_stored_report_of_an_earlier_version_says_what_it_said() -> None:
    """Before there was a rule the bare difference decided, also with an interval across the threshold."""
    report = samples.scored()
    old = json.loads(json.dumps(dump(report)))
    del old["stability"], old["model"]["rule"], old["scenarios"][0]["ground"]
    old["scenarios"][0]["difference_ci95"]["60"] = [-0.02, 0.28]
    read = load(old)
    assert (read.recommendation, read.model.rule) == (Answer.ICT_CCRT, AnswerRule.POINT)
    assert answer_lines(read, ENGLISH) == [
        "ICT+CCRT: 5-year DFS with ICT+CCRT minus CCRT is +12.6 percentage points (95 % CI -2.0 to +28.0); the "
        "difference alone decides, without its interval"
    ]
