"""Widths of text, and its pixels from pictures of single characters that each process draws once.

matplotlib lays out and draws a line of text in about 4 ms, and a report has some 200 lines; from saved characters a
line takes a tenth of that. Widths are sums of advances without kerning, and text is drawn with the same advances, so a
line is as wide as it was measured. Scripts whose letters join, or run from right to left, are laid out by HarfBuzz.
"""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from config.arrays import LabelArray
from dicom_sr.page import fonts

# Characters are drawn so many times larger and averaged: FreeType fits outlines to its pixels, which would make small
# letters up to 8 % wider than their outlines. A character begins at one of so many places inside a pixel.
OVERSAMPLING = 4
MEASURED_EM = 2048.0  # units of DejaVu Sans per em: its advances are whole numbers there
# Hebrew and Arabic letters and their numbers (UAX 9).
RIGHT_TO_LEFT = ("R", "AL", "AN")


@lru_cache(maxsize=256)
def _face(family: str, em: float, bold: bool, shaped: bool = False) -> ImageFont.FreeTypeFont:
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    path, index = fonts.font_file(family, bold)
    return ImageFont.truetype(path, em, index=index, layout_engine=engine)


@lru_cache(maxsize=8192)
def advance(character: str, bold: bool, chinese: str | None) -> float:
    """Return the advance of one character, as a fraction of the text size."""
    face = _face(fonts.family_of(character, chinese), MEASURED_EM, bold)
    return face.getlength(character) / MEASURED_EM


@lru_cache(maxsize=2048)
def is_simple(text: str) -> bool:
    """Return whether a text is its characters one after the other, as Latin and Chinese text is."""
    if text.isascii() or not fonts.has_latin(text):
        return True
    return not any(unicodedata.combining(c) or unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in text)


def width(text: str, em: float, bold: bool, chinese: str | None) -> float:
    """Return the width of one line of text.

    Parameters
    ----------
    text : str
        One line that the fonts can draw, see `fonts.drawable`.
    em : float
        Text size, in any unit.
    bold : bool
        Whether the bold face is measured.
    chinese : str or None
        The Chinese font's family name, see `fonts.chinese_font`.

    Returns
    -------
    float
        In the unit of `em`.
    """
    if not is_simple(text):
        return _face(fonts.LATIN, MEASURED_EM, bold, shaped=True).getlength(text) * em / MEASURED_EM
    return sum([advance(character, bold, chinese) for character in text]) * em


def coverage(text: str, em: float, bold: bool, chinese: str | None, start: float) -> tuple[LabelArray, int, int]:
    """Draw one line of text.

    Parameters
    ----------
    text, bold, chinese
        As of `width`.
    em : float
        Text size in pixels.
    start : float
        Where the text begins, as a fraction of a pixel in [0, 1).

    Returns
    -------
    (array of uint8, shape (rows, columns), int, int)
        Opacity, 0 to 255, and the column and the row of its upper left pixel relative to the beginning of the baseline.
    """
    if not is_simple(text):
        return _averaged(text, _face(fonts.LATIN, em * OVERSAMPLING, bold, shaped=True), int(start * OVERSAMPLING))
    margin = math.ceil(em * 0.25)
    above, below = math.ceil(em * 1.2), math.ceil(em * 0.5)
    columns = math.ceil(width(text, em, bold, chinese) + start) + 2 * margin
    line = np.zeros((above + below, columns), np.uint8)
    x = margin + start
    for character in text:
        whole = int(x)
        if not character.isspace():
            picture, left, top = _character(character, em, bold, chinese, int((x - whole) * OVERSAMPLING))
            rows, n = picture.shape
            first_row, first = above + top, whole + left
            # Letters may touch: each pixel is as dark as the darker of both.
            part = line[max(first_row, 0) : first_row + rows, max(first, 0) : first + n]
            np.maximum(
                part, picture[max(-first_row, 0) :, max(-first, 0) :][: part.shape[0], : part.shape[1]], out=part
            )
        x += advance(character, bold, chinese) * em
    return line, -margin, -above


@lru_cache(maxsize=16384)
def _character(character: str, em: float, bold: bool, chinese: str | None, phase: int) -> tuple[LabelArray, int, int]:
    family = fonts.family_of(character, chinese)
    return _averaged(character, _face(family, em * OVERSAMPLING, bold), phase)


def _averaged(text: str, face: ImageFont.FreeTypeFont, phase: int) -> tuple[LabelArray, int, int]:
    """Draw a text enlarged and average squares of its pixels; its upper left pixel is relative to the baseline."""
    n = OVERSAMPLING
    x0, y0, x1, y1 = face.getbbox(text, anchor="ls")
    left, top = math.floor((x0 + phase) / n), math.floor(y0 / n)
    columns, rows = math.ceil((x1 + phase) / n) - left, math.ceil(y1 / n) - top
    image = Image.new("L", (max(1, columns) * n, max(1, rows) * n))
    ImageDraw.Draw(image).text((phase - left * n, -top * n), text, 255, face, anchor="ls")
    large = np.asarray(image, np.uint16)
    small = large.reshape(large.shape[0] // n, n, -1, n).sum((1, 3))
    return ((small + n * n // 2) // (n * n)).astype(np.uint8), left, top
