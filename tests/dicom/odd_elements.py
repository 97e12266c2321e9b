"""Explicit VR data sets taken apart and put together with elements as faulty writers encode them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
CREATOR = struct.pack("<HH2sH", 0x0019, 0x0010, b"LO", 8) + b"SIEMENS "


@dataclass(frozen=True)
class Part:
    """One element of a sound data set without sequences of undefined length."""

    tag: int
    vr: bytes
    value: bytes

    @property
    def head(self) -> bytes:
        return struct.pack("<HH", self.tag >> 16, self.tag & 0xFFFF)

    def sound(self) -> bytes:
        if self.vr in LONG:
            return self.head + self.vr + b"\0\0" + struct.pack("<I", len(self.value)) + self.value
        return self.head + self.vr + struct.pack("<H", len(self.value)) + self.value

    def short(self, vr: bytes) -> bytes:
        """With another VR and 16 bits of length."""
        return self.head + vr + struct.pack("<H", len(self.value)) + self.value

    def long(self, vr: bytes) -> bytes:
        """With another VR and 32 bits of length."""
        return self.head + vr + b"\0\0" + struct.pack("<I", len(self.value)) + self.value

    def without_vr(self) -> bytes:
        """As in implicit VR."""
        return self.head + struct.pack("<I", len(self.value)) + self.value


def parts_of(data: bytes) -> list[Part]:
    """The elements of a sound data set in explicit VR little endian."""
    parts, offset = [], 0
    while offset < len(data):
        group, element, vr = struct.unpack_from("<HH2s", data, offset)
        if vr in LONG:
            (length,) = struct.unpack_from("<I", data, offset + 8)
            offset += 12
        else:
            (length,) = struct.unpack_from("<H", data, offset + 6)
            offset += 8
        parts.append(Part(group << 16 | element, vr, data[offset : offset + length]))
        offset += length
    return parts


def with_element(data: bytes, tag: int, encoded: bytes) -> bytes:
    """A data set with these bytes before the first element of a higher tag."""
    parts = parts_of(data)
    before = [part.sound() for part in parts if part.tag < tag]
    return b"".join([*before, encoded, *(part.sound() for part in parts if part.tag >= tag)])
