"""Findings: what was repaired or noticed while reading a series or a contour, and is stated in the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One repaired or harmless defect; a defect that cannot be repaired is an `IneligibleStudyError` instead.

    Attributes
    ----------
    code : str
        Stable code, for example ``duplicate_slice``; the README of this room lists them.
    text : str
        One sentence in English with the numbers behind it.
    """

    code: str
    text: str
