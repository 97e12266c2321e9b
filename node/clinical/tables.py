"""Clinical facts from CSV and JSON tables: good rows are recorded, and each bad row gets one sentence."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.entered_sources import FILE
from config.errors import InputError
from config.messages.message import message
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.ebv_dna import is_in_iu
from node.clinical.columns import column_of, is_like_patient_id, near_miss
from node.clinical.entries import (
    FactEntry,
    birth_date_entry,
    diagnosis_entry,
    ebv_entry,
    ebv_value,
    prior_treatment_entry,
    record_entries,
    stage_entry,
    treatment_start_entry,
)
from node.clinical.number_text import number_text
from node.ledger.database import Ledger

ENCODINGS = ("utf-8-sig", "gb18030")
SURROGATE = re.compile("[\ud800-\udfff]")
SURPLUS = "(more values than columns)"  # no heading: a row with a decimal comma has one value more
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class BadRow:
    """A row that was not recorded; `row` counts data rows from 1."""

    row: int
    text: str


@dataclass(frozen=True)
class ImportResult:
    """The outcome of one table.

    Attributes
    ----------
    n_rows : int
        Data rows of the table.
    n_new_facts : int
        Facts that were not recorded before.
    bad : tuple of BadRow
        Rows that were refused.
    ignored_columns : tuple of str
        Columns that are not known, so that a misspelt heading is seen.
    """

    n_rows: int
    n_new_facts: int
    bad: tuple[BadRow, ...]
    ignored_columns: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `cptdn clinical import --json` prints."""
        return {
            "rows": self.n_rows,
            "new_facts": self.n_new_facts,
            "bad_rows": [{"row": bad.row, "text": bad.text} for bad in self.bad],
            "ignored_columns": list(self.ignored_columns),
        }

    def sentences(self) -> list[str]:
        """Return one sentence for each refused row, and one for the columns that are not known."""
        lines = [f"Row {bad.row} was not entered: {bad.text}." for bad in self.bad]
        if self.ignored_columns:
            lines.append(f"Columns that are not known were ignored: {', '.join(self.ignored_columns)}.")
        return lines


