"""The parts of the page, one function each: a canvas, what to show, and the box to show it in."""

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
from dicom_sr.report.plain_text import condition, difference_text, headline, input_rows, regimen, regimen_long, rule
from dicom_sr.report.report_inputs import PagePictures, SequencePicture, Style
from dicom_sr.report.treatment_report import ArmResult, DfsEstimate, Reason, Scenario, TreatmentReport
from dicom_sr.report.wording import Wording, horizon

TEXT_SIZES = (14, 13.5, 13, 12.5, 12, 11.5, 11)
INPUT_SIZES = (*TEXT_SIZES, 10.5, 10)
PANEL_GAP = 36.0
MARKERS = {TreatmentArm.ICT_CCRT: "o", TreatmentArm.CCRT: "s"}  # as in the nomogram


@dataclass(frozen=True)
class PatientCaption:
    """Who the page is about, as the MR says."""

    name: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    accession: str = ""


def heading(canvas: PageCanvas, box: Box, report: TreatmentReport, patient: PatientCaption, words: Wording) -> None:
    """Title and patient on the left, report and revision on the right."""
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
    """A demonstration model cannot be mistaken for a clinical one."""
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
    """The answer, large, with what it means beside it; below it how it follows from the numbers."""
    common = report.recommendation
    accent = canvas.palette.ink if common is None else _color(canvas, common)
    canvas.rectangle(Box(box.x, box.y + 2, 6, box.height - 6), facecolor=accent, edgecolor="none")
    inner = Box(box.x + 18, box.y, box.width - 18, box.height)
    canvas.text(inner.x, inner.y, words.recommended, 14, canvas.palette.dim)
    line = headline(report, words)
    top = inner.y + canvas.line_height(14) - 3
    y = canvas.fitted(inner, top, line, 34, bold=True, smallest=15)
    if common is not None:
        beside = inner.x + canvas.text_width(line, 34, bold=True) + 20
        canvas.text(beside, top + canvas.line_height(34) * 0.36, regimen_long(common, words), 15)
    canvas.fitted(inner, y - 1, f"{rule(report, words)}.", 13, canvas.palette.dim, smallest=11.5)


