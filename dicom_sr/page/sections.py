"""The sections of the page, one function each; all take the canvas, the box to draw in, the content and the wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, TransformedBbox

from config.indication.vocabulary import TreatmentArm
from dicom_sr.page.canvas import Box, PageCanvas
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import (
    decision_rule,
    difference_text,
    ebv_condition,
    input_rows,
    recommendation_text,
    regimen_description,
    regimen_name,
)
from dicom_sr.report.report_inputs import PagePictures, SequencePicture, Style
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
    """Draw the recommended regimen in large letters, its full name beside it, and the decision rule below it."""
    common = report.recommendation
    accent = canvas.palette.ink if common is None else _color(canvas, common)
    canvas.rectangle(Box(box.x, box.y + 2, 6, box.height - 6), facecolor=accent, edgecolor="none")
    inner = Box(box.x + 18, box.y, box.width - 18, box.height)
    canvas.text(inner.x, inner.y, words.recommended, 14, canvas.palette.dim)
    line = recommendation_text(report, words)
    top = inner.y + canvas.line_height(14) - 3
    y = canvas.fitted(inner, top, line, 34, bold=True, smallest=15)
    if common is not None:
        x_after = inner.x + canvas.text_width(line, 34, bold=True) + 20
        canvas.text(x_after, top + canvas.line_height(34) * 0.36, regimen_description(common, words), 15)
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
            recommended = f"{words.recommended} {regimen_name(scenario.recommendation, words)}"
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
    big, small = min(20.0, box.height / canvas.text_scale / 1.15), 12.0
    figure, ci95 = f"{numbers.percent(estimate.value)} %", numbers.interval(estimate.ci95)
    name_width = canvas.text_width(words.regimen_ict, 14) + 8
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


def sequences(
    canvas: PageCanvas, box: Box, pictures: Sequence[SequencePicture], words: Wording, stacked: bool = False
) -> None:
    """Draw the representative slice of each sequence with the contour, and its attribution map where there is one.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Is divided into at least three cells.
    pictures : sequence of SequencePicture
        The slices, in the order in which they are shown.
    words : Wording
        Wording of the language.
    stacked : bool
        One under the other, for a narrow box; otherwise side by side.
    """
    canvas.text(box.x, box.y, words.sequences, 15, bold=True)
    has_heat = any(picture.attribution_yx is not None for picture in pictures)
    legend = f"{words.with_contour} / {words.attribution}" if has_heat else words.with_contour
    canvas.text(box.x + box.width, box.y + 2, legend, 12, canvas.palette.dim, align="right")
    body = box.split(canvas.line_height(15) + 2)[1]
    n = max(3, len(pictures))
    cells = body.rows(n, 6) if stacked else body.columns(n, 16)
    for cell, picture in zip(cells, pictures, strict=False):
        sequence(canvas, cell, picture)


def sequence(canvas: PageCanvas, box: Box, picture: SequencePicture) -> None:
    """Draw caption, slice with contour, and the same slice with the attribution map where there is one."""
    caption = f"{picture.role.value}  {picture.caption}".strip()
    y = canvas.fitted(box, box.y, caption, 13, canvas.palette.dim)
    image_box = box.split(y - box.y)[1]
    with_heat = picture.attribution_yx is not None
    outline: Sequence[Path] = ()
    for index, part in enumerate(image_box.columns(2 if with_heat else 1, 6)):
        outline = _slice(canvas, part, picture, outline, heat=index == 1)


def _slice(
    canvas: PageCanvas, box: Box, picture: SequencePicture, outline: Sequence[Path], heat: bool
) -> Sequence[Path]:
    """Draw the slice as large as its box allows; return the contour in pixels, so that it is traced once a slice."""
    ax, (rows, columns) = canvas.drawing, np.shape(picture.image_yx)
    tall = rows * picture.spacing_mm[0] / (columns * picture.spacing_mm[1])
    width = min(box.width, box.height / tall)
    shown = Box(box.x, box.y + (box.height - width * tall) / 2, width, width * tall)
    # All slices share one pair of axes, so each has a z-order of its own: its contour is above it, and slice and
    # attribution map, which have the same order, become one image in a PDF.
    above = len(ax.images)
    place: dict[str, Any] = {
        "extent": (shown.x, shown.x + shown.width, shown.bottom, shown.y), "aspect": "auto",
        "interpolation": "bilinear", "vmin": 0, "vmax": 1, "zorder": above,
    }  # fmt: skip
    ax.imshow(picture.image_yx, cmap="gray", **place)
    if heat and picture.attribution_yx is not None:
        opacity = np.clip(np.asarray(picture.attribution_yx, float), 0, 1) * 0.7
        ax.imshow(picture.attribution_yx, cmap="inferno", alpha=opacity, **place)
    if not np.any(picture.mask_yx):
        return outline
    to_canvas = Affine2D().translate(0.5, 0.5).scale(shown.width / columns, shown.height / rows)
    to_display = to_canvas.translate(shown.x, shown.y) + ax.transData
    if not outline:
        contours = ax.contour(np.asarray(picture.mask_yx, float), levels=[0.5], transform=to_display)
        outline = contours.get_paths()
        contours.remove()
    edge = TransformedBbox(Bbox.from_bounds(-0.5, -0.5, columns, rows), to_display)
    for color, line_width in (("black", 2.2), (canvas.palette.contour, 1.2)):
        lines = PathCollection(
            outline, facecolors="none", edgecolors=color, linewidths=line_width, transform=to_display, zorder=above
        )  # fmt: skip
        lines.set_clip_box(edge)
        ax.add_collection(lines, autolim=False)
    return outline


def nomogram(
    canvas: PageCanvas, box: Box, report: TreatmentReport, pictures: PagePictures, style: Style, words: Wording
) -> None:
    """Draw this patient's nomogram as the caller of the report draws it, and write the total points above it.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The space for title and drawing.
    report : TreatmentReport
        A computed report. With two scenarios the EBV DNA category of the drawing is written instead of the points.
    pictures : PagePictures
        With the drawing function; None leaves the box empty below its title.
    style : Style
        Is passed to the drawing function.
    words : Wording
        Wording of the language.
    """
    canvas.text(box.x, box.y, words.nomogram, 15, bold=True)
    category = pictures.nomogram_category
    drawn = [scenario for scenario in report.scenarios if category in (None, scenario.ebv_category)]
    if len(report.scenarios) > 1 and len(drawn) == 1:
        canvas.text(box.x + box.width, box.y + 2, ebv_condition(report, drawn[0], words), 12, align="right")
    elif len(report.scenarios) == 1:
        arms = (report.scenarios[0].ict_ccrt, report.scenarios[0].ccrt)
        totals = ", ".join(f"{regimen_name(arm.arm, words)} {numbers.points(arm.total_points)}" for arm in arms)
        canvas.text(box.x + box.width, box.y + 2, f"{words.points}: {totals}", 12, canvas.palette.dim, align="right")
    if pictures.draw_nomogram is not None:
        pictures.draw_nomogram(canvas.axes(box.split(canvas.line_height(15) + 2)[1]), style)


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
