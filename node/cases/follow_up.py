"""What happened to a patient after the report: the regimen that was given, and the outcome; pure values and checks.

Disease-free survival counts from the first day of treatment to the first of recurrence, metastasis and death; without
one of them it is censored at the last contact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from config.errors import InputError
from config.indication.vocabulary import TreatmentArm

EventName = Literal["recurrence", "metastasis", "death", "last_contact"]
REGIMEN = "regimen"
EVENTS: tuple[EventName, ...] = ("recurrence", "metastasis", "death", "last_contact")
FAILURES: tuple[EventName, ...] = ("recurrence", "metastasis", "death")
NAMES = (REGIMEN, *EVENTS)
_WORDS: Mapping[EventName, str] = {
    "recurrence": "a recurrence", "metastasis": "a metastasis", "death": "a death", "last_contact": "a last contact",
}  # fmt: skip


@dataclass(frozen=True)
class DiseaseFreeSurvival:
    """Days from the first day of treatment, and whether they end with an event (`by` names it) or are censored."""

    days: int
    event: bool
    by: EventName


@dataclass(frozen=True)
class FollowUp:
    """What is recorded of one patient.

    Attributes
    ----------
    regimen : TreatmentArm or None
        The regimen that was given, as it was stated last.
    regimen_start : date or None
        First day of it, where it was stated with the regimen.
    recurrences, metastases, last_contacts : tuple of date
        Every recorded day.
    death : date or None
        As it was stated last.
    """

    regimen: TreatmentArm | None = None
    regimen_start: date | None = None
    recurrences: tuple[date, ...] = ()
    metastases: tuple[date, ...] = ()
    death: date | None = None
    last_contacts: tuple[date, ...] = ()

    def days_of(self, name: EventName) -> tuple[date, ...]:
        """Return the recorded days of an event."""
        deaths = () if self.death is None else (self.death,)
        days = {
            "recurrence": self.recurrences,
            "metastasis": self.metastases,
            "death": deaths,
            "last_contact": self.last_contacts,
        }
        return days[name]

    def disease_free_survival(self, start: date) -> DiseaseFreeSurvival | None:
        """Return the disease-free survival.

        Parameters
        ----------
        start : date
            First day of treatment.

        Returns
        -------
        DiseaseFreeSurvival or None
            None where there is neither an event nor a contact since. A day without events counts from 1.
        """
        events = [(min(days), name) for name in FAILURES if (days := self.days_of(name))]
        if events:
            day, name = min(events)
            return DiseaseFreeSurvival(max((day - start).days, 1), True, name)
        last = max(self.last_contacts, default=None)
        if last is None or last <= start:
            return None
        return DiseaseFreeSurvival((last - start).days, False, "last_contact")


def read_regimen(text: str) -> TreatmentArm:
    """Read the name of a regimen; blanks and case do not matter.

    Raises
    ------
    InputError
        It is neither regimen that the model compares.
    """
    plain = "".join(text.split()).upper().replace("＋", "+")
    for arm in TreatmentArm:
        if plain == arm.value.upper():
            return arm
    raise InputError(f"expected the regimen {' or '.join(arm.value for arm in TreatmentArm)}, found {text.strip()!r}")


def check_follow_up(follow_up: FollowUp, start: date | None, today: date) -> None:
    """Refuse what cannot have happened.

    Parameters
    ----------
    follow_up : FollowUp
        All that would be recorded of the patient.
    start : date or None
        First day of treatment, where it is known.
    today : date
        At the site.

    Raises
    ------
    InputError
        A day is in the future, before the first day of treatment, or after the death; the sentence names both days.
    """
    days = [(_WORDS[name], day) for name in EVENTS for day in follow_up.days_of(name)]
    if follow_up.regimen_start is not None:
        _refuse_future([("a first day of treatment", follow_up.regimen_start)], today)
    _refuse_future(days, today)
    for what, day in days:
        if start is not None and day < start:
            raise InputError(
                f"expected {what} after treatment began on {start.isoformat()}, found {day.isoformat()}; correct one "
                "of the two"
            )
        if follow_up.death is not None and day > follow_up.death:
            raise InputError(
                f"expected {what} up to the death on {follow_up.death.isoformat()}, found {day.isoformat()}; correct "
                "one of the two"
            )


def _refuse_future(days: Iterable[tuple[str, date]], today: date) -> None:
    for what, day in days:
        if day > today:
            raise InputError(f"expected {what} up to today, {today.isoformat()}, found {day.isoformat()}")
