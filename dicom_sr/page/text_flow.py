"""Text that flows: paragraphs become lines of one width, which fill boxes, columns and pages one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import PageCanvas

TITLE_GAP = 10.0


@dataclass(frozen=True)
class Paragraph:
    """A piece of text before it is wrapped.

    Attributes
    ----------
    size : float
        Text size in canvas units.
    bold, dim : bool
        Weight, and whether it is drawn in the fainter colour.
    indent : float
        Of all its lines, in canvas units.
    mark : str
        A sign in front of its first line, inside the indent.
    gap : float
        Space above its first line.
    with_next : bool
        A title: it does not stay alone at the end of a column.
    """

    text: str
    size: float = 16.0
    bold: bool = False
    dim: bool = False
    indent: float = 0.0
    mark: str = ""
    gap: float = 0.0
    with_next: bool = False


def title(text: str, size: float = 18.0) -> Paragraph:
    """Return the title of a list."""
    return Paragraph(text, size, bold=True, gap=TITLE_GAP, with_next=True)


def item(text: str, size: float = 16.0, mark: str = "-", bold: bool = False) -> Paragraph:
    """Return an item of a list with a sign in front."""
    return Paragraph(text, size, bold, indent=size * 1.2, mark=mark)


def lines_of(canvas: PageCanvas, paragraphs: Sequence[Paragraph], width: float) -> list[Paragraph]:
    """Wrap paragraphs to one width.

    Parameters
    ----------
    canvas : PageCanvas
        Measures the text.
    paragraphs : sequence of Paragraph
        In the order of reading.
    width : float
        In canvas units.

    Returns
    -------
    list of Paragraph
        One for each line.
    """
    lines: list[Paragraph] = []
    for paragraph in paragraphs:
        wrapped = canvas.wrapped(paragraph.text, paragraph.size, width - paragraph.indent, paragraph.bold)
        lines.append(replace(paragraph, text=wrapped[0]))
        # Lines of a title stay together with what follows, too.
        lines += [replace(paragraph, text=text, mark="", gap=0.0) for text in wrapped[1:]]
    return lines


def line_height(canvas: PageCanvas, line: Paragraph) -> float:
    """Return the height of one line with the space above it.

    Parameters
    ----------
    canvas : PageCanvas
        Measures the text.
    line : Paragraph
        From `lines_of`.

    Returns
    -------
    float
        In canvas units.
    """
    return line.gap + canvas.line_height(line.size)


def height_of(canvas: PageCanvas, lines: Sequence[Paragraph]) -> float:
    """Return the height of lines.

    Parameters
    ----------
    canvas : PageCanvas
        Measures the text.
    lines : sequence of Paragraph
        From `lines_of`.

    Returns
    -------
    float
        In canvas units.
    """
    return sum(line_height(canvas, line) for line in lines)


def draw_lines(canvas: PageCanvas, box: Box, lines: Sequence[Paragraph]) -> tuple[float, list[Paragraph]]:
    """Draw as many lines as fit a box.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        Of the width that the lines were wrapped to.
    lines : sequence of Paragraph
        From `lines_of`.

    Returns
    -------
    (float, list of Paragraph)
        The y below the last line, and the lines that did not fit.
    """
    n, y = 0, box.y
    while n < len(lines) and y + line_height(canvas, lines[n]) <= box.bottom + 0.01:
        y += line_height(canvas, lines[n])
        n += 1
    if n < len(lines):
        while n > 0 and lines[n - 1].with_next:
            n -= 1
    y = box.y
    for line in lines[:n]:
        y += line.gap
        color = canvas.palette.dim if line.dim else None
        if line.mark:
            canvas.text(box.x, y, line.mark, line.size, color, line.bold)
        if line.text:
            canvas.text(box.x + line.indent, y, line.text, line.size, color, line.bold)
        y += canvas.line_height(line.size)
    return y, list(lines[n:])


def largest_lines(
    canvas: PageCanvas, paragraphs: Sequence[Paragraph], width: float, height: float, smallest: float
) -> list[Paragraph]:
    """Wrap paragraphs in letters as large as the height allows.

    Parameters
    ----------
    canvas : PageCanvas
        Measures the text.
    paragraphs : sequence of Paragraph
        Their sizes are the largest ones.
    width, height : float
        Of the space, in canvas units.
    smallest : float
        No letter becomes smaller, even where the lines do not fit.

    Returns
    -------
    list of Paragraph
        Lines of `width`.
    """
    less = 0.0
    while True:
        sized = [replace(each, size=max(smallest, each.size - less)) for each in paragraphs]
        lines = lines_of(canvas, sized, width)
        if height_of(canvas, lines) <= height or all(each.size <= smallest for each in sized):
            return lines
        less += 1.0
