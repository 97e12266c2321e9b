"""What the first bytes of an image tell, while the rest of it is still arriving.

The elements before the pixels are walked over once. Most of them are the same in every slice of a series, so what an
encoded element means is remembered; new ones are decoded here where their form is beyond doubt (numbers, UIDs, dates),
and by pydicom otherwise. The result is the same as that of `read_header` and `header_of`, or there is none: then the
object is read from its file like everything unusual.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from node.cases.headers import (
    CODE_KEYWORDS,
    LIST_KEYWORDS,
    NUMBER_KEYWORDS,
    TEXT_KEYWORDS,
    VECTOR_KEYWORDS,
    header_of,
)
from node.dicom.headers.full_header import decode
from node.dicom.headers.structure import (
    FIRST_TAG,
    IDENTIFYING_TAGS,
    LONG_VRS,
    PIXEL_DATA,
    SHORT_VRS,
    SOP_CLASS_UID,
    UNDEFINED,
    skip_sequence,
)

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
DEFLATED = "1.2.840.10008.1.2.1.99"
MOST_REMEMBERED = 20_000
LONGEST_REMEMBERED = 256  # bytes of an element; what is longer differs from slice to slice or is rare

CHARACTER_SET = 0x00080005
_FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)
_GROUP = {name: kind for kind in (TEXT_KEYWORDS, LIST_KEYWORDS, NUMBER_KEYWORDS, VECTOR_KEYWORDS) for name in kind}
_KEYWORDS = (*TEXT_KEYWORDS, *LIST_KEYWORDS, *NUMBER_KEYWORDS, *VECTOR_KEYWORDS, *CODE_KEYWORDS)
WANTED = {int(tag_for_keyword(keyword) or 0): keyword for keyword in _KEYWORDS}
_VR_OF = {tag: dictionary_VR(tag).encode() for tag in WANTED}
_IN_ORDER = tuple(WANTED.items())
_SHORT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_LONG = struct.Struct("<I")

_DECIMAL = re.compile(rb" *[+-]?\d{1,15}(?:\.\d{0,15})?(?:[eE][+-]?\d{1,2})? *\Z")
_INTEGER = re.compile(rb" *[+-]?\d{1,9} *\Z")
_UID = re.compile(rb"[0-9.]+\0?\Z")
_PLAIN = re.compile(rb"[0-9A-Za-z.:+_-][0-9A-Za-z.:+_ -]* ?\Z")
_PLAIN_VRS = frozenset({b"DA", b"TM", b"CS", b"AS"})

NOTHING = object()


class _Memory:
    """What encoded elements mean, by whether the VR is implicit and by character set."""

    def __init__(self) -> None:
        self._known: dict[tuple[bool, bytes], dict[bytes, Any]] = {}
        self._room = MOST_REMEMBERED

    def of(self, implicit: bool, character_set: bytes) -> dict[bytes, Any]:
        """Element, as it is encoded, to its value; to be read only."""
        return self._known.setdefault((implicit, character_set), {})

    def add(self, known: dict[bytes, Any], element: bytes, value: Any) -> None:
        if len(element) > LONGEST_REMEMBERED:
            return
        self._room -= 1
        if self._room <= 0:
            self._known.clear()
            self._room = MOST_REMEMBERED
        known[element] = value


_memory = _Memory()


@dataclass(frozen=True)
class EarlyHeader:
    """The header of an image whose pixels may not be here yet.

    uids : as in a DataSetStructure. header : as `header_of` gives it. size_bytes : what the whole data set must have;
    any other size means that there is more to be looked at.
    """

    uids: Mapping[int, str]
    header: dict[str, Any]
    size_bytes: int


def read_early_header(data: memoryview, transfer_syntax_uid: str) -> EarlyHeader | None:
    """The header in the first bytes of a data set; None when they do not tell it all or hold anything unusual."""
    try:
        walked = walk(data, transfer_syntax_uid)
        if walked is None:
            return None
        return EarlyHeader(walked.uids, header_in(data, walked.wanted(), transfer_syntax_uid), walked.size_bytes)
    except Exception:  # whatever is wrong with these bytes, the reading of the whole object names it
        return None


class Element(NamedTuple):
    """Where an element of a data set stands: its start, the start of its value and its end. VR: empty if implicit."""

    tag: int
    vr: bytes
    start: int
    begin: int
    end: int


@dataclass(frozen=True)
class Walked:
    """The elements up to the pixels, in their order. size_bytes : where the pixels end."""

    uids: dict[int, str]
    elements: list[Element]
    pixels: Element
    size_bytes: int

    def wanted(self) -> dict[int, Element]:
        return {element.tag: element for element in self.elements if element.tag in WANTED}


def walk(data: memoryview, transfer_syntax_uid: str) -> Walked | None:
    """Over an MR image's elements to its pixels; None for what is no such image.

    The rules are those of `validate_structure`.

    Raises what the bytes provoke.
    """
    if transfer_syntax_uid in (ExplicitVRBigEndian, DEFLATED):
        return None
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    uids: dict[int, str] = {}
    elements: list[Element] = []
    offset, last, end = 0, -1, len(data)
    while True:
        start = offset
        if implicit:
            group, number, length = _IMPLICIT.unpack_from(data, offset)
            vr, offset = b"", offset + 8
        else:
            group, number, vr, length = _SHORT.unpack_from(data, offset)
            offset += 8
            if vr not in SHORT_VRS:
                if vr not in LONG_VRS:
                    return None
                (length,) = _LONG.unpack_from(data, offset)
                offset += 4
        tag = group << 16 | number
        if tag <= last or (last < 0 and not FIRST_TAG <= tag < 0x00400000):
            return None
        last = tag
        if tag == PIXEL_DATA:
            if length == UNDEFINED or uids.get(SOP_CLASS_UID) != MR_IMAGE:
                return None
            return Walked(uids, elements, Element(tag, vr, start, offset, offset), offset + length)
        if tag in _FUNCTIONAL_GROUPS:
            return None
        begin = offset
        offset = skip_sequence(data, begin, implicit or vr == b"UN") if length == UNDEFINED else begin + length
        if offset > end:
            return None
        elements.append(Element(tag, vr, start, begin, offset))
        if tag in IDENTIFYING_TAGS:
            uids[tag] = uid_text(data[begin:offset])


def uid_text(raw: bytes | memoryview) -> str:
    """The text of a UID, as `validate_structure` notes it."""
    return str(raw[:66], "latin-1").rstrip("\x00 ")


def remembered(data: memoryview, elements: Mapping[int, Element], syntax: str) -> dict[bytes, Any]:
    """What is known of elements in the character set of this data set: encoded element to value."""
    found = elements.get(CHARACTER_SET)
    character_set = bytes(data[found.begin : found.end]) if found else b""
    return _memory.of(syntax == ImplicitVRLittleEndian, character_set)


def value_of(known: dict[bytes, Any], tag: int, vr: bytes, encoded: bytes, raw: bytes) -> Any:
    """The value of a wanted element that is known or needs no decoder; NOTHING otherwise.

    encoded : the whole element; raw : its value.
    """
    value = known.get(encoded, NOTHING)
    if value is NOTHING:
        value = _plain(WANTED[tag], vr or _VR_OF[tag], raw)
        if value is not NOTHING:
            _memory.add(known, encoded, value)
    return value


def header_in(data: memoryview, elements: Mapping[int, Element], syntax: str) -> dict[str, Any]:
    """The keywords that the case rules read, in the order in which `header_of` gives them."""
    known = remembered(data, elements, syntax)
    values: dict[int, Any] = {}
    unknown: dict[int, bytes] = {}
    for tag, element in elements.items():
        encoded = bytes(data[element.start : element.end])
        value = value_of(known, tag, element.vr, encoded, encoded[element.begin - element.start :])
        if value is NOTHING:
            unknown[tag] = encoded
        else:
            values[tag] = value
    if unknown:
        told = _ask_pydicom(data, elements, syntax, unknown)
        for tag, encoded in unknown.items():
            values[tag] = told.get(WANTED[tag])
            _memory.add(known, encoded, values[tag])
    return {keyword: values[tag] for tag, keyword in _IN_ORDER if values.get(tag) is not None}


def _ask_pydicom(
    data: memoryview, elements: Mapping[int, Element], syntax: str, unknown: Iterable[int]
) -> dict[str, Any]:
    """Decode what is new as a small data set of its own, with the character set that its text needs."""
    tags = sorted({*unknown, *({CHARACTER_SET} & set(elements))})
    encoded = b"".join(bytes(data[elements[tag].start : elements[tag].end]) for tag in tags)
    return header_of(decode(encoded, syntax))


def _plain(keyword: str, vr: bytes, raw: bytes) -> Any:
    """The value of an element whose form leaves no doubt, as `header_of` would give it; else NOTHING."""
    kind = _GROUP.get(keyword)
    if vr == b"UI" and kind is TEXT_KEYWORDS and _UID.match(raw):
        return str(raw, "ascii").rstrip("\0")
    if vr in _PLAIN_VRS and kind is TEXT_KEYWORDS and _PLAIN.match(raw):
        return str(raw, "ascii").rstrip(" ")
    if kind is NUMBER_KEYWORDS or kind is VECTOR_KEYWORDS:
        convert = _CONVERT.get(vr)
        return NOTHING if convert is None else convert(raw, kind is VECTOR_KEYWORDS)
    return NOTHING


def _number(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _decimal_string(raw: bytes, vector: bool) -> Any:
    parts = raw.split(b"\\")
    if not all(map(_DECIMAL.match, parts)) or (vector and len(parts) < 2):
        return NOTHING
    numbers = [float(part) for part in parts]
    if vector:
        return numbers if all(abs(number) < 1e9 for number in numbers) else None
    return _number(numbers[0])


def _integer_string(raw: bytes, vector: bool) -> Any:
    return NOTHING if vector or not _INTEGER.match(raw) else int(raw)


def _unsigned_short(raw: bytes, vector: bool) -> Any:
    return NOTHING if vector or len(raw) != 2 else int.from_bytes(raw, "little")


_CONVERT: Mapping[bytes, Callable[[bytes, bool], Any]] = {
    b"DS": _decimal_string, b"IS": _integer_string, b"US": _unsigned_short,
}  # fmt: skip
