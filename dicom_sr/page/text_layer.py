"""The text of a page, drawn as one layer above everything else, into pixels and into a PDF.

Each text of matplotlib is laid out, measured and drawn on its own, which takes two thirds of the time of a page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_pdf import Op
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties, fontManager, get_font

from config.arrays import RgbArray
from dicom_sr.page import fonts, glyphs
from dicom_sr.page.boxes import Box

ASCENT, DESCENT = 0.76, 0.24  # of the text size: DejaVu Sans from the top of "d" to the bottom of "g"


@dataclass(frozen=True)
class TextLine:
    """One line of text where it is drawn.

    Attributes
    ----------
    text : str
        As it is drawn: characters without a font are an ellipsis.
    x, baseline : float
        Its left end, in canvas units.
    em, width : float
        Text size and width, in canvas units.
    color : str
        As matplotlib takes it.
    """

    text: str
    x: float
    baseline: float
    em: float
    width: float
    color: str
    bold: bool

    @property
    def box(self) -> Box:
        """The rectangle that its letters fill."""
        return Box(self.x, self.baseline - ASCENT * self.em, self.width, (ASCENT + DESCENT) * self.em)


def draw_into_pixels(lines: Sequence[TextLine], pixels: RgbArray, scale: float, chinese: str | None) -> None:
    """Draw lines of text into a picture.

    Parameters
    ----------
    lines : sequence of TextLine
        In any order.
    pixels : array of uint8, shape (rows, columns, 3)
        Is changed.
    scale : float
        Pixels per canvas unit.
    chinese : str or None
        The Chinese font's family name, see `fonts.chinese_font`.
    """
    for line in lines:
        x, baseline = line.x * scale, round(line.baseline * scale)
        column = math.floor(x)
        opacity, left, top = glyphs.coverage(line.text, line.em * scale, line.bold, chinese, x - column)
        row, column = baseline + top, column + left
        part = pixels[max(row, 0) : max(row + opacity.shape[0], 0), max(column, 0) : max(column + opacity.shape[1], 0)]
        opacity = opacity[max(-row, 0) :, max(-column, 0) :][: part.shape[0], : part.shape[1]]
        color = (np.array(to_rgb(line.color)) * 255).round().astype(np.int32)
        alpha = opacity[..., None].astype(np.int32)
        part[:] = (part * (255 - alpha) + color * alpha + 127) // 255


class PdfText(Artist):
    """The lines of a page as an artist of its figure, for matplotlib's PDF renderer.

    Parameters
    ----------
    lines : sequence of TextLine
        Of the page.
    units : pair of float
        Width and height of the page in canvas units.
    chinese : str or None
        The Chinese font's family name, see `fonts.chinese_font`.
    """

    def __init__(self, lines: Sequence[TextLine], units: tuple[float, float], chinese: str | None) -> None:
        super().__init__()
        self.set_zorder(10)
        self._lines, self._units, self._chinese = lines, units, chinese

    def draw(self, renderer: Any) -> None:
        """Draw all lines; called by matplotlib."""
        figure: Any = self.figure
        scale, height = figure.bbox.width / self._units[0], figure.bbox.height
        context = renderer.new_gc()
        for line in self._lines:
            context.set_foreground(line.color)
            x, y, size = line.x * scale, height - line.baseline * scale, line.em * scale
            if glyphs.is_simple(line.text) and _is_known(renderer):
                self._write(renderer, context, line, x, y, size)
            else:
                properties = FontProperties(
                    family=fonts.families(self._chinese), size=size, weight="bold" if line.bold else "normal"
                )  # fmt: skip
                renderer.draw_text(context, x, y, line.text, properties, 0)
        context.restore()

    def _write(self, renderer: Any, context: Any, line: TextLine, x: float, y: float, size: float) -> None:
        """Write a line as text operators (PDF 32000-1, 9.4), one run for each font."""
        file = renderer.file
        renderer.check_gc(context, context.get_rgb())
        file.output(Op.begin_text)
        font, run, start = None, bytearray(), x
        for character in line.text:
            name, code = _glyph(file, character, line.bold, self._chinese)
            if name is not font:
                if run:
                    file.output(bytes(run), Op.show)
                file.output(name, size, Op.selectfont)
                file.output(1, 0, 0, 1, start, y, Op.textmatrix)
                font, run = name, bytearray()
            run.append(code)
            start += glyphs.advance(character, line.bold, self._chinese) * size
        file.output(bytes(run), Op.show)
        file.output(Op.end_text)


def _is_known(renderer: Any) -> bool:
    """Return whether this is the PDF renderer of a matplotlib whose bookkeeping of glyphs is known here."""
    tracker = getattr(getattr(renderer, "file", None), "_character_tracker", None)
    return hasattr(tracker, "track_glyph")


def _glyph(file: Any, character: str, bold: bool, chinese: str | None) -> tuple[Any, int]:
    """Return the font of a PDF that has a character, and the character's code in it; both are registered there."""
    # On the file itself: the codes are those of this one document.
    known: dict[tuple[str, bool], tuple[Any, int]] = file.__dict__.setdefault("_codes_of_characters", {})
    if (character, bold) not in known:
        # matplotlib's path of the file also has the number of its face.
        weight = "bold" if bold else "normal"
        family = fonts.family_of(character, chinese)
        path = fontManager.findfont(FontProperties(family=family, weight=weight))
        font = get_font(path)
        subset, code = file._character_tracker.track_glyph(font, character, font.get_char_index(ord(character)))
        known[character, bold] = file.fontName(path, subset), code
    return known[character, bold]
