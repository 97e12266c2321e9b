"""The site's text about guidelines has a source, a date and a signer, or there is none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.sections import ReportSettings

WHOLE = {
    "guideline_text": "Neutropenia in four of ten.",
    "guideline_source": "Hospital guideline 7",
    "guideline_date": "2026-01-31",
    "guideline_signer": "Dr Chen",
}


@pytest.mark.parametrize("missing", list(WHOLE))
def test_a_text_without_one_of_its_parts_is_refused_by_name(missing: str) -> None:
    parts = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(ValidationError, match=f"found no {missing}"):
        ReportSettings(**parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["2026-13-01", "2026-02-30", "20260131", "9999-99-99", "31.01.2026", "2026-1-31"])
def test_a_date_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match=f"YYYY-MM-DD, found '{written}'"):
        ReportSettings(**{**WHOLE, "guideline_date": written})  # type: ignore[arg-type]


def test_all_parts_or_none_are_a_setting() -> None:
    assert ReportSettings(**WHOLE).guideline_signer == "Dr Chen"  # type: ignore[arg-type]
    assert ReportSettings().guideline_text is None
