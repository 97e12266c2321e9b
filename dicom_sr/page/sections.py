"""The sections of the page, one function each; all take the canvas, the box to draw in, the content and the wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.collections import LineCollection

from config.indication.vocabulary import TreatmentArm
from dicom_sr.page.canvas import Box, PageCanvas
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import (
    answer_name,
    condition_summary,
    decision_rule,
    difference_text,
    ebv_condition,
    input_rows,
    recommendation_text,
    regimen_description,
    regimen_name,
)
from dicom_sr.report.treatment_report import ArmResult, DfsEstimate, Reason, Scenario, TreatmentReport
from dicom_sr.report.wording import Wording, horizon

TEXT_SIZES = (14, 13.5, 13, 12.5, 12, 11.5, 11)
INPUT_SIZES = (*TEXT_SIZES, 10.5, 10)
PANEL_GAP = 36.0
# The regimens also differ in shape, as in the nomogram, so that a grey print tells them apart.
MARKERS = {TreatmentArm.ICT_CCRT: "o", TreatmentArm.CCRT: "s"}


@dataclass(frozen=True)
class PatientCaption:
    """Patient and study as the MR names them; dates as YYYY-MM-DD, empty where unknown."""

    name: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    accession: str = ""


def heading(canvas: PageCanvas, box: Box, report: TreatmentReport, patient: PatientCaption, words: Wording) -> None:
    """Draw the heading: title and patient on the left, creation time and revision on the right.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        At least 64 units high, times the text scale.
    report : TreatmentReport
        The report.
    patient : PatientCaption
        With the name groups that are to be shown.
    words : Wording
        Wording of the language.
    """
    created = f"{words.created} {report.created:%Y-%m-%d %H:%M} (UTC{report.created:%z})"
    status = [words.revision.format(n=report.revision), words.unsigned]
    second = ", ".join([*status[:1], *([words.replaces] if report.predecessors else []), *status[1:]])
    for index, line in enumerate((created, second)):
        y = box.y + 2 + index * canvas.line_height(13)
        canvas.text(box.x + box.width, y, line, 12, canvas.palette.dim, align="right")
    title_box = Box(box.x, box.y, box.width - canvas.text_width(created, 12) - 16, box.height)
    canvas.fitted(title_box, box.y, words.title, 14, canvas.palette.dim)
    who = [patient.name, f"{words.patient_id} {report.patient_id}"]
    who += [f"{words.born} {patient.birth_date}"] if patient.birth_date else []
    who += [patient.sex] if patient.sex else []
    who += [f"{words.study_of} {patient.study_date}"] if patient.study_date else []
    below = box.split(2 * canvas.line_height(13) + 2)[1]
    canvas.fitted(below, below.y, "   ".join(part for part in who if part), 16, bold=True)


def banner(canvas: PageCanvas, box: Box, words: Wording) -> None:
    """Draw the demonstration warning: hatched, over the whole width, in letters as large as fit."""
    # Hatched, so that it is also seen on a grey print.
    canvas.rectangle(box, facecolor=canvas.palette.alarm, edgecolor=canvas.palette.alarm_ink, hatch="//", lw=2)
    size = 24.0
    while size > 12 and canvas.text_width(words.demonstration, size, True) > box.width - 60:
        size -= 0.5
    width = canvas.text_width(words.demonstration, size, True)
    plate = Box(box.x + (box.width - width) / 2 - 14, box.y + 3, width + 28, box.height - 6)
    canvas.rectangle(plate, facecolor=canvas.palette.alarm, edgecolor="none")
    y = box.y + (box.height - canvas.line_height(size)) / 2
    canvas.text(box.x + box.width / 2, y, words.demonstration, size, canvas.palette.alarm_ink, True, "center")


def recommendation(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Draw the recommendation: the regimen in large letters, its full name beside it, the decision rule below it.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        At least 88 units high, times the text scale.
    report : TreatmentReport
        A computed report; where EBV DNA is unknown and decides, the regimen of each category is written.
    words : Wording
        Wording of the language.
    """
    # The colour of the regimen is the one of its rates below and of its line in the nomogram.
    common = report.recommendation
    arm = None if common is None else common.arm
    accent = canvas.palette.ink if arm is None else _color(canvas, arm)
    canvas.rectangle(Box(box.x, box.y + 2, 6, box.height - 6), facecolor=accent, edgecolor="none")
    inner = Box(box.x + 18, box.y, box.width - 18, box.height)
    canvas.text(inner.x, inner.y, words.recommended, 14, canvas.palette.dim)
    line = recommendation_text(report, words)
    top = inner.y + canvas.line_height(14) - 3
    y = canvas.fitted(inner, top, line, 34, bold=True, smallest=15)
    if arm is not None:
        x_after = inner.x + canvas.text_width(line, 34, bold=True) + 20
        canvas.text(x_after, top + canvas.line_height(34) * 0.36, regimen_description(arm, words), 15)
    canvas.fitted(inner, y - 1, f"{decision_rule(report, words)}.", 13, canvas.palette.dim, smallest=11.5)


