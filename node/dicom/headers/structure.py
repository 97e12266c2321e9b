"""Validation of the encoding of a data set before anything is decoded (PS3.5 section 7).

`validate_structure` reads tags and lengths of all elements, without recursion and without copying values, and finds
what would make a decoder fail, hang or use too much memory: lengths beyond the end, deep nesting, text that is no data
set at all. It also reads the identifying UIDs that the receive path needs.

Elements that do not conform and have one meaning all the same (an unknown or missing value representation, another
order, an element twice) are findings and no errors: `conforming.py` writes them as PS3.5 has them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from pydicom.datadict import dictionary_has_tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from config.errors import InputError
from config.messages.message import message, text_of
from node.dicom.headers.vr_forms import LONG_VRS, SHORT_VRS, ElementForm, form_of_element

MAX_NESTING = 24  # real objects have less than 10 levels; decoders recurse
MAX_NONCONFORMING = 2_000  # elements of unknown form: to find the form of each takes time
MAX_INFLATED_BYTES = 256 * 1024 * 1024

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
IDENTIFYING_TAGS = frozenset({SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})

FIRST_TAG = 0x00080000  # lower groups belong to commands and file meta information
PIXEL_DATA = 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF


class EncodingError(InputError):
    """The bytes are not a data set in the announced transfer syntax.

    Parameters
    ----------
    text : str
        Where, what was expected and what was found; free of patient data.
    uids : dict of int to str, optional
        Identifying UIDs before the damage, by tag.
    """

    def __init__(self, text: str, uids: dict[int, str] | None = None) -> None:
        super().__init__(text)
        self.uids = uids or {}


class TooManyElementsError(Exception):
    """The data set has more elements than the caller allows."""


class Element(NamedTuple):
    """Where one element of the first level is, in bytes of the data set."""

    tag: int
    form: ElementForm
    start: int
    end: int


@dataclass(frozen=True)
class DataSetStructure:
    """The outline of a readable data set.

    Parameters
    ----------
    uids : dict of int to str
        Texts of the identifying UIDs by tag.
    pixel_offset : int or None
        Where the element Pixel Data (7FE0,0010) begins, in bytes; None without pixels.
    findings : tuple of str
        What does not conform to PS3.5, each once; empty for a conforming data set.
    elements : tuple of Element
        Those of the first level as they are stored, repetitions included.
    nonconforming : tuple of int
        Offsets of the elements, nested ones included, whose own encoding does not conform.
    """

    uids: dict[int, str] = field(default_factory=dict)
    pixel_offset: int | None = None
    findings: tuple[str, ...] = ()
    elements: tuple[Element, ...] = ()
    nonconforming: tuple[int, ...] = ()


def inflate(data: bytes | memoryview) -> bytes:
    """Inflate a deflated data set (PS3.5 section A.5).

    Parameters
    ----------
    data : bytes-like
        The raw deflate stream, without a zlib header; padding may follow.

    Returns
    -------
    bytes
        The encoded data set, at most `MAX_INFLATED_BYTES`.

    Raises
    ------
    EncodingError
        The bytes do not inflate, are cut off, or inflate to more than the limit.
    """
    # A negative window size means raw deflate: PS3.5 section A.5 has no zlib header, which zlib expects by default.
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # A limit, because deflate reaches a factor of 1000: some megabytes on the network would be gigabytes in memory.
        inflated = engine.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise EncodingError(message("encoding.not_deflated", error=str(error))) from error
    if not engine.eof:
        if engine.unconsumed_tail:
            raise EncodingError(message("encoding.inflates_too_far", n=MAX_INFLATED_BYTES))
        raise EncodingError(message("encoding.deflated_cut_off"))
    return inflated


def validate_structure(
    data: bytes | memoryview, transfer_syntax_uid: str, max_elements: int | None = None
) -> DataSetStructure:
    """Validate the lengths and nesting of all elements of a data set.

    Parameters
    ----------
    data : bytes-like
        The encoded data set without file meta information; for the deflated syntax, already inflated.
    transfer_syntax_uid : str
        The announced one; unknown UIDs are read as encapsulated explicit VR little endian.
    max_elements : int, optional
        Elements and items to read; no limit by default.

    Returns
    -------
    DataSetStructure
        UIDs, where the pixels begin, and what does not conform.

    Raises
    ------
    EncodingError
        Names the offset, what was expected and what was found.
    TooManyElementsError
        There are more than `max_elements`.

    References
    ----------
    PS3.5 sections 6.2 (unknown value representations), 7.1 (elements), 7.5 (nesting) and A.4 (encapsulated pixels).
    """
    validator = _StructureValidator(memoryview(data), transfer_syntax_uid, max_elements)
    try:
        return validator.run()
    except EncodingError as error:
        raise EncodingError(text_of(error), validator.uids) from error


def uid_text(raw: bytes | memoryview) -> str:
    """Return the value of a UI element as text without padding, cut after 66 characters: a UID has at most 64."""
    return str(raw[:66], "latin-1").rstrip("\x00 ")


def skip_sequence(data: memoryview, offset: int, implicit: bool) -> int:
    """Skip a sequence of undefined length in little endian.

    Parameters
    ----------
    data : memoryview of bytes
        The encoded data set.
    offset : int
        Of the first item.
    implicit : bool
        Whether elements inside have implicit VR.

    Returns
    -------
    int
        Offset of the element after the sequence.

    Raises
    ------
    EncodingError
        The sequence does not end in these bytes, or is damaged.
    """
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return _StructureValidator(data, syntax).skip_sequence(offset, implicit)


class _StructureValidator:
    """The state of one validation: one pass, a stack of open sequences and items, no recursion."""

    def __init__(self, data: memoryview, transfer_syntax_uid: str, max_elements: int | None = None) -> None:
        self.data = data
        self.left = max_elements if max_elements is not None else len(data)
        self.end = len(data)
        self.implicit = transfer_syntax_uid == ImplicitVRLittleEndian
        # Explicit VR big endian is retired (PS3.5 section A.3) and still in archives.
        order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
        self.tag = struct.Struct(order + "HH")
        self.head = struct.Struct(order + "HH2sH")
        self.short = struct.Struct(order + "H")
        self.long = struct.Struct(order + "I")
        self.encapsulated = transfer_syntax_uid not in (
            ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian,
        )  # fmt: skip
        self.little_endian = order == "<"
        self.uids: dict[int, str] = {}
        self.pixel_offset: int | None = None
        self.elements: list[Element] = []
        self.findings: dict[str, None] = {}  # each once, in the order of the data set
        self.nonconforming: list[int] = []

    def run(self) -> DataSetStructure:
        offset, last = 0, -1
        places: dict[int, int] = {}  # of each tag in `elements`
        while offset < self.end:
            if self.pixel_offset is not None and not any(self.data[offset:]):
                break  # zeros after the pixels pad some archives' files
            start = offset
            tag, form = self.read_element(offset)
            offset = form.value_offset
            # Every real data set begins with a group from 0008 to 003F; random bytes seldom do.
            if last < 0 and not FIRST_TAG <= tag < 0x00400000:
                raise EncodingError(message("encoding.wrong_group", tag=tag_name(tag)))
            if tag < FIRST_TAG:
                raise EncodingError(message("encoding.no_element", offset=start, tag=tag_name(tag)))
            if tag < last:
                self.require_known(tag, start, last, places)
                self.findings[message("finding.order", tag=tag_name(tag), last=tag_name(last))] = None
            last = tag
            if tag == PIXEL_DATA:
                self.pixel_offset = start
            if form.length == UNDEFINED:
                is_implicit = form.vr == b"UN"
                offset = self.skip_fragments(offset) if tag == PIXEL_DATA else self.skip_sequence(offset, is_implicit)
            else:
                self.require_length(tag, offset, form.length)
                offset += form.length
            self.add(Element(tag, form, start, offset), places)
        n_without_vr = sum(not element.form.vr for element in self.elements)
        if not self.implicit and 2 * n_without_vr > len(self.elements):
            raise EncodingError(message("encoding.implicit"))
        return DataSetStructure(
            self.uids, self.pixel_offset, tuple(self.findings), tuple(self.elements), tuple(self.nonconforming)
        )

    def add(self, element: Element, places: dict[int, int]) -> None:
        """Add an element of the first level; the same element again is a finding."""
        tag, value = element.tag, self.data[element.form.value_offset : element.end]
        if tag in places:
            before = self.elements[places[tag]]
            # PS3.5 section 7.1: each tag once. Of two different values, different programs use different ones; of
            # private elements this program uses none.
            if not tag >> 16 & 1 and self.data[before.form.value_offset : before.end] != value:
                raise EncodingError(message("encoding.twice_different", offset=element.start, tag=tag_name(tag)))
            self.findings[message("finding.twice", tag=tag_name(tag))] = None
        else:
            places[tag] = len(self.elements)
            if tag in IDENTIFYING_TAGS:
                self.uids[tag] = uid_text(value)
        self.elements.append(element)

    def require_known(self, tag: int, start: int, last: int, places: dict[int, int]) -> None:
        """In implicit VR, refuse an element out of order that may be anything.

        Nothing else than the order tells elements from arbitrary bytes there: only tags of the dictionary, and private
        ones of a block that was reserved before (PS3.5 section 7.8.1), are elements all the same.
        """
        creator = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        if self.implicit and not (dictionary_has_tag(tag) or (tag >> 16 & 1 and creator in places)):
            raise EncodingError(message("encoding.order", offset=start, tag=tag_name(tag), last=tag_name(last)))

    def require_length(self, tag: int, offset: int, length: int) -> None:
        if length > self.end - offset:
            left = self.end - offset
            text = message("encoding.cut_off", offset=offset, tag=tag_name(tag), length=length, left=left)
            raise EncodingError(text)

    def read_tag(self, offset: int) -> int:
        self.left -= 1
        if self.left < 0:
            raise TooManyElementsError
        if self.end - offset < 8:
            raise EncodingError(message("encoding.too_few_bytes", offset=offset, left=self.end - offset))
        group, element = self.tag.unpack_from(self.data, offset)
        return int(group) << 16 | int(element)

    def read_element(self, offset: int, implicit: bool | None = None) -> tuple[int, ElementForm]:
        """Return tag and form of an element."""
        tag = self.read_tag(offset)
        if self.implicit if implicit is None else implicit:
            return tag, ElementForm(b"", offset + 8, self.long.unpack_from(self.data, offset + 4)[0])
        vr = bytes(self.data[offset + 4 : offset + 6])
        if vr in SHORT_VRS:
            return tag, ElementForm(vr, offset + 8, self.short.unpack_from(self.data, offset + 6)[0])
        if vr in LONG_VRS:
            if self.end - offset < 12:
                raise EncodingError(message("encoding.element_cut_off", offset=offset, tag=tag_name(tag)))
            if not any(self.data[offset + 6 : offset + 8]):
                return tag, ElementForm(vr, offset + 12, self.long.unpack_from(self.data, offset + 8)[0])
        form = form_of_element(self.data, offset, self.little_endian)
        if form is None:
            raise EncodingError(message("encoding.unknown_vr", offset=offset, tag=tag_name(tag), vr=repr(vr)))
        if form.vr not in LONG_VRS or form.value_offset != offset + 12:
            if len(self.nonconforming) == MAX_NONCONFORMING:
                raise EncodingError(message("encoding.many_unknown", n=MAX_NONCONFORMING))
            self.nonconforming.append(offset)
            found = message("finding.no_vr", tag=tag_name(tag))
            if form.vr:
                found = message("finding.vr", tag=tag_name(tag), vr=vr.decode("latin-1"))
            self.findings[found] = None
        return tag, form

    def skip_fragments(self, offset: int) -> int:
        """Return the offset after the fragments of encapsulated pixels (PS3.5 section A.4)."""
        # PS3.5 section A.4 allows an undefined length of Pixel Data in encapsulated syntaxes only.
        if not self.encapsulated:
            raise EncodingError(message("encoding.undefined_length", offset=offset))
        while True:
            tag = self.read_tag(offset)
            length = self.long.unpack_from(self.data, offset + 4)[0]
            offset += 8
            if tag == _SEQUENCE_END:
                return offset
            if tag != _ITEM or length == UNDEFINED:
                raise EncodingError(message("encoding.no_fragment", offset=offset - 8, tag=tag_name(tag)))
            self.require_length(tag, offset, length)
            offset += length

    def skip_sequence(self, offset: int, implicit_inside: bool) -> int:
        """Return the offset after a sequence of undefined length and everything nested in it.

        A UN of undefined length is a sequence in implicit VR (PS3.5 section 6.2.2).
        """
        # Inherited by everything nested in the UN.
        implicit = self.implicit or implicit_inside
        open_ends: list[int] = [_SEQUENCE_END]  # the delimiter of each open level; sequences and items alternate
        while open_ends:
            if len(open_ends) > 2 * MAX_NESTING:
                raise EncodingError(message("encoding.nested", offset=offset, n=MAX_NESTING))
            if open_ends[-1] == _SEQUENCE_END:  # between items
                tag = self.read_tag(offset)
                length = self.long.unpack_from(self.data, offset + 4)[0]
                offset += 8
                if tag == _SEQUENCE_END:
                    open_ends.pop()
                elif tag != _ITEM:
                    raise EncodingError(message("encoding.no_item", offset=offset - 8, tag=tag_name(tag)))
                elif length == UNDEFINED:
                    open_ends.append(_ITEM_END)
                else:
                    self.require_length(tag, offset, length)
                    offset += length
                continue
            # The usual element at once: a structure set may have a quarter of a million of them.
            if not implicit and self.left >= 2 and self.end - offset >= 8:
                _, _, vr, length = self.head.unpack_from(self.data, offset)
                if vr in SHORT_VRS and length <= self.end - offset - 8:
                    self.left -= 2
                    offset += 8 + length
                    continue
            tag = self.read_tag(offset)
            if tag == _ITEM_END:
                open_ends.pop()
                offset += 8
                continue
            tag, form = self.read_element(offset, implicit)
            offset = form.value_offset
            if form.length == UNDEFINED:
                open_ends.append(_SEQUENCE_END)
            else:
                self.require_length(tag, offset, form.length)
                offset += form.length
        return offset


def tag_name(tag: int) -> str:
    """Return a tag as the standard writes it, for example ``(0010,0020)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
