"""The canvas of a page: positions in units of 1/1024 of its width, from the top left corner.

Text is measured before it is drawn, so that it wraps and stays inside its box.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from config.indication.vocabulary import TreatmentArm
from dicom_sr.page import fonts, glyphs
from dicom_sr.page.boxes import Box
from dicom_sr.page.text_layer import TextLine

WIDTH = 1024.0
LINE_SPACING = 1.32
# Pieces between which a line may break: Latin words with the blanks after them, and single Chinese characters (CJK
# radicals to unified ideographs, compatibility ideographs, fullwidth forms).
PIECES = re.compile(r"[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+\s*|\s+|[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True)
class Palette:
    """Colours of one style, as hex strings. The regimens have colours of Okabe and Ito's colour-blind safe set."""

    paper: str
    ink: str
    dim: str
    line: str
    ict: str
    ccrt: str
    alarm: str
    alarm_ink: str
    contour: str


DARK = Palette("#000000", "#FFFFFF", "#B8B8B8", "#6E6E6E", "#56B4E9", "#E69F00", "#F0E442", "#000000", "#F0E442")
LIGHT = Palette("#FFFFFF", "#000000", "#454545", "#9A9A9A", "#0072B2", "#D55E00", "#F0E442", "#000000", "#F0E442")


class PageCanvas:
    """A page that is being drawn: a matplotlib figure in canvas units.

    Parameters
    ----------
    inches : pair of float
        Width and height of the figure.
    palette : Palette
        Colours of the style.
    text_scale : float
        Factor on all text sizes; paper needs larger letters in canvas units than a screen.
    chinese : str or None
        Family name of the Chinese font, see `fonts.chinese_font`.
    """

    def __init__(self, inches: tuple[float, float], palette: Palette, text_scale: float, chinese: str | None) -> None:
        # A Figure of its own: pyplot keeps a list of figures and is not safe in threads.
        self.figure = Figure(figsize=inches, dpi=WIDTH / inches[0], facecolor=palette.paper)
        # Not matplotlib's texts: see `text_layer`.
        self.texts: list[TextLine] = []
        self.height = WIDTH * inches[1] / inches[0]
        self.palette = palette
        self.text_scale = text_scale
        self.chinese = chinese
        self._points_per_unit = inches[0] * 72 / WIDTH

    def arm_color(self, arm: TreatmentArm | None) -> str:
        """Return the colour of a regimen; None has the palette's ink."""
        if arm is None:
            return self.palette.ink
        return self.palette.ict if arm is TreatmentArm.ICT_CCRT else self.palette.ccrt

    def points(self, size: float) -> float:
        """Convert a text size.

        Parameters
        ----------
        size : float
            In canvas units.

        Returns
        -------
        float
            In points (1/72 inch).
        """
        return size * self.text_scale * self._points_per_unit

    def units(self, points: float) -> float:
        """Convert a text size in points (1/72 inch) to canvas units as it is drawn."""
        return points / self._points_per_unit

    def line_height(self, size: float) -> float:
        """Return the distance of two baselines for a text size.

        Parameters
        ----------
        size : float
            Text size in canvas units at text scale 1.

        Returns
        -------
        float
            Canvas units.
        """
        return size * self.text_scale * LINE_SPACING

    def text_width(self, text: str, size: float, bold: bool = False) -> float:
        """Return the width of one line of text.

        Parameters
        ----------
        text : str
            One line; characters without a glyph count as the ellipsis that replaces them.
        size : float
            Text size in canvas units, before `text_scale`.
        bold : bool
            Whether the bold face is used.

        Returns
        -------
        float
            Width in canvas units, in pixels and in PDF.
        """
        # The drawn text is measured, in which characters without a font are an ellipsis.
        return glyphs.width(fonts.drawable(text, self.chinese), self._em(size), bold, self.chinese)

    def _em(self, size: float) -> float:
        return size * self.text_scale

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        color: str | None = None,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """Draw one line of text.

        Parameters
        ----------
        x, y : float
            The anchor in canvas units; `y` is the top of the line.
        text : str
            Not measured: the caller makes it fit.
        size : float
            Text size in canvas units, before `text_scale`.
        color : str or None
            None is the palette's ink.
        bold : bool
            Whether the bold face is used.
        align : str
            "left", "center" or "right" of `x`.
        """
        # 0.78 of the line height is above the baseline: about the ascent of DejaVu Sans and half of the extra spacing.
        self.text_at(x, y + self.line_height(size) * 0.78, text, self._em(size), color, bold, align)

    def text_at(
        self,
        x: float,
        baseline: float,
        text: str,
        em: float,
        color: str | None = None,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """Draw one line of text on a baseline.

        Parameters
        ----------
        x, baseline : float
            The anchor in canvas units.
        em : float
            Text size in canvas units, as it is drawn.
        text, color, bold, align
            As of `text`.
        """
        drawn = fonts.drawable(text, self.chinese)
        if drawn.strip():
            width = glyphs.width(drawn, em, bold, self.chinese)
            left = x - {"left": 0.0, "center": width / 2, "right": width}[align]
            self.texts.append(TextLine(drawn, left, baseline, em, width, color or self.palette.ink, bold))

    def fitted(
        self,
        box: Box,
        y: float,
        text: str,
        size: float,
        color: str | None = None,
        bold: bool = False,
        smallest: float = 10,
    ) -> float:
        """Draw one line, made smaller until it fits the width of the box; wrap it where the smallest size is too wide.

        Parameters
        ----------
        box : Box
            Gives left edge and width.
        y : float
            Top of the line.
        text : str
            Any text.
        size, smallest : float
            Largest and smallest text size in canvas units.
        color : str or None
            None is the palette's ink.
        bold : bool
            Whether the bold face is used.

        Returns
        -------
        float
            The y below the text.
        """
        return self.paragraph(box, y, text, self._fitting_size(box.width, text, size, bold, smallest), color, bold)

    def fitted_height(self, width: float, text: str, size: float, bold: bool = False, smallest: float = 10) -> float:
        """Return the height that `fitted` needs for a text.

        Parameters
        ----------
        width : float
            Of its box, in canvas units.
        text, size, bold, smallest
            As of `fitted`.

        Returns
        -------
        float
            In canvas units.
        """
        size = self._fitting_size(width, text, size, bold, smallest)
        return len(self.wrapped(text, size, width, bold)) * self.line_height(size)

    def _fitting_size(self, width: float, text: str, size: float, bold: bool, smallest: float) -> float:
        # Smaller letters before a second line: the box below has no room to give.
        while size > smallest and self.text_width(text, size, bold) > width:
            size -= 0.5
        return size

    def paragraph(
        self, box: Box, y: float, text: str, size: float, color: str | None = None, bold: bool = False
    ) -> float:
        """Draw text from `y` downwards, wrapped to the width of the box.

        Parameters
        ----------
        box : Box
            Its x and width are used.
        y : float
            Upper edge of the first line, in canvas units from the top.
        text : str
            Line breaks begin new lines.
        size : float
            Text size in canvas units at text scale 1.
        color : str, optional
            Hex colour; the palette's ink by default.
        bold : bool
            Weight of the letters.

        Returns
        -------
        float
            The y below the last line.
        """
        for line in self.wrapped(text, size, box.width, bold):
            self.text(box.x, y, line, size, color, bold)
            y += self.line_height(size)
        return y

    def wrapped(self, text: str, size: float, width: float, bold: bool = False) -> list[str]:
        """Break a text into lines.

        Parameters
        ----------
        text : str
            Any text; its own line breaks stay.
        size : float
            Text size in canvas units.
        width : float
            The widest line allowed, in canvas units.
        bold : bool
            Whether the bold face is used.

        Returns
        -------
        list of str
            Lines that fit, broken at blanks and between Chinese characters; a word that is too wide is cut.
        """
        lines: list[str] = []
        for paragraph in text.split("\n"):
            current = ""
            for piece in self._pieces(paragraph, size, width, bold):
                # The blank at the end of a line takes no room.
                if current and self.text_width((current + piece).rstrip(), size, bold) > width:
                    lines.append(current.rstrip())
                    current = piece.lstrip()
                else:
                    current += piece
            lines.append(current.rstrip())
        return lines

    def _pieces(self, text: str, size: float, width: float, bold: bool) -> Iterator[str]:
        """Yield the pieces between which a line may break; cut a piece that is wider than the line."""
        for piece in PIECES.findall(text):
            while len(piece) > 1 and self.text_width(piece.rstrip(), size, bold) > width:
                # Only a piece without any blank comes here, such as a UID or a path.
                fitting = len(piece) - 1
                while fitting > 1 and self.text_width(piece[:fitting], size, bold) > width:
                    fitting -= 1
                yield piece[:fitting]
                piece = piece[fitting:]
            yield piece

    def axes(self, box: Box) -> Axes:
        """Add matplotlib axes that cover a box."""
        position = (box.x / WIDTH, 1 - box.bottom / self.height, box.width / WIDTH, box.height / self.height)
        ax = self.figure.add_axes(position)
        ax.set_facecolor(self.palette.paper)
        return ax

    @cached_property
    def drawing(self) -> Axes:
        """Axes over the whole canvas in canvas units, shared by all scales and slices.

        Making axes costs more than drawing into them: with one pair of axes a page takes three quarters of the time.
        """
        ax = self.axes(Box(0, 0, WIDTH, self.height))
        # One pair of axes for all drawing, in canvas units with y downwards: matplotlib's axes are costly to make and
        # to draw.
        ax.set(xlim=(0, WIDTH), ylim=(self.height, 0))
        ax.set_axis_off()
        return ax

    def rectangle(self, box: Box, **style: Any) -> None:
        """Draw a rectangle; `style` are keyword arguments of matplotlib's Rectangle."""
        self.figure.add_artist(
            Rectangle(
                (box.x / WIDTH, 1 - box.bottom / self.height),
                box.width / WIDTH,
                box.height / self.height,
                transform=self.figure.transFigure,
                **style,
            )
        )

    def rule(self, x: float, y: float, width: float) -> None:
        """Draw a horizontal line of one canvas unit."""
        self.rectangle(Box(x, y, width, 1.0), facecolor=self.palette.line, edgecolor="none")
