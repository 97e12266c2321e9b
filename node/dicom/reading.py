"""Reading the header of a received object, guarded: every way in which it can fail becomes one error."""

from __future__ import annotations

import mmap
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from node.dicom.encoding import EncodingError, Survey, inflate, survey

_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


def read_header(path: Path, data_offset: int, transfer_syntax_uid: str) -> tuple[Dataset, Survey]:
    """The data set of a Part-10 file without its pixels, and the survey that was made first.

    data_offset : where the data set begins in the file. The file is mapped, never read whole, unless it is deflated.
    Raises EncodingError when the bytes are not a data set in this transfer syntax.
    """
    with open(path, "rb") as file:
        if file.seek(0, 2) <= data_offset:
            raise EncodingError("the data set is empty")
        # Not closed by hand: the last view closes it, and an error's traceback may still hold one.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[data_offset:]
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        inflated = inflate(data)
        found = survey(inflated, transfer_syntax_uid)
        head = inflated[: found.pixel_offset]
    else:
        found = survey(data, transfer_syntax_uid)
        head = bytes(data[: found.pixel_offset])
    try:
        return decode(head, transfer_syntax_uid), found
    except EncodingError as error:
        raise EncodingError(str(error), found.uids) from error


def decode(head: bytes, transfer_syntax_uid: str) -> Dataset:
    """The elements before the pixels, by pydicom, which parses nested sequences while it reads."""
    syntax = UID(transfer_syntax_uid)
    try:
        ds = read_dataset(BytesIO(head), syntax.is_implicit_VR, syntax.is_little_endian, stop_when=_at_pixels)
    except RecursionError as error:
        raise EncodingError("sequences are nested too deeply to be read") from error
    except Exception as error:  # pydicom raises whatever the damage leads to; all of it means the same to us
        raise EncodingError(f"the header cannot be read ({type(error).__name__})") from error
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def _at_pixels(tag: BaseTag, _vr: Any, _length: int) -> bool:
    return int(tag) in _PIXELS
