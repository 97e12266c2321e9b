"""The result in plain text: the summary and the table of the SR, and the output of ``cptdn report show``."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from config.indication.vocabulary import Answer, ConditionState, EbvCategory, Severity, TreatmentArm
from config.severities import invalidates
from dicom_sr.report import answer_text, numbers
from dicom_sr.report.localised import localised
from dicom_sr.report.report_inputs import Language
from dicom_sr.report.report_status import Withdrawal
from dicom_sr.report.treatment_report import Fact, Scenario, Scores, TreatmentReport
from dicom_sr.report.wording import WORDINGS, Wording, horizon

GAP = "  "  # of two blanks: in a fixed-width font a column then stays apart from the next without a line between


def plain_text(report: TreatmentReport, language: Language = "en") -> str:
    """Write the whole report for a terminal.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    language : Language
        Language of the words; what an earlier version recorded stays in English.

    Returns
    -------
    str
        Paragraphs for a fixed-width font: summary, conditions of use, table, inputs, notes; the answer is in the first.
    """
    report = localised(report, language)
    parts = [
        summary_text(report, language),
        condition_lines(report, language, title=True),
        result_table(report, language),
        input_lines(report, language),
        note_lines(report, language),
    ]
    return "\n\n".join(part for part in parts if part)


def summary_text(report: TreatmentReport, language: Language = "en") -> str:
    """Write the result in a few lines.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    language : Language
        Language of the words.

    Returns
    -------
    str
        The demonstration warning where it applies, the answer with its certainty, what invalidates it, the rates at the
        horizon of the decision, the conditions of use that are not met or were not checked, contour and revision, then,
        where EBV DNA is known, the rates at the other horizons; for a refusal its reasons and the conditions.
    """
    words, report = WORDINGS[language], localised(report, language)
    # First, since viewers show the beginning of a long text only.
    lines = [words.demonstration] if report.model.demonstration else []
    reasons = [f"- {reason.text}" for reason in report.refusals]
    if report.withdrawal is not None:
        lines += [words.withdrawn, *withdrawal_lines(report.withdrawal, words), identity_line(report, words)]
        return "\n".join([*lines, *([f"{words.no_new_result}:", *reasons] if reasons else [])])
    if not report.computed:
        return "\n".join(
            [
                *lines,
                words.not_computed,
                *reasons,
                identity_line(report, words),
                *_conditions_in_one_line(report, words),
            ]
        )
    lines += answer_lines(report, words)
    decided = report.model.horizon_months
    lines += [_rates_line(report, scenario, decided, words) for scenario in report.scenarios]
    contours = [f"{each.roi_name}, {words.slices.format(n=each.n_slices)}" for each in report.contours]
    limits = [*condition_summary(report, words), *([f"{words.contour}: {', '.join(contours)}"] if contours else [])]
    # In one line: with the header of a successor, dsr2html's first screen has no room for two.
    lines.append("; ".join([*limits, identity_line(report, words)]))
    # Of two categories the table of all rates has them: here they would push the coded answer off the first screen of a
    # viewer.
    for scenario in report.scenarios if len(report.scenarios) == 1 else ():
        # The longest horizon first: it is that of the decision unless the site chooses another.
        for months in reversed([each for each in report.horizons_months if each != decided]):
            difference = f"{words.difference} {points_of(scenario, months, words)}"
            lines.append(f"{_rates_line(report, scenario, months, words)}, {difference}")
    return "\n".join(lines)


def _conditions_in_one_line(report: TreatmentReport, words: Wording) -> list[str]:
    lines = condition_summary(report, words)
    return ["; ".join(lines)] if lines else []


def withdrawal_lines(withdrawal: Withdrawal, words: Wording) -> list[str]:
    """Write since when, by whom and why the result is withdrawn, and what the reader has to do, one sentence each."""
    return [
        words.withdrawn_since.format(since=numbers.moment(withdrawal.since), by=withdrawal.by or words.unknown),
        words.withdrawn_because.format(because=withdrawal.because),
        words.withdrawn_advice,
    ]


def identity_line(report: TreatmentReport, words: Wording) -> str:
    """Write time and revision of a report, and which one it replaces or withdraws."""
    line = f"{words.created} {words.revision.format(n=report.revision)}, {numbers.moment(report.created)}"
    return f"{line}{words.stop} {replaces_text(report, words)}" if report.predecessors else line


def replaces_text(report: TreatmentReport, words: Wording) -> str:
    """Write which report this one replaces or withdraws.

    Parameters
    ----------
    report : TreatmentReport
        With predecessors.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        A sentence without full stop that names revision and time where they are known.
    """
    if report.replaced is None:  # of an earlier version, which recorded the UIDs alone
        return words.replaces
    phrase = words.replaces_report if report.withdrawal is None else words.withdraws_report
    return phrase.format(n=report.replaced.revision, created=numbers.moment(report.replaced.created))


def recommendation_text(report: TreatmentReport, words: Wording) -> str:
    """Name the recommended regimen.

    Parameters
    ----------
    report : TreatmentReport
        A computed report.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        One regimen; where EBV DNA is unknown and decides, the regimen of each category with its category.
    """
    if report.recommendation is not None:
        return answer_name(report.recommendation, words)
    return "; ".join(
        f"{answer_name(scenario.recommendation, words)} ({ebv_condition(report, scenario, words)})"
        for scenario in report.scenarios
    )


def answer_name(answer: Answer, words: Wording) -> str:
    """Return the answer in words: the abbreviation of a regimen, or "No reliable difference"."""
    return words.answers[answer]


def regimen_name(arm: TreatmentArm, words: Wording) -> str:
    """Return the abbreviation of a regimen, for example "ICT+CCRT"."""
    return words.regimen_ict if arm is TreatmentArm.ICT_CCRT else words.regimen_ccrt


def regimen_description(arm: TreatmentArm, words: Wording) -> str:
    """Return the full name of a regimen."""
    return words.regimen_ict_long if arm is TreatmentArm.ICT_CCRT else words.regimen_ccrt_long


def ebv_condition(report: TreatmentReport, scenario: Scenario, words: Wording) -> str:
    """Write the EBV DNA category that a scenario assumes.

    Parameters
    ----------
    report : TreatmentReport
        Gives the threshold in copies/mL.
    scenario : Scenario
        One of its scenarios.
    words : Wording
        Wording of the language.

    Returns
    -------
    str
        For example "EBV DNA > 4000 copies/mL".
    """
    limit = numbers.copies(report.ebv_dna.threshold_copies_per_ml)
    if scenario.ebv_category is EbvCategory.ABOVE:
        return words.if_ebv_above.format(threshold=limit)
    if scenario.ebv_category is EbvCategory.NOT_ABOVE:
        return words.if_ebv_not_above.format(threshold=limit)
    return f"{words.ebv} {words.ebv_unknown}"


def decision_rule(report: TreatmentReport, words: Wording) -> str:
    """Write the rule by which the answer follows from the numbers, a sentence without full stop."""
    return answer_text.decision_rule(report.model, words, report.stability)


def answer_lines(report: TreatmentReport, words: Wording) -> list[str]:
    """Write the answer as a sentence, and beside it what invalidates the result.

    Parameters
    ----------
    report : TreatmentReport
        A computed report.
    words : Wording
        Wording of the language.

    Returns
    -------
    list of str
        The sentence; where EBV DNA is unknown one for each category, which it names. Then every reason that makes the
        result not valid for this patient, whole.
    """
    lines = [
        f"{ebv_condition(report, scenario, words)}: {sentence}" if len(report.scenarios) > 1 else sentence
        for scenario in report.scenarios
        for sentence in (answer_text.answer_sentence(answer_text.statement_of(report, scenario), words),)
    ]
    return [*lines, *(words.not_valid_because.format(text=text) for text in invalidating_texts(report))]


def invalidating_texts(report: TreatmentReport) -> list[str]:
    """Return the whole sentences of all that invalidates the result, each once: warnings, findings, conditions."""
    findings = (*report.warnings, *report.quality)
    texts = [each.text for each in findings if invalidates([each.severity])]
    # The condition "range of the training cohort" repeats the sentences of the warnings.
    texts += [
        condition.text
        for condition in report.conditions
        if invalidates([condition.severity]) and not any(text in condition.text for text in texts)
    ]
    return list(dict.fromkeys(texts))


def _rates_line(report: TreatmentReport, scenario: Scenario, months: int, words: Wording) -> str:
    start = f"{ebv_condition(report, scenario, words)}: " if len(report.scenarios) > 1 else ""
    rates = [
        f"{regimen_name(arm.arm, words)} {numbers.percent(arm.dfs[months].value)} % "
        f"({numbers.interval(arm.dfs[months].ci95, words.interval)})"
        for arm in (scenario.ict_ccrt, scenario.ccrt)
    ]
    return f"{start}{horizon(months, words)} ({words.ci}): {', '.join(rates)}"


def points_of(scenario: Scenario, months: int, words: Wording) -> str:
    """Write the difference of a scenario with unit and interval: "+12.6 percentage points (95 % CI +2.1 to +23.2)"."""
    return answer_text.points_text(scenario.difference(months), scenario.difference_ci95.get(months), words)


def result_table(report: TreatmentReport, language: Language = "en") -> str:
    """Write both regimens by horizon as a table.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    language : Language
        Language of the words.

    Returns
    -------
    str
        One table per scenario, aligned for a fixed-width font, the latest horizon first; empty for a refusal.
    """
    words = WORDINGS[language]
    return "\n\n".join(_scenario_table(report, scenario, words) for scenario in report.scenarios)


def _scenario_table(report: TreatmentReport, scenario: Scenario, words: Wording) -> str:
    latest_first = sorted(report.horizons_months, reverse=True)
    rows = [["", *(f"{horizon(months, words)} ({words.ci})" for months in latest_first), words.points]]
    for result in (scenario.ict_ccrt, scenario.ccrt):
        cells = [
            f"{numbers.percent(result.dfs[m].value)} % ({numbers.interval(result.dfs[m].ci95, words.interval)})"
            for m in latest_first
        ]
        rows.append([regimen_name(result.arm, words), *cells, numbers.points(result.total_points)])
    rows.append([words.difference_points, *(difference_text(scenario, m, words) for m in latest_first), ""])
    title = [ebv_condition(report, scenario, words)] if len(report.scenarios) > 1 else []
    return "\n".join([*title, *aligned(rows)])


def difference_text(scenario: Scenario, months: int, words: Wording) -> str:
    """Write the difference of a scenario.

    Parameters
    ----------
    scenario : Scenario
        Both regimens for one EBV DNA category.
    months : int
        One of the report's horizons.
    words : Wording
        Words of the language.

    Returns
    -------
    str
        In percentage points, for example "+12.6 (+2.1 to +23.2)"; without the interval where none was computed.
    """
    ci95 = scenario.difference_ci95.get(months)
    tail = f" ({numbers.signed_interval(ci95, words.interval)})" if ci95 else ""
    return f"{numbers.signed_percent(scenario.difference(months))}{tail}"


def input_lines(report: TreatmentReport, language: Language = "en") -> str:
    """Write the inputs with unit, source and date, one per line, as an aligned table."""
    words = WORDINGS[language]
    return "\n".join(aligned([list(row) for row in input_rows(report, words)]))


def input_rows(report: TreatmentReport, words: Wording) -> list[tuple[str, str, str]]:
    """List the inputs of a report.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    words : Wording
        Wording of the language.

    Returns
    -------
    list of (str, str, str)
        Name, value with its unit, and source of each input; the source may be empty.
    """
    rows = []
    if report.age_years is not None:
        rows.append((words.age, f"{numbers.age(report.age_years)} {words.years}", report.age_source))
    else:
        rows.append((words.age, words.unknown, report.age_source))
    rows.append((words.ebv, ebv_text(report, words), fact_text(report.ebv_dna.provenance, words)))
    rows.append((words.stage, stage_text(report, words), fact_text(report.stage.provenance, words)))
    if report.scores is not None:
        rows += _score_rows(report.scores, words)
    for contour in report.contours:
        size = f"{numbers.volume(contour.volume_ml)} mL"
        rows.append((words.volume, size, f"{contour.roi_name}, {words.slices.format(n=contour.n_slices)}"))
    return rows


def _score_rows(scores: Scores, words: Wording) -> list[tuple[str, str, str]]:
    values, notes = (scores.prognostic_score, scores.predictive_score), ("", "")
    if error := scores.error:
        shown = (numbers.score(se) for se in (error.prognostic_se, error.predictive_se))
        first, second = (words.of_models.format(n=error.members, se=se) for se in shown)
        notes = (first, second)
    names = (words.prognostic, words.predictive)
    return [(name, numbers.score(value), note) for name, value, note in zip(names, values, notes, strict=True)]


# What limits the result comes first; a condition that is met needs no action of the reader.
_CONDITION_ORDER = (ConditionState.NOT_MET, ConditionState.NOT_CHECKED, ConditionState.MET)


def condition_lines(report: TreatmentReport, language: Language = "en", title: bool = False) -> str:
    """Write the conditions of use, one per line, as an aligned table of state, condition and grounds.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    language : Language
        Language of states and conditions; the grounds are in English.
    title : bool
        Whether a line with the title of the list comes first.

    Returns
    -------
    str
        Conditions that are not met first, then those that were not checked, then those that are met; empty for a
        report without conditions.
    """
    words = WORDINGS[language]
    rows = [
        (words.condition_states[condition.state], words.condition_titles[condition.code], condition.text)
        for condition in report.conditions
    ]
    heading = [f"{words.conditions}:"] if title and rows else []
    return "\n".join([*heading, *(aligned(rows) if rows else ())])


def condition_summary(report: TreatmentReport, words: Wording) -> list[str]:
    """Name the conditions of use that limit the result, for a page with little room.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    words : Wording
        Wording of the language.

    Returns
    -------
    list of str
        One line for each state that occurs: "Not met: ...", "Not checked: ...", and the number of those that are met;
        empty for a report without conditions.
    """
    lines = []
    for state in _CONDITION_ORDER:
        titles = [words.condition_titles[condition.code] for condition in report.conditions if condition.state is state]
        if titles and state is ConditionState.MET:
            lines.append(words.conditions_met.format(n=len(titles), total=len(report.conditions)))
        elif titles:
            lines.append(f"{words.condition_states[state]}: {', '.join(titles)}")
    return lines


def ebv_text(report: TreatmentReport, words: Wording) -> str:
    """Write EBV DNA: the number or the laboratory's words where there are any, and the side of the threshold."""
    ebv = report.ebv_dna
    limit = numbers.copies(ebv.threshold_copies_per_ml)
    side = {
        EbvCategory.ABOVE: words.ebv_above.format(threshold=limit),
        EbvCategory.NOT_ABOVE: words.ebv_not_above.format(threshold=limit),
        EbvCategory.UNKNOWN: words.ebv_unknown,
    }[ebv.category]
    # "<400" or "not detected" has no number; the laboratory's words are shown then.
    if ebv.copies_per_ml is not None:
        return f"{numbers.copies(ebv.copies_per_ml)} {words.copies} ({side})"
    return f"{ebv.as_given} ({side})" if ebv.as_given else side


