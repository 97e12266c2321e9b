"""The answer as one sentence: what is recommended, the difference in percentage points, its interval, and the ground.

Every output shows this sentence: SR, FHIR, page, list, command line, batch table and pages. It takes plain values and
not a report, so that a prediction without a study has the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.indication.vocabulary import Answer, AnswerGround, AnswerRule
from dicom_sr.report import numbers
from dicom_sr.report.treatment_report import ModelIdentity, Scenario, Stability, TreatmentReport
from dicom_sr.report.wording import Wording, horizon


@dataclass(frozen=True)
class AnswerStatement:
    """What the sentence says.

    Attributes
    ----------
    difference : float
        As displayed, at the horizon of the decision; a fraction.
    ci95 : pair of float or None
        Its 95 % interval, as displayed.
    threshold : float
        A fraction.
    stability : Stability or None
        None where the answer was not recomputed.
    """

    answer: Answer
    ground: AnswerGround
    difference: float
    ci95: tuple[float, float] | None
    horizon_months: float
    threshold: float
    stability: Stability | None = None


def statement_of(report: TreatmentReport, scenario: Scenario) -> AnswerStatement:
    """Return what the sentence of one scenario of a report says.

    Parameters
    ----------
    report : TreatmentReport
        With horizon, threshold and stability.
    scenario : Scenario
        One of the report's.

    Returns
    -------
    AnswerStatement
        Difference and interval as displayed, as fractions.
    """
    months = report.model.horizon_months
    return AnswerStatement(
        scenario.recommendation, scenario.ground, scenario.difference(months), scenario.difference_ci95.get(months),
        months, report.model.threshold, report.stability,
    )  # fmt: skip


def answer_sentence(statement: AnswerStatement, words: Wording) -> str:
    """Write the answer with its difference, interval and ground.

    Parameters
    ----------
    statement : AnswerStatement
        Of a report or of a prediction.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        One sentence without full stop, for example "No reliable difference: 5-year DFS with ICT+CCRT minus CCRT is +0.5
        percentage points (95 % CI -1.6 to +2.7), and the interval includes zero".
    """
    stability = statement.stability
    counts = {} if stability is None else {"held": stability.held, "of": stability.of}
    share = "" if stability is None else numbers.threshold(stability.minimum_share)
    sentence = words.answer_by_ground[statement.ground].format(
        answer=words.answers[statement.answer],
        horizon=horizon(statement.horizon_months, words),
        gain=points_text(statement.difference, statement.ci95, words),
        limit=limit_text(statement.threshold, words),
        share=share,
        **counts,
    )
    if stability is None or statement.ground in (AnswerGround.NOT_STABLE, AnswerGround.NOT_VALID):
        return sentence
    # What is counted is the side of the threshold; of an answer without a regimen it says how far it is from one.
    phrase = words.side_holds if statement.answer.arm is None else words.answer_holds
    return phrase.format(sentence=sentence, **counts)


def points_text(difference: float, ci95: tuple[float, float] | None, words: Wording) -> str:
    """Write a difference of two probabilities, as displayed.

    Parameters
    ----------
    difference : float
        A fraction.
    ci95 : pair of float or None
        Its interval, as fractions.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        For example "+12.6 percentage points (95 % CI +2.1 to +23.2)".
    """
    shown = numbers.signed_percent(difference)
    if ci95 is None:
        return words.percentage_points_only.format(difference=shown)
    return words.percentage_points.format(difference=shown, interval=numbers.signed_interval(ci95, words.interval))


def limit_text(threshold: float, words: Wording) -> str:
    """Write the threshold.

    Parameters
    ----------
    threshold : float
        A fraction.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        "zero", or for example "the threshold of 2 percentage points".
    """
    if threshold == 0:
        return words.zero
    return words.threshold_points.format(threshold=numbers.threshold(threshold))


def decision_rule(model: ModelIdentity, words: Wording, stability: Stability | None = None) -> str:
    """Write the rule by which the answer follows from the numbers.

    Parameters
    ----------
    model : ModelIdentity
        Horizon in months, threshold as a fraction, and the rule.
    words : Wording
        Wording of the language.
    stability : Stability or None
        Where the answer was recomputed, the rule says which share is asked for.

    Returns
    -------
    str
        A sentence without full stop.
    """
    rule = rule_text(model.rule, model.horizon_months, model.threshold, words)
    if stability is None:
        return rule
    return words.rule_stable.format(rule=rule, share=numbers.threshold(stability.minimum_share))


def rule_text(rule: AnswerRule, horizon_months: float, threshold: float, words: Wording) -> str:
    """Write the rule of plain values, see `decision_rule`."""
    return words.rules[rule].format(horizon=horizon(horizon_months, words), limit=limit_text(threshold, words))
