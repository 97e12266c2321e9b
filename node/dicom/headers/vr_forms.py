"""The two forms of an element in explicit VR, and which of them an element has whose value representation is unknown.

PS3.5 section 7.1.2 gives elements of 21 value representations a length of 16 bits and all others, also those of later
editions, one of 32 bits. Files with "??", blanks or nothing at all in place of a value representation use either form,
or that of implicit VR. Which one is meant is seen from where the element ends: there another element begins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT_VRS = frozenset(
    {
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
        b"ST", b"TM", b"UI", b"UL", b"US",
    }
)  # fmt: skip

_UNDEFINED = 0xFFFFFFFF
_DELIMITERS = frozenset({0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD})
_FIRST_TAG = 0x00080000
MAX_FOLLOWING = 200  # elements of one unknown form in a row that are looked through
MAX_CHANGES = 1  # of one unknown form to another on that way: each would multiply the possibilities


class ElementForm(NamedTuple):
    """How one element is written.

    Parameters
    ----------
    vr : bytes
        Two letters; empty in implicit VR.
    value_offset : int
        Where its value begins, in bytes of the data set.
    length : int
        Of the value in bytes; 0xFFFFFFFF where it is undefined.
    """

    vr: bytes
    value_offset: int
    length: int


def form_of_element(data: memoryview, offset: int, little_endian: bool) -> ElementForm | None:
    """Find the form of an element whose value representation is unknown, missing, or in the wrong form.

    Parameters
    ----------
    data : memoryview of bytes
        The whole data set.
    offset : int
        Of the element's tag.
    little_endian : bool
        Byte order of the data set.

    Returns
    -------
    ElementForm or None
        The form that leads to a usual element, or to the end, over the fewest other elements of unknown form; None
        where no form does. Of several, two capital letters have 32 bits of length, as a value representation of a later
        edition has; other printable characters have 16 bits; and anything else is a length.

    References
    ----------
    PS3.5 section 6.2 (later value representations have the form of section 7.1.2; unknown ones may be ignored by it).
    """
    reader = _Reader(data, "<" if little_endian else ">")
    distances = {form: reader.distance(offset, form, MAX_CHANGES) for form in reader.forms(offset)}
    nearest = min((distance for distance in distances.values() if distance is not None), default=None)
    forms = [form for form, distance in distances.items() if distance is not None and distance == nearest]
    if len(forms) > 1:
        vr = bytes(data[offset + 4 : offset + 6])
        if vr.isalpha() and vr.isupper():
            forms = [form for form in forms if form.value_offset == offset + 12]
        elif vr.isascii() and (str(vr, "ascii").isprintable() or vr == b"\0\0"):
            forms = [form for form in forms if form.vr and form.value_offset == offset + 8]
        else:
            forms = [form for form in forms if not form.vr]
    return forms[0] if len(forms) == 1 else None


class _Reader:
    def __init__(self, data: memoryview, order: str) -> None:
        self.data, self.end = data, len(data)
        self.tag = struct.Struct(order + "HH")
        self.short = struct.Struct(order + "H")
        self.long = struct.Struct(order + "I")

    def forms(self, offset: int) -> Iterator[ElementForm]:
        """Yield each form that the bytes of an element allow: 16 bits of length, 32 bits, no value representation."""
        if self.end - offset < 8:
            return
        vr = bytes(self.data[offset + 4 : offset + 6])
        yield ElementForm(vr, offset + 8, self.short.unpack_from(self.data, offset + 6)[0])
        # The reserved bytes are 0; those of a known value representation shall not be read (PS3.5 section 7.1.2).
        if self.end - offset >= 12 and (vr in LONG_VRS or not any(self.data[offset + 6 : offset + 8])):
            yield ElementForm(vr, offset + 12, self.long.unpack_from(self.data, offset + 8)[0])
        yield ElementForm(b"", offset + 8, self.long.unpack_from(self.data, offset + 4)[0])

    def distance(self, offset: int, form: ElementForm, n_changes: int) -> int | None:
        """Return the number of elements of unknown form up to a usual element, a delimiter or the end; None: no such.

        Some writers have many elements of unknown form in a row: all that have this one and ascending tags are passed.
        A change to another form is counted as if it were many: bytes that are no elements seem to have any form.
        """
        for passed in range(MAX_FOLLOWING):
            if form.length == _UNDEFINED:
                # Only sequences have it; there an item follows, or the delimiter of an empty one.
                has_items = form.value_offset + 8 <= self.end and self.tag_at(form.value_offset) in _DELIMITERS
                return passed if has_items else None
            following = form.value_offset + form.length
            ends_well = self._ends_well(following)
            if ends_well is not None:
                return passed if ends_well else None
            same = next(
                (other for other in self.forms(following) if _is_same_form(offset, form, following, other)), None
            )
            if same is None or self.tag_at(following) <= self.tag_at(offset):
                others = self.forms(following) if n_changes else ()
                distances = [self.distance(following, other, n_changes - 1) for other in others]
                return min((MAX_FOLLOWING + passed + far for far in distances if far is not None), default=None)
            offset, form = following, same
        return MAX_FOLLOWING  # a run of this length is not accidental

    def _ends_well(self, offset: int) -> bool | None:
        """Return whether an element may end at an offset; None where one of unknown form follows."""
        if offset >= self.end:
            return offset == self.end
        if self.end - offset < 8:
            return False
        tag = self.tag_at(offset)
        return tag in _DELIMITERS or (self.is_usual(offset) if tag >= _FIRST_TAG else False)

    def is_usual(self, offset: int) -> bool | None:
        """Return whether the value of an element of known VR ends within the data; None for an unknown VR."""
        vr = bytes(self.data[offset + 4 : offset + 6])
        if vr in SHORT_VRS:
            return bool(offset + 8 + self.short.unpack_from(self.data, offset + 6)[0] <= self.end)
        if vr in LONG_VRS and self.end - offset >= 12 and not any(self.data[offset + 6 : offset + 8]):
            length = self.long.unpack_from(self.data, offset + 8)[0]
            return length == _UNDEFINED or bool(offset + 12 + length <= self.end)
        return None

    def tag_at(self, offset: int) -> int:
        """Return the tag at an offset."""
        group, element = self.tag.unpack_from(self.data, offset)
        return int(group) << 16 | int(element)


def _is_same_form(offset: int, form: ElementForm, following: int, other: ElementForm) -> bool:
    return form.vr == other.vr and form.value_offset - offset == other.value_offset - following
