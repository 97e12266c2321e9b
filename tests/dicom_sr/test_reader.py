"""A reader finds answer, certainty, numbers, contour, conditions and revision on the first screen of each form."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from config.arrays import RgbArray
from dicom_sr.objects.build import patient_caption
from dicom_sr.objects.lossless import to_palette
from dicom_sr.page.canvas import PageCanvas
from dicom_sr.page.layout import render_pages
from dicom_sr.page.output import page_pixels, pages_pdf
from dicom_sr.report.report_inputs import Style
from dicom_sr.report.wording import WORDINGS
from tests.dicom_sr.first_screens import first_screens
from tests.dicom_sr.gallery import Example, gallery
from tests.dicom_sr.questions import unanswered
from tests.dicom_sr.test_page import check_places
from tests.peers import absent, chinese_font, peer

GALLERY = gallery()
# A planning system's column and half of a 1024 pixel screen.
WIDTHS = (1024, 630, 512)
# Tesseract takes the hatched warning for a picture at some sizes; test_page.py checks its size and colour.
NOT_READ_BY_TESSERACT = "is it a demonstration: 'DEMONSTRATION'"
# Of the smaller Chinese pictures Tesseract reads every digit, but not each character: "44.5 至 69.4" as "44.5 % 69.4".
NOT_READ_IF_SMALL = (
    "the numbers: '70.2 至 90.3'", "the numbers: '44.5 至 69.4'", "what is not met or not checked: '无既往恶性肿瘤'",
)  # fmt: skip
LONG = [pytest.param(name, marks=() if name == "superseding" else pytest.mark.long) for name in GALLERY]


def pages_of(example: Example, style: Style) -> list[PageCanvas]:
    if example.language == "zh":
        chinese_font()
    return render_pages(example.report, example.pictures, style, example.language, patient_caption(example.sources))


def read_by_ocr(pixels: RgbArray, language: str, width: int) -> str:
    """The text of a picture that a viewer shows so wide: dark letters on white, enlarged to what Tesseract knows."""
    picture = Image.fromarray(pixels).convert("L")
    if pixels.mean() < 128:
        picture = ImageOps.invert(picture)
    if width < picture.width:
        picture = picture.resize((width, width), Image.Resampling.LANCZOS)
    enlarged = io.BytesIO()
    picture.resize((2048, 2048), Image.Resampling.LANCZOS).save(enlarged, "png")
    trained = "chi_sim+eng" if language == "zh" else "eng"
    command = [peer("tesseract", "tesseract-ocr"), "-", "-", "--psm", "11", "--dpi", "200", "-l", trained]
    done = subprocess.run(
        command, input=enlarged.getvalue(), capture_output=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"}
    )
    if done.returncode and language == "zh":
        absent("Tesseract cannot read Chinese (Debian package tesseract-ocr-chi-sim)")
    return done.stdout.decode()


@pytest.mark.parametrize("width", [1024, *(pytest.param(width, marks=pytest.mark.long) for width in WIDTHS[1:])])
@pytest.mark.parametrize("name", LONG)
def test_the_first_picture_of_the_secondary_capture_answers(name: str, width: int) -> None:
    example = GALLERY[name]
    indices, palette = to_palette(page_pixels(pages_of(example, "dark")[0]))
    read = read_by_ocr(palette[indices], example.language, width)
    missing = unanswered(example.report, WORDINGS[example.language], read, similar=True)
    accepted = {NOT_READ_BY_TESSERACT}
    if width < 1024 and example.language == "zh":
        accepted.update(NOT_READ_IF_SMALL)
    assert set(missing) <= accepted


@pytest.mark.parametrize("name", LONG)
def test_the_first_page_of_the_pdf_answers(name: str) -> None:
    example = GALLERY[name]
    pdf = pages_pdf(pages_of(example, "light"), "title", example.report.created)
    command = [peer("pdftotext", "poppler-utils"), "-l", "1", "-raw", "-", "-"]
    read = subprocess.run(command, input=pdf, capture_output=True, check=True).stdout.decode()
    assert unanswered(example.report, WORDINGS[example.language], read) == []


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("style", ["dark", "light"])
def test_no_text_is_clipped_or_on_another(name: str, style: Style) -> None:
    for page in pages_of(GALLERY[name], style):
        check_places(page, style)


@pytest.mark.long
def test_the_first_screens_of_ohif_and_dsr2html_answer(tmp_path: Path) -> None:
    """At 1280 x 720, without scrolling, by the boxes of the words."""
    screens = first_screens(GALLERY, tmp_path, ("sr",))
    missing = {}
    for name, example in GALLERY.items():
        for form in ("ohif", "dsr2html"):
            visible = screens[f"{name}_{form}"]["visible"]
            missing[name, form] = unanswered(example.report, WORDINGS[example.language], visible)
    assert {screen: pieces for screen, pieces in missing.items() if pieces} == {}
