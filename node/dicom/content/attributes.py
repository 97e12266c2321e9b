"""Compare the relevant attributes of two data sets by their values, whatever their encoding."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from config.arrays import FloatArray
from config.errors import InputError
from dicom_sr.header.characters import character_set_of, text_of
from dicom_sr.report.errors import ReportError
from node.cases.dates import parse_date, parse_dicom_time
from node.cases.headers import header_of
from node.cases.series_names import MR_CLASSES, naming_of
from node.dicom.content.relevant_attributes import DEFAULTS, GROUPS, ITEMS, NOT_IN_ITEMS, NUMBERED

TEXT_NUMBERS = frozenset({"DS", "IS"})
BINARY_NUMBERS = frozenset({"FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"})
# Ten decimal places fit into a DS (16 characters) of up to four digits before the point; writers round to fewer.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-6, 1e-6
SERIES_NAMES = "SeriesDescription"  # represents all names that the series rules read
MAX_NAMED = 20


def differing_attributes(stored: Dataset, arrived: Dataset) -> tuple[str, ...]:
    """Compare the attributes of two data sets that count (see `relevant_attributes`).

    Values are compared and not bytes: numbers within 1e-6, dates and times as such, text after decoding and without
    padding, names of persons without regard to case. An empty element is an absent one. Descriptions count as far as
    the series rules read something else in them.

    Parameters
    ----------
    stored, arrived : Dataset
        As pydicom reads them; pixels are not looked at.

    Returns
    -------
    tuple of str
        Keywords of what differs, at most `MAX_NAMED`; empty where both are the same instance.

    References
    ----------
    PS3.5 6.2 (padding and forms of values), 7.8 (private elements), 7.2 (group length).
    """
    labels = (character_set_of(stored), character_set_of(arrived))
    differing: dict[str, None] = {}
    for group in GROUPS:
        for keyword in group.keywords:
            for name in _differing_values(stored, arrived, keyword, labels, group.when_both_state_it):
                differing.setdefault(name)
                if len(differing) >= MAX_NAMED:
                    return tuple(differing)
    if _names_read_as(stored) != _names_read_as(arrived):
        differing.setdefault(SERIES_NAMES)
    return tuple(differing)


def _differing_values(
    stored: Dataset, arrived: Dataset, keyword: str, labels: tuple[Any, Any], when_both_state_it: bool = False
) -> Iterator[str]:
    """Yield the keyword, or those of its items, where the two data sets differ in it."""
    vr = dictionary_VR(keyword)
    if _has_equal_bytes(stored, arrived, keyword, vr, labels):
        return
    if vr == "SQ":
        yield from _differing_items(stored, arrived, keyword, labels)
        return
    first, second = (_value(ds, keyword, vr, label) for ds, label in zip((stored, arrived), labels, strict=True))
    if when_both_state_it and (first is None or second is None):
        return
    if not _is_equal(first, second, vr):
        yield keyword


def _has_equal_bytes(stored: Dataset, arrived: Dataset, keyword: str, vr: str, labels: tuple[Any, Any]) -> bool:
    """Return whether both have the same bytes, still undecoded, with the same meaning.

    A structure set has a million numbers: what has not changed is not decoded.
    """
    if keyword not in stored or keyword not in arrived:
        return False
    is_text = vr in CUSTOMIZABLE_CHARSET_VR or vr == "SQ"
    is_binary = vr in BINARY_NUMBERS or vr in ("AT", "SQ")
    if (is_text and labels[0] != labels[1]) or (is_binary and stored.original_encoding != arrived.original_encoding):
        return False
    first: Any = stored.get_item(keyword)
    second: Any = arrived.get_item(keyword)
    return isinstance(first, RawDataElement) and isinstance(second, RawDataElement) and first.value == second.value


def _value(ds: Dataset, keyword: str, vr: str, labels: Any) -> Any:
    """Return the value of an element in a form that can be compared; None for an absent or empty one."""
    if keyword not in ds:
        return np.array([DEFAULTS[keyword]]) if keyword in DEFAULTS else None
    if vr in BINARY_NUMBERS:
        value = ds[keyword].value
        return None if value is None else np.atleast_1d(np.asarray(value, dtype=float))
    if vr.startswith("O"):
        return ds[keyword].value or None
    if vr == "AT":
        return str(ds[keyword].value)
    if vr in TEXT_NUMBERS and (numbers := _numbers(ds.get_item(keyword))) is not None:
        return numbers
    text = _text(ds, keyword, labels)
    if not text:
        return np.array([DEFAULTS[keyword]]) if keyword in DEFAULTS else None
    return _NORMAL_FORMS.get(vr, _plain)(text)


def _numbers(element: Any) -> FloatArray | None:
    """Return the numbers of a DS or IS; None where it is empty, or no number and compared as the text that it is."""
    value = element.value
    try:
        if isinstance(value, bytes):
            return np.array([float(part) for part in value.rstrip(b"\0 ").split(b"\\")])
        return None if value in (None, "") else np.atleast_1d(np.asarray(value, dtype=float))
    except (ValueError, TypeError):
        return None


def _text(ds: Dataset, keyword: str, labels: Any) -> str:
    try:
        return text_of(ds, keyword, labels=labels)
    except ReportError:  # not of its character set, most often Latin-1 without a label
        value = ds.get_item(keyword).value
        return value.decode("latin-1").strip("\0 ") if isinstance(value, bytes) else str(value)


def _plain(text: str) -> str:
    parts = unicodedata.normalize("NFC", text).split("\\")
    return "\\".join(" ".join(part.strip("\0 ").split()) for part in parts)


def _code(text: str) -> str:
    return _plain(text).upper()


def _date(text: str) -> str:
    try:
        return parse_date(text).isoformat()
    except InputError:
        return _plain(text)


def _time(text: str) -> str:
    clock = parse_dicom_time(text)
    return _plain(text) if clock is None else clock.isoformat()


def _date_time(text: str) -> str:
    # 20260309101500 and 20260309101500.000000 are one moment; a time zone is a part of it.
    moment, sign, zone = text.strip("\0 ").partition("+" if "+" in text else "-")
    whole, _, fraction = moment.partition(".")
    return f"{whole}.{fraction.rstrip('0')}{sign}{zone}"


def _age(text: str) -> str:
    return _code(text).lstrip("0")  # "046Y" and "46Y"


def _name(text: str) -> tuple[str, ...]:
    """Return the component groups of a person's name, without empty components at the end."""
    groups = [
        "^".join(" ".join(part.split()) for part in group.split("^")).rstrip("^").casefold()
        for group in unicodedata.normalize("NFC", text).split("=")
    ]
    return tuple(groups[:3] + [""] * (3 - len(groups)))


