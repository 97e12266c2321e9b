"""Files with one JSON value a line, written line by line: what a killed run had finished is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def resume_json_lines(path: Path) -> list[Any]:
    """Return the values of a file, and cut off a last line that a kill left half written.

    Parameters
    ----------
    path : Path
        UTF-8 text, to be appended to; need not exist.
    """
    if not path.is_file():
        return []
    values, whole_bytes = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break  # a number that was cut is still a number
        values.append(value)
        whole_bytes += len(line)
    # A line that is appended must not continue a half one.
    with path.open("r+b") as stream:
        stream.truncate(whole_bytes)
    return values
