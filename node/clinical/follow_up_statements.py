"""Coded statements about follow-up to facts: one set of rules for HL7 v2 and FHIR.

No standard code says for certain that a nasopharyngeal carcinoma has recurred, or which of both regimens was given:
such codes are the site's own (`[hl7] codes`, `[fhir] codes`), with one of these meanings.

| meaning | value |
|---|---|
| recurrence, metastasis, death, last_contact | a day; or yes or no, with the day of the observation |
| regimen | ICT+CCRT or CCRT; its first day is the day of the observation |
| regimen:ICT+CCRT, regimen:CCRT | none: of an order, an administration or a procedure, whose day is the first day |

A "no" says that the patient was seen on that day without it: a last contact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import cast

from sqlalchemy.orm import Session

from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.follow_up import EVENTS, NAMES, REGIMEN, EventName
from node.clinical.entries import NO, YES
from node.clinical.follow_up_entries import (
    FollowUpEntry,
    event_entry,
    record_follow_up_entries,
    regimen_entry,
)
from node.ledger.follow_up import has_report, withdraw_follow_up

REGIMEN_CODES: Mapping[str, TreatmentArm] = {f"{REGIMEN}:{arm.value}": arm for arm in TreatmentArm}
MEANINGS = frozenset({*NAMES, *REGIMEN_CODES})


@dataclass
class FollowUpStatements:
    """What a sender says about one patient.

    Attributes
    ----------
    entries : list of FollowUpEntry
        From codes that the site has configured: a patient without a report is named.
    broadcast : list of FollowUpEntry
        From what is sent of every patient of the hospital (deaths, diagnoses): a patient without a report is ignored.
    withdrawn : list of (name, date or None)
        What the sender deleted or entered in error.
    problems, broadcast_problems : list of str
        A sentence for each statement that cannot be used, of `entries` and of `broadcast`.
    """

    entries: list[FollowUpEntry] = field(default_factory=list)
    broadcast: list[FollowUpEntry] = field(default_factory=list)
    withdrawn: list[tuple[str, date | None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    broadcast_problems: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        content = (self.entries, self.broadcast, self.withdrawn, self.problems, self.broadcast_problems)
        return not any(content)


def read_statement(meaning: str, value: str, observed_on: date | None, *, is_correction: bool = False) -> FollowUpEntry:
    """Interpret one coded statement.

    Parameters
    ----------
    meaning : str
        One of `MEANINGS`.
    value : str
        As sent.
    observed_on : date or None
        Day of the observation.
    is_correction : bool
        Whether it replaces what the same sender has said.

    Returns
    -------
    FollowUpEntry
        Of a "no" the contact on that day.

    Raises
    ------
    InputError
        The value is not understood, or a day is missing.
    """
    if meaning in REGIMEN_CODES:
        return FollowUpEntry(REGIMEN, observed_on, REGIMEN_CODES[meaning].value, is_correction)
    if meaning == REGIMEN:
        entry = regimen_entry(value, observed_on)
        return FollowUpEntry(entry.name, entry.day, entry.regimen, is_correction)
    name = cast(EventName, meaning)
    plain = value.strip().lower()
    if plain in YES | NO and observed_on is None:
        raise InputError(f"expected a day with the {name.replace('_', ' ')} {value!r}, found none")
    if plain in NO:
        return FollowUpEntry("last_contact", observed_on)
    if plain in YES:
        return FollowUpEntry(name, observed_on, None, is_correction)
    return FollowUpEntry(name, event_entry(name, value).day, None, is_correction)


def withdrawn_statement(meaning: str, value: str, observed_on: date | None) -> tuple[str, date | None]:
    """Return name and day of what a sender has deleted; without a day everything of that name is meant."""
    if meaning not in EVENTS:
        return REGIMEN, None
    try:
        return meaning, parse_date(value)
    except InputError:
        return meaning, observed_on


def record_statements(
    session: Session,
    settings: Settings,
    patient_id: str,
    issuer: str,
    statements: FollowUpStatements,
    source: str,
    set_by: str,
    stated_at: datetime | None = None,
) -> tuple[int, list[str]]:
    """Record what a sender says about one patient.

    Parameters
    ----------
    session, settings, patient_id, issuer, source, set_by, stated_at
        As of `record_follow_up_entries`.
    statements : FollowUpStatements
        Of one message or group of resources.

    Returns
    -------
    tuple of (int, list of str)
        Number of new facts, and a sentence for each statement that cannot be used.
    """
    new, problems = 0, list(statements.problems)
    for name, day in statements.withdrawn:
        withdraw_follow_up(session, patient_id, issuer, name, day, set_by)
    identity = (session, settings, patient_id, issuer)
    for entry in _in_order(statements.entries):
        try:
            new += record_follow_up_entries(*identity, [entry], source, set_by, stated_at)
        except InputError as error:
            problems.append(str(error))
    if not has_report(session, patient_id, issuer):
        return new, problems
    problems += statements.broadcast_problems
    for entry in _in_order(statements.broadcast):
        try:
            new += record_follow_up_entries(*identity, [entry], source, set_by, stated_at)
        except InputError as error:
            problems.append(str(error))
    return new, problems


def _in_order(entries: Sequence[FollowUpEntry]) -> list[FollowUpEntry]:
    # The regimen first: it states when treatment began, which the days of the others are checked against.
    return sorted(entries, key=lambda entry: NAMES.index(entry.name))
