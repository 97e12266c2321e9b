"""Reading the header of a received object, guarded: every way in which it can fail becomes one error.

A usual header is read here, in a millisecond or two. One with very many elements, or deflated, is read by a process of
its own with limits on memory and time: some megabytes of empty items would otherwise become gigabytes of objects, and
hold up every other association meanwhile.
"""

from __future__ import annotations

import json
import mmap
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from node.cases.headers import header_of
from node.dicom.headers.structure import (
    DataSetStructure,
    EncodingError,
    TooManyElementsError,
    inflate,
    validate_structure,
)

MOST_ELEMENTS_HERE = 30_000  # elements and items; an Enhanced MR of 500 frames has about as many
MOST_HEAD_BYTES_HERE = 1_000_000
MOST_MEMORY_BYTES = 2 * 2**30
MOST_PROCESSOR_SECONDS, MOST_SECONDS = 30, 120.0
MOST_PROCESSES = 2
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_places = threading.BoundedSemaphore(MOST_PROCESSES)


@dataclass(frozen=True)
class Header:
    """values : what `header_of` reads; uids : the identifying UIDs, tag to text."""

    values: dict[str, Any]
    uids: dict[int, str] = field(default_factory=dict)


def read_header(path: Path, data_offset: int, transfer_syntax_uid: str) -> Header:
    """The header of a Part-10 file, without its pixels.

    data_offset : where the data set begins in the file. The file is mapped, never read whole, unless it is deflated.
    Raises EncodingError when the bytes are not a data set in this transfer syntax, or want too much to be read.
    """
    if transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        data = _mapped(path, data_offset)
        try:
            found = validate_structure(data, transfer_syntax_uid, MOST_ELEMENTS_HERE)
            if (found.pixel_offset or len(data)) <= MOST_HEAD_BYTES_HERE:
                return _decode(bytes(data[: found.pixel_offset]), transfer_syntax_uid, found)
        except TooManyElementsError:
            pass
    return _read_elsewhere(path, data_offset, transfer_syntax_uid)


def _mapped(path: Path, data_offset: int) -> memoryview:
    with open(path, "rb") as file:
        if file.seek(0, 2) <= data_offset:
            raise EncodingError("the data set is empty")
        # Not closed by hand: the last view closes it, and an error's traceback may still hold one.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[data_offset:]


def decode(head: bytes, transfer_syntax_uid: str) -> Dataset:
    """Elements before the pixels, by pydicom, which parses nested sequences while it reads and raises whatever damage
    leads to."""
    syntax = UID(transfer_syntax_uid)
    ds = read_dataset(BytesIO(head), syntax.is_implicit_VR, syntax.is_little_endian, stop_when=_at_pixels)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def _decode(head: bytes, transfer_syntax_uid: str, found: DataSetStructure) -> Header:
    try:
        return Header(header_of(decode(head, transfer_syntax_uid)), found.uids)
    except RecursionError as error:
        raise EncodingError("sequences are nested too deeply to be read", found.uids) from error
    except Exception as error:  # values are decoded here for the first time; pydicom raises what the damage leads to
        raise EncodingError(f"the header cannot be read ({type(error).__name__})", found.uids) from error


def _at_pixels(tag: BaseTag, _vr: Any, _length: int) -> bool:
    return int(tag) in _PIXELS


def _read_elsewhere(path: Path, data_offset: int, transfer_syntax_uid: str) -> Header:
    """By a process of its own; at most a few at once, so that what all of them may take together is bounded."""
    command = [sys.executable, "-m", "node.dicom.headers.full_header", str(path), str(data_offset), transfer_syntax_uid]
    with _places:
        try:
            done = subprocess.run(command, capture_output=True, timeout=MOST_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise EncodingError(f"the header was not read within {MOST_SECONDS:.0f} s") from error
    try:
        answer = json.loads(done.stdout)
        uids = {int(tag): str(text) for tag, text in answer["uids"].items()}
    except (ValueError, KeyError) as error:
        limits = f"{MOST_MEMORY_BYTES >> 30} GiB or {MOST_PROCESSOR_SECONDS} s"
        text = f"reading the header took more than {limits}, or crashed (code {done.returncode})"
        raise EncodingError(text) from error
    if "error" in answer:
        raise EncodingError(str(answer["error"]), uids)
    return Header(answer["header"], uids)


def main(path: str, data_offset: str, transfer_syntax_uid: str) -> None:
    """Read one header under limits and print it as JSON; what `_read_elsewhere` starts."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_PROCESSOR_SECONDS, MOST_PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        data: bytes | memoryview = _mapped(Path(path), int(data_offset))
        if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            data = inflate(data)
        found = validate_structure(data, transfer_syntax_uid)
        header = _decode(bytes(data[: found.pixel_offset]), transfer_syntax_uid, found)
        answer: dict[str, Any] = {"header": header.values, "uids": header.uids}
    except EncodingError as error:
        answer = {"error": str(error), "uids": error.uids}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    from node.dicom.network.library_settings import configure_pydicom_pynetdicom

    configure_pydicom_pynetdicom()
    main(*sys.argv[1:])
