"""Heads of images that follow each other over one association: the slices of a series differ in few elements.

What all of them had in common so far is compared as whole runs of bytes; only the elements that have differed are
looked at one by one. An image that fits gives the same head as `read_head`, for equal bytes mean the same; one that
does not is walked over as ever, and shows what else may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from pydicom.uid import ImplicitVRLittleEndian

from node.dicom.headers.early_header import (
    CHARACTER_SET,
    MR_IMAGE,
    NOTHING,
    WANTED,
    Element,
    Head,
    Walked,
    header_in,
    remembered,
    uid_text,
    value_of,
    walk,
)
from node.dicom.headers.structure import LONG_VRS, NOTED, SOP_CLASS_UID, UNDEFINED

SPARE_BYTES = 4096  # by which an image's header may be longer than the one before
LONGEST_PATTERN = 1 << 16  # bytes of a header that are kept


class SeriesHead:
    """Reads the heads of one association's images in one transfer syntax."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        self.transfer_syntax_uid = transfer_syntax_uid
        self._pattern: _Pattern | None = None

    def read(self, data: memoryview) -> Head | None:
        """As `read_head`."""
        try:
            head = self._pattern.match(data) if self._pattern is not None else None
            return head if head is not None else self._learn(data)
        except Exception:  # whatever is wrong with these bytes, the reading of the whole object names it
            return None

    def _learn(self, data: memoryview) -> Head | None:
        walked = walk(data, self.transfer_syntax_uid)
        if walked is None:
            return None
        wanted = walked.wanted()
        head = Head(walked.uids, header_in(data, wanted, self.transfer_syntax_uid), walked.size_bytes)
        if walked.pixels.end <= LONGEST_PATTERN:
            known = remembered(data, wanted, self.transfer_syntax_uid)
            self._pattern = _Pattern.of(data, walked, head, known, self.transfer_syntax_uid, self._pattern)
        return head


class _Step(NamedTuple):
    """Bytes that are the same, the last of them those before the length of an element that differs."""

    same: bytes
    tag: int
    vr: bytes
    head_bytes: int  # of the element, before its length
    length_bytes: int


@dataclass(frozen=True)
class _Pattern:
    steps: Sequence[_Step]
    last: bytes  # what is the same after the last step, up to the length of the pixels
    elements: Sequence[tuple[int, bytes, bytes]]  # tag, VR and the whole encoded element, of the image learnt from
    differing: frozenset[int]  # their places in `elements`
    head: Head
    known: dict[bytes, Any]
    size_bytes: int  # up to the pixels
    pixel_length_bytes: int

    @classmethod
    def of(
        cls, data: memoryview, walked: Walked, head: Head, known: dict[bytes, Any], syntax: str, before: Self | None
    ) -> Self:
        """What an image and the one that was learnt from before have in common."""
        elements = [(one.tag, one.vr, bytes(data[one.start : one.end])) for one in walked.elements]
        differing: frozenset[int] = frozenset()
        if before is not None and [one[:2] for one in before.elements] == [one[:2] for one in elements]:
            now = (
                place for place, pair in enumerate(zip(before.elements, elements, strict=True)) if pair[0] != pair[1]
            )
            differing = before.differing.union(now)
        implicit = syntax == ImplicitVRLittleEndian
        steps, at = [], 0
        for place in sorted(differing):
            one = walked.elements[place]
            head_bytes, length_bytes = _form(one, implicit)
            steps.append(_Step(bytes(data[at : one.start + head_bytes]), one.tag, one.vr, head_bytes, length_bytes))
            at = one.end
        pixels = walked.pixels
        head_bytes, length_bytes = _form(pixels, implicit)
        last = bytes(data[at : pixels.start + head_bytes])
        return cls(steps, last, elements, differing, head, known, pixels.end, length_bytes)

    def match(self, data: memoryview) -> Head | None:
        """The head of an image that differs nowhere else; None if it does, or if a value needs a decoder."""
        raw = bytes(data[: self.size_bytes + SPARE_BYTES])
        uids, header = dict(self.head.uids), self.head.header.copy()
        offset, end = 0, len(raw)
        for step in self.steps:
            if not raw.startswith(step.same, offset):
                return None
            offset += len(step.same)
            start, begin = offset - step.head_bytes, offset + step.length_bytes
            offset = begin + int.from_bytes(raw[offset:begin], "little")
            if offset > end:  # also of undefined length
                return None
            tag = step.tag
            if tag == CHARACTER_SET:
                return None
            if tag in WANTED:
                value = value_of(self.known, tag, step.vr, raw[start:offset], raw[begin:offset])
                if value is NOTHING or value is None or WANTED[tag] not in header:
                    return None
                header[WANTED[tag]] = value
            if tag in NOTED:
                uids[tag] = uid_text(raw[begin:offset])
                if tag == SOP_CLASS_UID and uids[tag] != MR_IMAGE:
                    return None
        if not raw.startswith(self.last, offset):
            return None
        offset += len(self.last)
        begin = offset + self.pixel_length_bytes
        length = int.from_bytes(raw[offset:begin], "little")
        if begin > end or length == UNDEFINED:
            return None
        return Head(uids, header, begin + length)


def _form(element: Element, implicit: bool) -> tuple[int, int]:
    """Bytes before the length of an element, and of the length (PS3.5 section 7.1)."""
    if implicit:
        return 4, 4
    return (8, 4) if element.vr in LONG_VRS else (6, 2)
