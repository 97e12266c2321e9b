"""A look at the encoding of a data set before anything is decoded (PS3.5 section 7).

`validate_structure` walks over the elements by their lengths, without recursion and without copying values, and finds
what would make a decoder fail, hang or grow: lengths beyond the end, elements out of order, nesting bombs, text that is
no data set at all. On the way it notes the few identifying values that the receive path needs.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from config.errors import InputError

DEEPEST_NESTING = 24  # real objects stay below 10; decoders recurse
MOST_INFLATED_BYTES = 256 * 1024 * 1024

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
IDENTIFYING_TAGS = frozenset({SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})

FIRST_TAG = 0x00080000  # lower groups belong to commands and file meta information
PIXEL_DATA = 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT_VRS = frozenset(
    {
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
        b"ST", b"TM", b"UI", b"UL", b"US",
    }
)  # fmt: skip


class EncodingError(InputError):
    """The bytes are not a data set in the transfer syntax they came in.

    uids : identifying UIDs that stood before the damage, tag to text, as in `DataSetStructure`.
    """

    def __init__(self, text: str, uids: dict[int, str] | None = None) -> None:
        super().__init__(text)
        self.uids = uids or {}


class TooManyElementsError(Exception):
    """The walk met more elements than it was asked to look at."""


@dataclass(frozen=True)
class DataSetStructure:
    """What the walk found. `uids` maps tag to text for the identifying UIDs; `pixel_offset` is None without pixels."""

    uids: dict[int, str] = field(default_factory=dict)
    pixel_offset: int | None = None


def inflate(data: bytes | memoryview) -> bytes:
    """The data set inside a deflated one (PS3.5 section A.5), of bounded size. Raises EncodingError."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = engine.decompress(data, MOST_INFLATED_BYTES)
    except zlib.error as error:
        raise EncodingError(f"expected a deflated data set, found bytes that do not inflate ({error})") from error
    if not engine.eof:
        if engine.unconsumed_tail:
            raise EncodingError(f"the deflated data set inflates to more than {MOST_INFLATED_BYTES} bytes")
        raise EncodingError("the deflated data set is cut off")
    return inflated


def validate_structure(
    data: bytes | memoryview, transfer_syntax_uid: str, most_elements: int | None = None
) -> DataSetStructure:
    """Walk over the whole data set.

    data : the encoded data set without file meta information; for the deflated syntax, already inflated.
    most_elements : elements and items to be looked at; beyond them TooManyElementsError is raised.
    Raises EncodingError naming the offset, what was expected and what was found.
    """
    walk = _StructureValidator(memoryview(data), transfer_syntax_uid, most_elements)
    try:
        return walk.run()
    except EncodingError as error:
        raise EncodingError(str(error), walk.uids) from error


def skip_sequence(data: memoryview, offset: int, implicit: bool) -> int:
    """Over a sequence of undefined length in little endian to what follows it. Raises EncodingError."""
    walk = _StructureValidator(data, ImplicitVRLittleEndian if implicit else "1.2.840.10008.1.2.1")
    return walk.sequence(offset, implicit)


