"""Content items of PS3.3 C.17.3 from a concept and a plain value, one function per value type.

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

from dicom_sr.coding.concept import Concept
from dicom_sr.report.normalisation import LINE_BREAK

CONTAINS = RelationshipTypeValues.CONTAINS
CONCEPT_MOD = RelationshipTypeValues.HAS_CONCEPT_MOD
OBS_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT
INFERRED_FROM = RelationshipTypeValues.INFERRED_FROM


def container(
    name: Concept,
    children: Iterable[ContentItem],
    template: str | None = None,
    relation: RelationshipTypeValues | None = CONTAINS,
) -> ContainerContentItem:
    """Build a CONTAINER item, always SEPARATE: viewers do not show the names of items in a CONTINUOUS one.

    Parameters
    ----------
    name : Concept
        Concept name of the container.
    children : iterable of ContentItem
        Its items, in their order.
    template : str or None
        Template identifier without "TID", for example "1500"; None where no template governs the container.
    relation : RelationshipTypeValues or None
        Relationship to the parent; None for the root.

    Returns
    -------
    ContainerContentItem
        With its Content Sequence.
    """
    # OHIF 3.13.2 shows no names at all of the items in a CONTINUOUS container.
    item = ContainerContentItem(name.code, False, template, relation)
    item.ContentSequence = ContentSequence(list(children))
    return item


def code(name: Concept, value: Concept, relation: RelationshipTypeValues = CONTAINS) -> CodeContentItem:
    """Build a CODE item: the concept `name` has the coded `value`."""
    return CodeContentItem(name.code, value.code, relation)


def text(name: Concept, value: str, relation: RelationshipTypeValues = CONTAINS) -> TextContentItem:
    """Build a TEXT item; line breaks are written as CR LF."""
    return TextContentItem(name.code, value.replace(LINE_BREAK, "\r\n"), relation)


def number(name: Concept, value: str, unit: Concept, exact: float | None = None) -> NumContentItem:
    """Build a NUM item.

    Parameters
    ----------
    name : Concept
        Concept name of the quantity.
    value : str
        The number as every other object shows it, at most 16 characters (VR DS).
    unit : Concept
        Unit from UCUM.
    exact : float or None
        The exact number; written as Floating Point Value where `value` does not say it exactly.

    Returns
    -------
    NumContentItem
        With one item in its Measured Value Sequence.

    References
    ----------
    PS3.3 C.18.1.
    """
    item = NumContentItem(name.code, 0, unit.code, relationship_type=CONTAINS)
    measured = item.MeasuredValueSequence[0]
    measured.NumericValue = DS(value)
    if exact is not None and float(value) != exact:
        measured.FloatingPointValue = exact
    return item


def uid(name: Concept, value: str, relation: RelationshipTypeValues = CONTAINS) -> UIDRefContentItem:
    """Build a UIDREF item."""
    return UIDRefContentItem(name.code, value, relation)


def date_time(value: datetime) -> DT:
    """Convert a time to VR DT.

    Parameters
    ----------
    value : datetime
        With a time zone.

    Returns
    -------
    DT
        With the offset from UTC, except for UTC itself.
    """
    # dcmtk 3.6.7 refuses a DATETIME item that ends in "+0000". Without an offset, Timezone Offset From UTC (0008,0201)
    # of the data set applies (PS3.5 6.2, VR DT), which says +0000 in this case.
    return DT(f"{value:%Y%m%d%H%M%S.%f%z}".removesuffix("+0000"))


def moment(name: Concept, value: datetime) -> DateTimeContentItem:
    """Build a DATETIME item of a time with its zone."""
    return DateTimeContentItem(name.code, date_time(value), CONTAINS)


def day(name: Concept, value: date, relation: RelationshipTypeValues = CONTAINS) -> DateContentItem:
    """Build a DATE item."""
    return DateContentItem(name.code, DA(value), relation)


def image(
    name: Concept,
    sop_class: str,
    sop_instance: str,
    frame: int | None = None,
    relation: RelationshipTypeValues = CONTAINS,
) -> ImageContentItem:
    """Build an IMAGE item.

    Parameters
    ----------
    name : Concept
        Purpose of the reference.
    sop_class, sop_instance : str
        UIDs of the image.
    frame : int or None
        Frame number (from 1) of a multi-frame image; None refers to the whole image.
    relation : RelationshipTypeValues
        Relationship to the parent.

    Returns
    -------
    ImageContentItem
        The reference.
    """
    return ImageContentItem(
        name.code, sop_class, sop_instance, referenced_frame_numbers=frame, relationship_type=relation
    )


def composite(
    name: Concept, sop_class: str, sop_instance: str, relation: RelationshipTypeValues = CONTAINS
) -> CompositeContentItem:
    """Build a COMPOSITE item: a reference to an object that is not an image, such as an RT Structure Set."""
    return CompositeContentItem(name.code, sop_class, sop_instance, relation)


def keep_separate(item: ContentItem) -> None:
    """Make every container of a tree SEPARATE; highdicom's templates build CONTINUOUS ones.

    Parameters
    ----------
    item : ContentItem
        The root; it and all items below it are changed in place.
    """
    if isinstance(item, ContainerContentItem):
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence", ()):
        keep_separate(child)