def stage_text(report: TreatmentReport, words: Wording) -> str:
    """Write the stage with its edition, the groups by both editions, and whether it is unverified."""
    stage = report.stage
    parts = [stage.text if stage.text != "unknown" else words.unknown]
    if stage.edition:
        parts.append(words.edition.format(edition=stage.edition))
    if stage.group is not None:
        parts.append(words.stage_group.format(group=stage.group))
    if stage.other_group is not None:
        edition, groups = stage.other_group
        named = [words.stage_group.format(group=group) for group in groups]
        parts.append(words.other_edition.format(edition=edition, groups=words.or_.join(named)))
    # The word is part of the value, so that no line shows an unverified stage without it.
    if not stage.verified:
        parts.append(words.unverified)
    return ", ".join(parts)


def fact_text(fact: Fact | None, words: Wording) -> str:
    """Write the source of a clinical value, its date and the user who entered it; empty for None."""
    if fact is None:
        return ""
    parts = [fact.source]
    if fact.observed_on is not None:
        parts.append(f"{words.on} {fact.observed_on.isoformat()}")
    if fact.set_by:
        parts.append(f"{words.by} {fact.set_by}")
    return ", ".join(part for part in parts if part)


def note_lines(report: TreatmentReport, language: Language = "en") -> str:
    """Write decision rule, all warnings and findings by severity, intended use and model, one per line."""
    words = WORDINGS[language]
    lines = [decision_rule(report, words)] if report.computed else []
    for severity in Severity:
        texts = [each.text for each in report.findings if each.severity is severity]
        lines += [f"{words.severities[severity]}:", *(f"- {text}" for text in texts)] if texts else []
    lines += [
        f"{words.intended_use}: {report.model.intended_use}",
        f"{words.model}: {report.model.name} {report.model.version} ({report.model.digest})",
    ]
    return "\n".join(lines)


def display_width(text: str) -> int:
    """Return the number of terminal columns that a text takes.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    int
        Columns: two for each wide (Chinese) character, one for all others.

    References
    ----------
    Unicode UAX 11.
    """
    # Wide and Fullwidth of Unicode's UAX 11; "Ambiguous" characters are narrow in terminals that are not Chinese.
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows of cells as lines with columns of equal width.

    Parameters
    ----------
    rows : sequence of sequence of str
        At least one row; all rows have the same number of cells.

    Returns
    -------
    list of str
        One line per row, without blanks at its end.
    """
    # By display width and not by length: a Chinese character takes two columns of a terminal.
    widths = [max(display_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        GAP.join(cell + " " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
