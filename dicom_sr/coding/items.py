"""Short names for the content items of PS3.3 C.17.3, from our concepts.

Numbers are written as the string that every other object shows; Floating Point Value is added where that string is not
the exact number. Line breaks are CR LF (PS3.5 6.1.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from highdicom.sr import (
    CodeContentItem,
    CompositeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DateContentItem,
    DateTimeContentItem,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.valuerep import DA, DS, DT

from dicom_sr.coding.codes import Concept
from dicom_sr.report.treatment_report import LINE_BREAK

CONTAINS = RelationshipTypeValues.CONTAINS
CONCEPT_MOD = RelationshipTypeValues.HAS_CONCEPT_MOD
OBS_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


def container(
    name: Concept,
    children: Iterable[ContentItem],
    template: str | None = None,
    relation: RelationshipTypeValues | None = CONTAINS,
) -> ContainerContentItem:
    """CONTAINER, always SEPARATE: viewers drop the names of CONTINUOUS ones."""
    item = ContainerContentItem(name.code, False, template, relation)
    item.ContentSequence = ContentSequence(list(children))
    return item


def code(name: Concept, value: Concept, relation: RelationshipTypeValues = CONTAINS) -> CodeContentItem:
    """CODE."""
    return CodeContentItem(name.code, value.code, relation)


def text(name: Concept, value: str, relation: RelationshipTypeValues = CONTAINS) -> TextContentItem:
    """TEXT."""
    return TextContentItem(name.code, value.replace(LINE_BREAK, "\r\n"), relation)


def number(name: Concept, value: str, unit: Concept, exact: float | None = None) -> NumContentItem:
    """NUM. `value` is the number as shown (at most 16 characters), `exact` the number where that string is shorter."""
    item = NumContentItem(name.code, 0, unit.code, relationship_type=CONTAINS)
    measured = item.MeasuredValueSequence[0]
    measured.NumericValue = DS(value)
    if exact is not None and float(value) != exact:
        measured.FloatingPointValue = exact
    return item


def uid(name: Concept, value: str, relation: RelationshipTypeValues = CONTAINS) -> UIDRefContentItem:
    """UIDREF."""
    return UIDRefContentItem(name.code, value, relation)


def date_time(value: datetime) -> DT:
    """A moment as DT. Without "+0000", which dcmtk refuses: (0008,0201) then says that the time is UTC."""
    text = f"{value:%Y%m%d%H%M%S.%f%z}"
    return DT(text.removesuffix("+0000"))


def moment(name: Concept, value: datetime) -> DateTimeContentItem:
    """DATETIME."""
    return DateTimeContentItem(name.code, date_time(value), CONTAINS)


def day(name: Concept, value: date, relation: RelationshipTypeValues = CONTAINS) -> DateContentItem:
    """DATE."""
    return DateContentItem(name.code, DA(value), relation)


def image(name: Concept, sop_class: str, sop_instance: str, frame: int | None = None) -> ImageContentItem:
    """IMAGE; `frame` is 1-based, for multi-frame images."""
    return ImageContentItem(
        name.code, sop_class, sop_instance, referenced_frame_numbers=frame, relationship_type=CONTAINS
    )


def composite(name: Concept, sop_class: str, sop_instance: str) -> CompositeContentItem:
    """COMPOSITE: an object that is no image, such as an RT Structure Set."""
    return CompositeContentItem(name.code, sop_class, sop_instance, CONTAINS)


def keep_separate(item: ContentItem) -> None:
    """Make every container below SEPARATE; the templates of highdicom leave them CONTINUOUS."""
    if isinstance(item, ContainerContentItem):
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence", ()):
        keep_separate(child)
