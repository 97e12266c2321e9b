"""Content items of a Structured Report, found by their code, and their values.

Systems on the way may change positions, code meanings and relationships, but not codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import TypeVar

from pydicom import Dataset
from pydicom.valuerep import DA, DT

from dicom_sr.coding.concept import Concept
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.normalisation import clean_text

CodeKey = tuple[str, str]
Key = TypeVar("Key")


def key_of(items: object) -> CodeKey | None:
    """Return value and scheme of the first item of a code sequence.

    Parameters
    ----------
    items : sequence of Dataset or None
        Value of a code sequence.

    Returns
    -------
    pair of str or None
        Code value, short or long, and scheme; None where the sequence is empty or absent.

    References
    ----------
    PS3.3 8.8 (Code Sequence macro).
    """
    for item in items or ():  # type: ignore[attr-defined]
        # A code longer than 16 characters is in another element than a short one (PS3.3 8.8).
        value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
        return str(value), str(item.get("CodingSchemeDesignator", ""))
    return None


def named(parent: Dataset, name: Concept) -> Iterator[Dataset]:
    """Yield the children of an item with the given concept name.

    Parameters
    ----------
    parent : Dataset
        Content item, or the whole SR.
    name : Concept
        Compared by value and scheme; the meaning may differ.

    Yields
    ------
    Dataset
        Content items; none where the parent has no children.
    """
    for child in parent.get("ContentSequence") or ():
        # By value and scheme: a meaning is for display and may be translated (PS3.3 8.3).
        if key_of(child.get("ConceptNameCodeSequence")) == name.key:
            yield child


def first(parent: Dataset, name: Concept) -> Dataset | None:
    """Return the first child with the given concept name, None where there is none."""
    return next(named(parent, name), None)


def required(parent: Dataset, name: Concept) -> Dataset:
    """Return the first child with the given concept name.

    Parameters
    ----------
    parent : Dataset
        A container item, or the document.
    name : Concept
        The concept name.

    Returns
    -------
    Dataset
        The content item.

    Raises
    ------
    UnreadableReportError
        There is no such child.
    """
    item = first(parent, name)
    if item is None:
        raise UnreadableReportError(f"expected the content item {name.meaning!r} ({name.value}), found none")
    return item


def text(parent: Dataset, name: Concept) -> str | None:
    """Return the value of a TEXT child with line breaks as newlines, None where it is absent."""
    item = first(parent, name)
    return None if item is None else text_value(item)


def text_value(item: Dataset) -> str:
    """Return the value of a TEXT item with line breaks as newlines."""
    return clean_text(str(item.get("TextValue") or ""))


def code(parent: Dataset, name: Concept) -> CodeKey | None:
    """Return (value, scheme) of a CODE child, None where it is absent."""
    item = first(parent, name)
    return None if item is None else key_of(item.get("ConceptCodeSequence"))


def number(parent: Dataset, name: Concept) -> float | None:
    """Return the value of a NUM child.

    Parameters
    ----------
    parent : Dataset
        Content item, or the whole SR.
    name : Concept
        Its concept name.

    Returns
    -------
    float or None
        In the unit of the item; None where the item is absent.

    Raises
    ------
    UnreadableReportError
        The item has no number.
    """
    item = first(parent, name)
    return None if item is None else number_value(item)


def required_number(parent: Dataset, name: Concept) -> float:
    """Return the value of a NUM child; raise UnreadableReportError where it is absent."""
    return number_value(required(parent, name))


def number_value(item: Dataset) -> float:
    """Return the value of a NUM item.

    Parameters
    ----------
    item : Dataset
        A NUM item.

    Returns
    -------
    float
        Floating Point Value where there is one, otherwise the decimal string; in the unit of the item.

    Raises
    ------
    UnreadableReportError
        The item has no number.

    References
    ----------
    PS3.3 C.18.1.
    """
    measured = (item.get("MeasuredValueSequence") or [None])[0]
    if measured is None or measured.get("NumericValue") is None:
        raise UnreadableReportError("expected a number in a NUM content item, found none")
    # Numeric Value is a decimal string of 16 characters (PS3.5 6.2); Floating Point Value has all digits where it is
    # present (PS3.3 C.18.1).
    exact = measured.get("FloatingPointValue")
    return float(measured.NumericValue if exact is None else exact)


def uid(parent: Dataset, name: Concept) -> str:
    """Return the value of a UIDREF child; raise UnreadableReportError where it is absent."""
    return str(required(parent, name).UID)


def day(parent: Dataset, name: Concept) -> date | None:
    """Return the value of a DATE child, None where it is absent."""
    item = first(parent, name)
    value = None if item is None else DA(item.Date)
    return None if value is None else date(value.year, value.month, value.day)


def date_time(parent: Dataset, name: Concept, offset: str | None) -> datetime:
    """Return the value of a DATETIME child.

    Parameters
    ----------
    parent : Dataset
        A container item.
    name : Concept
        The concept name.
    offset : str or None
        Timezone Offset From UTC (0008,0201) of the data set, for a value without an offset; None counts as UTC.

    Returns
    -------
    datetime
        With a time zone.

    Raises
    ------
    UnreadableReportError
        The child is absent or empty.
    """
    value = DT(required(parent, name).DateTime)
    if value is None:
        raise UnreadableReportError(f"expected a date and time in {name.meaning!r}, found none")
    # A new datetime: pydicom's DT is a subclass that is printed as the text from which it was read.
    moment = datetime(
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.tzinfo
    )
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=_zone(offset))


def _zone(offset: str | None) -> timezone:
    # A value is written without an offset only in UTC, so UTC is right also where a PACS has removed (0008,0201).
    delta = datetime.strptime(offset or "+0000", "%z").utcoffset()
    return timezone(delta or timedelta(0))


def group_of(groups: Sequence[Dataset], measured: Concept) -> Dataset:
    """Return the first of several groups that has an item with a concept name.

    Raises
    ------
    UnreadableReportError
        None has one.
    """
    for group in groups:
        if first(group, measured) is not None:
            return group
    raise UnreadableReportError(f"expected a measurement group with {measured.meaning!r}, found none")


def optional(parent: Dataset, name: Concept, table: Mapping[Key, Concept], absent: Key) -> Key:
    """Return what the code of a CODE child stands for in a table, or `absent` where there is no such child."""
    found = code(parent, name)
    return absent if found is None else decoded(found, table)


def decoded(found: CodeKey | None, table: Mapping[Key, Concept]) -> Key:
    """Return the key of a code in a table.

    Raises
    ------
    UnreadableReportError
        The code is absent or not in the table.
    """
    for value, concept in table.items():
        if concept.key == found:
            return value
    known = ", ".join(concept.value for concept in table.values())
    raise UnreadableReportError(f"expected one of the codes {known}, found {found}")