_NORMAL_FORMS: Mapping[str, Callable[[str], Any]] = {
    "AS": _age, "CS": _code, "DA": _date, "TM": _time, "DT": _date_time, "PN": _name,
}  # fmt: skip


def _is_equal(first: Any, second: Any, vr: str) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return first.shape == second.shape and np.allclose(
            first, second, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True
        )
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return False
    if vr == "PN" and first is not None and second is not None:
        # An archive adds the name in another script; only what both have can differ.
        return all(one == other for one, other in zip(first, second, strict=True) if one and other)
    return bool(first == second)


def _differing_items(stored: Dataset, arrived: Dataset, keyword: str, labels: tuple[Any, Any]) -> Iterator[str]:
    items = [_items(ds, keyword) for ds in (stored, arrived)]
    if len(items[0]) != len(items[1]):
        yield keyword
        return
    for first, second in zip(*items, strict=True):
        of_items = (
            character_set_of(first) if "SpecificCharacterSet" in first else labels[0],
            character_set_of(second) if "SpecificCharacterSet" in second else labels[1],
        )
        for name in ITEMS.get(keyword) or _public_keywords(first) | _public_keywords(second):
            yield from _differing_values(first, second, name, of_items)


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    items = list(ds[keyword].value or ()) if keyword in ds else []
    number = NUMBERED.get(keyword)
    # Stable: two items of one number keep their order.
    return sorted(items, key=lambda item: str(item.get(number))) if number else items


def _public_keywords(item: Dataset) -> set[str]:
    """Return the keywords of an item that count: no private elements, no group lengths, no elements of unclear VR."""
    keywords = {keyword_for_tag(tag) for tag in item.keys() if not tag.is_private and tag.element != 0}  # noqa: SIM118
    return {name for name in keywords - NOT_IN_ITEMS if name and " or " not in dictionary_VR(name)}


def _names_read_as(ds: Dataset) -> tuple[Any, ...]:
    """Return what the series rules read in the names of an image; nothing for other objects."""
    # Asked first: reading the header of a large structure set takes seconds.
    if str(ds.get("SOPClassUID")) not in MR_CLASSES:
        return ()
    naming = naming_of(header_of(ds))
    return (
        naming.not_a_role is None, naming.weightings, naming.flair, naming.stir, naming.dixon_in_phase,
        naming.fat_suppressed, naming.part_of is None, naming.derived, naming.contrast, naming.contrast_named,
    )  # fmt: skip
