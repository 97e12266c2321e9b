"""Data sets with elements that do not conform, written as PS3.5 has them, so that pydicom reads what they mean.

pydicom takes the length of each unknown value representation for one of 16 bits and reads on from a wrong place where
it was not. What is stored stays as it was received; only what is read is written anew here: unknown value
representations become those of the dictionary or UN, elements get the order of their tags, a repeated element is left
out. Everything else, all values among it, is copied byte by byte.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from config.errors import InputError
from config.messages.message import message
from node.dicom.headers.structure import (
    PIXEL_DATA,
    UNDEFINED,
    DataSetStructure,
    Element,
    EncodingError,
    inflate,
    validate_structure,
)
from node.dicom.headers.vr_forms import LONG_VRS, SHORT_VRS, ElementForm, form_of_element
from node.store.part10 import skip_file_header

LAST_HEADER_TAG = 0x7FDFFFFF  # before the group of the pixels
_TRANSFER_SYNTAX = b"\x02\x00\x10\x00UI"
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class ConformingFile(BytesIO):
    """A DICOM file in memory whose data set was written anew.

    Attributes
    ----------
    pixel_shift : int
        What has to be added to an offset in Pixel Data (7FE0,0010) to get the offset in the stored file, in bytes.
    """

    pixel_shift = 0


def open_conforming(path: Path) -> BinaryIO:
    """Open a DICOM file for pydicom.

    Parameters
    ----------
    path : Path
        A file with preamble and file meta information.

    Returns
    -------
    binary file
        The file itself, at its beginning; a `ConformingFile` where elements of its data set do not conform to PS3.5 and
        can be read all the same. A file that cannot be read is returned as it is, for pydicom to say so.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    try:
        conforming = _written_anew(file)
    except (InputError, ValueError, struct.error):  # EncodingError is one; mmap refuses an empty file by ValueError
        conforming = None
    file.seek(0)
    if conforming is None:
        return file
    file.close()
    return conforming


def read_conforming(path: Path, **options: Any) -> FileDataset:
    """Read a DICOM file by pydicom, with elements that do not conform as `open_conforming` has them.

    Parameters
    ----------
    path : Path
        A file with preamble and file meta information.
    **options
        Of `pydicom.dcmread`.

    Returns
    -------
    FileDataset
        As `pydicom.dcmread` returns it; raises what that raises.
    """
    with open_conforming(path) as file:
        return dcmread(file, **options)


def _written_anew(file: BinaryIO) -> ConformingFile | None:
    """Return the file with a conforming data set; None where its own conforms."""
    begin = skip_file_header(file)
    # Not closed explicitly: the last view closes it, and the traceback of an error may still refer to one.
    whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    syntax = _transfer_syntax(bytes(whole[:begin]))
    is_deflated = syntax == DeflatedExplicitVRLittleEndian
    stored = memoryview(inflate(whole[begin:])) if is_deflated else whole[begin:]
    structure = validate_structure(stored, syntax)
    if not structure.findings:
        return None
    data_set = conforming_data_set(stored, syntax, structure)
    anew = ConformingFile()
    anew.write(whole[:begin])
    anew.write(_deflated(data_set) if is_deflated else data_set)
    pixels = next((element for element in structure.elements if element.tag == PIXEL_DATA), None)
    if pixels is not None:
        up_to_pixels = conforming_data_set(stored, syntax, structure, last_tag=PIXEL_DATA)
        anew.pixel_shift = begin + pixels.end - (begin + len(up_to_pixels))
    anew.seek(0)
    return anew


def _transfer_syntax(header: bytes) -> str:
    place = header.find(_TRANSFER_SYNTAX)
    if place < 0:
        raise EncodingError(message("encoding.no_syntax"))
    (length,) = struct.unpack_from("<H", header, place + 6)
    return str(header[place + 8 : place + 8 + length], "latin-1").rstrip("\0 ")


def _deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def conforming_data_set(
    data: memoryview, transfer_syntax_uid: str, structure: DataSetStructure, last_tag: int = 0xFFFFFFFF
) -> bytes:
    """Write a data set anew in which every element conforms to PS3.5 section 7.

    Parameters
    ----------
    data : memoryview of bytes
        The data set as it is stored; a deflated one inflated.
    transfer_syntax_uid : str
        Of the data set.
    structure : DataSetStructure
        As `validate_structure` has read it.
    last_tag : int
        Elements of higher tags are left out.

    Returns
    -------
    bytes
        In the same transfer syntax, not deflated.
    """
    writer = _Writer(data, transfer_syntax_uid, structure.nonconforming)
    elements = (element for element in _in_order(structure) if element.tag <= last_tag)
    return b"".join(piece for element in elements for piece in writer.element(element))


def header_bytes(data: memoryview, transfer_syntax_uid: str, structure: DataSetStructure) -> bytes:
    """Return the elements before the pixels as pydicom reads them; of a conforming data set its own bytes.

    Parameters
    ----------
    data : memoryview of bytes
        The data set as it is stored; a deflated one inflated.
    transfer_syntax_uid : str
        Of the data set.
    structure : DataSetStructure
        As `validate_structure` has read it.

    Returns
    -------
    bytes
        In the same transfer syntax.
    """
    if not structure.findings:
        return bytes(data[: structure.pixel_offset])
    return conforming_data_set(data, transfer_syntax_uid, structure, LAST_HEADER_TAG)


