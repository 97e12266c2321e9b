"""HL7 v2 segments from plain values (HL7 v2.5.1 section 2.5): whatever a value contains, it stays within its field.

python-hl7, which reads messages here, writes a character that is not ASCII as the escape sequence of its code point,
which no receiver reads as Chinese; and it escapes nothing unless it is told to.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

FIELD, COMPONENT, REPETITION, ESCAPE, SUBCOMPONENT = "|", "^", "~", "\\", "&"
ENCODING_CHARACTERS = f"{COMPONENT}{REPETITION}{ESCAPE}{SUBCOMPONENT}"
SEGMENT_END = "\r"
_ESCAPED = {ESCAPE: "E", FIELD: "F", COMPONENT: "S", SUBCOMPONENT: "T", REPETITION: "R"}  # section 2.7.1
_LINE_BREAK = f"{ESCAPE}.br{ESCAPE}"  # section 2.7.5, of data type FT only

CharacterSet = Literal["UNICODE UTF-8", "GB 18030-2000"]  # of MSH-18, table 0211
CODECS: Mapping[CharacterSet, str] = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030"}


class FormattedText(str):
    """A text of data type FT, whose line breaks are kept."""

    __slots__ = ()


# A text; components (of components: subcomponents); repetitions.
Field = str | tuple["Field", ...] | list["Field"]


def segment(name: str, fields: Mapping[int, Field]) -> str:
    """Write one segment.

    Parameters
    ----------
    name : str
        Three letters; ``MSH`` gets its delimiters (MSH-1 and MSH-2).
    fields : mapping of int to Field
        By their number in the standard: a text is one component, a tuple has components, a tuple within it
        subcomponents, a list repetitions.

    Returns
    -------
    str
        Without its end. Delimiters in the values are escaped, empty fields at the end are left out.
    """
    is_header = name == "MSH"
    written = {number: _field(value) for number, value in fields.items()}
    # MSH-1 is the separator itself, so that MSH-2 is the first text behind it.
    first = 2 if is_header else 1
    values = [written.get(number, "") for number in range(first, max(written, default=0) + 1)]
    if is_header:
        values[0] = ENCODING_CHARACTERS
    return FIELD.join([name, *values]).rstrip(FIELD)


def message(segments: Iterable[str], character_set: CharacterSet) -> bytes:
    """Join segments to a message.

    Parameters
    ----------
    segments : iterable of str
        As `segment` returns them.
    character_set : CharacterSet
        As MSH-18 names it.

    Returns
    -------
    bytes
        Each segment with its end (section 2.5.2). A receiver has to decode before it splits: bytes of GB 18030
        characters have the values of delimiters.
    """
    text = "".join(f"{each}{SEGMENT_END}" for each in segments)
    return text.encode(CODECS[character_set], "replace")


def _field(value: Field) -> str:
    if isinstance(value, list):
        return REPETITION.join(_field(each) for each in value)
    if isinstance(value, tuple):
        return COMPONENT.join(_component(each) for each in value).rstrip(COMPONENT)
    return escaped(value)


def _component(value: Field) -> str:
    if isinstance(value, tuple):
        return SUBCOMPONENT.join(escaped(str(each)) for each in value).rstrip(SUBCOMPONENT)
    return escaped(str(value) if not isinstance(value, str) else value)


def escaped(text: str) -> str:
    """Escape the delimiters of a text (section 2.7.1).

    Parameters
    ----------
    text : str
        Any text; of a `FormattedText` the line breaks are kept.

    Returns
    -------
    str
        Without control characters: those of the transport (00BH, 01CH) and the end of a segment (00DH) would end the
        message or the segment, and some receivers take any of Unicode's line ends for one.
    """
    line_break = _LINE_BREAK if isinstance(text, FormattedText) else " "
    written = []
    for character in text.replace("\r\n", "\n"):
        if character in _ESCAPED:
            written.append(f"{ESCAPE}{_ESCAPED[character]}{ESCAPE}")
        elif character in "\r\n\v\f\x85\u2028\u2029":
            written.append(line_break)
        else:
            written.append(" " if unicodedata.category(character) in ("Cc", "Cs") else character)
    return "".join(written)


def moment(value: datetime) -> str:
    """Write a time as DTM (section 2.A.22).

    Parameters
    ----------
    value : datetime
        With or without a time zone.

    Returns
    -------
    str
        To the second, with the offset from UTC where there is one: "20260311101500+0800".
    """
    return f"{value:%Y%m%d%H%M%S%z}"


def day(value: date) -> str:
    """Write a day as DT (section 2.A.21).

    Parameters
    ----------
    value : date
        Any day.

    Returns
    -------
    str
        YYYYMMDD.
    """
    return f"{value:%Y%m%d}"


def number(shown: str) -> str:
    """Write a number as NM (section 2.A.47), which has no exponent.

    Parameters
    ----------
    shown : str
        As the report shows it.

    Returns
    -------
    str
        The same digits.
    """
    return format(Decimal(shown), "f")
