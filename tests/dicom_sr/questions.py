"""What a reader must find on a first screen, and whether a text has it."""

from __future__ import annotations

import re

from config.indication.vocabulary import ConditionState
from dicom_sr.report import numbers
from dicom_sr.report.answer_text import limit_text
from dicom_sr.report.localised import localised
from dicom_sr.report.plain_text import invalidating_texts
from dicom_sr.report.treatment_report import TreatmentReport
from dicom_sr.report.wording import Wording


def questions(report: TreatmentReport, words: Wording) -> dict[str, list[str]]:
    """The pieces of text that answer each question about a report."""
    report = localised(report, words.language)
    found = {"is it current": [words.revision.format(n=report.revision)]}
    if report.replaced is not None:
        found["is it current"].append(numbers.moment(report.replaced.created))
    if report.model.demonstration:
        found["is it a demonstration"] = ["DEMONSTRATION"]
    if report.withdrawal is not None:
        found["which answer"] = ["WITHDRAWN", report.withdrawal.because]
        return found
    found["what is not met or not checked"] = [
        words.condition_titles[each.code] for each in report.conditions if each.state is not ConditionState.MET
    ]
    if not report.computed:
        found["which answer"] = [words.not_computed, *(reason.text for reason in report.refusals)]
        return found
    months = report.model.horizon_months
    found["which answer"] = list(dict.fromkeys(words.answers[each.recommendation] for each in report.scenarios))
    found["how sure"], found["the numbers"] = [], []
    for scenario in report.scenarios:
        found["how sure"].append(numbers.signed_interval(scenario.difference_ci95[months], words.interval))
        found["the numbers"].append(numbers.signed_percent(scenario.difference(months)))
        for arm in (scenario.ict_ccrt, scenario.ccrt):
            found["the numbers"] += [
                f"{numbers.percent(arm.dfs[months].value)} %",
                numbers.interval(arm.dfs[months].ci95, words.interval),
            ]
    if report.is_valid:
        found["how sure"].append(limit_text(report.model.threshold, words))
        if report.stability is not None:
            found["how sure"] += [str(report.stability.held), str(report.stability.of)]
    else:
        found["how sure"] += invalidating_texts(report)
    found["which contour"] = [each.roi_name for each in report.contours]
    return found


def unanswered(report: TreatmentReport, words: Wording, visible: str, similar: bool = False) -> list[str]:
    """The questions that a text does not answer, with what is missing; `similar` letters of an OCR count as equal.

    A text that says "demonstration" or "withdrawn" of a report that is neither answers wrongly.
    """
    text = _letters(visible, similar)
    missing = [
        f"{question}: {piece!r}"
        for question, pieces in questions(report, words).items()
        for piece in pieces
        if _letters(piece, similar) not in text
    ]
    untrue = {
        "is it a demonstration": not report.model.demonstration and words.demonstration,
        "is it current": report.withdrawal is None and words.withdrawn,
        "which answer": report.computed and words.not_computed,
    }
    wrong = [
        f"{question}: not {said!r}" for question, said in untrue.items() if said and _letters(said, similar) in text
    ]
    return missing + wrong


def _letters(text: str, similar: bool) -> str:
    """The text without blanks, which are where lines are broken; of an OCR without case and punctuation, too."""
    text = re.sub(r"\s+", "", text)
    if not similar:
        return text
    text = re.sub(r"[^\w%+]", "", text).lower()
    return text.translate(str.maketrans("l|io", "1110"))
