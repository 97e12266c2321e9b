"""Which values conform to their value representation (PS3.5 table 6.2-1), decided on text before pydicom converts it.

pydicom raises for some values, warns of others and accepts a third kind (``19790017`` as DA), so its own validation
cannot decide what is copied.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date

from pydicom.datadict import dictionary_VM, dictionary_VR

_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}(\d\d(\d\d(\d\d(\d\d(\d\d(\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?", re.ASCII)
_AGE = re.compile(r"\d{3}[DWMY]", re.ASCII)
_CODE = re.compile(r"[A-Z0-9_ ]{0,16}")
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,11}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# PS3.3 C.7.1.1: enumerated values, where any other value is a fault.
ENUMERATED = {"PatientSex": ("M", "F", "O"), "PatientIdentityRemoved": ("YES", "NO")}


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"\d{8}", text, re.ASCII):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _is_line(longest: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= longest and not _CONTROL.search(text)


def _is_text(longest: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= longest and not _CONTROL_IN_LINES.search(text)


def _is_name(text: str) -> bool:
    groups = text.split("=")
    fits = len(groups) <= 3 and all(len(group) <= 64 and group.count("^") <= 4 for group in groups)
    return fits and not _CONTROL.search(text)


def _is_decimal(text: str) -> bool:
    return len(text) <= 16 and bool(_DECIMAL.fullmatch(text)) and math.isfinite(float(text))


# Value representation -> (what is expected, whether a non-empty value conforms).
RULES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "AE": ("an AE title of at most 16 characters", lambda text: text.isascii() and _is_line(16)(text)),
    "AS": ("an age such as 046Y", lambda text: bool(_AGE.fullmatch(text))),
    "CS": ("at most 16 upper-case letters, digits and underscores", lambda text: bool(_CODE.fullmatch(text))),
    "DA": ("a date such as 20260503", _is_date),
    "DS": ("a decimal number of at most 16 characters", _is_decimal),
    "DT": ("a date and time such as 20260503093000", lambda text: bool(_DATE_TIME.fullmatch(text))),
    "IS": ("an integer", lambda text: bool(_INTEGER.fullmatch(text)) and -(2**31) <= int(text) < 2**31),
    "LO": ("a line of at most 64 characters", _is_line(64)),
    "LT": ("a text of at most 10240 characters", _is_text(10240)),
    "PN": ("a person's name of at most 3 groups of 64 characters and 5 components", _is_name),
    "SH": ("a line of at most 16 characters", _is_line(16)),
    "ST": ("a text of at most 1024 characters", _is_text(1024)),
    "TM": ("a time such as 093000", lambda text: bool(_TIME.fullmatch(text))),
    "UC": ("a line of characters", _is_line(2**32)),
    "UI": ("a UID of at most 64 characters", lambda text: len(text) <= 64 and bool(_UID.fullmatch(text))),
    "UR": ("a URI without blanks", lambda text: text.isascii() and _is_line(2**32)(text) and " " not in text),
    "UT": ("a text", _is_text(2**32)),
}
# In these, blanks at the beginning are insignificant; in all others only padding at the end is allowed.
_LEADING_BLANKS = frozenset({"AE", "CS", "DS", "IS", "LO", "PN", "SH", "UC"})
_ONE_VALUE = frozenset({"LT", "ST", "UR", "UT"})  # a backslash is a character in these


def without_padding(text: str, vr: str) -> str:
    """Return a value without the blanks and NULs that are insignificant in its value representation."""
    return text.strip(" \0") if vr in _LEADING_BLANKS else text.rstrip(" \0")


def values_of(keyword: str, text: str) -> list[str]:
    """Return the values of an element's text: several only where its value multiplicity allows it.

    Parameters
    ----------
    keyword : str
        Of a standard attribute whose value is text.
    text : str
        Values separated by backslashes.

    Returns
    -------
    list of str
        Without padding; a single value for a multiplicity of 1, also where it contains backslashes.
    """
    vr = dictionary_VR(keyword)
    several = dictionary_VM(keyword) != "1" and vr not in _ONE_VALUE
    values = [without_padding(value, vr) for value in (text.split("\\") if several else [text])]
    # A backslash between nothing and nothing is no value: an attribute of type 1C would be present and empty.
    return values if any(values) else [""]


def expected_instead(keyword: str, text: str) -> str | None:
    """Return what an attribute should contain where its value does not conform.

    Parameters
    ----------
    keyword : str
        Of a standard attribute whose value representation is in `RULES`.
    text : str
        The decoded value.

    Returns
    -------
    str or None
        Half a sentence, for example "a date such as 20260503"; None for a value that conforms or is empty.

    References
    ----------
    PS3.5 6.2 and table 6.2-1.
    """
    vr = dictionary_VR(keyword)
    expected, conforms = RULES[vr]
    if keyword in ENUMERATED:
        expected = f"{', '.join(ENUMERATED[keyword][:-1])} or {ENUMERATED[keyword][-1]}"
    for value in values_of(keyword, text):
        if "\\" in value and vr not in _ONE_VALUE:
            return f"{expected} without a backslash"
        if value and (not conforms(value) or value not in ENUMERATED.get(keyword, (value,))):
            return expected
    return None
