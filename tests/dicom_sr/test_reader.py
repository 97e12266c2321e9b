"""A reader finds answer, certainty, numbers, contour, conditions and revision on the first screen of each form."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from config.arrays import RgbArray
from dicom_sr.header.uids import uid_for
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.lossless import to_palette
from dicom_sr.page.canvas import PageCanvas
from dicom_sr.page.heading import PatientCaption
from dicom_sr.page.layout import render_pages
from dicom_sr.page.output import page_pixels, pages_pdf
from dicom_sr.report.report_inputs import ReportOptions, Style
from dicom_sr.report.wording import WORDINGS
from tests.dicom_sr import samples
from tests.dicom_sr.gallery import Example, gallery
from tests.dicom_sr.questions import unanswered
from tests.dicom_sr.test_page import check_places
from tests.dicom_sr.test_viewers import npm_peer
from tests.peers import absent, chinese_font, peer

GALLERY = gallery()
# Tesseract takes the hatched warning for a picture (test_page.py checks its size and colour), and loses words of two
# scripts that a line break divides.
NOT_READ_BY_TESSERACT = (
    "is it a demonstration: 'DEMONSTRATION'", "what is not met or not checked: 'EBV DNA 检测方法'",
)  # fmt: skip
LONG = [pytest.param(name, marks=() if name == "superseding" else pytest.mark.long) for name in GALLERY]


def pages_of(example: Example, style: Style) -> list[PageCanvas]:
    if example.language == "zh":
        chinese_font()
    patient = PatientCaption(example.name, "1981-02-03", "M", "2024-03-11", "ACC77")
    return render_pages(example.report, samples.pictures(), style, example.language, patient)


def read_by_ocr(pixels: RgbArray, language: str) -> str:
    """The text of a picture: dark letters on white, enlarged to what Tesseract was trained with."""
    picture = Image.fromarray(pixels).convert("L")
    if pixels.mean() < 128:
        picture = ImageOps.invert(picture)
    scale = 2048 / picture.width
    enlarged = io.BytesIO()
    picture.resize((2048, round(picture.height * scale)), Image.Resampling.LANCZOS).save(enlarged, "png")
    trained = "chi_sim+eng" if language == "zh" else "eng"
    command = [peer("tesseract", "tesseract-ocr"), "-", "-", "--psm", "11", "--dpi", "200", "-l", trained]
    done = subprocess.run(
        command, input=enlarged.getvalue(), capture_output=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"}
    )
    if done.returncode and language == "zh":
        absent("Tesseract cannot read Chinese (Debian package tesseract-ocr-chi-sim)")
    return done.stdout.decode()


@pytest.mark.parametrize("name", LONG)
def test_the_first_picture_of_the_secondary_capture_answers(name: str) -> None:
    example = GALLERY[name]
    indices, palette = to_palette(page_pixels(pages_of(example, "dark")[0]))
    read = read_by_ocr(palette[indices], example.language)
    missing = unanswered(example.report, WORDINGS[example.language], read, similar=True)
    assert [each for each in missing if each not in NOT_READ_BY_TESSERACT] == []


@pytest.mark.parametrize("name", LONG)
def test_the_first_page_of_the_pdf_answers(name: str) -> None:
    example = GALLERY[name]
    pdf = pages_pdf(pages_of(example, "light"), "title", example.report.created)
    command = [peer("pdftotext", "poppler-utils"), "-l", "1", "-raw", "-", "-"]
    read = subprocess.run(command, input=pdf, capture_output=True, check=True).stdout.decode()
    assert unanswered(example.report, WORDINGS[example.language], read) == []


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("style", ["dark", "light"])
def test_no_text_is_clipped_or_on_another(name: str, style: Style) -> None:
    for page in pages_of(GALLERY[name], style):
        check_places(page, style)


@pytest.mark.long
def test_the_first_screens_of_ohif_and_dsr2html_answer(tmp_path: Path) -> None:
    """At 1280 x 720, without scrolling, by the boxes of the words."""
    dist = npm_peer("ohif") / "dist"
    for program, package in (("Orthanc", "orthanc"), ("chromium", "chromium"), ("unshare", "util-linux")):
        peer(program, package)
    shown = []
    for name, example in GALLERY.items():
        # Of another identity, so that each is a series of its own.
        report = replace(
            example.report, report_identity=uid_for(name, "example").rpartition(".")[2].ljust(64, "0")[:64]
        )
        sources = replace(samples.sources(PatientName=example.name), masks=())
        options = ReportOptions(kinds=("sr",), language=example.language)
        [built] = build_objects(report, sources, None, options)
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(built.encoded)
        subprocess.run([peer("dsr2html", "dcmtk"), path, tmp_path / f"{name}.html"], check=True, capture_output=True)
        shown += [f"sr_{name}={built.dataset.SeriesInstanceUID}", f"{name}.html={tmp_path / name}.html"]
    script = Path(__file__).parent / "browser_exchange.py"
    command = ["unshare", "-n", sys.executable, str(script), str(tmp_path), str(dist), samples.STUDY, *shown]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    pages = json.loads(done.stdout.splitlines()[-1])
    missing = {
        page: missed
        for page, found in pages.items()
        for example in (GALLERY[page.removeprefix("sr_").removesuffix(".html")],)
        if (missed := unanswered(example.report, WORDINGS[example.language], found["visible"]))
    }
    assert missing == {}
