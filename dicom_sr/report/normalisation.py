"""Normalised values: text and numbers take their final form when a value is built.

DICOM text has neither control characters nor blanks at its ends, and a displayed number is rounded once. Both are done
here, so that the value that is written equals the value that is read back.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from config.indication.conventions import round_to
from config.messages.message import Message

LINE_BREAK = "\n"


def rounded_to(decimals: int) -> dict[str, int]:
    """Return the metadata of a dataclass field whose numbers are rounded when the value is built.

    Parameters
    ----------
    decimals : int
        Number of decimals, >= 0; mappings and tuples are rounded item by item.

    Returns
    -------
    dict of str to int
        For ``field(metadata=...)`` of a `NormalisedValue`.
    """
    return {"decimals": decimals}


def clean_text(text: str) -> str:
    """Remove what DICOM text cannot keep: control characters except line breaks, and blanks at the ends of lines.

    Parameters
    ----------
    text : str
        Any text; CR and CR LF count as line breaks.

    Returns
    -------
    str
        Text with LF as line break, equal to itself after it was written to a data set and read again.

    References
    ----------
    PS3.5 6.1.3 (control characters) and 6.2 (trailing spaces are padding).
    """
    # DICOM writes line breaks as CR LF (PS3.5 6.1.3), systems on the way as either alone; inside the program they are
    # one.
    lines = text.replace("\r\n", LINE_BREAK).replace("\r", LINE_BREAK).split(LINE_BREAK)
    # Blanks at the end are not significant in most text VRs (PS3.5 6.2), and a PACS may remove them.
    return LINE_BREAK.join("".join(map(_printable, line)).rstrip() for line in lines).strip()


def _printable(character: str) -> str:
    # Control characters are not allowed in text values (PS3.5 6.1.3), lone surrogates cannot be encoded; a blank keeps
    # the words around them apart.
    return " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character


def _normalised(value: Any, decimals: int | None) -> Any:
    # bool is an int and the enumerations are str: neither must be rounded or cleaned.
    if isinstance(value, Enum | bool):
        return value
    if isinstance(value, Message):
        return value if clean_text(value) == value else value.with_texts(clean_text)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"expected finite numbers in a report, found {value}")
        return value if decimals is None else round_to(value, decimals)
    if isinstance(value, Mapping):
        return {key: _normalised(item, decimals) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_normalised(item, decimals) for item in value)
    return value


class NormalisedValue:
    """Base of the report's values: text is cleaned and numbers are rounded when the value is built.

    Raises
    ------
    ValueError
        A number is infinite or not a number.
    """

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value = _normalised(getattr(self, each.name), each.metadata.get("decimals"))
            # A TEXT item cannot be empty (Text Value is of type 1C, PS3.3 C.17.3), so empty text would not be written.
            absent = value == "" and each.type == "str | None"
            # The dataclasses are frozen; fields are set while a value is built and never later.
            object.__setattr__(self, each.name, None if absent else value)
