"""One table of a report: caption, header and cells as text, without markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportTable:
    """One table.

    Attributes
    ----------
    caption : str
        Above the table.
    header : sequence of str
        One cell per column.
    rows : sequence of sequence of str
        The first cell of each row is its heading.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
