"""Finding content items by code. Position, meaning and relationship may have been touched on the way; codes stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone

from pydicom import Dataset
from pydicom.valuerep import DA, DT

from dicom_sr.coding.codes import Concept
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.treatment_report import clean_text

CodeKey = tuple[str, str]


def key_of(items: object) -> CodeKey | None:
    """(value, scheme) of the first code of a code sequence."""
    for item in items or ():  # type: ignore[attr-defined]
        value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
        return str(value), str(item.get("CodingSchemeDesignator", ""))
    return None


def named(parent: Dataset, name: Concept) -> Iterator[Dataset]:
    """The children of `parent` with this concept name, in their order."""
    for child in parent.get("ContentSequence") or ():
        if key_of(child.get("ConceptNameCodeSequence")) == name.key:
            yield child


def first(parent: Dataset, name: Concept) -> Dataset | None:
    return next(named(parent, name), None)


def required(parent: Dataset, name: Concept) -> Dataset:
    """The first child of this name. Raises UnreadableReportError where it is absent."""
    found = first(parent, name)
    if found is None:
        raise UnreadableReportError(f"expected the content item {name.meaning!r} ({name.value}), found none")
    return found


def text(parent: Dataset, name: Concept) -> str | None:
    """Value of a TEXT item."""
    item = first(parent, name)
    return None if item is None else text_value(item)


def text_value(item: Dataset) -> str:
    return clean_text(str(item.get("TextValue") or ""))


def code(parent: Dataset, name: Concept) -> CodeKey | None:
    """Value of a CODE item."""
    item = first(parent, name)
    return None if item is None else key_of(item.get("ConceptCodeSequence"))


def number(parent: Dataset, name: Concept) -> float | None:
    """Value of a NUM item."""
    item = first(parent, name)
    return None if item is None else number_value(item)


def required_number(parent: Dataset, name: Concept) -> float:
    return number_value(required(parent, name))


def number_value(item: Dataset) -> float:
    """The exact number where there is one, else the decimal string."""
    measured = (item.get("MeasuredValueSequence") or [None])[0]
    if measured is None or measured.get("NumericValue") is None:
        raise UnreadableReportError("expected a number in a NUM content item, found none")
    exact = measured.get("FloatingPointValue")
    return float(measured.NumericValue if exact is None else exact)


def uid(parent: Dataset, name: Concept) -> str:
    """Value of a UIDREF item that must be there."""
    return str(required(parent, name).UID)


def day(parent: Dataset, name: Concept) -> date | None:
    """Value of a DATE item."""
    item = first(parent, name)
    found = None if item is None else DA(item.Date)
    return None if found is None else date(found.year, found.month, found.day)


def moment(parent: Dataset, name: Concept, offset: str | None) -> datetime:
    """Value of a DATETIME item; `offset` is (0008,0201), which holds where the item has none of its own."""
    found = DT(required(parent, name).DateTime)
    if found is None:
        raise UnreadableReportError(f"expected a date and time in {name.meaning!r}, found none")
    plain = datetime(
        found.year, found.month, found.day, found.hour, found.minute, found.second, found.microsecond, found.tzinfo
    )
    return plain if plain.tzinfo is not None else plain.replace(tzinfo=_zone(offset))


def _zone(offset: str | None) -> timezone:
    delta = datetime.strptime(offset or "+0000", "%z").utcoffset()
    return timezone(delta or timedelta(0))
