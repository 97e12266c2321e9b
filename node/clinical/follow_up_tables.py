"""Tables of follow-up: each row is recorded whole or not at all, and each bad row gets one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.follow_up import EventName
from node.clinical.columns import normal_heading
from node.clinical.follow_up_entries import FollowUpEntry, event_entry, record_follow_up_entries, regimen_entry
from node.clinical.tables import SURPLUS, BadRow, ImportResult, known_cells, table_rows
from node.ledger.database import Ledger

ALIASES: Mapping[str, str] = {
    "patient_id": "patient_id", "patientid": "patient_id", "pid": "patient_id",
    "病人编号": "patient_id", "患者编号": "patient_id",
    "issuer": "issuer", "issuer_of_patient_id": "issuer",
    "regimen": "regimen", "regimen_given": "regimen", "treatment": "regimen", "arm": "regimen",
    "treatment_start": "treatment_start", "regimen_start": "treatment_start",
    "recurrence": "recurrence", "recurrence_date": "recurrence", "relapse_date": "recurrence",
    "metastasis": "metastasis", "metastasis_date": "metastasis",
    "death": "death", "death_date": "death", "date_of_death": "death",
    "last_contact": "last_contact", "last_contact_date": "last_contact", "last_follow_up": "last_contact",
}  # fmt: skip
_EVENTS: tuple[EventName, ...] = ("recurrence", "metastasis", "death", "last_contact")
# Of a heading that is not known: what it is likely to mean.
_NEAR = tuple(
    (column, re.compile(pattern))
    for column, pattern in (
        ("recurrence", r"recur|relaps|复发"), ("metastasis", r"metast|转移"), ("death", r"death|died|deceas|死亡"),
        ("last_contact", r"last_?(?:seen|visit|contact|follow|alive)|随访|失访"),
        ("regimen", r"regimen|therapy|protocol|方案"), ("treatment_start", r"start|begin|begun|开始"),
        ("patient_id", r"^(?:mrn|id|pat\w*|病历号|住院号|登记号)$"),
    )
)  # fmt: skip


def import_follow_up(path: Path, ledger: Ledger, settings: Settings, set_by: str) -> ImportResult:
    """Record the follow-up of a .csv or .json file.

    Parameters
    ----------
    path : Path
        The table.
    ledger : Ledger
        Receives the facts, one transaction a row.
    settings : Settings
        Time zone of the site.
    set_by : str
        User or program that imports the file, for the provenance.

    Returns
    -------
    ImportResult
        Refused rows are among it, with one sentence each; all others are recorded.

    Raises
    ------
    InputError
        The file is no table at all, or has a column that is nearly a known one.
    """
    rows = table_rows(path, column_of, near_miss)
    bad: list[BadRow] = []
    good: dict[int, tuple[str, str, list[FollowUpEntry]]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            good[number] = entries_of(row)
        except InputError as error:
            bad.append(BadRow(number, str(error)))
    for number, text in _contradictions(good).items():
        bad.append(BadRow(number, text))
        del good[number]
    new = 0
    for number, (patient_id, issuer, entries) in good.items():
        # A transaction for each row: a row that fails does not take the good ones with it.
        try:
            with ledger.begin() as session:
                new += record_follow_up_entries(
                    session, settings, patient_id, issuer, entries, f"file {path.name}", set_by
                )
        except InputError as error:
            bad.append(BadRow(number, str(error)))
    ignored = sorted({key for row in rows for key in row if key != SURPLUS and column_of(key) is None})
    return ImportResult(len(rows), new, tuple(sorted(bad, key=lambda each: each.row)), tuple(ignored))


def column_of(heading: str) -> str | None:
    """Return the column that a heading names; None for one that is not known."""
    return ALIASES.get(normal_heading(heading))


def near_miss(heading: str) -> str | None:
    """Return the column that an unknown heading is likely to mean; None for any other."""
    plain = normal_heading(heading)
    if plain in ALIASES:
        return None
    return next((column for column, pattern in _NEAR if pattern.search(plain)), None)


def entries_of(row: Mapping[str, str]) -> tuple[str, str, list[FollowUpEntry]]:
    """Interpret one row.

    Parameters
    ----------
    row : mapping of str to str
        Values by heading.

    Returns
    -------
    tuple of (str, str, list of FollowUpEntry)
        Patient ID, issuer, and at least one fact.

    Raises
    ------
    InputError
        With the sentence for this row.
    """
    known = known_cells(row, column_of)
    patient_id = known.get("patient_id", "")
    if not patient_id:
        raise InputError("it has no patient_id")
    entries = [event_entry(name, known[name]) for name in _EVENTS if name in known]
    start = parse_date(known["treatment_start"], "start of treatment") if "treatment_start" in known else None
    if "regimen" in known:
        entries.insert(0, regimen_entry(known["regimen"], start))
    elif start is not None:
        raise InputError("it has a treatment_start and no regimen; give both, or the start by `cptdn clinical import`")
    if not entries:
        raise InputError(f"it has no follow-up of patient {patient_id}")
    return patient_id, known.get("issuer", ""), entries


def _contradictions(good: Mapping[int, tuple[str, str, list[FollowUpEntry]]]) -> dict[int, str]:
    """Return a sentence for each row that gives regimen or death of a patient otherwise than another row."""
    first: dict[tuple[str, str, str], tuple[int, FollowUpEntry]] = {}
    sentences: dict[int, str] = {}
    for number, (patient_id, issuer, entries) in good.items():
        for entry in entries:
            if entry.name not in ("regimen", "death"):
                continue
            earlier, other = first.setdefault((patient_id, issuer, entry.name), (number, entry))
            if other != entry:
                text = f"rows {earlier} and {number} state another {entry.name} of patient {patient_id}; keep one"
                sentences[earlier] = sentences[number] = text
    return sentences
