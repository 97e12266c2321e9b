"""A document of headings, paragraphs and tables, written as Markdown or as one HTML page.

The conformance statement is a list of such blocks: one content, two forms that cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:1rem 0;width:100%}caption{text-align:left;font-weight:bold;padding:.3rem 0}"
    "th,td{border:1px solid #bbb;padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th{background:#eee}@media print{body{max-width:none}}"
)


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title of the document."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text without markup."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table with one header row; each row has as many cells as `columns`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


Block = Heading | Paragraph | Table


def to_markdown(blocks: Sequence[Block]) -> str:
    """Write a document as Markdown.

    Parameters
    ----------
    blocks : sequence of Block
        The document in reading order.

    Returns
    -------
    str
        With pipe tables; a pipe inside a cell is escaped.
    """
    return "\n".join(line for block in blocks for line in (*_markdown_lines(block), ""))


def to_html(blocks: Sequence[Block]) -> str:
    """Write a document as one HTML page that loads nothing else.

    Parameters
    ----------
    blocks : sequence of Block
        The document in reading order; its first heading is the page's title.

    Returns
    -------
    str
        All text is escaped.
    """
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    body = "\n".join(_html_of(block) for block in blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        # The style is inside the page: the statement is sent by mail and archived as one file.
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _markdown_lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"{'#' * level} {text}"
        case Paragraph(text):
            yield text
        case Table(columns, rows, title):
            if title:
                yield f"**{title}**"
                yield ""
            yield _markdown_row(columns)
            yield "|" + "---|" * len(columns)
            yield from (_markdown_row(row) for row in rows)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _html_of(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Table(columns, rows, title):
            caption = f"<caption>{escape(title)}</caption>" if title else ""
            head = "".join(f"<th scope=col>{escape(column)}</th>" for column in columns)
            body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
