"""The answer of a stored report, or of a prediction, in the words of the report: for work list, case and calculator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.indication.vocabulary import Answer, AnswerGround, AnswerRule, EbvCategory
from dicom_sr.report import numbers
from dicom_sr.report.answer_text import AnswerStatement, answer_sentence, rule_text
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.json_form import load
from dicom_sr.report.localised import localised
from dicom_sr.report.plain_text import answer_lines, condition_summary, decision_rule, recommendation_text
from dicom_sr.report.report_inputs import Language
from dicom_sr.report.wording import WORDINGS


def answer_of(result: Mapping[str, Any], language: Language) -> dict[str, Any] | None:
    """Return the answer of a stored report.

    Parameters
    ----------
    result : mapping
        `Report.result` of the ledger, also of an earlier version.
    language : Language
        Language of the words.

    Returns
    -------
    dict or None
        ``recommendation`` (None where the categories of an unknown EBV DNA differ), ``arm`` (None without a regimen),
        ``name``, ``lines`` (the sentences, and what invalidates the result), ``conditions`` (those that limit it) and
        ``rule``; None where nothing was computed, or the stored result cannot be read.
    """
    try:
        report = localised(load(result), language)
    except UnreadableReportError:  # one damaged result must not hide a page of studies
        return None
    if not report.computed:
        return None
    words = WORDINGS[language]
    answer = report.recommendation
    return {
        "recommendation": answer,
        "arm": None if answer is None or answer.arm is None else answer.arm.value,
        "name": recommendation_text(report, words),
        "lines": answer_lines(report, words),
        "conditions": condition_summary(report, words),
        "rule": decision_rule(report, words),
    }


def answer_of_prediction(document: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """Return the answer of a prediction without a study.

    Parameters
    ----------
    document : mapping
        What `cptdn nomogram score --json` prints.
    language : Language
        Language of the words.

    Returns
    -------
    dict
        ``arm``, ``name``, ``lines`` and ``rule`` as `answer_of` returns them.
    """
    words = WORDINGS[language]
    by_category = document.get("by_ebv_dna_category") or {"": document}
    threshold = numbers.copies(document["inputs"]["ebv_dna_threshold_copies_per_ml"])
    starts = {
        "": "",
        EbvCategory.NOT_ABOVE: f"{words.if_ebv_not_above.format(threshold=threshold)}: ",
        EbvCategory.ABOVE: f"{words.if_ebv_above.format(threshold=threshold)}: ",
    }
    months, limit = document["decision_horizon_months"], document["threshold"]
    lines, names = [], []
    for category, scenario in by_category.items():
        decisive = scenario["decisive"]
        ci95 = decisive["ci95"]
        statement = AnswerStatement(
            Answer(scenario["recommendation"]), AnswerGround(scenario["ground"]), decisive["difference"],
            None if ci95 is None else (ci95[0], ci95[1]), months, limit,
        )  # fmt: skip
        lines.append(starts[category] + answer_sentence(statement, words))
        names.append((statement.answer, starts[category] + words.answers[statement.answer]))
    common = {answer for answer, _ in names}
    is_common = len(common) == 1
    first = names[0][0]
    return {
        "name": words.answers[first] if is_common else "; ".join(name for _, name in names),
        "arm": first.arm.value if is_common and first.arm else None,
        "lines": lines,
        "rule": rule_text(AnswerRule(document["rule"]), months, limit, words),
    }
