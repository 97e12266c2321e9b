"""Rectangles of a page, in canvas units: 1/1024 of its width, from the top left corner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of the canvas: its top left corner and its size, in canvas units; y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """The y of the lower edge."""
        return self.y + self.height

    def columns(self, n: int, gap: float = 24) -> list[Box]:
        """Divide the box into columns of equal width.

        Parameters
        ----------
        n : int
            Their number, at least 1.
        gap : float
            Between two of them, in canvas units.

        Returns
        -------
        list of Box
            Left to right.
        """
        width = (self.width - gap * (n - 1)) / n
        return [Box(self.x + i * (width + gap), self.y, width, self.height) for i in range(n)]

    def rows(self, n: int, gap: float = 8) -> list[Box]:
        """Divide the box into `n` rows of equal height with a gap between them, top to bottom."""
        height = (self.height - gap * (n - 1)) / n
        return [Box(self.x, self.y + i * (height + gap), self.width, height) for i in range(n)]

    def beside(self, width: float, gap: float = 24) -> tuple[Box, Box]:
        """Divide the box into a left part of the given width, and the rest after a gap.

        Parameters
        ----------
        width : float
            Width of the left part; at most the box's own.
        gap : float
            Distance between the parts.

        Returns
        -------
        pair of Box
            Left part and rest; the rest has no width where the box is too narrow.
        """
        left = min(width, self.width)
        rest = max(0.0, self.width - left - gap)
        return Box(self.x, self.y, left, self.height), Box(self.x + left + gap, self.y, rest, self.height)

    def split(self, height: float) -> tuple[Box, Box]:
        """Divide the box into an upper part of the given height, and the rest.

        Parameters
        ----------
        height : float
            Height of the upper part; at most the box's own.

        Returns
        -------
        pair of Box
            Upper part and rest; the rest has no height where the box is too low.
        """
        upper = min(height, self.height)
        return (
            Box(self.x, self.y, self.width, upper),
            Box(self.x, self.y + upper, self.width, max(0.0, self.height - upper)),
        )
