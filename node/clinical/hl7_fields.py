"""Fields and components of parsed HL7 v2 segments (HL7 v2.5.1 section 2.5)."""

from __future__ import annotations

from typing import Any


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
    return str(segment[number]).strip() if len(segment) > number else ""


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
    return component_of(segment[number][0], index)


def component_of(repetition: Any, index: int) -> str:
    """Return a component of one repetition, from 0; a repetition without separators has one component.

    Parameters
    ----------
    repetition : hl7.Repetition or str
        One repetition of a field.
    index : int
        From 0.

    Returns
    -------
    str
        The first subcomponent; empty where the component is absent.
    """
    if isinstance(repetition, str):
        return repetition.strip() if index == 0 else ""
    if index >= len(repetition):
        return ""
    part = repetition[index]
    return str(part[0] if not isinstance(part, str) and len(part) else part).strip()
