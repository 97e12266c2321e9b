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
from typing import Any

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
from node.dicom.encoding import (
    FIRST_TAG,
    LONG_VRS,
    NOTED,
    PIXEL_DATA,
    SHORT_VRS,
    SOP_CLASS_UID,
    UNDEFINED,
    skip_sequence,
)
from node.dicom.reading import decode

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
DEFLATED = "1.2.840.10008.1.2.1.99"
MOST_REMEMBERED = 20_000
LONGEST_REMEMBERED = 256  # bytes of an element; what is longer differs from slice to slice or is rare

_CHARACTER_SET = 0x00080005
_FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)
_GROUP = {name: kind for kind in (TEXT_KEYWORDS, LIST_KEYWORDS, NUMBER_KEYWORDS, VECTOR_KEYWORDS) for name in kind}
_KEYWORDS = (*TEXT_KEYWORDS, *LIST_KEYWORDS, *NUMBER_KEYWORDS, *VECTOR_KEYWORDS, *CODE_KEYWORDS)
_WANTED = {int(tag_for_keyword(keyword) or 0): keyword for keyword in _KEYWORDS}
_VR_OF = {tag: dictionary_VR(tag).encode() for tag in _WANTED}
_IN_ORDER = tuple(_WANTED.items())
_SHORT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_LONG = struct.Struct("<I")

_DECIMAL = re.compile(rb" *[+-]?\d{1,15}(?:\.\d{0,15})?(?:[eE][+-]?\d{1,2})? *\Z")
_INTEGER = re.compile(rb" *[+-]?\d{1,9} *\Z")
_UID = re.compile(rb"[0-9.]+\0?\Z")
_PLAIN = re.compile(rb"[0-9A-Za-z.:+_-][0-9A-Za-z.:+_ -]* ?\Z")
_PLAIN_VRS = frozenset({b"DA", b"TM", b"CS", b"AS"})

_NOTHING = object()


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
class Head:
    """The header of an image whose pixels may not be here yet.

    uids : as in a Survey. header : as `header_of` gives it. size_bytes : what the whole data set must have; any other
    size means that there is more to be looked at.
    """

    uids: Mapping[int, str]
    header: dict[str, Any]
    size_bytes: int


def read_head(data: memoryview, transfer_syntax_uid: str) -> Head | None:
    """The header in the first bytes of a data set; None when they do not tell it all or hold anything unusual."""
    if transfer_syntax_uid in (ExplicitVRBigEndian, DEFLATED):
        return None
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    try:
        walked = _walk(data, implicit)
        if walked is None:
            return None
        uids, elements, size_bytes = walked
        if uids.get(SOP_CLASS_UID) != MR_IMAGE:
            return None
        return Head(uids, _header(data, elements, transfer_syntax_uid), size_bytes)
    except Exception:  # whatever is wrong with these bytes, the reading of the whole object names it
        return None


_Element = tuple[bytes, int, int, int]  # VR, start of the element, start of its value, end of it


def _walk(data: memoryview, implicit: bool) -> tuple[dict[int, str], dict[int, _Element], int] | None:
    """The noted UIDs, the wanted elements, and where the pixels end. The rules are those of `survey`."""
    uids: dict[int, str] = {}
    elements: dict[int, _Element] = {}
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
            return None if length == UNDEFINED else (uids, elements, offset + length)
        if tag in _FUNCTIONAL_GROUPS:
            return None
        begin = offset
        offset = skip_sequence(data, begin, implicit or vr == b"UN") if length == UNDEFINED else begin + length
        if offset > end:
            return None
        if tag in _WANTED:
            elements[tag] = (vr or _VR_OF[tag], start, begin, offset)
        if tag in NOTED:
            uids[tag] = str(data[begin:offset][:66], "latin-1").rstrip("\x00 ")


def _header(data: memoryview, elements: dict[int, _Element], syntax: str) -> dict[str, Any]:
    """The keywords that the case rules read, in the order in which `header_of` gives them."""
    found = elements.get(_CHARACTER_SET)
    character_set = bytes(data[found[2] : found[3]]) if found else b""
    known = _memory.of(syntax == ImplicitVRLittleEndian, character_set)
    values: dict[int, Any] = {}
    unknown: dict[int, bytes] = {}
    for tag, (vr, start, begin, end) in elements.items():
        encoded = bytes(data[start:end])
        value = known.get(encoded, _NOTHING)
        if value is _NOTHING:
            value = _plain(_WANTED[tag], vr, encoded[begin - start :])
            if value is _NOTHING:
                unknown[tag] = encoded
                continue
            _memory.add(known, encoded, value)
        values[tag] = value
    if unknown:
        told = _ask_pydicom(data, elements, syntax, unknown)
        for tag, encoded in unknown.items():
            values[tag] = told.get(_WANTED[tag])
            _memory.add(known, encoded, values[tag])
    return {keyword: values[tag] for tag, keyword in _IN_ORDER if values.get(tag) is not None}


def _ask_pydicom(
    data: memoryview, elements: Mapping[int, _Element], syntax: str, unknown: Iterable[int]
) -> dict[str, Any]:
    """Decode what is new as a small data set of its own, with the character set that its text needs."""
    tags = sorted({*unknown, *({_CHARACTER_SET} & set(elements))})
    return header_of(decode(b"".join(bytes(data[elements[tag][1] : elements[tag][3]]) for tag in tags), syntax))


def _plain(keyword: str, vr: bytes, raw: bytes) -> Any:
    """The value of an element whose form leaves no doubt, as `header_of` would give it; else _NOTHING."""
    kind = _GROUP.get(keyword)
    if vr == b"UI" and kind is TEXT_KEYWORDS and _UID.match(raw):
        return str(raw, "ascii").rstrip("\0")
    if vr in _PLAIN_VRS and kind is TEXT_KEYWORDS and _PLAIN.match(raw):
        return str(raw, "ascii").rstrip(" ")
    if kind is NUMBER_KEYWORDS or kind is VECTOR_KEYWORDS:
        convert = _CONVERT.get(vr)
        return _NOTHING if convert is None else convert(raw, kind is VECTOR_KEYWORDS)
    return _NOTHING


def _number(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _decimal_string(raw: bytes, vector: bool) -> Any:
    parts = raw.split(b"\\")
    if not all(map(_DECIMAL.match, parts)) or (vector and len(parts) < 2):
        return _NOTHING
    numbers = [float(part) for part in parts]
    if vector:
        return numbers if all(abs(number) < 1e9 for number in numbers) else None
    return _number(numbers[0])


def _integer_string(raw: bytes, vector: bool) -> Any:
    return _NOTHING if vector or not _INTEGER.match(raw) else int(raw)


def _unsigned_short(raw: bytes, vector: bool) -> Any:
    return _NOTHING if vector or len(raw) != 2 else int.from_bytes(raw, "little")


_CONVERT: Mapping[bytes, Callable[[bytes, bool], Any]] = {
    b"DS": _decimal_string, b"IS": _integer_string, b"US": _unsigned_short,
}  # fmt: skip
