"""The header of an image from its first bytes, read while the rest of it is still arriving.

The elements before the pixels are read once, in order. Most of them are the same in every slice of a series, so the
value of an encoded element is cached; new ones are decoded here where their form is beyond doubt (numbers, UIDs,
dates), and by pydicom otherwise. The result is equal to that of `read_full_header`, or there is none: then the whole
object is read, like everything unusual.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
from node.dicom.headers.full_header import decode_elements
from node.dicom.headers.instance_header import InstanceHeader
from node.dicom.headers.structure import (
    FIRST_TAG,
    IDENTIFYING_TAGS,
    PIXEL_DATA,
    SOP_CLASS_UID,
    UNDEFINED,
    skip_sequence,
    uid_text,
)
from node.dicom.headers.vr_forms import LONG_VRS, SHORT_VRS

EARLY_HEADER_BYTES = 1 << 17  # enough for a header with 100 kB of private elements, which some scanners write
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_CACHED_ELEMENTS = 20_000
LONGEST_CACHED_ELEMENT = 256  # bytes; what is longer differs from slice to slice or is rare

CHARACTER_SET = 0x00080005
# From the Shared Functional Groups on: the header of an Enhanced MR is not read here, and pixels come after them
_FIRST_OF_THE_END = 0x52009229
_FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)
_KIND = {name: kind for kind in (TEXT_KEYWORDS, LIST_KEYWORDS, NUMBER_KEYWORDS, VECTOR_KEYWORDS) for name in kind}
_KEYWORDS = (*TEXT_KEYWORDS, *LIST_KEYWORDS, *NUMBER_KEYWORDS, *VECTOR_KEYWORDS, *CODE_KEYWORDS)
_KEYWORD_OF = {int(tag_for_keyword(keyword) or 0): keyword for keyword in _KEYWORDS}
_VR_OF = {tag: dictionary_VR(tag).encode() for tag in _KEYWORD_OF}
_PLACE_OF = {tag: place for place, tag in enumerate(_KEYWORD_OF)}
_SHORT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_LONG = struct.Struct("<I")

# Only forms that pydicom reads without a decision: at most 15 digits, no multiple values, no unusual characters.
_DECIMAL = re.compile(rb" *[+-]?\d{1,15}(?:\.\d{0,15})?(?:[eE][+-]?\d{1,2})? *\Z")
_INTEGER = re.compile(rb" *[+-]?\d{1,9} *\Z")
_UID = re.compile(rb"[0-9.]+\0?\Z")
_PLAIN = re.compile(rb"[0-9A-Za-z.:+_-][0-9A-Za-z.:+_ -]* ?\Z")
_PLAIN_VRS = frozenset({b"DA", b"TM", b"CS", b"AS"})

_NO_VALUE = object()  # needs a decoder; None is the value of an element that cannot be decoded


class _ValueCache:
    """Values of encoded elements, by whether the VR is implicit and by character set; threads share it."""

    def __init__(self) -> None:
        self._values: dict[tuple[bool, bytes], dict[bytes, Any]] = {}
        self._room = MAX_CACHED_ELEMENTS

    def of(self, implicit: bool, character_set: bytes) -> dict[bytes, Any]:
        """Return the values by encoded element; to be read only."""
        return self._values.setdefault((implicit, character_set), {})

    def add(self, values: dict[bytes, Any], encoded: bytes, value: Any) -> None:
        """Add the value of an encoded element to one of the dictionaries that `of` returned."""
        if len(encoded) > LONGEST_CACHED_ELEMENT:
            return
        self._room -= 1
        if self._room <= 0:  # a sender may make up new values without end
            self._values.clear()
            self._room = MAX_CACHED_ELEMENTS
        values[encoded] = value


_cache = _ValueCache()


@dataclass(frozen=True)
class EarlyHeader:
    """The header of an image whose pixels may not have arrived yet.

    Parameters
    ----------
    header : InstanceHeader
        As it would be read from the whole object, if that has the expected size.
    size_bytes : int
        Expected size of the whole data set: the pixels are its last element.
    """

    header: InstanceHeader
    size_bytes: int


class _Elements(NamedTuple):
    """The elements that the case rules read, the identifying UIDs, and the end of the pixels."""

    by_tag: dict[int, tuple[bytes, int, bytes]]  # encoded, where the value begins in it, VR (empty where implicit)
    uids: dict[int, str]
    size_bytes: int


def read_early_header(data: memoryview, transfer_syntax_uid: str) -> EarlyHeader | None:
    """Read the header in the first bytes of a data set.

    Parameters
    ----------
    data : memoryview of bytes
        From the beginning of the data set; `EARLY_HEADER_BYTES` are enough.
    transfer_syntax_uid : str
        Of the presentation context.

    Returns
    -------
    EarlyHeader or None
        None when the header does not end in these bytes, when this is no single-frame MR image with pixels of a known
        length, or when anything in it is unusual.
    """
    try:
        elements = _read_elements(data, transfer_syntax_uid)
        if elements is None:
            return None
        values = _values(elements.by_tag, transfer_syntax_uid)
        return EarlyHeader(InstanceHeader(values, elements.uids), elements.size_bytes)
    except Exception:  # whatever is wrong with these bytes, reading the whole object names it
        return None


def _read_elements(data: memoryview, transfer_syntax_uid: str) -> _Elements | None:
    """Read tags and lengths up to the pixels, by the rules of `validate_structure`; None for what is not read here.

    Raises struct.error and EncodingError for bytes that end early or are damaged.
    """
    # Rare, and each would need a reader of its own here.
    if transfer_syntax_uid in (ExplicitVRBigEndian, DEFLATED):
        return None
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    uids: dict[int, str] = {}
    by_tag: dict[int, tuple[bytes, int, bytes]] = {}
    offset, last, end = 0, -1, len(data)
    while True:  # once for each element of each image: a microsecond here is a tenth of a per cent of the receive time
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
        if tag >= _FIRST_OF_THE_END:
            if tag == PIXEL_DATA:
                # Other classes have few objects in a study, and long headers. Where compressed pixels end is known only
                # once the whole object has been read.
                if length == UNDEFINED or uids.get(SOP_CLASS_UID) != MR_IMAGE:
                    return None
                return _Elements(by_tag, uids, offset + length)
            if tag in _FUNCTIONAL_GROUPS:
                return None
        value_start = offset
        if length == UNDEFINED:
            offset = skip_sequence(data, value_start, implicit or vr == b"UN")
        else:
            offset = value_start + length
        # Not damage: the element ends beyond the bytes that are here, and the whole object is read later.
        if offset > end:
            return None
        if tag in _KEYWORD_OF:
            by_tag[tag] = (bytes(data[start:offset]), value_start - start, vr)
            if tag in IDENTIFYING_TAGS:
                uids[tag] = uid_text(data[value_start:offset])


def _values(elements: Mapping[int, tuple[bytes, int, bytes]], transfer_syntax_uid: str) -> dict[str, Any]:
    """Decode the elements; the keywords are in the order in which `header_of` gives them."""
    character_set, value_start, _ = elements.get(CHARACTER_SET, (b"", 0, b""))
    # By character set, because the bytes of a name mean different texts in different ones (PS3.3 section C.12.1.1.2).
    cached = _cache.of(transfer_syntax_uid == ImplicitVRLittleEndian, character_set[value_start:])
    values: dict[int, Any] = {}
    undecoded: dict[int, bytes] = {}
    for tag, (encoded, value_start, vr) in elements.items():
        value = cached.get(encoded, _NO_VALUE)
        if value is _NO_VALUE:
            value = _plain_value(_KEYWORD_OF[tag], vr or _VR_OF[tag], encoded[value_start:])
            if value is _NO_VALUE:
                undecoded[tag] = encoded
                continue
            _cache.add(cached, encoded, value)
        values[tag] = value
    if undecoded:
        decoded = _decode_by_pydicom(elements, transfer_syntax_uid, undecoded)
        for tag, encoded in undecoded.items():
            values[tag] = decoded.get(_KEYWORD_OF[tag])
            _cache.add(cached, encoded, values[tag])
    return {keyword: values[tag] for tag, keyword in _in_order(tuple(values)) if values[tag] is not None}


@lru_cache(maxsize=256)  # the images of a series have the same elements
def _in_order(tags: tuple[int, ...]) -> tuple[tuple[int, str], ...]:
    """Return tags with their keywords in the order of `header_of`."""
    return tuple((tag, _KEYWORD_OF[tag]) for tag in sorted(tags, key=_PLACE_OF.__getitem__))


def _decode_by_pydicom(
    elements: Mapping[int, tuple[bytes, int, bytes]], transfer_syntax_uid: str, undecoded: Iterable[int]
) -> dict[str, Any]:
    """Decode elements as a small data set of their own, with the character set that their text needs."""
    tags = sorted({*undecoded, *({CHARACTER_SET} & set(elements))})
    return header_of(decode_elements(b"".join(elements[tag][0] for tag in tags), transfer_syntax_uid))


def _plain_value(keyword: str, vr: bytes, raw: bytes) -> Any:
    """Decode an element whose form leaves no doubt, as `header_of` would; otherwise return `_NO_VALUE`."""
    kind = _KIND.get(keyword)
    if vr == b"UI" and kind is TEXT_KEYWORDS and _UID.match(raw):
        return str(raw, "ascii").rstrip("\0")
    if vr in _PLAIN_VRS and kind is TEXT_KEYWORDS and _PLAIN.match(raw):
        return str(raw, "ascii").rstrip(" ")
    if kind is NUMBER_KEYWORDS or kind is VECTOR_KEYWORDS:
        convert = _CONVERT.get(vr)
        return _NO_VALUE if convert is None else convert(raw, kind is VECTOR_KEYWORDS)
    return _NO_VALUE


def _number(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def _decimal_string(raw: bytes, vector: bool) -> Any:
    parts = raw.split(b"\\")
    if not all(map(_DECIMAL.match, parts)) or (vector and len(parts) < 2):
        return _NO_VALUE
    numbers = [float(part) for part in parts]
    if vector:
        # As `header_of` decides: a position this far away is damage.
        return numbers if all(abs(number) < 1e9 for number in numbers) else None
    return _number(numbers[0])


def _integer_string(raw: bytes, vector: bool) -> Any:
    return _NO_VALUE if vector or not _INTEGER.match(raw) else int(raw)


def _unsigned_short(raw: bytes, vector: bool) -> Any:
    return _NO_VALUE if vector or len(raw) != 2 else int.from_bytes(raw, "little")


_CONVERT: Mapping[bytes, Callable[[bytes, bool], Any]] = {
    b"DS": _decimal_string, b"IS": _integer_string, b"US": _unsigned_short,
}  # fmt: skip
