"""CSV files of patients: what a spreadsheet saved becomes a header and rows of equal length."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from config.errors import InputError

ENCODINGS = ("utf-8-sig", "gb18030")  # spreadsheets on Chinese systems save GBK, which GB18030 contains
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_table(path: Path, what: str = "table") -> tuple[list[str], list[list[str]]]:
    """Read the header and the rows of a CSV; blank lines are left out.

    Parameters
    ----------
    path : Path
        CSV with commas; UTF-8 (with or without BOM) or GB18030.
    what : str
        Noun that names the file in errors.

    Returns
    -------
    header : list of str
        Column names, stripped.
    rows : list of list of str
        At least one; each has the header's length.

    Raises
    ------
    InputError
        Unreadable, another encoding or separator, no patient, a column name that occurs twice, a row of another length.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror}") from error
    try:
        rows = csv.reader(io.StringIO(_decoded(raw, path, what), newline=""))
        # Spreadsheets save emptied rows as commas alone.
        lines = [row for row in rows if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"the {what} {path} is not a CSV table: {error}") from error
    header = [name.strip() for name in lines[0]] if lines else []
    # A spreadsheet in a locale with decimal commas saves semicolons; reading it would give one column.
    for delimiter, name in OTHER_DELIMITERS.items():
        if len(header) == 1 and delimiter in header[0]:
            raise InputError(f"the {what} {path}: expected cells separated by commas, found {name}")
    if len(lines) < 2:
        content = "no line" if not lines else "the header alone"
        raise InputError(f"the {what} {path} needs a header line and at least one patient, found {content}")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(f"the {what} {path} has the column {twice[0]} twice")
    for at, row in enumerate(lines[1:], 1):
        # A decimal comma ("1,5") or an unquoted comma in a text shifts every cell after it: refused, not padded.
        if len(row) != len(header):
            raise InputError(f"the {what} {path}: row {at} has {len(row)} cells, expected {len(header)}")
    return header, lines[1:]


def _decoded(raw: bytes, path: Path, what: str) -> str:
    for encoding in ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"the {what} {path} is not a CSV table in UTF-8 or GB18030")
