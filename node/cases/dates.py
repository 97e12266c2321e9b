"""Dates as files and messages write them; a form with two readings is refused."""

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
    """Read a calendar day.

    Parameters
    ----------
    text : str
        "2026-05-03", "20260503" (a time may follow both), "2026/5/3", "2026.5.3" or "2026年5月3日".
    what : str
        Name of the value, for the error message.

    Returns
    -------
    date
        The day, without a time zone: 2026-05-03T23:30 is 3 May wherever it was written.

    Raises
    ------
    InputError
        For anything else; "03/05/2026" is refused because it has two readings.
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