def refusal(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Draw "not computed" and the reasons in large letters; return the y below them.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The space that the reasons may take; letters shrink to fit it.
    report : TreatmentReport
        A report with refusals.
    words : Wording
        Wording of the language.

    Returns
    -------
    float
        The y below the last reason.
    """
    canvas.text(box.x, box.y, words.not_computed, 34, bold=True)
    below = box.split(canvas.line_height(34) + 6)[1]
    reasons = [reason.text for reason in report.refusals]
    return notes(canvas, below, words.reasons, reasons, words, (18, 17, 16, 15, *TEXT_SIZES))


def results(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Draw DFS of both regimens with intervals and difference.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Is divided into one column per horizon, latest first, and one row per EBV DNA category.
    report : TreatmentReport
        A computed report.
    words : Wording
        Wording of the language.
    """
    months = sorted(report.horizons_months, reverse=True)
    title = canvas.line_height(15)
    head, rest = box.split(title)
    for panel, horizon_months in zip(head.columns(len(months), PANEL_GAP), months, strict=True):
        canvas.text(panel.x, panel.y, horizon(horizon_months, words), 15, bold=True)
        canvas.text(panel.x + panel.width, panel.y + 2, words.ci, 12, canvas.palette.dim, align="right")
    height = rest.height / len(report.scenarios)
    for index, scenario in enumerate(report.scenarios):
        row = Box(rest.x, rest.y + index * height, rest.width, height)
        if len(report.scenarios) > 1:
            recommended = f"{words.recommended} {answer_name(scenario.recommendation, words)}"
            canvas.fitted(row, row.y + 1, f"{ebv_condition(report, scenario, words)}: {recommended}", 14, bold=True)
            row = row.split(canvas.line_height(14) + 1)[1]
        for panel, horizon_months in zip(row.columns(len(months), PANEL_GAP), months, strict=True):
            _panel(canvas, panel, scenario, horizon_months, words)


def _panel(canvas: PageCanvas, box: Box, scenario: Scenario, months: int, words: Wording) -> None:
    last = canvas.line_height(14) + 3
    row_height = (box.height - last - 4) / 2
    for index, result in enumerate((scenario.ict_ccrt, scenario.ccrt)):
        _rate(canvas, Box(box.x, box.y + index * row_height, box.width, row_height), result, months, words)
    y = box.y + 2 * row_height + 1
    canvas.rule(box.x, y, box.width)
    canvas.text(box.x, y + 2, words.difference, 14)
    canvas.text(box.x + box.width, y + 2, difference_text(scenario, months), 14, bold=True, align="right")


def _rate(canvas: PageCanvas, box: Box, result: ArmResult, months: int, words: Wording) -> None:
    """Draw one regimen's DFS: name, value on a scale from 0 to 100 %, and the numbers."""
    estimate = result.dfs[months]
    color = _color(canvas, result.arm)
    middle = box.y + box.height / 2
    # With two categories of EBV DNA the rows are half as high; the number must not touch the next one.
    big, small = min(20.0, box.height / canvas.text_scale / 1.15), 12.0
    figure, ci95 = f"{numbers.percent(estimate.value)} %", numbers.interval(estimate.ci95)
    name_width = canvas.text_width(words.regimen_ict, 14) + 8
    # The widest texts that can occur, so that the scales of both regimens begin and end at the same places.
    right = canvas.text_width("100.0 %", big, True) + canvas.text_width("100.0 to 100.0", small) + 18
    canvas.text(box.x, middle - canvas.line_height(14) / 2, regimen_name(result.arm, words), 14)
    edge = box.x + box.width
    canvas.text(edge, middle - canvas.line_height(small) / 2, ci95, small, canvas.palette.dim, align="right")
    at = edge - canvas.text_width("100.0 to 100.0", small) - 8
    canvas.text(at, middle - canvas.line_height(big) / 2, figure, big, color, True, "right")
    scale = Box(box.x + name_width, box.y + 2, box.width - name_width - right, box.height - 4)
    _interval(canvas, scale, estimate, result.arm)


def _interval(canvas: PageCanvas, box: Box, estimate: DfsEstimate, arm: TreatmentArm) -> None:
    """Draw a value and its interval on a scale from 0 to 100 %."""
    color, y = _color(canvas, arm), box.y + box.height / 2

    def x(percent: float) -> float:  # with 2 % of room at each end, so that a marker at 0 or 100 % is whole
        return box.x + box.width * (percent + 2) / 104

    def upright(percent: float, height: float) -> list[tuple[float, float]]:
        return [(x(percent), y + height * box.height / 2), (x(percent), y - height * box.height / 2)]

    ends = (100 * estimate.ci95[0], 100 * estimate.ci95[1])
    scale = [[(x(0), y), (x(100), y)], *(upright(percent, 0.25) for percent in (0, 50, 100))]
    interval = [[(x(ends[0]), y), (x(ends[1]), y)], *(upright(end, 0.3) for end in ends)]
    for lines in (
        LineCollection(scale, colors=canvas.palette.line, linewidths=0.8),
        LineCollection(interval, colors=color, linewidths=(2.5, 2, 2)),
    ):
        canvas.drawing.add_collection(lines, autolim=False)
    canvas.drawing.plot([x(100 * estimate.value)], [y], MARKERS[arm], color=color, ms=7, mec=canvas.palette.paper)


def _color(canvas: PageCanvas, arm: TreatmentArm) -> str:
    return canvas.palette.ict if arm is TreatmentArm.ICT_CCRT else canvas.palette.ccrt


def inputs(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Draw the inputs: name, value with unit, and source; letters shrink until all lines fit the box."""
    canvas.text(box.x, box.y, words.inputs, 15, bold=True)
    body = box.split(canvas.line_height(15) + 2)[1]
    rows = input_rows(report, words)
    for size in INPUT_SIZES:
        lines = _input_lines(canvas, body, rows, size)
        if len(lines) * canvas.line_height(size) <= body.height:
            break
    for index, pieces in enumerate(lines):
        for x, text, bold, dim in pieces:
            y = body.y + index * canvas.line_height(size)
            canvas.text(x, y, text, size, canvas.palette.dim if dim else None, bold)


def _input_lines(
    canvas: PageCanvas, box: Box, rows: Sequence[tuple[str, str, str]], size: float
) -> list[list[tuple[float, str, bool, bool]]]:
    """Lay out lines of pieces (x, text, bold, dim): the source after the value where it fits, else below it."""
    left = box.x + max(canvas.text_width(name, size) for name, _, _ in rows) + 12
    width = box.x + box.width - left
    lines: list[list[tuple[float, str, bool, bool]]] = []
    for name, value, source in rows:
        values = canvas.wrapped(value, size, width, bold=True)
        row: list[list[tuple[float, str, bool, bool]]] = [[(left, line, True, False)] for line in values]
        row[0].insert(0, (box.x, name, False, True))
        x_after = left + canvas.text_width(values[-1], size, bold=True) + 10
        if source and x_after + canvas.text_width(source, size) <= box.x + box.width:
            row[-1].append((x_after, source, False, True))
        elif source:
            row += [[(left, line, False, True)] for line in canvas.wrapped(source, size, width)]
        lines += row
    return lines


def notes(
    canvas: PageCanvas,
    box: Box,
    title: str,
    texts: Sequence[str],
    words: Wording,
    sizes: Sequence[float] = TEXT_SIZES,
) -> float:
    """Draw a titled list.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The space for title and list.
    title : str
        Drawn in bold.
    texts : sequence of str
        The items; "none" is drawn for an empty list.
    words : Wording
        Wording of the language.
    sizes : sequence of float
        Text sizes, largest first. Where the last is still too large, the list is shortened and a line says how many
        items are missing.

    Returns
    -------
    float
        The y below the last line.
    """
    canvas.text(box.x, box.y, title, 15, bold=True)
    body = box.split(canvas.line_height(15) + 2)[1]
    bullet = "- " if len(texts) > 1 else ""
    shown = [f"{bullet}{text}" for text in texts] or [words.none]
    size = canvas.largest_size(body, shown, sizes) or sizes[-1]
    wrapped = [canvas.wrapped(text, size, body.width) for text in shown]
    room = max(1, int(body.height / canvas.line_height(size)))
    lines = [line for item in wrapped for line in item]
    if len(lines) > room:
        lines = _shortened(wrapped, room, words)
    for number, line in enumerate(lines):
        canvas.text(body.x, body.y + number * canvas.line_height(size), line, size)
    return body.y + len(lines) * canvas.line_height(size)


def _shortened(wrapped: Sequence[list[str]], room: int, words: Wording) -> list[str]:
    """Return whole items and a line with the number of the others; the beginning of a first item that is too long."""
    n_shown = len(wrapped)
    # Whole items only: half a warning can mean the opposite.
    while n_shown > 0 and sum(len(item) for item in wrapped[:n_shown]) > room - 1:
        n_shown -= 1
    if n_shown == 0:
        return [*wrapped[0][: room - 1], words.see_report]
    return [*(line for item in wrapped[:n_shown] for line in item), words.more.format(n=len(wrapped) - n_shown)]


def notes_height(canvas: PageCanvas, width: float, texts: Sequence[str], size: float) -> float:
    """Return the height that a titled list needs.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    width : float
        Width of the list in canvas units.
    texts : sequence of str
        The items.
    size : float
        Text size of the items in canvas units.

    Returns
    -------
    float
        Height of title and items in canvas units.
    """
    n_lines = sum(len(canvas.wrapped(text, size, width)) for text in texts)
    return canvas.line_height(15) + 2 + n_lines * canvas.line_height(size)


def model_lines(report: TreatmentReport, words: Wording) -> list[str]:
    """Return the lines that name bundle, software version and, where there is one, the nomogram's source."""
    model = report.model
    lines = [f"{model.name} {model.version}, {model.digest[:19]}", f"cptdn-node {report.software_version}"]
    return [*lines, *([model.nomogram_citation] if model.nomogram_citation else [])]


def warnings(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Draw warnings and quality findings; the title has a sign and their number, also where the list is shortened."""
    reasons: Sequence[Reason] = (*report.warnings, *report.quality)
    title = f"\u26a0 {words.warnings} ({len(reasons)})" if reasons else words.warnings
    notes(canvas, box, title, [reason.text for reason in reasons], words)


def conditions(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> Box:
    """Draw the conditions of use at the bottom of a box: those not met, those not checked, the number of those met.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The list takes at most half of its height.
    report : TreatmentReport
        A report without conditions, of an earlier version, draws nothing.
    words : Wording
        Wording of the language.

    Returns
    -------
    Box
        The part of the box above the list.
    """
    lines = condition_summary(report, words)
    if not lines:
        return box
    needed = notes_height(canvas, box.width, lines, TEXT_SIZES[-1]) + 8
    above, below = box.split(box.height - min(needed, box.height / 2))
    notes(canvas, below, words.conditions, lines, words, TEXT_SIZES[-1:])
    return above


def conditions_line(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> Box:
    """Draw the conditions of use as one paragraph at the bottom of a box; return the part of the box above it.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        As wide as the page, so that the paragraph has two lines as a rule.
    report : TreatmentReport
        A report without conditions, of an earlier version, draws nothing.
    words : Wording
        Wording of the language.

    Returns
    -------
    Box
        The part of the box above the paragraph.
    """
    summary = condition_summary(report, words)
    if not summary:
        return box
    size = TEXT_SIZES[-1]
    lines = canvas.wrapped(f"{words.conditions}: {'; '.join(summary)}", size, box.width, bold=True)
    above, below = box.split(box.height - len(lines) * canvas.line_height(size) - 4)
    for number, line in enumerate(lines):
        canvas.text(below.x, below.y + 4 + number * canvas.line_height(size), line, size, bold=True)
    return above