def refusal(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Nothing was computed: the reasons, in large letters. Returns the y below them."""
    canvas.text(box.x, box.y, words.not_computed, 34, bold=True)
    below = box.split(canvas.line_height(34) + 6)[1]
    reasons = [reason.text for reason in report.refusals]
    return notes(canvas, below, words.reasons, reasons, words, (18, 17, 16, 15, *TEXT_SIZES))


def results(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """DFS of both regimens with intervals and the difference; one row of panels per EBV DNA category."""
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
            advised = f"{words.recommended} {regimen(scenario.recommendation, words)}"
            canvas.fitted(row, row.y + 1, f"{condition(report, scenario, words)}: {advised}", 14, bold=True)
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
    """Name, value on a scale from 0 to 100 %, and the numbers."""
    estimate = result.dfs[months]
    color = _color(canvas, result.arm)
    middle = box.y + box.height / 2
    big, small = min(20.0, box.height / canvas.text_scale / 1.15), 12.0
    figure, ci95 = f"{numbers.percent(estimate.value)} %", numbers.interval(estimate.ci95)
    name_width = canvas.text_width(words.regimen_ict, 14) + 8
    right = canvas.text_width("100.0 %", big, True) + canvas.text_width("100.0 to 100.0", small) + 18
    canvas.text(box.x, middle - canvas.line_height(14) / 2, regimen(result.arm, words), 14)
    edge = box.x + box.width
    canvas.text(edge, middle - canvas.line_height(small) / 2, ci95, small, canvas.palette.dim, align="right")
    at = edge - canvas.text_width("100.0 to 100.0", small) - 8
    canvas.text(at, middle - canvas.line_height(big) / 2, figure, big, color, True, "right")
    scale = Box(box.x + name_width, box.y + 2, box.width - name_width - right, box.height - 4)
    _interval(canvas, scale, estimate, result.arm)


def _interval(canvas: PageCanvas, box: Box, estimate: DfsEstimate, arm: TreatmentArm) -> None:
    """A scale from 0 to 100 % with a little room at its ends; on it the value and its interval."""
    color, y = _color(canvas, arm), box.y + box.height / 2

    def x(percent: float) -> float:
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
    """What went in: name, value with unit, and where it comes from."""
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
    """Lines of pieces (x, text, bold, dim): the source beside the value where it fits, else below it."""
    left = box.x + max(canvas.text_width(name, size) for name, _, _ in rows) + 12
    width = box.x + box.width - left
    lines: list[list[tuple[float, str, bool, bool]]] = []
    for name, value, source in rows:
        values = canvas.wrapped(value, size, width, bold=True)
        made: list[list[tuple[float, str, bool, bool]]] = [[(left, line, True, False)] for line in values]
        made[0].insert(0, (box.x, name, False, True))
        after = left + canvas.text_width(values[-1], size, bold=True) + 10
        if source and after + canvas.text_width(source, size) <= box.x + box.width:
            made[-1].append((after, source, False, True))
        elif source:
            made += [[(left, line, False, True)] for line in canvas.wrapped(source, size, width)]
        lines += made
    return lines


def notes(
    canvas: PageCanvas,
    box: Box,
    title: str,
    texts: Sequence[str],
    words: Wording,
    sizes: Sequence[float] = TEXT_SIZES,
) -> float:
    """A titled list; when even the smallest letters do not hold it all, it says how many are left out.

    Returns the y below what was written.
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
    """As many whole items as leave a line to say how many are missing; of a first one too long, its beginning."""
    kept = len(wrapped)
    while kept > 0 and sum(len(item) for item in wrapped[:kept]) > room - 1:
        kept -= 1
    if kept == 0:
        return [*wrapped[0][: room - 1], words.see_report]
    return [*(line for item in wrapped[:kept] for line in item), words.more.format(n=len(wrapped) - kept)]


def notes_height(canvas: PageCanvas, width: float, texts: Sequence[str], size: float) -> float:
    """What a titled list of these texts needs at one text size."""
    n_lines = sum(len(canvas.wrapped(text, size, width)) for text in texts)
    return canvas.line_height(15) + 2 + n_lines * canvas.line_height(size)


def sequences(
    canvas: PageCanvas, box: Box, pictures: Sequence[SequencePicture], words: Wording, stacked: bool = False
) -> None:
    """Per sequence the representative slice with the contour, and beside it what drove the scores.

    stacked : one under the other, for a narrow box.
    """
    canvas.text(box.x, box.y, words.sequences, 15, bold=True)
    has_heat = any(picture.attribution_yx is not None for picture in pictures)
    legend = f"{words.with_contour} / {words.attribution}" if has_heat else words.with_contour
    canvas.text(box.x + box.width, box.y + 2, legend, 12, canvas.palette.dim, align="right")
    body = box.split(canvas.line_height(15) + 2)[1]
    n = max(3, len(pictures))
    cells = body.rows(n, 6) if stacked else body.columns(n, 16)
    for cell, picture in zip(cells, pictures, strict=False):
        one_sequence(canvas, cell, picture, words)


def one_sequence(canvas: PageCanvas, box: Box, picture: SequencePicture, words: Wording) -> None:
    """Caption, the slice with the contour, and the same slice with the attribution where there is one."""
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
    """The slice as large as its box allows. Returns the contour in pixels, to be drawn on the next one, too."""
    ax, (rows, columns) = canvas.drawing, np.shape(picture.image_yx)
    tall = rows * picture.spacing_mm[0] / (columns * picture.spacing_mm[1])
    width = min(box.width, box.height / tall)
    shown = Box(box.x, box.y + (box.height - width * tall) / 2, width, width * tall)
    above = len(ax.images)  # a slice lies with its contour above the slices before it, and is one image in a PDF
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
        found = ax.contour(np.asarray(picture.mask_yx, float), levels=[0.5], transform=to_display)
        outline = found.get_paths()
        found.remove()
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
    """This patient's nomogram, as the caller draws it, and the total points."""
    canvas.text(box.x, box.y, words.nomogram, 15, bold=True)
    shown = [each for each in report.scenarios if pictures.nomogram_category in (None, each.ebv_category)]
    if len(report.scenarios) > 1 and len(shown) == 1:
        canvas.text(box.x + box.width, box.y + 2, condition(report, shown[0], words), 12, align="right")
    elif len(report.scenarios) == 1:
        arms = (report.scenarios[0].ict_ccrt, report.scenarios[0].ccrt)
        totals = ", ".join(f"{regimen(arm.arm, words)} {numbers.points(arm.total_points)}" for arm in arms)
        canvas.text(box.x + box.width, box.y + 2, f"{words.points}: {totals}", 12, canvas.palette.dim, align="right")
    if pictures.draw_nomogram is not None:
        pictures.draw_nomogram(canvas.axes(box.split(canvas.line_height(15) + 2)[1]), style)


def model_lines(report: TreatmentReport, words: Wording) -> list[str]:
    """Which model said it."""
    model = report.model
    lines = [f"{model.name} {model.version}, {model.digest[:19]}", f"cptdn-node {report.software_version}"]
    return [*lines, *([model.nomogram_citation] if model.nomogram_citation else [])]


def warnings(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Warnings and quality findings; with a sign and their number, so that they are seen."""
    found: Sequence[Reason] = (*report.warnings, *report.quality)
    title = f"\u26a0 {words.warnings} ({len(found)})" if found else words.warnings
    notes(canvas, box, title, [reason.text for reason in found], words)
