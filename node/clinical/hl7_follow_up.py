"""Follow-up in HL7 v2 messages: PID-29 and PID-30 (death), and OBX segments with a code of the site.

Source: HL7 v2.5.1 sections 3.4.2.29 and 3.4.2.30; table 0136 (yes or no).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.clinical.follow_up_entries import event_entry
from node.clinical.follow_up_statements import (
    MEANINGS,
    REGIMEN_CODES,
    FollowUpStatements,
    read_statement,
    withdrawn_statement,
)
from node.clinical.hl7_fields import component, field_text
from node.clinical.hl7_observations import CORRECTED, FINAL, NOT_FINAL, WITHDRAWN, observed_on, value_text
from node.clinical.hl7_orders import Orders

# Updates of a patient (A08), of a person (A31) and a discharge (A03): what tells of a death.
DELETED = '""'  # a value that the sender deletes (2.5.3)
ADT_TRIGGERS = frozenset({"A03", "A08", "A31"})


def follow_up_of(pid: Any, segments: list[Any], orders: Orders | None, settings: Settings) -> FollowUpStatements:
    """Read the follow-up of one patient.

    Parameters
    ----------
    pid : hl7.Segment or None
        The patient.
    segments : list of hl7.Segment
        In the order of the message.
    orders : Orders or None
        Treatments of the same message.
    settings : Settings
        Local codes of the site.

    Returns
    -------
    FollowUpStatements
        Empty for a message that says nothing about follow-up.
    """
    statements = FollowUpStatements()
    if pid is not None:
        _read_death(pid, statements)
    order = None
    for segment in segments:
        name = str(segment[0])
        if name == "OBR":
            order = segment
        if name == "OBX" and (meaning := _meaning(segment, settings)) is not None:
            _read_observation(segment, meaning, observed_on(segment, order), statements)
    for code, day in orders.given if orders is not None else ():
        meaning = settings.hl7.codes.get(code, "")
        if meaning in REGIMEN_CODES:
            statements.entries.append(read_statement(meaning, "", date.fromisoformat(day)))
    return statements


def _meaning(segment: Any, settings: Settings) -> str | None:
    meanings = (settings.hl7.codes.get(component(segment, 3, index), "") for index in (0, 3))
    return next((meaning for meaning in meanings if meaning in MEANINGS), None)


def _read_death(pid: Any, statements: FollowUpStatements) -> None:
    day, indicator = component(pid, 29, 0), component(pid, 30, 0).upper()
    if day == DELETED:
        statements.withdrawn.append(("death", None))
    elif indicator == "N" and day:
        statements.broadcast_problems.append(
            "the death indicator (PID-30) is N, but a day of death (PID-29) is sent; correct one of the two"
        )
    elif day:
        try:
            statements.broadcast.append(event_entry("death", day[:14] if len(day) >= 14 else day[:8]))
        except InputError as error:
            statements.broadcast_problems.append(f"{error} (PID-29)")
    elif indicator == "Y":
        statements.broadcast_problems.append(
            "the death indicator (PID-30) is Y; expected the day of death in PID-29, found none"
        )


def _read_observation(segment: Any, meaning: str, day: date | None, statements: FollowUpStatements) -> None:
    status, value, code = field_text(segment, 11).upper(), value_text(segment), component(segment, 3, 0)
    if status in WITHDRAWN:
        statements.withdrawn.append(withdrawn_statement(meaning, value, day))
        return
    if status not in (FINAL, CORRECTED):
        reason = NOT_FINAL.get(status, f"{status!r} is not known")
        statements.problems.append(
            f"the follow-up {code} is not recorded: its status (OBX-11) {reason}; expected F or C"
        )
        return
    try:
        statements.entries.append(read_statement(meaning, _as_day(value), day, is_correction=status == CORRECTED))
    except InputError as error:
        statements.problems.append(f"{error} (OBX {code})")


def _as_day(value: str) -> str:
    """Return the day of a time stamp; any other value as it is."""
    try:
        return parse_date(value[:14] if len(value) >= 14 else value).isoformat()
    except InputError:
        return value
