"""The upper part of the first page: the answer with its certainty, what limits it, and the difference on an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, floor

from matplotlib.collections import LineCollection

from config.indication.vocabulary import Answer, ConditionState, EbvCategory, Severity, TreatmentArm
from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import PageCanvas
from dicom_sr.page.page_words import page_words
from dicom_sr.page.text_flow import Paragraph, draw_lines, height_of, item, largest_lines, lines_of, title
from dicom_sr.report import numbers
from dicom_sr.report.answer_text import answer_sentence, statement_of
from dicom_sr.report.plain_text import (
    answer_name,
    ebv_condition,
    invalidating_texts,
    regimen_description,
    regimen_name,
    withdrawal_lines,
)
from dicom_sr.report.report_status import Withdrawal
from dicom_sr.report.treatment_report import Scenario, TreatmentReport
from dicom_sr.report.wording import Wording, horizon

GAP = 28.0
LEFT_SHARE = 0.6  # of the width, for the answer; the rest is for what limits it
AXIS_ROW, AXIS_FOOT = 34.0, 50.0
SMALLEST = 16.0  # text size of what limits the answer
LEAST_LIMITS = 300.0  # height for what limits the answer, where nothing invalidates it
SIGNS = {ConditionState.NOT_MET: "\u2717", ConditionState.NOT_CHECKED: "?", ConditionState.MET: "\u2713"}
TICK_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)


def verdict(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Draw the answer, what limits it, and the difference against zero and the threshold.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        All that is left of the page; only as much as is needed is used.
    report : TreatmentReport
        Any report. Of a refusal, and of a result that is not valid, the reasons take the place of the answer.
    words : Wording
        Wording of the language.

    Returns
    -------
    float
        The y below it.
    """
    on_page = page_words(words)
    if report.withdrawal is not None:
        return _withdrawn(canvas, box, report, report.withdrawal, words)
    if not report.computed:
        reasons = [reason.text for reason in report.refusals]
        y = _grave(canvas, box, words.not_computed, words.reasons, reasons)
        return _limits(canvas, box.split(y + 8 - box.y)[1], report, words)
    if not report.is_valid:
        # Letters shrink before anything is left out, and the whole page may be taken.
        y = _grave(canvas, box, on_page.not_valid, on_page.because, invalidating_texts(report))
        box = box.split(y + 8 - box.y)[1]
    left, right = box.beside(box.width * LEFT_SHARE, GAP)
    y = _answer(canvas, left, report, words)
    y = difference_axis(canvas, left.split(y + 6 - left.y)[1], report, words)
    rule_x = right.x - GAP / 2
    smallest = lines_of(canvas, [replace(each, size=SMALLEST) for each in condition_items(report, words)], right.width)
    height = max(y - box.y, LEAST_LIMITS, height_of(canvas, smallest) + 3 * canvas.line_height(SMALLEST))
    below = _limits(canvas, right.split(height)[0], report, words)
    bottom = max(y, below)
    canvas.rectangle(Box(rule_x, box.y + 4, 1.0, bottom - box.y - 4), facecolor=canvas.palette.line, edgecolor="none")
    return bottom


def _withdrawn(canvas: PageCanvas, box: Box, report: TreatmentReport, withdrawal: Withdrawal, words: Wording) -> float:
    """Draw that the result is withdrawn: since when, by whom, why and what to do, then why there is no new result."""
    since, because, advice = withdrawal_lines(withdrawal, words)
    paragraphs = [
        Paragraph(f"{since}{words.stop}", 24),
        Paragraph(because, 26, bold=True, gap=12),
        Paragraph(f"{advice}{words.stop}", 24, gap=12),
        *([Paragraph(f"{words.no_new_result}:", 20, dim=True, gap=12)] if report.refusals else []),
        *(item(reason.text, 20, "\u2022") for reason in report.refusals),
    ]
    return _plate(canvas, box, words.withdrawn, 60.0, paragraphs)


def _grave(canvas: PageCanvas, box: Box, headline: str, label: str, texts: Sequence[str]) -> float:
    """Draw what takes the answer's place: a headline on a plate, and every reason in full."""
    paragraphs = [Paragraph(f"{label}:", 18, dim=True), *(item(text, 20, "\u2022") for text in texts)]
    return _plate(canvas, box, headline, 34.0, paragraphs)