def import_file(path: Path, ledger: Ledger, settings: Settings, set_by: str) -> ImportResult:
    """Record the facts of a .csv or .json file; each row is recorded whole or not at all.

    Parameters
    ----------
    path : Path
        The table.
    ledger : Ledger
        Receives the facts, one transaction a row.
    settings : Settings
        Threshold, conversion and staging edition of the site.
    set_by : str
        User or program that imports the file, for the provenance.

    Returns
    -------
    ImportResult
        Refused rows are among it, with one sentence each.

    Raises
    ------
    InputError
        When the file is no table at all.
    """
    rows = read_rows(path)
    ignored = sorted({key for row in rows for key in row if key != SURPLUS and column_of(key) is None})
    bad: list[BadRow] = []
    good: dict[int, tuple[str, str, list[FactEntry]]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            good[number] = entries_of(row, settings)
        except InputError as error:
            bad.append(BadRow(number, str(error)))
    for number, text in _contradictions(good, settings).items():
        bad.append(BadRow(number, text))
        del good[number]
    new = 0
    for number, (patient_id, issuer, entries) in good.items():
        # A transaction for each row: a row that fails does not take the good ones with it.
        try:
            with ledger.begin() as session:
                new += record_entries(session, patient_id, issuer, entries, f"{FILE}{path.name}", set_by)
        except InputError as error:
            bad.append(BadRow(number, str(error)))
    return ImportResult(len(rows), new, tuple(sorted(bad, key=lambda each: each.row)), tuple(ignored))


def _contradictions(good: Mapping[int, tuple[str, str, list[FactEntry]]], settings: Settings) -> dict[int, str]:
    """Return a sentence for each row that gives a fact of a patient and day otherwise than another row."""
    first: dict[tuple[Any, ...], tuple[int, Any]] = {}
    sentences: dict[int, str] = {}
    for number, (patient_id, issuer, entries) in good.items():
        for entry in entries:
            key = (patient_id, issuer, entry.name, entry.observed_on, _is_in_iu(entry))
            earlier, value = first.setdefault(key, (number, _compared(entry, settings)))
            if value != _compared(entry, settings):
                what = entry.name.replace("_", " ").replace("ebv dna", "EBV DNA")
                text = f"rows {earlier} and {number} give different values of {what} for patient {patient_id}; keep one"
                sentences[earlier] = sentences[number] = text
    return sentences


def _is_in_iu(entry: FactEntry) -> bool:
    return entry.name == "ebv_dna" and is_in_iu(entry.value["text"], entry.value["unit"])


def _compared(entry: FactEntry, settings: Settings) -> Any:
    """Return what two rows must agree in: of EBV DNA the result and not its spelling."""
    if entry.name != "ebv_dna":
        return entry.value
    value = ebv_value(entry, settings)
    return value.category, value.copies_per_ml, value.comparator, value.bound_copies_per_ml, entry.value["specimen"]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a table of facts; arguments, result and errors as of `table_rows`."""
    return table_rows(path, column_of, near_miss)


def table_rows(
    path: Path, column_of: Callable[[str], str | None], near_miss: Callable[[str], str | None]
) -> list[dict[str, str]]:
    """Read a table.

    Parameters
    ----------
    path : Path
        UTF-8 or GB18030; .json is a list of objects, anything else CSV with comma, semicolon or tab.
    column_of : callable
        The column that a heading names, or None.
    near_miss : callable
        The column that an unknown heading is likely to mean, or None.

    Returns
    -------
    list of dict of str to str
        Values as text by column name.

    Raises
    ------
    InputError
        When the file is too large, cannot be read or decoded, has no rows or no column ``patient_id``, or a column
        whose heading is nearly a known one.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MB")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    text = _decoded(raw, path)
    rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    if not rows:
        raise InputError(f"{path} has no rows; expected a heading and at least one row")
    headings = sorted({key for row in rows for key in row if key != SURPLUS})
    if not any(column_of(key) == "patient_id" for key in headings):
        like = next((key for key in headings if is_like_patient_id(key)), None)
        meant = f"; rename {like!r} to patient_id if that is what it contains" if like else ""
        raise InputError(f"{path} has no column patient_id; found {', '.join(headings[:12])}{meant}")
    # An unknown heading is left out silently by most programs, and with it the fact that it has.
    near = {key: column for key in headings if (column := near_miss(key)) is not None}
    if near:
        named = " and ".join(f"{key!r} (did you mean {column}?)" for key, column in near.items())
        raise InputError(f"{path} has columns that are not known: {named}; rename or remove them, nothing was entered")
    return rows


def known_cells(row: Mapping[str, str], column_of: Callable[[str], str | None]) -> dict[str, str]:
    """Return the cells of a row that are not empty, by column.

    Parameters
    ----------
    row : mapping of str to str
        Values by heading, as `table_rows` returns them.
    column_of : callable
        The column that a heading names, or None.

    Raises
    ------
    InputError
        The row has more values than the table has columns, or gives one column twice.
    """
    if SURPLUS in row:
        raise InputError("it has more values than the table has columns")
    known: dict[str, str] = {}
    for key, text in row.items():
        column = column_of(key)
        if column is not None and text.strip():
            # Two headings may mean one column; with different values neither is more right than the other.
            if column in known and known[column] != text.strip():
                raise InputError(f"it gives {column} twice with different values")
            known[column] = text.strip()
    return known


def entries_of(row: Mapping[str, str], settings: Settings) -> tuple[str, str, list[FactEntry]]:
    """Interpret one row.

    Parameters
    ----------
    row : mapping of str to str
        Values by column name, as `read_rows` returns them.
    settings : Settings
        Threshold, conversion and staging edition of the site.

    Returns
    -------
    tuple of (str, str, list of FactEntry)
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
    entries = [
        read(known[column])
        for column, read in (
            ("birth_date", birth_date_entry),
            ("treatment_start", treatment_start_entry),
            ("prior_treatment", prior_treatment_entry),
        )
        if column in known
    ]
    if "ebv_dna" in known:
        entries.append(
            ebv_entry(
                settings,
                known["ebv_dna"],
                unit=known.get("ebv_dna_unit"),
                specimen=known.get("ebv_dna_specimen"),
                laboratory=known.get("laboratory"),
                assay=known.get("ebv_dna_assay"),
                drawn_on=parse_date(known["ebv_dna_date"], message("date.draw")) if "ebv_dna_date" in known else None,
            )
        )
    stage = known.get("stage") or _stage_text(known)
    if stage:
        staged_on = parse_date(known["stage_date"], message("date.staging")) if "stage_date" in known else None
        entries.append(stage_entry(settings, stage, known.get("ajcc"), staged_on, known.get("ene")))
    if "diagnosis" in known:
        day = parse_date(known["diagnosis_date"], message("date.diagnosis")) if "diagnosis_date" in known else None
        entries.append(diagnosis_entry(f"{known['diagnosis']} {known.get('morphology', '')}", day))
    if not entries:
        raise InputError(f"it has no fact about patient {patient_id}")
    return patient_id, known.get("issuer", ""), entries


def _stage_text(known: Mapping[str, str]) -> str:
    parts = []
    for letter in ("t", "n", "m"):
        value = known.get(letter, "")
        if value:
            parts.append(value if letter in value.lower() else f"{letter}{value}")
    return " ".join(parts)


def _decoded(raw: bytes, path: Path) -> str:
    for encoding in ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path} is neither UTF-8 nor GB18030 text")


def _csv_rows(text: str, path: Path) -> list[dict[str, str]]:
    heading = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=heading.count)
    try:
        reader = csv.DictReader(io.StringIO(text), restkey=SURPLUS, delimiter=delimiter, strict=True)
        return [{key: _cell(value) for key, value in row.items()} for row in reader]
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV table: {error}") from error


def _json_rows(text: str, path: Path) -> list[dict[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    # JSON can name half of a surrogate pair, which is no character: no file and no database takes it.
    if found := SURROGATE.search(json.dumps(document, ensure_ascii=False)):
        raise InputError(f"{path}: expected Unicode, found half of a surrogate pair, \\u{ord(found[0]):x}")
    if isinstance(document, dict):
        document = document.get("patients", [document])
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InputError(f"{path} is not a list of objects, one per patient")
    return [{str(key): _cell(value) for key, value in row.items()} for row in document]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(part) for part in value)
    return str(value)
