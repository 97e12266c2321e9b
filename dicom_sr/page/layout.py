"""The pages of a report, dark pictures of 1024 x 1024 or light A4 paper: what comes on which page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from config.messages.message import message
from dicom_sr.page import fonts, picture_sections, survival
from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import DARK, LIGHT, WIDTH, PageCanvas
from dicom_sr.page.details import basis, details, foot
from dicom_sr.page.heading import BANNER_HEIGHT, PatientCaption, banner, heading
from dicom_sr.page.output import drawing_settings, page_pixels, pages_pdf
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
# Above it is nothing: viewers draw their own text there.
TOP = {"dark": 40.0, "light": 50.0}
MARGIN = {"dark": 26.0, "light": 62.0}
BOTTOM = {"dark": 12.0, "light": 50.0}
GAP = 9.0
COLUMN_GAP = 32.0
LEAST_WITH_SLICES = 165.0
NOMOGRAM_HEIGHTS = (430.0, 520.0)  # its letters have 14 to 16 units then

NO_FONT = "font_missing"
LAST = 9  # rank of the nomogram, and of the slices of all sequences


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
    is_picture : bool
        Comes after all text where it is not on the first page.
    """

    least: float
    most: float
    draw: Callable[[PageCanvas, Box], object]
    rank: int = LAST
    is_picture: bool = True


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
) -> list[PageCanvas]:
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
    list of PageCanvas
        The answer is on the first; for `page_pixels` (dark) and `pages_pdf` (light).
    """
    chinese = fonts.chinese_font()
    shown = language if chinese else "en"
    words = WORDINGS[shown]
    if shown != language:
        report = replace(report, quality=(*report.quality, Reason(NO_FONT, message("font_missing.chinese"))))
    content = PageContent(
        localised(report, shown),
        pictures.permitted_by(report),
        style,
        words,
        _readable(patient or PatientCaption(), chinese),
        guideline,
    )
    with drawing_settings():
        return _compose(content, chinese)


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


def _compose(content: PageContent, chinese: str | None) -> list[PageCanvas]:
    """Fill the first page with what has room there, then the others: text, all details, and the pictures last."""
    report, words = content.report, content.words
    canvas = _new_canvas(content.style, chinese)
    rest = _area(canvas, content)
    rest = rest.split(verdict(canvas, rest, report, words) + GAP - rest.y)[1]
    sections = _sections(canvas, content, rest.width)
    # The slices of all sequences would repeat those that are beside the curves.
    first = [each for each in sections if each.rank < LAST or not report.computed]
    placed, _ = _fitting(first, rest.height, is_empty=False)
    later = [each for each in sections if each not in placed]
    _draw(canvas, rest, placed)
    canvases = [canvas]
    # The warnings that had no room on the first page are the first of the details, so they are on the second.
    texts, pictures = ([each for each in later if each.is_picture is kind] for kind in (False, True))
    lines: list[Paragraph] | None = None if details(report, words) else []
    while texts or pictures or lines != []:
        canvas = _new_canvas(content.style, chinese)
        canvases.append(canvas)
        rest, is_empty = _area(canvas, content), True
        placed, texts = _fitting(texts, rest.height, is_empty)
        rest = _draw(canvas, rest, placed)
        if not texts and lines != []:
            columns = rest.columns(2, COLUMN_GAP)
            lines = lines_of(canvas, details(report, words), columns[0].width) if lines is None else lines
            y, lines = _fill(canvas, columns, lines)
            rest, is_empty = rest.split(y + 2 * GAP - rest.y)[1], False
        if lines == []:
            placed, pictures = _fitting(pictures, rest.height, is_empty)
            _draw(canvas, rest, placed)
    for number, canvas in enumerate(canvases, start=1):
        _head(canvas, content, (number, len(canvases)))
    return canvases


def _fill(canvas: PageCanvas, columns: Sequence[Box], lines: list[Paragraph]) -> tuple[float, list[Paragraph]]:
    """Draw lines into columns; return the y below them, and the lines that did not fit.

    Where they have room to spare, both columns end at about the same height.
    """
    half, bottom = height_of(canvas, lines) / len(columns) + 60, columns[0].y
    for column in columns:
        y, lines = draw_lines(canvas, column.split(min(column.height, half))[0], lines)
        bottom = max(bottom, y)
    return bottom, lines


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
    sections = []
    texts = ((basis(report, words), 1), (foot(report, words, pictures.performance, content.guideline), 3))
    at_foot = [_text_section(canvas, paragraphs, width, rank) for paragraphs, rank in texts if paragraphs]
    if report.computed:
        if report.is_valid:  # frequencies of patients like this one would be believed
            height = survival.frequencies_height(canvas, report)
            sections.append(Section(height, height, partial(survival.frequencies, report=report, words=words), 2))
        height = survival.rates_height(canvas, report, width, words)
        sections.append(Section(height, height, partial(survival.rates, report=report, words=words), 0, False))
        least = 125 if len(report.scenarios) == 1 else 190  # two panels have a line more of headings
        sections.append(Section(least, 360, partial(_curves_and_slices, content=content), 4))
    sections += at_foot
    if pictures.draw_nomogram is not None:
        draw = partial(
            picture_sections.nomogram, report=report, pictures=pictures, style=content.style, words=words
        )  # fmt: skip
        sections.append(Section(*NOMOGRAM_HEIGHTS, draw))
    if pictures.sequences or pictures.largest:
        draw = partial(picture_sections.all_slices, pictures=pictures, words=words)
        sections.append(Section(205, 205, draw))
    return sections


def _text_section(canvas: PageCanvas, paragraphs: Sequence[Paragraph], width: float, rank: int) -> Section:
    lines = lines_of(canvas, paragraphs, width)
    height = height_of(canvas, lines)
    return Section(height, height, partial(_lines, lines=lines), rank, is_picture=False)


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
) -> PageCanvas:
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
    PageCanvas
        Dark, 1024 pixels wide, for `page_pixels`.
    """
    chinese = fonts.chinese_font()
    words = WORDINGS[language] if chinese else ENGLISH
    with drawing_settings():
        canvas = PageCanvas((SQUARE_INCHES[0], SQUARE_INCHES[1] * 0.72), DARK, 1.0, chinese)
        shown = _readable(patient or PatientCaption(), chinese)
        content = PageContent(report, PagePictures(), "dark", words, shown, None)
        page = _page(canvas, "dark")
        area = page.split(_head(canvas, content, (0, 0)) + 8 - page.y)[1]
        area, below = area.split(area.height - 44)
        picture_sections.legend(canvas, below, words)
        for cell, heat in zip(area.columns(2, 20), (False, True), strict=True):
            picture_sections.slice_with_caption(canvas, cell, picture, page_words(words).weighed_most, heat, words)
        return canvas


def preload_fonts() -> None:
    """Draw a page with every ASCII letter as pixels and as PDF, so that fonts are found, read and measured now."""
    letters = "".join(map(chr, range(ord(" "), 0x7F)))
    with drawing_settings():
        canvas = PageCanvas(A4_INCHES, LIGHT, 1.0, fonts.chinese_font())
        for bold in (False, True):
            canvas.paragraph(Box(0, 0, WIDTH, canvas.height), 0, letters, 16.0, bold=bold)
    page_pixels(canvas)
    pages_pdf([canvas], "", datetime(2000, 1, 1, tzinfo=UTC))
