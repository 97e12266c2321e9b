"""The pages of a report, dark pictures of 1024 x 1024 or light A4 paper: what comes on which page, pixels and PDF."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from config.arrays import RgbArray
from config.messages.message import message
from dicom_sr.page import fonts, picture_sections, survival
from dicom_sr.page.canvas import DARK, LIGHT, WIDTH, Box, PageCanvas
from dicom_sr.page.details import details, foot
from dicom_sr.page.heading import BANNER_HEIGHT, PatientCaption, banner, heading
from dicom_sr.page.page_words import page_words
from dicom_sr.page.text_flow import Paragraph, draw_lines, height_of, lines_of
from dicom_sr.page.verdict import verdict
from dicom_sr.report.localised import localised
from dicom_sr.report.report_inputs import GuidelineText, Language, PagePictures, SequencePicture, Style
from dicom_sr.report.treatment_report import Reason, TreatmentReport
from dicom_sr.report.wording import ENGLISH, WORDINGS, Wording

A4_INCHES = (8.27, 11.69)
SQUARE_PIXELS = 1024
SQUARE_INCHES = (10.24, 10.24)
# Above it is nothing: viewers draw the cine bar there. OHIF 3.13.2 covers about 40 of 1024 rows of a square picture.
TOP = {"dark": 40.0, "light": 50.0}
MARGIN = {"dark": 26.0, "light": 62.0}
BOTTOM = {"dark": 12.0, "light": 50.0}
GAP = 9.0
COLUMN_GAP = 32.0
LEAST_WITH_SLICES = 165.0
# Over matplotlib's own defaults, so that a matplotlibrc of the machine changes nothing.
DRAWING = {
    "pdf.fonttype": 3,  # Noto CJK has no TrueType outlines, which type 42 needs
    "pdf.compression": 6,
    "path.simplify": True,
    "text.parse_math": False,  # a "$" in the name of a ROI is not a formula
    "text.hinting": "no_hinting",  # hinted letters are up to 8 % wider than they were measured
    "hatch.linewidth": 3,
}

NO_FONT = "font_missing"


@dataclass(frozen=True)
class Section:
    """A part of a page that is not divided.

    Attributes
    ----------
    least, most : float
        Heights between which it is drawn, in canvas units.
    draw : callable
        Draws it into a box.
    rank : int
        Where there is not room for all on a page, those of the lowest ranks are there.
    """

    least: float
    most: float
    draw: Callable[[PageCanvas, Box], object]
    rank: int = 9


@dataclass(frozen=True)
class PageContent:
    """What the pages of one report show, and in which form."""

    report: TreatmentReport
    pictures: PagePictures
    style: Style
    words: Wording
    patient: PatientCaption
    guideline: GuidelineText | None


def render_pages(
    report: TreatmentReport,
    pictures: PagePictures,
    style: Style = "dark",
    language: Language = "en",
    patient: PatientCaption | None = None,
    guideline: GuidelineText | None = None,
) -> list[Figure]:
    """Draw the pages of one report.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    pictures : PagePictures
        Nomogram, curves and slices; pages without any are complete, too.
    style : Style
        "dark" are 1024 x 1024 pictures for viewers; "light" are A4 pages for print.
    language : Language
        Chinese needs a Chinese font of the system; without one the wording is English, see `fonts`.
    patient : PatientCaption or None
        Patient and study; None leaves them out.
    guideline : GuidelineText or None
        The site's.

    Returns
    -------
    list of Figure
        The answer is on the first; for `page_pixels` (dark) and `pages_pdf` (light).
    """
    chinese = fonts.chinese_font()
    shown = language if chinese else "en"
    words = WORDINGS[shown]
    if shown != language:
        report = replace(report, quality=(*report.quality, Reason(NO_FONT, message("font_missing.chinese"))))
    content = PageContent(
        localised(report, shown), pictures, style, words, _readable(patient or PatientCaption(), chinese), guideline
    )  # fmt: skip
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        return _compose(content, chinese)


def _drawing() -> dict[Any, Any]:
    # rc_context refuses keys that the installed version of matplotlib does not have.
    known = {key: value for key, value in DRAWING.items() if key in mpl.rcParams}
    return {**known, "backend": "agg"}


def _readable(patient: PatientCaption, chinese: str | None) -> PatientCaption:
    """Separate the name groups by blanks; without a Chinese font keep the alphabetic group alone."""
    # PS3.5 6.2.1: up to three groups (alphabetic, ideographic, phonetic) separated by "=", components by "^".
    groups = [group.replace("^", " ").strip() for group in patient.name.split("=")]
    shown = groups if chinese else groups[:1]
    return PatientCaption(
        "  ".join(group for group in shown if group),
        patient.birth_date,
        patient.sex,
        patient.study_date,
        patient.accession,
    )


def _compose(content: PageContent, chinese: str | None) -> list[Figure]:
    """Fill one page after the other: sections where they have room, then the text of the details."""
    report, words = content.report, content.words
    canvases = [_new_canvas(content.style, chinese)]
    rest = _area(canvases[0], content)
    rest = rest.split(verdict(canvases[0], rest, report, words) + GAP - rest.y)[1]
    sections = _sections(canvases[0], content, rest.width)
    lines: list[Paragraph] | None = None
    while True:
        canvas = canvases[-1]
        placed, sections = _fitting(sections, rest.height, is_empty=len(canvases) > 1)
        rest = _draw(canvas, rest, placed)
        if not sections and len(canvases) > 1:
            columns = rest.columns(2, COLUMN_GAP)
            lines = lines_of(canvas, details(report, words), columns[0].width) if lines is None else lines
            lines = _fill(canvas, columns, lines)
        if not sections and lines == []:
            break
        canvases.append(_new_canvas(content.style, chinese))
        rest = _area(canvases[-1], content)
    for number, canvas in enumerate(canvases, start=1):
        _head(canvas, content, (number, len(canvases)))
    return [canvas.figure for canvas in canvases]


def _fill(canvas: PageCanvas, columns: Sequence[Box], lines: list[Paragraph]) -> list[Paragraph]:
    """Draw lines into columns; where they have room to spare, both columns end at about the same height."""
    half = height_of(canvas, lines) / len(columns) + 60
    for column in columns:
        lines = draw_lines(canvas, column.split(min(column.height, half))[0], lines)[1]
    return lines


def _new_canvas(style: Style, chinese: str | None) -> PageCanvas:
    dark = style == "dark"
    return PageCanvas(SQUARE_INCHES if dark else A4_INCHES, DARK if dark else LIGHT, 1.0, chinese)


def _page(canvas: PageCanvas, style: Style) -> Box:
    margin, top = MARGIN[style], TOP[style]
    return Box(margin, top, WIDTH - 2 * margin, canvas.height - top - BOTTOM[style])


def _area(canvas: PageCanvas, content: PageContent) -> Box:
    """Return the page below its head; the head is drawn when the number of pages is known."""
    page = _page(canvas, content.style)
    blank = _new_canvas(content.style, canvas.chinese)
    return page.split(_head(blank, content, (1, 1)) + 6 - page.y)[1]


def _head(canvas: PageCanvas, content: PageContent, page: tuple[int, int]) -> float:
    box = _page(canvas, content.style)
    y = heading(canvas, box, content.report, content.patient, content.words, page) + 4
    if content.report.model.demonstration:
        banner(canvas, Box(box.x, y, box.width, BANNER_HEIGHT), content.words)
        y += BANNER_HEIGHT
    return y


def _sections(canvas: PageCanvas, content: PageContent, width: float) -> list[Section]:
    """Return the sections below the answer in the order of their importance."""
    report, pictures, words = content.report, content.pictures, content.words
    # The slices of a withdrawn result explain nothing any more.
    has_slices = bool(pictures.sequences or pictures.largest) and report.withdrawal is None
    sections = []
    lines = lines_of(canvas, foot(report, words, pictures.performance, content.guideline), width)
    height = height_of(canvas, lines)
    at_foot = Section(height, height, partial(_lines, lines=lines), 2)
    if report.computed:
        if report.is_valid:  # frequencies of patients like this one would be believed
            height = survival.frequencies_height(canvas, report)
            sections.append(Section(height, height, partial(survival.frequencies, report=report, words=words), 1))
        height = survival.rates_height(canvas, report)
        sections.append(Section(height, height, partial(survival.rates, report=report, words=words), 0))
        sections.append(Section(150, 300, partial(_curves_and_slices, content=content), 3))
    sections.append(at_foot)
    if report.computed and pictures.draw_nomogram is not None:
        draw = partial(
            picture_sections.nomogram, report=report, pictures=pictures, style=content.style, words=words
        )  # fmt: skip
        sections.append(Section(255, 340, draw))
    if has_slices:
        draw = partial(picture_sections.all_slices, pictures=pictures, words=words)
        sections.append(Section(205, 205, draw))
    return sections


def _lines(canvas: PageCanvas, box: Box, lines: Sequence[Paragraph]) -> None:
    draw_lines(canvas, box, lines)


def _curves_and_slices(canvas: PageCanvas, box: Box, content: PageContent) -> None:
    report, pictures = content.report, content.pictures
    has_slices = bool(pictures.sequences or pictures.largest)
    # With two panels of curves, or in a low box, the slices are on the next page alone.
    if has_slices and len(report.scenarios) == 1 and box.height >= LEAST_WITH_SLICES:
        box, right = box.beside(box.width * 0.48)
        picture_sections.main_slices(canvas, right, pictures, content.words)
    survival.curves(canvas, box, report, pictures.curves, content.words)


def _fitting(sections: Sequence[Section], height: float, is_empty: bool) -> tuple[list[Section], list[Section]]:
    """Divide sections into those that fit a height, each where it has room, and those for the next page.

    Parameters
    ----------
    sections : sequence of Section
        In the order in which they are drawn.
    height : float
        Of the page, in canvas units.
    is_empty : bool
        There is nothing on the page yet: the first section is drawn there in any case.
    """
    placed: list[Section] = []
    for section in sorted(sections, key=lambda section: section.rank):
        if section.least <= height or (is_empty and not placed):
            placed.append(section)
            height -= section.least + GAP
    return [each for each in sections if each in placed], [each for each in sections if each not in placed]


def _draw(canvas: PageCanvas, box: Box, sections: Sequence[Section]) -> Box:
    """Draw sections one under the other; those that can grow share the spare height. Return what is left below."""
    spare = box.height - sum(section.least + GAP for section in sections)
    growing = [section for section in sections if section.most > section.least]
    for section in sections:
        growth = 0.0
        if section in growing:
            growth = max(0.0, min(section.most - section.least, spare / len(growing)))
        part, box = box.split(section.least + growth)
        section.draw(canvas, part)
        box = box.split(GAP)[1]
    return box


def render_slice(
    picture: SequencePicture, report: TreatmentReport, language: Language = "en", patient: PatientCaption | None = None
) -> Figure:
    """Draw one sequence in large: the slice with the contour, and the same slice with its attribution map.

    Parameters
    ----------
    picture : SequencePicture
        The slice that the network weighed most.
    report : TreatmentReport
        For the heading and the demonstration warning.
    language : Language
        As in `render_pages`.
    patient : PatientCaption or None
        As in `render_pages`.

    Returns
    -------
    Figure
        Dark, 1024 pixels wide, for `page_pixels`.
    """
    chinese = fonts.chinese_font()
    words = WORDINGS[language] if chinese else ENGLISH
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas = PageCanvas((SQUARE_INCHES[0], SQUARE_INCHES[1] * 0.72), DARK, 1.0, chinese)
        shown = _readable(patient or PatientCaption(), chinese)
        content = PageContent(report, PagePictures(), "dark", words, shown, None)
        page = _page(canvas, "dark")
        area = page.split(_head(canvas, content, (0, 0)) + 8 - page.y)[1]
        area, below = area.split(area.height - 44)
        picture_sections.legend(canvas, below, words)
        for cell, heat in zip(area.columns(2, 20), (False, True), strict=True):
            picture_sections.slice_with_caption(canvas, cell, picture, page_words(words).weighed_most, heat, words)
        return canvas.figure


def preload_fonts() -> None:
    """Draw a page with every ASCII letter as pixels and as PDF, so that fonts are found, read and measured now."""
    letters = "".join(map(chr, range(ord(" "), 0x7F)))
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas = PageCanvas(A4_INCHES, LIGHT, 1.0, fonts.chinese_font())
        for bold in (False, True):
            canvas.paragraph(Box(0, 0, WIDTH, canvas.height), 0, letters, 16.0, bold=bold)
    page_pixels(canvas.figure)
    pages_pdf([canvas.figure], "", datetime(2000, 1, 1, tzinfo=UTC))


def page_pixels(figure: Figure) -> RgbArray:
    """Render a figure.

    Parameters
    ----------
    figure : Figure
        A page of this module.

    Returns
    -------
    array of uint8, shape (rows, columns, 3)
        RGB, 0 to 255; a dark page has 1024 x 1024 pixels.
    """
    canvas = FigureCanvasAgg(figure)
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas.draw()
    # Alpha is dropped, since the paper is opaque; contiguous, because the slice is a view that DICOM cannot write as it
    # is.
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def pages_pdf(figures: Sequence[Figure], title: str, created: datetime) -> bytes:
    """Write figures as one PDF: vectors and text, not pictures.

    Parameters
    ----------
    figures : sequence of Figure
        Pages of this module.
    title : str
        Title of the document.
    created : datetime
        Creation date of the document; with the report's own time the same pages give the same bytes.

    Returns
    -------
    bytes
        A PDF with one page per figure.
    """
    pdf = io.BytesIO()
    # The report's time and no other: matplotlib would write the present one, and equal reports would differ.
    metadata = {"Title": title, "Creator": "cptdn-node", "Producer": "matplotlib", "CreationDate": created}
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}), PdfPages(pdf, metadata=metadata) as document:
        for figure in figures:
            document.savefig(figure, facecolor=figure.get_facecolor())
    return pdf.getvalue()