def _plate(canvas: PageCanvas, box: Box, headline: str, size: float, paragraphs: Sequence[Paragraph]) -> float:
    """Draw a headline on a plate and paragraphs below it in one frame; letters shrink before anything is left out."""
    while canvas.text_width(headline, size, True) > box.width - 36 and size > 16:
        size -= 1
    plate = Box(box.x, box.y, box.width, canvas.line_height(size) + 6)
    canvas.rectangle(plate, facecolor=canvas.palette.alarm, edgecolor="none")
    canvas.text(box.x + 18, box.y + 3, headline, size, canvas.palette.alarm_ink, bold=True)
    inner = Box(box.x + 18, plate.bottom + 4, box.width - 36, box.bottom - plate.bottom - 10)
    lines = largest_lines(canvas, paragraphs, inner.width, inner.height * 0.5, 16)
    if height_of(canvas, lines) > inner.height:
        lines = largest_lines(canvas, paragraphs, inner.width, inner.height, 11)
    y, _ = draw_lines(canvas, inner, lines)
    frame = Box(box.x + 1.5, box.y + 1.5, box.width - 3, y + 4 - box.y)
    canvas.rectangle(frame, facecolor="none", edgecolor=canvas.palette.alarm, lw=2)
    return frame.bottom


def _answer(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Draw the answer in large letters and its sentence; with two categories of EBV DNA both where they disagree."""
    y = box.y
    common = report.recommendation
    if common is not None and report.is_valid:
        y = _headline(canvas, box, common, words)
    size = 19.0 if len(report.scenarios) == 1 else 17.0
    for scenario in report.scenarios:
        if len(report.scenarios) > 1:
            y = canvas.fitted(box, y + 3, f"{ebv_condition(report, scenario, words)}:", 19, bold=True, smallest=15)
        if common is None and report.is_valid:
            color = canvas.arm_color(scenario.recommendation.arm)
            y = canvas.fitted(box, y - 4, answer_name(scenario.recommendation, words), 34, color, True, 22)
        y = canvas.paragraph(box, y, f"{answer_sentence(statement_of(report, scenario), words)}{words.stop}", size)
    return y


def _headline(canvas: PageCanvas, box: Box, answer: Answer, words: Wording) -> float:
    """Draw the answer as large as it fits, and beside it what a regimen's abbreviation means."""
    canvas.text(box.x, box.y, page_words(words).answer, 16, canvas.palette.dim)
    top, size, text = box.y + canvas.line_height(16) - 6, 50.0, answer_name(answer, words)
    y = canvas.fitted(box, top, text, size, canvas.arm_color(answer.arm), bold=True, smallest=24)
    if answer.arm is not None:
        beside = box.beside(canvas.text_width(text, size, bold=True), 18)[1]
        small, description = 17.0, regimen_description(answer.arm, words)
        # A third line would reach into the sentence below.
        while len(lines := canvas.wrapped(description, small, beside.width)) > 2 and small > 12:
            small -= 0.5
        height = len(lines) * canvas.line_height(small)
        canvas.paragraph(beside, top + (y - top - height) / 2, "\n".join(lines), small)
    return y - 4


def difference_axis(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Draw the difference of the decision with its interval against zero and the threshold.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Its upper part is used.
    report : TreatmentReport
        A computed report; one bar per category of EBV DNA.
    words : Wording
        Wording of the language.

    Returns
    -------
    float
        The y below the axis.
    """
    months, threshold = report.model.horizon_months, report.model.threshold
    on_page = page_words(words)
    low, high, step = _axis_range(report)
    named = [_side_of_threshold(report, scenario) for scenario in report.scenarios] if len(report.scenarios) > 1 else []
    left = 22 + max((canvas.text_width(name, 14) for name in named), default=0.0)
    plot = Box(box.x + left, box.y + 24, box.width - left - 22, AXIS_ROW * len(report.scenarios))

    def x(fraction: float) -> float:
        return plot.x + plot.width * (fraction - low) / (high - low)

    y_line = plot.bottom + 2
    lines = [[(plot.x, y_line), (plot.x + plot.width, y_line)]]
    n_ticks = round((high - low) / step) + 1
    for tick in (low + step * i for i in range(n_ticks)):
        lines.append([(x(tick), y_line), (x(tick), y_line + 6)])
        canvas.text(x(tick), y_line + 5, numbers.threshold(tick) if tick <= 0 else f"+{numbers.threshold(tick)}", 14,
                    align="center")  # fmt: skip
    _add_lines(canvas, lines, canvas.palette.line, 1.2)
    _add_lines(canvas, [[(x(0), plot.y - 2), (x(0), y_line)]], canvas.palette.ink, 1.6)
    if threshold != 0:
        _add_lines(canvas, [[(x(threshold), plot.y - 2), (x(threshold), y_line)]], canvas.palette.ink, 1.6, (0, (3, 2)))
    _reference_labels(canvas, box, x(0), None if threshold == 0 else x(threshold), report, words)
    for row, scenario in enumerate(report.scenarios):
        y_bar = plot.y + AXIS_ROW * (row + 0.5)
        _bar(canvas, y_bar, scenario, months, x)
        if named:
            canvas.text(box.x, y_bar - canvas.line_height(14) / 2, named[row], 14)
    y = y_line + 5 + canvas.line_height(14)
    sides = (f"\u2190 {on_page.better.format(arm=regimen_name(TreatmentArm.CCRT, words))}",
             f"{on_page.better.format(arm=regimen_name(TreatmentArm.ICT_CCRT, words))} \u2192")  # fmt: skip
    canvas.text(box.x, y, sides[0], 16, canvas.palette.ccrt)
    canvas.text(box.x + box.width, y, sides[1], 16, canvas.palette.ict, align="right")
    middle = box.beside(canvas.text_width(sides[0], 16), 14)[1]
    middle = middle.split(middle.height)[0].beside(middle.width - canvas.text_width(sides[1], 16) - 14, 0)[0]
    canvas.fitted(
        middle, y + 1, f"{horizon(months, words)}, {on_page.difference_short}", 14, canvas.palette.dim, smallest=9
    )
    return y + canvas.line_height(16)


def _side_of_threshold(report: TreatmentReport, scenario: Scenario) -> str:
    limit = numbers.copies(report.ebv_dna.threshold_copies_per_ml)
    return {EbvCategory.ABOVE: f"> {limit}", EbvCategory.NOT_ABOVE: f"\u2264 {limit}"}.get(scenario.ebv_category, "?")


def _axis_range(report: TreatmentReport) -> tuple[float, float, float]:
    """Return ends and tick distance of an axis that contains zero, the threshold and every interval."""
    values = [0.0, report.model.threshold]
    for scenario in report.scenarios:
        values.append(scenario.difference(report.model.horizon_months))
        values += scenario.difference_ci95.get(report.model.horizon_months, ())
    # At least ten points to each side: a difference of half a point must not look large.
    low, high = min(*values, -0.1), max(*values, 0.1)
    step = next(step for step in TICK_STEPS if (high - low) / step <= 8 or step == TICK_STEPS[-1])
    # Whole ticks at both ends; the small number keeps a rounding error from adding one.
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return first * step, last * step, step


def _bar(canvas: PageCanvas, y: float, scenario: Scenario, months: int, x: Callable[[float], float]) -> None:
    difference, ci95 = scenario.difference(months), scenario.difference_ci95.get(months)
    if ci95 is not None:
        ends = [x(end) for end in ci95]
        _add_lines(canvas, [[(ends[0], y), (ends[1], y)]], canvas.palette.ink, 3.0)
        _add_lines(canvas, [[(end, y - 8), (end, y + 8)] for end in ends], canvas.palette.ink, 2.4)
    canvas.drawing.plot([x(difference)], [y], "D", color=canvas.palette.ink, ms=10, mec=canvas.palette.paper, zorder=5)


def _reference_labels(
    canvas: PageCanvas, box: Box, zero: float, limit: float | None, report: TreatmentReport, words: Wording
) -> None:
    """Write what the lines at zero and at the threshold are, above them and clear of each other."""
    on_page = page_words(words)
    y = box.y
    shown = f"0 {on_page.no_difference}"
    if limit is None:
        _centred(canvas, box, zero, y, shown)
        return
    named = f"{on_page.threshold} {numbers.threshold(report.model.threshold)}"
    width, other = canvas.text_width(shown, 14), canvas.text_width(named, 14)
    right, left = (limit, zero) if limit > zero else (zero, limit)
    texts = (shown, named) if limit > zero else (named, shown)
    widths = (width, other) if limit > zero else (other, width)
    if right - left > (widths[0] + widths[1]) / 2 + 12:
        _centred(canvas, box, left, y, texts[0])
        _centred(canvas, box, right, y, texts[1])
        return
    # Too close for both above their lines: each beside its own.
    x_left, x_right = max(box.x + widths[0], left + 4), min(right - 4, box.x + box.width - widths[1])
    x_right = max(x_right, x_left + 14)
    canvas.text(x_left, y, texts[0], 14, align="right")
    canvas.text(x_right, y, texts[1], 14)


def _centred(canvas: PageCanvas, box: Box, x: float, y: float, text: str) -> None:
    half = canvas.text_width(text, 14) / 2
    canvas.text(min(max(x, box.x + half), box.x + box.width - half), y, text, 14, align="center")


def _add_lines(
    canvas: PageCanvas, lines: Sequence[Sequence[tuple[float, float]]], color: str, width: float, style: object = "-"
) -> None:
    canvas.drawing.add_collection(
        LineCollection(lines, colors=color, linewidths=width, linestyles=style, zorder=3), autolim=False
    )


def _limits(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Draw the conditions of use that limit the result, and the warnings by severity; what has no room comes later."""
    conditions = condition_items(report, words)
    if differs_from_guidelines(report):
        conditions.append(item(page_words(words).differs_short, 18, "!", bold=True))
    warned = warning_items(report, words, (Severity.CAUTIONS, Severity.NOTES))
    paragraphs = [*conditions, *warned]
    lines = largest_lines(canvas, paragraphs, box.width, box.height, SMALLEST)
    if height_of(canvas, lines) <= box.height or not warned:
        return draw_lines(canvas, box, lines)[0]
    # Whole warnings only, since half a warning can mean the opposite; the last line says that there are more.
    shown = largest_lines(canvas, conditions, box.width, box.height * 0.7, SMALLEST)
    room, n_shown = box.height - canvas.line_height(SMALLEST), 0
    for paragraph in warned:
        wrapped = lines_of(canvas, [replace(paragraph, size=SMALLEST)], box.width)
        if height_of(canvas, [*shown, *wrapped]) > room:
            break
        shown += wrapped
        n_shown += not paragraph.with_next
    while shown and shown[-1].with_next:
        shown.pop()
    more = page_words(words).more_on_next_page.format(n=len([each for each in warned if not each.with_next]) - n_shown)
    return draw_lines(canvas, box, [*shown, Paragraph(more, SMALLEST, bold=True)])[0]


def condition_items(report: TreatmentReport, words: Wording, size: float = 18.0) -> list[Paragraph]:
    """Return the conditions of use: each one that is not met, those not checked in one line, the number of those met.

    Parameters
    ----------
    report : TreatmentReport
        A report without conditions, of an earlier version, has none.
    words : Wording
        Wording of the language.
    size : float
        Text size in canvas units.
    """
    if not report.conditions:
        return []
    by_state = {
        state: [words.condition_titles[each.code] for each in report.conditions if each.state is state]
        for state in ConditionState
    }
    lines = [title(words.conditions, size + 1)]
    for state in (ConditionState.NOT_MET, ConditionState.NOT_CHECKED):
        # A line for each: a list in one paragraph would break names in two.
        names = by_state[state]
        is_bold = state is ConditionState.NOT_MET
        lines += [item(f"{words.condition_states[state]}:", size, SIGNS[state], is_bold)] if names else []
        lines += [item(name, size, "", is_bold) for name in names]
    met = words.conditions_met.format(n=len(by_state[ConditionState.MET]), total=len(report.conditions))
    lines.append(item(met, size, SIGNS[ConditionState.MET]))
    return lines


def differs_from_guidelines(report: TreatmentReport) -> bool:
    """Return whether CCRT alone is the answer where guidelines recommend ICT + CCRT."""
    # Without a recorded stage, too: the models of this indication are of stage III.
    advised = any(scenario.recommendation is Answer.CCRT for scenario in report.scenarios)
    return advised and (report.stage.t, report.stage.n) != ("T3", "N0")


def warning_items(
    report: TreatmentReport, words: Wording, severities: Sequence[Severity], size: float = 17.0
) -> list[Paragraph]:
    """Return the warnings and findings under the names of their severities, the gravest first.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    words : Wording
        Wording of the language.
    severities : sequence of Severity
        Those that are listed.
    size : float
        Text size in canvas units.
    """
    lines: list[Paragraph] = []
    for severity in severities:
        texts = [each.text for each in report.findings if each.severity is severity]
        if texts:
            lines.append(title(f"\u26a0 {words.severities[severity]} ({len(texts)})", size))
            lines += [item(text, size) for text in texts]
    return lines or [title(f"{words.warnings}: {words.none}", size)]
