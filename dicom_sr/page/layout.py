"""The layout of the page, on a dark 1024 x 1024 picture and on light A4 paper, and its pixels and PDF."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from config.arrays import RgbArray
from dicom_sr.page import fonts, picture_sections, sections
from dicom_sr.page.canvas import DARK, LIGHT, WIDTH, Box, PageCanvas
from dicom_sr.page.sections import PatientCaption
from dicom_sr.report.report_inputs import Language, PagePictures, SequencePicture, Style
from dicom_sr.report.treatment_report import TreatmentReport
from dicom_sr.report.wording import ENGLISH, WORDINGS, Wording

A4_INCHES = (8.27, 11.69)
SQUARE_PIXELS = 1024
SQUARE_INCHES = (10.24, 10.24)
VIEWER_OVERLAY = 1 / 8  # of the height stays blank: viewers draw their own text and the cine bar over it
MARGIN = {"dark": 26.0, "light": 62.0}
FOOT = {"dark": 184.0, "light": 334.0}
SMALL_TEXT = 12.0
TEXT_SCALE = {"dark": 1.0, "light": 1.12}  # on A4, 12 units are 7.0 pt at scale 1
# Over matplotlib's own defaults, so that a matplotlibrc of the machine changes nothing.
DRAWING = {
    "pdf.fonttype": 3,  # Noto CJK has no TrueType outlines, which type 42 needs
    "pdf.compression": 6,
    "path.simplify": True,
    "text.parse_math": False,  # a "$" in the name of a ROI is not a formula
    "text.hinting": "no_hinting",  # hinted letters are up to 8 % wider than they were measured
    "hatch.linewidth": 3,
}


def render_page(
    report: TreatmentReport,
    pictures: PagePictures,
    style: Style = "dark",
    language: Language = "en",
    patient: PatientCaption | None = None,
) -> Figure:
    """Draw the page of one report.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal.
    pictures : PagePictures
        Nomogram and slices; a page without any is complete, too.
    style : Style
        "dark" is a 1024 x 1024 picture for viewers, its top eighth blank; "light" is an A4 page for print.
    language : Language
        Chinese needs a Chinese font of the system; without one the wording is English, see `fonts`.
    patient : PatientCaption or None
        Patient and study; None leaves them out.

    Returns
    -------
    Figure
        For `page_pixels` (dark) and `page_pdf` (light).
    """
    chinese = fonts.chinese_font()
    words = WORDINGS[language] if chinese else ENGLISH
    dark = style == "dark"
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas = PageCanvas(SQUARE_INCHES if dark else A4_INCHES, DARK if dark else LIGHT, TEXT_SCALE[style], chinese)
        top = canvas.height * VIEWER_OVERLAY if dark else MARGIN[style] * 0.8
        margin = MARGIN[style]
        area = Box(margin, top, WIDTH - 2 * margin, canvas.height - top - (14 if dark else margin * 0.8))
        _compose(canvas, area, report, pictures, style, words, _readable(patient or PatientCaption(), chinese))
        return canvas.figure


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


def _compose(
    canvas: PageCanvas,
    area: Box,
    report: TreatmentReport,
    pictures: PagePictures,
    style: Style,
    words: Wording,
    patient: PatientCaption,
) -> None:
    scale = canvas.text_scale
    # From top to bottom: patient, permitted use, recommendation, numbers, pictures, inputs. A planner who sees only the
    # upper half of the page has the answer. Heights are in canvas units at text scale 1.
    head, rest = area.split(64 * scale)
    sections.heading(canvas, head, report, patient, words)
    if report.model.demonstration:
        strip, rest = rest.split(36 * scale)
        sections.banner(canvas, strip, words)
    rest = rest.split(6)[1]
    if not report.computed:
        _refused(canvas, rest, report, pictures, words)
        return
    answer, rest = rest.split(88 * scale)
    sections.recommendation(canvas, answer, report, words)
    rest = rest.split(4)[1]
    rates, rest = rest.split((116 if len(report.scenarios) == 1 else 194) * scale)
    sections.results(canvas, rates, report, words)
    rest = rest.split(10)[1]
    middle, foot = rest.split(rest.height - FOOT[style] * scale)
    _pictures(canvas, middle, report, pictures, style, words)
    _foot(canvas, foot, report, style, words)


def _pictures(
    canvas: PageCanvas, box: Box, report: TreatmentReport, pictures: PagePictures, style: Style, words: Wording
) -> None:
    if not pictures.sequences:
        picture_sections.nomogram(canvas, box, report, pictures, style, words)
    elif pictures.draw_nomogram is None:
        picture_sections.sequences(canvas, box.split(box.height - 8)[0], pictures.sequences, words)
    elif style == "dark":
        left, right = box.split(box.height - 8)[0].beside(box.width * 0.66)
        picture_sections.nomogram(canvas, left, report, pictures, style, words)
        picture_sections.sequences(canvas, right, pictures.sequences, words, stacked=True)
    else:
        upper, lower = box.split(box.height * 0.67)
        picture_sections.nomogram(canvas, upper.split(upper.height - 8)[0], report, pictures, style, words)
        picture_sections.sequences(canvas, lower.split(lower.height - 8)[0], pictures.sequences, words)


def _foot(canvas: PageCanvas, box: Box, report: TreatmentReport, style: Style, words: Wording) -> None:
    canvas.rule(box.x, box.y, box.width)
    body = box.split(6)[1]
    if style == "dark":
        left, right = sections.conditions_line(canvas, body, report, words).columns(2, 28)
        sections.inputs(canvas, left, report, words)
        use = f"{report.model.intended_use} ({sections.model_lines(report, words)[0]})"
        needed = sections.notes_height(canvas, right.width, [use], SMALL_TEXT) + 4
        upper, lower = right.split(right.height - min(needed, right.height * 0.55))
        sections.warnings(canvas, upper, report, words)
        sections.notes(canvas, lower, words.intended_use, [use], words)
        return
    upper, lower = body.split(body.height * 0.55)
    _inputs_and_warnings(canvas, upper, report, words)
    _small_print(canvas, lower, report, words)


def _inputs_and_warnings(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    left, right = box.columns(2, 28)
    sections.inputs(canvas, left.split(left.height - 8)[0], report, words)
    sections.warnings(canvas, right.split(right.height - 8)[0], report, words)


def _small_print(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    left, right = box.columns(2, 28)
    needed = sections.notes_height(canvas, left.width, [report.model.intended_use], SMALL_TEXT) + 6
    upper, lower = left.split(min(needed, left.height * 0.55))
    sections.notes(canvas, upper, words.intended_use, [report.model.intended_use], words)
    sections.notes(canvas, lower, words.model, sections.model_lines(report, words), words)
    right = sections.conditions(canvas, right, report, words)
    sections.notes(canvas, right, words.training, [report.model.training_population], words)


def _refused(canvas: PageCanvas, box: Box, report: TreatmentReport, pictures: PagePictures, words: Wording) -> None:
    """Draw the page of a refusal: the reasons as large as they fit; below them everything that is known."""
    small_print = 190 * canvas.text_scale
    most = box.height - 2 * small_print
    y = sections.refusal(canvas, box.split(most)[0], report, words) + 14
    rest = box.split(y - box.y)[1]
    if pictures.sequences and rest.height > 2 * small_print + 160:
        shown, rest = rest.split(min(260.0, rest.height - 2 * small_print))
        picture_sections.sequences(canvas, shown.split(shown.height - 10)[0], pictures.sequences, words)
    canvas.rule(rest.x, rest.y, rest.width)
    upper, lower = rest.split(8)[1].split(small_print)
    _inputs_and_warnings(canvas, upper, report, words)
    _small_print(canvas, lower.split(small_print)[0], report, words)


def render_slice(picture: SequencePicture, report: TreatmentReport, language: Language = "en") -> Figure:
    """Draw one sequence in large: the slice with the contour, and the same slice with its attribution map.

    Parameters
    ----------
    picture : SequencePicture
        The slice.
    report : TreatmentReport
        Decides whether the demonstration warning is shown.
    language : Language
        As in `render_page`.

    Returns
    -------
    Figure
        Dark, 1024 pixels wide, for `page_pixels`.
    """
    chinese = fonts.chinese_font()
    words = WORDINGS[language] if chinese else ENGLISH
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas = PageCanvas((SQUARE_INCHES[0], SQUARE_INCHES[1] * 0.62), DARK, 1.0, chinese)
        margin = MARGIN["dark"]
        area = Box(
            margin, canvas.height * VIEWER_OVERLAY, WIDTH - 2 * margin, canvas.height * (1 - VIEWER_OVERLAY) - 14
        )
        if report.model.demonstration:
            strip, area = area.split(40)
            sections.banner(canvas, strip, words)
        picture_sections.sequence(canvas, area, picture)
        return canvas.figure


def preload_fonts() -> None:
    """Draw a page with every ASCII letter as pixels and as PDF, so that fonts are found, read and measured now."""
    letters = "".join(map(chr, range(ord(" "), 0x7F)))
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas = PageCanvas(A4_INCHES, LIGHT, 1.0, fonts.chinese_font())
        for bold in (False, True):
            canvas.paragraph(Box(0, 0, WIDTH, canvas.height), 0, letters, SMALL_TEXT, bold=bold)
    page_pixels(canvas.figure)
    page_pdf(canvas.figure, "", datetime(2000, 1, 1, tzinfo=UTC))


def page_pixels(figure: Figure) -> RgbArray:
    """Render a figure.

    Parameters
    ----------
    figure : Figure
        A page of this module.

    Returns
    -------
    array of uint8, shape (rows, columns, 3)
        RGB, 0 to 255; the dark page has 1024 x 1024 pixels.
    """
    canvas = FigureCanvasAgg(figure)
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        canvas.draw()
    # Alpha is dropped, since the paper is opaque; contiguous, because the slice is a view that DICOM cannot write as it
    # is.
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def page_pdf(figure: Figure, title: str, created: datetime) -> bytes:
    """Write a figure as PDF: vectors and text, not a picture.

    Parameters
    ----------
    figure : Figure
        A page of this module.
    title : str
        Title of the document.
    created : datetime
        Creation date of the document; with the report's own time the same page gives the same bytes.

    Returns
    -------
    bytes
        A PDF of one page.
    """
    pdf = io.BytesIO()
    # The report's time and no other: matplotlib would write the present one, and equal reports would differ.
    metadata = {"Title": title, "Creator": "cptdn-node", "Producer": "matplotlib", "CreationDate": created}
    with mpl.rc_context({**mpl.rcParamsDefault, **_drawing()}):
        FigureCanvasPdf(figure).print_pdf(pdf, metadata=metadata)
    return pdf.getvalue()
