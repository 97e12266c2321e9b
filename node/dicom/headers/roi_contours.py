"""The ROI Contour Sequence of an RTSTRUCT, read from its bytes.

A structure set of a whole body has some ten thousand contours. pydicom makes a Dataset of each and an object of each
element, which takes seconds; here only what the header needs is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from node.cases.contour_headers import ContourItem, contour_points
from node.dicom.headers.structure import UNDEFINED, Element, EncodingError, skip_sequence
from node.dicom.headers.vr_forms import LONG_VRS, SHORT_VRS

ROI_CONTOUR_SEQUENCE = 0x30060039
_CONTOUR_SEQUENCE, _REFERENCED_ROI_NUMBER = 0x30060040, 0x30060084
_CONTOUR_IMAGE_SEQUENCE, _GEOMETRIC_TYPE, _CONTOUR_DATA = 0x30060016, 0x30060042, 0x30060050
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_HEAD = struct.Struct("<HHI")
_EXPLICIT_HEAD = struct.Struct("<HH2sH")
_LONG = struct.Struct("<I")


def read_contour_items(
    data: memoryview, transfer_syntax_uid: str, sequence: Element
) -> Mapping[int, list[ContourItem]] | None:
    """Read the contours of a structure set by Referenced ROI Number.

    Parameters
    ----------
    data : memoryview of bytes
        The data set, validated before; a deflated one inflated.
    transfer_syntax_uid : str
        Of the data set.
    sequence : Element
        Its ROI Contour Sequence (3006,0039).

    Returns
    -------
    mapping of int to list of ContourItem, or None
        Equal to what `structure_set_header` reads from a Dataset; None in big endian and where anything is unusual.

    References
    ----------
    PS3.3 C.8.8.6; PS3.5 section 7.5.
    """
    if transfer_syntax_uid == ExplicitVRBigEndian:
        return None
    reader = _Reader(data, transfer_syntax_uid == ImplicitVRLittleEndian, sequence.form.value_offset)
    try:
        return reader.rois(sequence.form.length)
    except (ValueError, struct.error, EncodingError):
        return None


class _Reader:
    """Reads from `at` on; each method leaves it behind what it has read."""

    def __init__(self, data: memoryview, implicit: bool, at: int) -> None:
        self.data, self.implicit, self.at = data, implicit, at

    def rois(self, length: int) -> dict[int, list[ContourItem]]:
        rois: dict[int, list[ContourItem]] = {}
        for item_length in self.items(length):
            contours: list[ContourItem] = []
            number = -1
            for tag, value_length in self.elements(item_length):
                if tag == _CONTOUR_SEQUENCE:
                    contours = [self.contour(part_length) for part_length in self.items(value_length)]
                elif tag == _REFERENCED_ROI_NUMBER:
                    text = self.value(value_length).strip(b" \0")
                    number = int(text) if text else -1
            rois.setdefault(number, []).extend(contours)
        return rois

    def contour(self, length: int) -> ContourItem:
        kind, image_uids, points = "", [], None
        for tag, value_length in self.elements(length):
            if tag == _CONTOUR_DATA:
                points = contour_points(self.value(value_length))
            elif tag == _GEOMETRIC_TYPE:
                kind = str(self.value(value_length), "ascii").strip("\0 ").upper()
            elif tag == _CONTOUR_IMAGE_SEQUENCE:
                image_uids = [self.image_uid(part_length) for part_length in self.items(value_length)]
        return ContourItem(kind, image_uids, points)

    def image_uid(self, length: int) -> str:
        uid = ""
        for tag, value_length in self.elements(length):
            if tag == _REFERENCED_SOP_INSTANCE_UID:
                uid = str(self.value(value_length), "ascii").strip("\0 ")
        return uid

    def value(self, length: int) -> bytes:
        if length == UNDEFINED:
            raise ValueError("expected a value of a known length")
        return bytes(self.data[self.at : self.at + length])

    def items(self, length: int) -> Iterator[int]:
        """Yield the length of each item of a sequence, with `at` at its first element; the caller reads it."""
        end = len(self.data) if length == UNDEFINED else self.at + length
        while self.at < end:
            group, element, item_length = _HEAD.unpack_from(self.data, self.at)
            tag = group << 16 | element
            self.at += 8
            if tag == _SEQUENCE_END and length == UNDEFINED:
                return
            if tag != _ITEM:
                raise ValueError("expected an item")
            yield item_length

    def elements(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield tag and length of each element of an item, with `at` at its value; what is not read is skipped."""
        data, implicit = self.data, self.implicit
        end = len(data) if length == UNDEFINED else self.at + length
        while self.at < end:
            offset = self.at
            vr = b""
            group, element, value_length = _HEAD.unpack_from(data, offset)
            begin = offset + 8
            tag = group << 16 | element
            if tag == _ITEM_END:
                self.at = begin
                if length != UNDEFINED:
                    raise ValueError("expected no delimiter")
                return
            if not implicit:
                _, _, vr, value_length = _EXPLICIT_HEAD.unpack_from(data, offset)
                if vr not in SHORT_VRS:
                    if vr not in LONG_VRS:
                        raise ValueError("expected a known value representation")
                    (value_length,) = _LONG.unpack_from(data, begin)
                    begin += 4
            self.at = begin
            yield tag, value_length
            if value_length != UNDEFINED:
                self.at = begin + value_length
            elif self.at == begin:
                self.at = skip_sequence(data, begin, implicit or vr == b"UN")
        if length == UNDEFINED:
            raise ValueError("expected the end of an item")
