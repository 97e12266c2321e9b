"""Dates as files and messages write them; a form that two countries read differently is refused."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from config.errors import InputError

_FORMS = (
    re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?$"),
    re.compile(r"^(\d{4})/(\d{1,2})/(\d{1,2})(?: .*)?$"),
    re.compile(r"^(\d{4})\.(\d{1,2})\.(\d{1,2})$"),
    re.compile(r"^(\d{4})年(\d{1,2})月(\d{1,2})日?$"),
    re.compile(r"^(\d{4})(\d{2})(\d{2})(?:\d{2,6}(?:\.\d+)?(?:[+-]\d{4})?)?$"),
)


def parse_date(text: str, what: str = "date") -> date:
    """A calendar day from "2026-05-03", "20260503" (also with a time after it), "2026/5/3" or "2026年5月3日".

    Raises InputError otherwise; "03/05/2026" is refused because it has two readings.
    """
    plain = unicodedata.normalize("NFKC", str(text)).strip()
    for form in _FORMS:
        match = form.match(plain)
        if match:
            try:
                return date(*(int(part) for part in match.groups()))
            except ValueError as error:
                raise InputError(f"the {what} {text!r} is not a day of the calendar") from error
    raise InputError(f"the {what} {text!r} is not a date; expected YYYY-MM-DD")
