"""What was noticed while reading: repaired or harmless things that the report states."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A stable code and one sentence for a person; what cannot be repaired is an IneligibleStudyError instead."""

    code: str
    text: str
