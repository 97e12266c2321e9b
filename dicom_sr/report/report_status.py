"""What a report says about its predecessor: that it replaces it, or that its result is withdrawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dicom_sr.report.normalisation import NormalisedValue


@dataclass(frozen=True)
class Withdrawal(NormalisedValue):
    """The result of a study is withdrawn, and no other result takes its place.

    Attributes
    ----------
    since : datetime
        With a time zone.
    by : str
        The person, or the event that withdrew it, for example "changed stage".
    because : str
        A sentence for the reader.
    """

    since: datetime
    by: str
    because: str


@dataclass(frozen=True)
class ReplacedReport(NormalisedValue):
    """The report that this one replaces, as its pictures name themselves.

    Attributes
    ----------
    revision : int
        From 1.
    created : datetime
        With a time zone.
    """

    revision: int
    created: datetime