class _StructureValidator:
    """The walk's state: one pass, a stack of the ends of open sequences and items, no recursion."""

    def __init__(self, data: memoryview, transfer_syntax_uid: str, most_elements: int | None = None) -> None:
        self.data = data
        self.left = most_elements if most_elements is not None else len(data)
        self.end = len(data)
        self.implicit = transfer_syntax_uid == ImplicitVRLittleEndian
        order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
        self.tag = struct.Struct(order + "HH")
        self.short = struct.Struct(order + "H")
        self.long = struct.Struct(order + "I")
        self.encapsulated = transfer_syntax_uid not in (
            ImplicitVRLittleEndian, ExplicitVRBigEndian, "1.2.840.10008.1.2.1", DeflatedExplicitVRLittleEndian,
        )  # fmt: skip
        self.uids: dict[int, str] = {}
        self.pixel_offset: int | None = None

    def run(self) -> DataSetStructure:
        offset, last = 0, -1
        while offset < self.end:
            if self.pixel_offset is not None and not any(self.data[offset:]):
                break  # zeros after the pixels pad some archives' files
            start = offset
            tag, vr, length, offset = self.element(offset)
            if tag <= last:
                raise EncodingError(f"at byte {start}: {_name(tag)} stands after {_name(last)}")
            if last < 0 and not FIRST_TAG <= tag < 0x00400000:
                raise EncodingError(f"expected a data set that begins with group 0008, found {_name(tag)}")
            last = tag
            if tag == PIXEL_DATA:
                self.pixel_offset = start
            if length == UNDEFINED:
                offset = self.fragments(offset) if tag == PIXEL_DATA else self.sequence(offset, vr == b"UN")
                continue
            self.fits(tag, offset, length)
            if tag in IDENTIFYING_TAGS:
                self.uids[tag] = str(self.data[offset : offset + min(length, 66)], "latin-1").rstrip("\x00 ")
            offset += length
        return DataSetStructure(self.uids, self.pixel_offset)

    def fits(self, tag: int, offset: int, length: int) -> None:
        if length > self.end - offset:
            raise EncodingError(
                f"at byte {offset}: {_name(tag)} claims {length} bytes, {self.end - offset} are left: "
                "the object is cut off"
            )

    def header(self, offset: int) -> int:
        """Tag at `offset`."""
        self.left -= 1
        if self.left < 0:
            raise TooManyElementsError
        if self.end - offset < 8:
            raise EncodingError(f"at byte {offset}: {self.end - offset} bytes are left over, too few for an element")
        group, element = self.tag.unpack_from(self.data, offset)
        return int(group) << 16 | int(element)

    def element(self, offset: int, implicit: bool | None = None) -> tuple[int, bytes, int, int]:
        """Tag, VR (empty when implicit), length and offset of the value."""
        tag = self.header(offset)
        if self.implicit if implicit is None else implicit:
            return tag, b"", self.long.unpack_from(self.data, offset + 4)[0], offset + 8
        vr = bytes(self.data[offset + 4 : offset + 6])
        if vr in SHORT_VRS:
            return tag, vr, self.short.unpack_from(self.data, offset + 6)[0], offset + 8
        if vr not in LONG_VRS:
            raise EncodingError(f"at byte {offset}: {_name(tag)} has no known value representation, found {vr!r}")
        if self.end - offset < 12:
            raise EncodingError(f"at byte {offset}: {_name(tag)} is cut off")
        return tag, vr, self.long.unpack_from(self.data, offset + 8)[0], offset + 12

    def fragments(self, offset: int) -> int:
        """Over the fragments of encapsulated pixels (PS3.5 section A.4) to what follows them."""
        if not self.encapsulated:
            raise EncodingError(f"at byte {offset}: pixel data of undefined length in an uncompressed transfer syntax")
        while True:
            tag = self.header(offset)
            length = self.long.unpack_from(self.data, offset + 4)[0]
            offset += 8
            if tag == _SEQUENCE_END:
                return offset
            if tag != _ITEM or length == UNDEFINED:
                raise EncodingError(f"at byte {offset - 8}: expected a fragment of pixel data, found {_name(tag)}")
            self.fits(tag, offset, length)
            offset += length

    def sequence(self, offset: int, implicit_inside: bool) -> int:
        """Over a sequence of undefined length, whatever is nested in it, to what follows it.

        A UN of undefined length is a sequence in implicit VR (PS3.5 section 6.2.2).
        """
        implicit = self.implicit or implicit_inside
        open_ends: list[int] = [_SEQUENCE_END]  # what closes each open level; sequences and items take turns
        while open_ends:
            if len(open_ends) > 2 * DEEPEST_NESTING:
                raise EncodingError(f"at byte {offset}: sequences are nested deeper than {DEEPEST_NESTING} levels")
            if open_ends[-1] == _SEQUENCE_END:  # between items
                tag = self.header(offset)
                length = self.long.unpack_from(self.data, offset + 4)[0]
                offset += 8
                if tag == _SEQUENCE_END:
                    open_ends.pop()
                elif tag != _ITEM:
                    raise EncodingError(f"at byte {offset - 8}: expected an item, found {_name(tag)}")
                elif length == UNDEFINED:
                    open_ends.append(_ITEM_END)
                else:
                    self.fits(tag, offset, length)
                    offset += length
                continue
            tag = self.header(offset)
            if tag == _ITEM_END:
                open_ends.pop()
                offset += 8
                continue
            tag, _, length, offset = self.element(offset, implicit)
            if length == UNDEFINED:
                open_ends.append(_SEQUENCE_END)
            else:
                self.fits(tag, offset, length)
                offset += length
        return offset


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
