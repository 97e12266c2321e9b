"""Who did something and when, as every output for people writes it: command line, pages, reports, audit trail."""

from __future__ import annotations

import os
import pwd
from datetime import datetime


def operating_user() -> str:
    """Return the login name of the user who runs this process.

    Returns
    -------
    str
        ``LOGNAME`` or ``USER`` where one is set, else the name in the password file; "user without a name" where the
        system has none, as in a container that runs under a bare number: a number is no name.
    """
    for variable in ("LOGNAME", "USER"):
        if name := os.environ.get(variable):
            return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "user without a name"


def local_day(moment: datetime) -> str:
    """Return the day of an aware time as YYYY-MM-DD, in the time zone of this machine."""
    return f"{moment.astimezone():%Y-%m-%d}"


def local_time(moment: datetime | str | None) -> str:
    """Return a time as text for people.

    Parameters
    ----------
    moment : datetime, str or None
        Aware, or in ISO form with its offset.

    Returns
    -------
    str
        In the time zone of this machine, to the second, with its offset: ``2026-12-01 08:12:03 +0800``; empty for no
        time.
    """
    if not moment:
        return ""
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %z}"
