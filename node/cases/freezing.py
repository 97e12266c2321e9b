"""When a report is frozen: once treatment has begun, or long enough after the MR.

A report that was there at that time has been used: only a person changes it. One that is made later, for a study that
was loaded afterwards, is no one's decision yet: facts of days before that time still count, in whatever order they
arrive; later ones, and those without a day, are shown only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from config.messages.message import message
from config.settings import Settings


@dataclass(frozen=True)
class Freeze:
    """A frozen report.

    Attributes
    ----------
    since : date
        First day on which it is frozen.
    because : str
        Half a sentence.
    was_reported : bool
        Whether the report was made before that day; then nothing but a person makes a new revision.
    """

    since: date
    because: str
    was_reported: bool

    @property
    def sentence(self) -> str:
        """What it means, for explanation and page."""
        what = message("frozen.facts_and_contours") if self.was_reported else message("frozen.later_facts")
        return message("frozen.since", since=self.since, because=self.because, what=what)


def freeze_of(
    start: date | None, study_day: date | None, first_report: date, today: date, settings: Settings
) -> Freeze | None:
    """Return whether a reported case is frozen today.

    Parameters
    ----------
    start : date or None
        First day of treatment.
    study_day : date or None
        Day of the MR.
    first_report : date
        Day of the first report with a result.
    today : date
        In the time zone of the site.
    settings : Settings
        ``[case] freeze_after_days``.

    Returns
    -------
    Freeze or None
        None before treatment has begun and before that many days after the MR.
    """
    days = settings.case.freeze_after_days
    reasons = []
    if start is not None:
        reasons.append((start, message("frozen.treatment_began")))
    if study_day is not None:
        reasons.append((study_day + timedelta(days=days), message("frozen.days_after_mr", days=days)))
    since, because = min(reasons, default=(date.max, ""))
    return Freeze(since, because, first_report < since) if since <= today else None
