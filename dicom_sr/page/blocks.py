"""The parts of the page, one function each: a sheet, what to show, and the box to show it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, TransformedBbox

from config.indication.vocabulary import TreatmentArm
from dicom_sr.page.sheet import Box, Sheet
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


def heading(sheet: Sheet, box: Box, report: TreatmentReport, patient: PatientCaption, words: Wording) -> None:
    """Title and patient on the left, report and revision on the right."""
    created = f"{words.created} {report.created:%Y-%m-%d %H:%M} (UTC{report.created:%z})"
    status = [words.revision.format(n=report.revision), words.unsigned]
    second = ", ".join([*status[:1], *([words.replaces] if report.predecessors else []), *status[1:]])
    for index, line in enumerate((created, second)):
        y = box.y + 2 + index * sheet.line_height(13)
        sheet.text(box.x + box.width, y, line, 12, sheet.palette.dim, align="right")
    title_box = Box(box.x, box.y, box.width - sheet.text_width(created, 12) - 16, box.height)
    sheet.fitted(title_box, box.y, words.title, 14, sheet.palette.dim)
    who = [patient.name, f"{words.patient_id} {report.patient_id}"]
    who += [f"{words.born} {patient.birth_date}"] if patient.birth_date else []
    who += [patient.sex] if patient.sex else []
    who += [f"{words.study_of} {patient.study_date}"] if patient.study_date else []
    below = box.split(2 * sheet.line_height(13) + 2)[1]
    sheet.fitted(below, below.y, "   ".join(part for part in who if part), 16, bold=True)


def banner(sheet: Sheet, box: Box, words: Wording) -> None:
    """A demonstration model cannot be mistaken for a clinical one."""
    sheet.rectangle(box, facecolor=sheet.palette.alarm, edgecolor=sheet.palette.alarm_ink, hatch="//", lw=2)
    size = 24.0
    while size > 12 and sheet.text_width(words.demonstration, size, True) > box.width - 60:
        size -= 0.5
    width = sheet.text_width(words.demonstration, size, True)
    plate = Box(box.x + (box.width - width) / 2 - 14, box.y + 3, width + 28, box.height - 6)
    sheet.rectangle(plate, facecolor=sheet.palette.alarm, edgecolor="none")
    y = box.y + (box.height - sheet.line_height(size)) / 2
    sheet.text(box.x + box.width / 2, y, words.demonstration, size, sheet.palette.alarm_ink, True, "center")


def recommendation(sheet: Sheet, box: Box, report: TreatmentReport, words: Wording) -> None:
    """The answer, large, with what it means beside it; below it how it follows from the numbers."""
    common = report.recommendation
    accent = sheet.palette.ink if common is None else _color(sheet, common)
    sheet.rectangle(Box(box.x, box.y + 2, 6, box.height - 6), facecolor=accent, edgecolor="none")
    inner = Box(box.x + 18, box.y, box.width - 18, box.height)
    sheet.text(inner.x, inner.y, words.recommended, 14, sheet.palette.dim)
    line = headline(report, words)
    top = inner.y + sheet.line_height(14) - 3
    y = sheet.fitted(inner, top, line, 34, bold=True, smallest=15)
    if common is not None:
        beside = inner.x + sheet.text_width(line, 34, bold=True) + 20
        sheet.text(beside, top + sheet.line_height(34) * 0.36, regimen_long(common, words), 15)
    sheet.fitted(inner, y - 1, f"{rule(report, words)}.", 13, sheet.palette.dim, smallest=11.5)


def refusal(sheet: Sheet, box: Box, report: TreatmentReport, words: Wording) -> float:
    """Nothing was computed: the reasons, in large letters. Returns the y below them."""
    sheet.text(box.x, box.y, words.not_computed, 34, bold=True)
    below = box.split(sheet.line_height(34) + 6)[1]
    reasons = [reason.text for reason in report.refusals]
    return notes(sheet, below, words.reasons, reasons, words, (18, 17, 16, 15, *TEXT_SIZES))


def results(sheet: Sheet, box: Box, report: TreatmentReport, words: Wording) -> None:
    """DFS of both regimens with intervals and the difference; one row of panels per EBV DNA category."""
    months = sorted(report.horizons_months, reverse=True)
    title = sheet.line_height(15)
    head, rest = box.split(title)
    for panel, horizon_months in zip(head.columns(len(months), PANEL_GAP), months, strict=True):
        sheet.text(panel.x, panel.y, horizon(horizon_months, words), 15, bold=True)
        sheet.text(panel.x + panel.width, panel.y + 2, words.ci, 12, sheet.palette.dim, align="right")
    height = rest.height / len(report.scenarios)
    for index, scenario in enumerate(report.scenarios):
        row = Box(rest.x, rest.y + index * height, rest.width, height)
        if len(report.scenarios) > 1:
            advised = f"{words.recommended} {regimen(scenario.recommendation, words)}"
            sheet.fitted(row, row.y + 1, f"{condition(report, scenario, words)}: {advised}", 14, bold=True)
            row = row.split(sheet.line_height(14) + 1)[1]
        for panel, horizon_months in zip(row.columns(len(months), PANEL_GAP), months, strict=True):
            _panel(sheet, panel, scenario, horizon_months, words)


def _panel(sheet: Sheet, box: Box, scenario: Scenario, months: int, words: Wording) -> None:
    last = sheet.line_height(14) + 3
    row_height = (box.height - last - 4) / 2
    for index, result in enumerate((scenario.ict_ccrt, scenario.ccrt)):
        _rate(sheet, Box(box.x, box.y + index * row_height, box.width, row_height), result, months, words)
    y = box.y + 2 * row_height + 1
    sheet.rule(box.x, y, box.width)
    sheet.text(box.x, y + 2, words.difference, 14)
    sheet.text(box.x + box.width, y + 2, difference_text(scenario, months), 14, bold=True, align="right")


def _rate(sheet: Sheet, box: Box, result: ArmResult, months: int, words: Wording) -> None:
    """Name, value on a scale from 0 to 100 %, and the numbers."""
    estimate = result.dfs[months]
    color = _color(sheet, result.arm)
    middle = box.y + box.height / 2
    big, small = min(20.0, box.height / sheet.text_scale / 1.15), 12.0
    figure, ci95 = f"{numbers.percent(estimate.value)} %", numbers.interval(estimate.ci95)
    name_width = sheet.text_width(words.regimen_ict, 14) + 8
    right = sheet.text_width("100.0 %", big, True) + sheet.text_width("100.0 to 100.0", small) + 18
    sheet.text(box.x, middle - sheet.line_height(14) / 2, regimen(result.arm, words), 14)
    edge = box.x + box.width
    sheet.text(edge, middle - sheet.line_height(small) / 2, ci95, small, sheet.palette.dim, align="right")
    at = edge - sheet.text_width("100.0 to 100.0", small) - 8
    sheet.text(at, middle - sheet.line_height(big) / 2, figure, big, color, True, "right")
    scale = Box(box.x + name_width, box.y + 2, box.width - name_width - right, box.height - 4)
    _interval(sheet, scale, estimate, result.arm)


def _interval(sheet: Sheet, box: Box, estimate: DfsEstimate, arm: TreatmentArm) -> None:
    """A scale from 0 to 100 % with a little room at its ends; on it the value and its interval."""
    color, y = _color(sheet, arm), box.y + box.height / 2

    def x(percent: float) -> float:
        return box.x + box.width * (percent + 2) / 104

    def upright(percent: float, height: float) -> list[tuple[float, float]]:
        return [(x(percent), y + height * box.height / 2), (x(percent), y - height * box.height / 2)]

    ends = (100 * estimate.ci95[0], 100 * estimate.ci95[1])
    scale = [[(x(0), y), (x(100), y)], *(upright(percent, 0.25) for percent in (0, 50, 100))]
    interval = [[(x(ends[0]), y), (x(ends[1]), y)], *(upright(end, 0.3) for end in ends)]
    for lines in (
        LineCollection(scale, colors=sheet.palette.line, linewidths=0.8),
        LineCollection(interval, colors=color, linewidths=(2.5, 2, 2)),
    ):
        sheet.drawing.add_collection(lines, autolim=False)
    sheet.drawing.plot([x(100 * estimate.value)], [y], MARKERS[arm], color=color, ms=7, mec=sheet.palette.paper)


def _color(sheet: Sheet, arm: TreatmentArm) -> str:
    return sheet.palette.ict if arm is TreatmentArm.ICT_CCRT else sheet.palette.ccrt


def inputs(sheet: Sheet, box: Box, report: TreatmentReport, words: Wording) -> None:
    """What went in: name, value with unit, and where it comes from."""
    sheet.text(box.x, box.y, words.inputs, 15, bold=True)
    body = box.split(sheet.line_height(15) + 2)[1]
    rows = input_rows(report, words)
    for size in INPUT_SIZES:
        lines = _input_lines(sheet, body, rows, size)
        if len(lines) * sheet.line_height(size) <= body.height:
            break
    for index, pieces in enumerate(lines):
        for x, text, bold, dim in pieces:
            y = body.y + index * sheet.line_height(size)
            sheet.text(x, y, text, size, sheet.palette.dim if dim else None, bold)


def _input_lines(
    sheet: Sheet, box: Box, rows: Sequence[tuple[str, str, str]], size: float
) -> list[list[tuple[float, str, bool, bool]]]:
    """Lines of pieces (x, text, bold, dim): the source beside the value where it fits, else below it."""
    left = box.x + max(sheet.text_width(name, size) for name, _, _ in rows) + 12
    width = box.x + box.width - left
    lines: list[list[tuple[float, str, bool, bool]]] = []
    for name, value, source in rows:
        values = sheet.wrapped(value, size, width, bold=True)
        made: list[list[tuple[float, str, bool, bool]]] = [[(left, line, True, False)] for line in values]
        made[0].insert(0, (box.x, name, False, True))
        after = left + sheet.text_width(values[-1], size, bold=True) + 10
        if source and after + sheet.text_width(source, size) <= box.x + box.width:
            made[-1].append((after, source, False, True))
        elif source:
            made += [[(left, line, False, True)] for line in sheet.wrapped(source, size, width)]
        lines += made
    return lines


def notes(
    sheet: Sheet,
    box: Box,
    title: str,
    texts: Sequence[str],
    words: Wording,
    sizes: Sequence[float] = TEXT_SIZES,
) -> float:
    """A titled list; when even the smallest letters do not hold it all, it says how many are left out.

    Returns the y below what was written.
    """
    sheet.text(box.x, box.y, title, 15, bold=True)
    body = box.split(sheet.line_height(15) + 2)[1]
    bullet = "- " if len(texts) > 1 else ""
    shown = [f"{bullet}{text}" for text in texts] or [words.none]
    size = sheet.largest_size(body, shown, sizes) or sizes[-1]
    wrapped = [sheet.wrapped(text, size, body.width) for text in shown]
    room = max(1, int(body.height / sheet.line_height(size)))
    lines = [line for item in wrapped for line in item]
    if len(lines) > room:
        lines = _shortened(wrapped, room, words)
    for number, line in enumerate(lines):
        sheet.text(body.x, body.y + number * sheet.line_height(size), line, size)
    return body.y + len(lines) * sheet.line_height(size)


def _shortened(wrapped: Sequence[list[str]], room: int, words: Wording) -> list[str]:
    """As many whole items as leave a line to say how many are missing; of a first one too long, its beginning."""
    kept = len(wrapped)
    while kept > 0 and sum(len(item) for item in wrapped[:kept]) > room - 1:
        kept -= 1
    if kept == 0:
        return [*wrapped[0][: room - 1], words.see_report]
    return [*(line for item in wrapped[:kept] for line in item), words.more.format(n=len(wrapped) - kept)]


def notes_height(sheet: Sheet, width: float, texts: Sequence[str], size: float) -> float:
    """What a titled list of these texts needs at one text size."""
    n_lines = sum(len(sheet.wrapped(text, size, width)) for text in texts)
    return sheet.line_height(15) + 2 + n_lines * sheet.line_height(size)


def sequences(
    sheet: Sheet, box: Box, pictures: Sequence[SequencePicture], words: Wording, stacked: bool = False
) -> None:
    """Per sequence the representative slice with the contour, and beside it what drove the scores.

    stacked : one under the other, for a narrow box.
    """
    sheet.text(box.x, box.y, words.sequences, 15, bold=True)
    has_heat = any(picture.attribution_yx is not None for picture in pictures)
    legend = f"{words.with_contour} / {words.attribution}" if has_heat else words.with_contour
    sheet.text(box.x + box.width, box.y + 2, legend, 12, sheet.palette.dim, align="right")
    body = box.split(sheet.line_height(15) + 2)[1]
    n = max(3, len(pictures))
    cells = body.rows(n, 6) if stacked else body.columns(n, 16)
    for cell, picture in zip(cells, pictures, strict=False):
        one_sequence(sheet, cell, picture, words)


def one_sequence(sheet: Sheet, box: Box, picture: SequencePicture, words: Wording) -> None:
    """Caption, the slice with the contour, and the same slice with the attribution where there is one."""
    caption = f"{picture.role.value}  {picture.caption}".strip()
    y = sheet.fitted(box, box.y, caption, 13, sheet.palette.dim)
    image_box = box.split(y - box.y)[1]
    with_heat = picture.attribution_yx is not None
    outline: Sequence[Path] = ()
    for index, part in enumerate(image_box.columns(2 if with_heat else 1, 6)):
        outline = _slice(sheet, part, picture, outline, heat=index == 1)


def _slice(sheet: Sheet, box: Box, picture: SequencePicture, outline: Sequence[Path], heat: bool) -> Sequence[Path]:
    """The slice as large as its box allows. Returns the contour in pixels, to be drawn on the next one, too."""
    ax, (rows, columns) = sheet.drawing, np.shape(picture.image_yx)
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
    on_sheet = Affine2D().translate(0.5, 0.5).scale(shown.width / columns, shown.height / rows)
    to_sheet = on_sheet.translate(shown.x, shown.y) + ax.transData
    if not outline:
        found = ax.contour(np.asarray(picture.mask_yx, float), levels=[0.5], transform=to_sheet)
        outline = found.get_paths()
        found.remove()
    edge = TransformedBbox(Bbox.from_bounds(-0.5, -0.5, columns, rows), to_sheet)
    for color, line_width in (("black", 2.2), (sheet.palette.contour, 1.2)):
        lines = PathCollection(
            outline, facecolors="none", edgecolors=color, linewidths=line_width, transform=to_sheet, zorder=above
        )  # fmt: skip
        lines.set_clip_box(edge)
        ax.add_collection(lines, autolim=False)
    return outline


def nomogram(
    sheet: Sheet, box: Box, report: TreatmentReport, pictures: PagePictures, style: Style, words: Wording
) -> None:
    """This patient's nomogram, as the caller draws it, and the total points."""
    sheet.text(box.x, box.y, words.nomogram, 15, bold=True)
    shown = [each for each in report.scenarios if pictures.nomogram_category in (None, each.ebv_category)]
    if len(report.scenarios) > 1 and len(shown) == 1:
        sheet.text(box.x + box.width, box.y + 2, condition(report, shown[0], words), 12, align="right")
    elif len(report.scenarios) == 1:
        arms = (report.scenarios[0].ict_ccrt, report.scenarios[0].ccrt)
        totals = ", ".join(f"{regimen(arm.arm, words)} {numbers.points(arm.total_points)}" for arm in arms)
        sheet.text(box.x + box.width, box.y + 2, f"{words.points}: {totals}", 12, sheet.palette.dim, align="right")
    if pictures.draw_nomogram is not None:
        pictures.draw_nomogram(sheet.axes(box.split(sheet.line_height(15) + 2)[1]), style)


def model_lines(report: TreatmentReport, words: Wording) -> list[str]:
    """Which model said it."""
    model = report.model
    lines = [f"{model.name} {model.version}, {model.digest[:19]}", f"cptdn-node {report.software_version}"]
    return [*lines, *([model.nomogram_citation] if model.nomogram_citation else [])]


def warnings(sheet: Sheet, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Warnings and quality findings; with a sign and their number, so that they are seen."""
    found: Sequence[Reason] = (*report.warnings, *report.quality)
    title = f"\u26a0 {words.warnings} ({len(found)})" if found else words.warnings
    notes(sheet, box, title, [reason.text for reason in found], words)
