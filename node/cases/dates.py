"""Dates and times as files and messages write them; a date with two readings is refused, a time is unknown."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta

from config.errors import InputError
from config.messages.message import message

# The year comes first in all of them: otherwise every day up to the 12th of a month would have two readings.
_FORMS = (
    re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?$"),
    re.compile(r"^(\d{4})/(\d{1,2})/(\d{1,2})(?: .*)?$"),
    re.compile(r"^(\d{4})\.(\d{1,2})\.(\d{1,2})$"),
    re.compile(r"^(\d{4})年(\d{1,2})月(\d{1,2})日?$"),
    re.compile(r"^(\d{4})(\d{2})(\d{2})(?:\d{2,6}(?:\.\d+)?(?:[+-]\d{4})?)?$"),
)

# TM of the standard (HH, HHMM, HHMMSS, fraction), of ACR-NEMA (HH:MM:SS), and without the leading zero, as programs
# write it that treat a time as a number.
_TIME = re.compile(r"^(?:(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?|(\d{1,6}))(?:\.(\d*))?$")
_DATE_TIME = re.compile(r"^(\d{8})(\d{2,6}(?:\.\d*)?)(?:[+-]\d{4})?$")
_HALF_A_DAY = timedelta(hours=12)


def parse_date(text: str, what: str = message("date.any")) -> date:
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
                raise InputError(message("date.not_a_day", what=what, text=str(text))) from error
    raise InputError(message("date.not_a_date", what=what, text=str(text)))


def parse_dicom_time(text: object) -> time | None:
    """Read a DICOM time (TM).

    Parameters
    ----------
    text : object
        "101500.25", "1015", "10:15:00" of ACR-NEMA, or "93600" for 9:36 where a leading zero is missing.

    Returns
    -------
    time or None
        None where there is none, or none of a clock ("256199").

    References
    ----------
    PS3.5 section 6.2, table 6.2-1 (TM; the colons are of ACR-NEMA 300).
    """
    match = _TIME.match(str(text if text is not None else "").strip())
    if match is None:
        return None
    hours, minutes, seconds, digits, fraction = match.groups()
    if digits is not None:
        if fraction is not None and len(digits) < 5:
            return None  # a fraction belongs to seconds
        padded = digits.zfill(len(digits) + len(digits) % 2)
        hours, minutes, seconds = padded[:2], padded[2:4], padded[4:6]
    try:
        # 60 is a leap second.
        return time(int(hours), int(minutes or 0), min(int(seconds or 0), 59), int((fraction or "").ljust(6, "0")[:6]))
    except ValueError:
        return None


def dicom_moment(
    date_time: object, day: object, clock: object, since: tuple[object, object] | None = None
) -> datetime | None:
    """Read when something was acquired.

    Parameters
    ----------
    date_time : object
        DT, used where it states a day and at least an hour; its time zone is left out: all series of a study are
        written by one scanner.
    day, clock : object
        DA and TM, used otherwise.
    since : (DA, TM), optional
        An earlier moment, for example of the study. It gives the day where none is stated; a clock that is more than
        twelve hours before it is of the next day.

    Returns
    -------
    datetime or None
        None where the day or the time is unknown or unreadable.
    """
    match = _DATE_TIME.match(str(date_time or "").strip())
    if match:
        moment = _combined(match.group(1), match.group(2))
        if moment is not None:
            return moment
    if _day(day) is not None or since is None:
        return _combined(day, clock)
    moment, earlier = _combined(since[0], clock), _combined(*since)
    if moment is not None and earlier is not None and earlier - moment > _HALF_A_DAY:
        return moment + timedelta(days=1)
    return moment


def _combined(day: object, clock: object) -> datetime | None:
    date_, time_ = _day(day), parse_dicom_time(clock)
    return datetime.combine(date_, time_) if date_ is not None and time_ is not None else None


def _day(text: object) -> date | None:
    try:
        return parse_date(str(text or ""))
    except InputError:
        return None
