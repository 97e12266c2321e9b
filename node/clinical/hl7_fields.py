"""Fields and components of parsed HL7 v2 segments (HL7 v2.5.1 section 2.5), with escape sequences undone once (2.7)."""

from __future__ import annotations

import re
from typing import Any

# Formatting commands (2.7.5): a line break is white space in the values that are read here, the rest is layout.
_BLANK_COMMANDS = (".br", ".sp", ".ce", ".ti", ".sk")


def unescaped(text: str, separators: str = "\r|~^&", escape: str = "\\") -> str:
    """Undo the escape sequences of a text.

    Parameters
    ----------
    text : str
        A component or subcomponent, after the message was split by its separators.
    separators : str
        Of the message: segment, field, repetition, component, subcomponent.
    escape : str
        Escape character of the message (MSH-2); empty where it has none.

    Returns
    -------
    str
        Each sequence is read once, from left to right: the character that replaces it is not read again. Sequences
        of highlighting and of a sender's own are left out; an unknown one, or a lone escape character, stays.

    References
    ----------
    HL7 v2.5.1 sections 2.7.1 to 2.7.7.
    """
    if not escape or escape not in text:
        return text
    named = {"E": escape, "H": "", "N": "", **dict(zip("FRST", separators[1:], strict=False))}

    def meaning(match: re.Match[str]) -> str:
        name = match.group(1)
        if name.upper() in named:
            return named[name.upper()]
        if name[0] in "Xx" and re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", name[1:]):
            return bytes.fromhex(name[1:]).decode("utf-8", "replace")
        if name.lower().startswith(_BLANK_COMMANDS):
            return " "
        # Character sets within a text (C, M), other layout, and sequences of the sender's own (Z).
        return "" if name[0] in "CMZ." else match.group()

    mark = re.escape(escape)
    return re.sub(f"{mark}([^{mark}]+){mark}", meaning, text)


def field_text(segment: Any, number: int) -> str:
    """Return a whole field as text; empty where the segment is shorter.

    Parameters
    ----------
    segment : hl7.Segment
        A parsed segment.
    number : int
        Field number as in the standard.

    Returns
    -------
    str
        With the separators of its components and repetitions.
    """
    if len(segment) <= number:
        return ""
    return unescaped(str(segment[number]), segment.separators, segment.esc).strip()


def component(segment: Any, number: int, index: int) -> str:
    """Return a component of the first repetition of a field.

    Parameters
    ----------
    segment : hl7.Segment
        A parsed segment.
    number : int
        Field number as in the standard (MSH-10 is 10).
    index : int
        Component from 0, so PID-3.1 has index 0.

    Returns
    -------
    str
        The first subcomponent; empty where the field or the component is absent.
    """
    if len(segment) <= number or not len(segment[number]):
        return ""
    return component_of(segment[number][0], index, segment)


def component_of(repetition: Any, index: int, segment: Any) -> str:
    """Return a component of one repetition, from 0; a repetition without separators has one component.

    Parameters
    ----------
    repetition : hl7.Repetition or str
        One repetition of a field.
    index : int
        From 0.
    segment : hl7.Segment
        That has the field: it knows separators and escape character.

    Returns
    -------
    str
        The first subcomponent; empty where the component is absent.
    """
    # A repetition without separators is a plain text: its only component.
    components = [repetition] if isinstance(repetition, str) else repetition
    if index >= len(components):
        return ""
    part: Any = components[index]
    text = part if isinstance(part, str) else str(part[0] if len(part) else part)
    return unescaped(text, segment.separators, segment.esc).strip()
