"""A canvas to write on: positions in units of a 1024th of its width, from the top left corner.

Text is measured before it is drawn, so that it wraps and never runs out of its box.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dicom_sr.page import fonts

WIDTH = 1024.0
LINE_SPACING = 1.32
SAFETY = 1.03  # renderers hint glyphs a little wider than their outlines
# What may not be parted: Latin words with the blank behind them; Chinese may break after any character.
PIECES = re.compile(r"[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+\s*|\s+|[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True)
class Palette:
    """Colours of one style. Regimens differ in colour and in shape (Okabe and Ito's colour-blind safe set)."""

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


@dataclass(frozen=True)
class Box:
    """A part of the canvas."""

    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def columns(self, n: int, gap: float = 24) -> list[Box]:
        """The box in n columns of equal width."""
        width = (self.width - gap * (n - 1)) / n
        return [Box(self.x + i * (width + gap), self.y, width, self.height) for i in range(n)]

    def rows(self, n: int, gap: float = 8) -> list[Box]:
        """The box in n rows of equal height."""
        height = (self.height - gap * (n - 1)) / n
        return [Box(self.x, self.y + i * (height + gap), self.width, height) for i in range(n)]

    def beside(self, width: float, gap: float = 24) -> tuple[Box, Box]:
        """The left part of this width, and the rest."""
        left = min(width, self.width)
        rest = max(0.0, self.width - left - gap)
        return Box(self.x, self.y, left, self.height), Box(self.x + left + gap, self.y, rest, self.height)

    def split(self, height: float) -> tuple[Box, Box]:
        """The upper part of this height, and the rest."""
        upper = min(height, self.height)
        return (
            Box(self.x, self.y, self.width, upper),
            Box(self.x, self.y + upper, self.width, max(0.0, self.height - upper)),
        )


class PageCanvas:
    """One page under the pen."""

    def __init__(self, inches: tuple[float, float], palette: Palette, text_scale: float, chinese: str | None) -> None:
        self.figure = Figure(figsize=inches, dpi=WIDTH / inches[0], facecolor=palette.paper)
        self.height = WIDTH * inches[1] / inches[0]
        self.palette = palette
        self.text_scale = text_scale
        self.chinese = chinese
        self._points_per_unit = inches[0] * 72 / WIDTH

    def points(self, size: float) -> float:
        """A text size of the layout in points."""
        return size * self.text_scale * self._points_per_unit

    def line_height(self, size: float) -> float:
        return size * self.text_scale * LINE_SPACING

    def text_width(self, text: str, size: float, bold: bool = False) -> float:
        drawn = fonts.drawable(text, self.chinese)
        return fonts.width_pt(drawn, self.points(size), bold, self.chinese) / self._points_per_unit * SAFETY

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
        """One line of text; `y` is its top."""
        self.figure.text(
            x / WIDTH,
            1 - (y + self.line_height(size) * 0.78) / self.height,
            fonts.drawable(text, self.chinese),
            fontsize=self.points(size),
            color=color or self.palette.ink,
            fontweight="bold" if bold else "normal",
            fontfamily=fonts.families(self.chinese),
            ha=align,
            va="baseline",
            parse_math=False,
        )

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
        """One line, made smaller until it fits the box; wrapped at the smallest size. Returns the y below it."""
        while size > smallest and self.text_width(text, size, bold) > box.width:
            size -= 0.5
        return self.paragraph(box, y, text, size, color, bold)

    def paragraph(
        self, box: Box, y: float, text: str, size: float, color: str | None = None, bold: bool = False
    ) -> float:
        """Wrapped text from `y` down. Returns the y below it."""
        for line in self.wrapped(text, size, box.width, bold):
            self.text(box.x, y, line, size, color, bold)
            y += self.line_height(size)
        return y

    def wrapped(self, text: str, size: float, width: float, bold: bool = False) -> list[str]:
        """The text as lines that fit the width."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            current = ""
            for piece in self._pieces(paragraph, size, width, bold):
                if current and self.text_width((current + piece).rstrip(), size, bold) > width:
                    lines.append(current.rstrip())
                    current = piece.lstrip()
                else:
                    current += piece
            lines.append(current.rstrip())
        return lines

    def _pieces(self, text: str, size: float, width: float, bold: bool) -> Iterator[str]:
        """Words; a word wider than the line in parts that are not."""
        for piece in PIECES.findall(text):
            while len(piece) > 1 and self.text_width(piece.rstrip(), size, bold) > width:
                fitting = len(piece) - 1
                while fitting > 1 and self.text_width(piece[:fitting], size, bold) > width:
                    fitting -= 1
                yield piece[:fitting]
                piece = piece[fitting:]
            yield piece

    def largest_size(self, box: Box, blocks: Sequence[str], sizes: Sequence[float]) -> float | None:
        """The largest of the sizes at which all blocks, one under the other, fit the box; None when none does."""
        for size in sizes:
            n_lines = sum(len(self.wrapped(block, size, box.width)) for block in blocks)
            if n_lines * self.line_height(size) <= box.height:
                return size
        return None

    def axes(self, box: Box) -> Axes:
        """Axes on a part of the canvas."""
        position = (box.x / WIDTH, 1 - box.bottom / self.height, box.width / WIDTH, box.height / self.height)
        ax = self.figure.add_axes(position)
        ax.set_facecolor(self.palette.paper)
        return ax

    @cached_property
    def drawing(self) -> Axes:
        """Axes over the whole canvas in its own units, for everything that is drawn by hand.

        Making axes costs more than drawing into them, so all small drawings of a page share these.
        """
        ax = self.axes(Box(0, 0, WIDTH, self.height))
        ax.set(xlim=(0, WIDTH), ylim=(self.height, 0))
        ax.set_axis_off()
        return ax

    def rectangle(self, box: Box, **style: Any) -> None:
        """A rectangle in figure coordinates."""
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
        """A thin line across."""
        self.rectangle(Box(x, y, width, 1.0), facecolor=self.palette.line, edgecolor="none")
