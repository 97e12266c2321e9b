"""Match one value with a key of a query (PS3.4 section C.2.2.2)."""

from __future__ import annotations

import fnmatch
import re

from pydicom.dataelem import DataElement


def value_matches(value: str, key: DataElement) -> bool:
    """Return whether a value matches a key: single value, list of UIDs, wild card, or range.

    Parameters
    ----------
    value : str
        Of the object; empty where it has none.
    key : DataElement
        Of the query; not empty.

    References
    ----------
    PS3.4 section C.2.2.2.
    """
    if key.VM > 1 or key.VR == "UI":
        values = key.value if key.VM > 1 else [key.value]
        return value in [str(each) for each in values]
    text = str(key.value)
    if key.VR in ("DA", "TM", "DT") and "-" in text:
        first, _, last = text.partition("-")
        # Compared on the precision that the range states: 2026-2027 includes all of 2027.
        return (not first or value[: len(first)] >= first) and (not last or value[: len(last)] <= last)
    # Without regard to case, as PS3.4 C.2.2.2.1 allows for names, and with any further components.
    if key.VR == "PN":
        return re.match(fnmatch.translate(text.casefold().rstrip("^") + "*"), value.casefold()) is not None
    if "*" in text or "?" in text:
        return fnmatch.fnmatchcase(value, text)
    return value == text
