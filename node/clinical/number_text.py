"""Numbers of JSON documents as text for the parsers of values."""

from __future__ import annotations

from typing import Any


def number_text(value: Any) -> str:
    """Return a number as text that has one reading.

    Parameters
    ----------
    value : Any
        A number of a JSON document, in which a point is always the decimal sign (RFC 8259); other values as they are.

    Returns
    -------
    str
        Without an exponent up to 1e15; 500.125 gets a further decimal, because text with one point and three digits
        after it may mean thousands.
    """
    if not isinstance(value, float) or abs(value) >= 1e15:
        return str(value)
    if value.is_integer():
        return str(int(value))
    text = repr(value)
    return f"{text}0" if len(text.partition(".")[2]) == 3 else text
