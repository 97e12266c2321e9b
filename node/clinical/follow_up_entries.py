"""Follow-up facts before they are recorded: every source builds and records them here, by the same checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.fact_choice import choose_start
from node.cases.follow_up import REGIMEN, EventName, check_follow_up, read_regimen
from node.clinical.entries import check_storable, today_at_site
from node.ledger.facts import facts_of
from node.ledger.follow_up import (
    follow_up_from,
    follow_up_history,
    has_report,
    record_follow_up,
    withdraw_follow_up,
)
from node.ledger.tables import FollowUpFact


@dataclass(frozen=True)
class FollowUpEntry:
    """One follow-up fact.

    Attributes
    ----------
    name : {"regimen", "recurrence", "metastasis", "death", "last_contact"}
        The fact.
    day : date or None
        Of the event; of a regimen its first day, where it is stated.
    regimen : str or None
        Of the name ``regimen``.
    is_correction : bool
        Whether it replaces what the same sender has said under this name.
    """

    name: str
    day: date | None
    regimen: str | None = None
    is_correction: bool = False


def regimen_entry(text: str, start: date | None = None) -> FollowUpEntry:
    """Build the entry of the regimen that was given; InputError for another one than the model compares."""
    return FollowUpEntry(REGIMEN, start, read_regimen(text).value)


def event_entry(name: EventName, text: str) -> FollowUpEntry:
    """Build the entry of an event from its day; InputError for a text that is no date."""
    return FollowUpEntry(name, parse_date(text, f"day of {name.replace('_', ' ')}"))


def record_follow_up_entries(
    session: Session,
    settings: Settings,
    patient_id: str,
    issuer: str,
    entries: Sequence[FollowUpEntry],
    source: str,
    set_by: str,
    stated_at: datetime | None = None,
) -> int:
    """Record follow-up of one patient: all of it or, where something cannot have happened, nothing.

    Parameters
    ----------
    session : Session
        The facts are durable when its transaction is committed.
    settings : Settings
        ``[report] timezone``, for the present day.
    patient_id, issuer : str
        As in the images.
    entries : sequence of FollowUpEntry
        Of one row, command or message.
    source, set_by : str
        Provenance.
    stated_at : datetime, optional
        When the sender wrote them; aware.

    Returns
    -------
    int
        Number of facts that were new.

    Raises
    ------
    InputError
        The patient has no report with a result; or a day is in the future, before treatment began, or after the death.
    """
    check_storable(patient_id, issuer)
    if not has_report(session, patient_id, issuer):
        raise InputError(f"expected a patient with a report, found none for {patient_id!r}")
    recorded = [row for row in follow_up_history(session, patient_id, issuer) if row.withdrawn_at is None]
    corrected = {entry.name for entry in entries if entry.is_correction}
    remaining = [row for row in recorded if row.name not in corrected or row.set_by != set_by]
    together = follow_up_from([*remaining, *(_row(entry) for entry in entries)])
    start, _, _ = choose_start(facts_of(session, patient_id.strip(), issuer), None)
    known = start.day if start is not None and start.kind != "planned" else None
    check_follow_up(together, together.regimen_start or known, today_at_site(settings))
    for name in corrected:
        withdraw_follow_up(session, patient_id, issuer, name, set_by=set_by)
    return sum(
        record_follow_up(
            session, patient_id, issuer, entry.name, entry.day, entry.regimen, source, set_by, stated_at
        ) is not None
        for entry in entries
    )  # fmt: skip


def _row(entry: FollowUpEntry) -> FollowUpFact:
    """Return an entry as a row of no ledger, to see what it would say together with the others."""
    return FollowUpFact(name=entry.name, day=entry.day, regimen=entry.regimen)
