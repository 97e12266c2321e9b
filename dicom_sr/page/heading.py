"""What every page begins with: patient and study, the report and its revision, and the demonstration warning."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import PageCanvas
from dicom_sr.page.page_words import page_words
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import replaces_text
from dicom_sr.report.treatment_report import TreatmentReport
from dicom_sr.report.wording import Wording

BANNER_HEIGHT = 38.0
# Left blank between the patient and the study: OHIF 3.13.2 draws its cine bar there (columns 390 to 640, rows 62 to 128
# of a square picture at 1280 x 720).
MIDDLE = 264.0

Line = tuple[str, float, bool]


@dataclass(frozen=True)
class PatientCaption:
    """Patient and study as the MR names them; dates as YYYY-MM-DD, empty where unknown."""

    name: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    accession: str = ""


def heading(
    canvas: PageCanvas,
    box: Box,
    report: TreatmentReport,
    patient: PatientCaption,
    words: Wording,
    page: tuple[int, int],
) -> float:
    """Draw title, patient, and the dates and the revision of study and report.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        The whole page; its upper part is used.
    report : TreatmentReport
        The report.
    patient : PatientCaption
        With the name groups that are to be shown.
    words : Wording
        Wording of the language.
    page : pair of int
        Number of this page and of all; (0, 0) for a picture that is no page.

    Returns
    -------
    float
        The y below it.
    """
    number = page_words(words).page.format(n=page[0], of=page[1]) if page[0] else ""
    number_width = canvas.text_width(number, 15)
    # At the top, where viewers draw their controls, is what a reader misses least.
    canvas.text(box.x + box.width, box.y, number, 15, canvas.palette.dim, align="right")
    y = canvas.fitted(
        Box(box.x, box.y, box.width - number_width - 16, 0), box.y, words.title, 15, canvas.palette.dim, smallest=11
    )
    left, right = box.columns(2, MIDDLE)
    below = [_lines(canvas, column, y + 4, lines) for column, lines in zip(
        (left, right), (_patient(report, patient, words), _study_and_report(report, patient, words)), strict=True
    )]  # fmt: skip
    y = max(below)
    if report.predecessors:
        y = canvas.fitted(box, y, f"{replaces_text(report, words)}{words.stop}", 22, bold=True, smallest=17)
    return y


def _patient(report: TreatmentReport, patient: PatientCaption, words: Wording) -> list[Line]:
    born = [f"{words.born} {patient.birth_date}"] if patient.birth_date else []
    return [
        (patient.name or f"{words.patient_id} {report.patient_id}", 24.0, True),
        ("   ".join([*born, *([patient.sex] if patient.sex else [])]), 20.0, True),
        (words.unsigned, 15.0, False),
    ]


def _study_and_report(report: TreatmentReport, patient: PatientCaption, words: Wording) -> list[Line]:
    study = f"{words.study_of} {patient.study_date}, " if patient.study_date else ""
    return [
        (f"{words.patient_id} {report.patient_id}", 24.0, True),
        (f"{study}{words.revision.format(n=report.revision)}", 20.0, True),
        (f"{words.created} {numbers.moment(report.created)}", 15.0, False),
    ]


def _lines(canvas: PageCanvas, box: Box, y: float, lines: list[Line]) -> float:
    for text, size, bold in lines:
        if text:
            smallest = min(size, 15.0) if bold else size - 2
            y = canvas.fitted(box, y, text, size, None if bold else canvas.palette.dim, bold, smallest)
    return y


def banner(canvas: PageCanvas, box: Box, words: Wording) -> None:
    """Draw the demonstration warning: hatched, in letters as large as fit.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Over the whole width.
    words : Wording
        Wording of the language.
    """
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