def _in_order(structure: DataSetStructure) -> list[Element]:
    """Return the elements of the first level by tag, the first one of each tag."""
    first: dict[int, Element] = {}
    for element in structure.elements:
        first.setdefault(element.tag, element)
    return [first[tag] for tag in sorted(first)]


class _Writer:
    """Writes elements of one data set; those without a nonconforming offset inside are copied."""

    def __init__(self, data: memoryview, transfer_syntax_uid: str, nonconforming: tuple[int, ...]) -> None:
        self.data = data
        self.nonconforming = sorted(nonconforming)
        self.implicit = transfer_syntax_uid == ImplicitVRLittleEndian
        self.little_endian = transfer_syntax_uid != ExplicitVRBigEndian
        order = "<" if self.little_endian else ">"
        self.tag = struct.Struct(order + "HH")
        self.short = struct.Struct(order + "H")
        self.long = struct.Struct(order + "I")

    def element(self, element: Element) -> Iterator[bytes]:
        """Yield the pieces of an element of the first level."""
        tag, form, start, end = element
        if not self._has_nonconforming(start, end):
            yield bytes(self.data[start:end])
            return
        yield self._head(tag, form, start)
        if form.length == UNDEFINED and tag != PIXEL_DATA:
            yield from self._items(form.value_offset, implicit=form.vr == b"UN")[0]
        else:
            yield bytes(self.data[form.value_offset : end])

    def _has_nonconforming(self, start: int, end: int) -> bool:
        place = bisect_left(self.nonconforming, start)
        return place < len(self.nonconforming) and self.nonconforming[place] < end

    def _head(self, tag: int, form: ElementForm, start: int) -> bytes:
        """Return tag, value representation and length; those of a conforming element are copied."""
        if start not in self.nonconforming:
            return bytes(self.data[start : form.value_offset])
        vr = dictionary_VR(tag).encode() if dictionary_has_tag(tag) else b"UN"
        # A UN of undefined length contains implicit VR (PS3.5 section 6.2.2); this one was read in explicit VR.
        if form.length == UNDEFINED and vr != b"SQ":
            vr = b"SQ"
        # "US or SS" and the like are decided by other elements; and a value may be too long for its form.
        if vr not in SHORT_VRS | LONG_VRS or (vr in SHORT_VRS and form.length > 0xFFFF):
            vr = b"UN"
        encoded = self.tag.pack(tag >> 16, tag & 0xFFFF) + vr
        if vr in SHORT_VRS:
            return encoded + self.short.pack(form.length)
        return encoded + b"\0\0" + self.long.pack(form.length)

    def _items(self, offset: int, implicit: bool) -> tuple[list[bytes], int]:
        """Return the pieces of a sequence of undefined length after its head, and where it ends."""
        pieces: list[bytes] = []
        implicit = self.implicit or implicit
        open_ends = [_SEQUENCE_END]  # as `validate_structure` reads them: sequences and items alternate
        while open_ends:
            tag = self._tag_at(offset)
            (length,) = self.long.unpack_from(self.data, offset + 4)
            if tag in (_ITEM_END, _SEQUENCE_END):
                pieces.append(bytes(self.data[offset : offset + 8]))
                open_ends.pop()
                offset += 8
            elif open_ends[-1] == _SEQUENCE_END:
                end = offset + 8 + (0 if length == UNDEFINED else length)
                pieces.append(bytes(self.data[offset:end]))
                offset = end
                if length == UNDEFINED:
                    open_ends.append(_ITEM_END)
            else:
                form = self._form_at(offset, implicit)
                end = form.value_offset + (0 if form.length == UNDEFINED else form.length)
                pieces += [self._head(tag, form, offset), bytes(self.data[form.value_offset : end])]
                offset = end
                if form.length == UNDEFINED:
                    open_ends.append(_SEQUENCE_END)
        return pieces, offset

    def _form_at(self, offset: int, implicit: bool) -> ElementForm:
        vr = bytes(self.data[offset + 4 : offset + 6])
        if implicit:
            return ElementForm(b"", offset + 8, self.long.unpack_from(self.data, offset + 4)[0])
        if vr in SHORT_VRS:
            return ElementForm(vr, offset + 8, self.short.unpack_from(self.data, offset + 6)[0])
        if vr in LONG_VRS and not any(self.data[offset + 6 : offset + 8]):
            return ElementForm(vr, offset + 12, self.long.unpack_from(self.data, offset + 8)[0])
        form = form_of_element(self.data, offset, self.little_endian)
        if form is None:
            raise EncodingError(message("encoding.no_vr_at", offset=offset))
        return form

    def _tag_at(self, offset: int) -> int:
        group, element = self.tag.unpack_from(self.data, offset)
        return int(group) << 16 | int(element)
