"""Reading the header of a received object by pydicom; every way in which that can fail becomes one error.

An ordinary header is read in this process, in a millisecond or two. One with very many elements, or a deflated one, is
read by a process of its own with limits on memory and time: some megabytes of empty items would otherwise become
gigabytes of objects, and all other associations would wait for them.
"""

from __future__ import annotations

import json
import mmap
import resource
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from config.messages.message import message, text_of
from config.messages.stored import from_json, to_json
from node.cases.headers import header_of
from node.dicom.headers.conforming import header_bytes
from node.dicom.headers.instance_header import InstanceHeader
from node.dicom.headers.roi_contours import ROI_CONTOUR_SEQUENCE, read_contour_items
from node.dicom.headers.structure import (
    DataSetStructure,
    EncodingError,
    TooManyElementsError,
    inflate,
    validate_structure,
)

# Elements and not bytes: an empty item has 8 bytes in the file and is a whole Dataset in memory.
MAX_ELEMENTS_HERE = 30_000  # elements and items; an Enhanced MR of 500 frames has about as many
MAX_HEADER_BYTES_HERE = 1_000_000
MAX_MEMORY_BYTES = 2 * 2**30
MAX_PROCESSOR_SECONDS, MAX_SECONDS = 30, 120.0
MAX_FINDINGS = 20  # of one object that are saved
MAX_PROCESSES = 2  # at once, so that what all of them use together is limited, too
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_process_slots = threading.BoundedSemaphore(MAX_PROCESSES)


def read_full_header(path: Path, data_offset: int, transfer_syntax_uid: str) -> InstanceHeader:
    """Read the header of a Part-10 file without its pixels.

    Parameters
    ----------
    path : Path
        Mapped into memory, never read as a whole, unless the data set is deflated.
    data_offset : int
        Where the data set begins in the file, in bytes.
    transfer_syntax_uid : str
        Of the data set.

    Returns
    -------
    InstanceHeader
        Values decoded with the object's character set.

    Raises
    ------
    EncodingError
        The bytes are not a data set in this transfer syntax, or reading them takes too much.
    """
    if transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        data = _mapped(path, data_offset)
        try:
            structure = validate_structure(data, transfer_syntax_uid, MAX_ELEMENTS_HERE)
            # Without pixels everything is header: a structure set with long contours goes to the process of its own.
            if (structure.pixel_offset or len(data)) <= MAX_HEADER_BYTES_HERE:
                return _decode(data, transfer_syntax_uid, structure)
        # Not an error of the object: only too much to be read here.
        except TooManyElementsError:
            pass
    return _read_in_own_process(path, data_offset, transfer_syntax_uid)


def decode_elements(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """Decode the elements before the pixels.

    Parameters
    ----------
    encoded : bytes
        Elements in the transfer syntax, validated before: pydicom recurses into nested sequences while it reads.
    transfer_syntax_uid : str
        Not a deflated one.

    Returns
    -------
    Dataset
        Values are decoded when they are first used; damage raises errors of many kinds then.
    """
    syntax = UID(transfer_syntax_uid)
    ds = read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian, stop_when=_at_pixels)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def _mapped(path: Path, data_offset: int) -> memoryview:
    with open(path, "rb") as file:
        if file.seek(0, 2) <= data_offset:
            raise EncodingError(message("encoding.empty"))
        # Not closed explicitly: the last view closes it, and the traceback of an error may still refer to one.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[data_offset:]


def _decode(data: memoryview, transfer_syntax_uid: str, structure: DataSetStructure) -> InstanceHeader:
    try:
        values = _read_values(data, transfer_syntax_uid, structure)
    except RecursionError as error:
        raise EncodingError(message("encoding.too_deep"), structure.uids) from error
    except Exception as error:  # values are decoded here for the first time; damage makes pydicom raise anything
        raise EncodingError(message("encoding.unreadable", kind=type(error).__name__), structure.uids) from error
    if structure.findings:
        values |= to_json({"EncodingFindings": list(structure.findings[:MAX_FINDINGS])})
    return InstanceHeader(values, structure.uids)


def _read_values(data: memoryview, transfer_syntax_uid: str, structure: DataSetStructure) -> dict[str, Any]:
    contours = next((element for element in structure.elements if element.tag == ROI_CONTOUR_SEQUENCE), None)
    if contours is not None and not structure.findings:
        items = read_contour_items(data, transfer_syntax_uid, contours)
        if items is not None:
            # Without the sequence that was read: pydicom would take seconds for it.
            rest = bytes(data[: contours.start]) + bytes(data[contours.end : structure.pixel_offset])
            return header_of(decode_elements(rest, transfer_syntax_uid), items)
    return header_of(decode_elements(header_bytes(data, transfer_syntax_uid, structure), transfer_syntax_uid))


def _at_pixels(tag: BaseTag, _vr: Any, _length: int) -> bool:
    return int(tag) in _PIXEL_TAGS


def _read_in_own_process(path: Path, data_offset: int, transfer_syntax_uid: str) -> InstanceHeader:
    command = [sys.executable, "-m", "node.dicom.headers.full_header", str(path), str(data_offset), transfer_syntax_uid]
    # Waiting here delays the response, so the senders of such objects slow down.
    with _process_slots:
        try:
            done = subprocess.run(command, capture_output=True, timeout=MAX_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise EncodingError(message("encoding.too_slow", seconds=MAX_SECONDS)) from error
    try:
        answer = json.loads(done.stdout)
        uids = {int(tag): str(text) for tag, text in answer["uids"].items()}
    except (ValueError, KeyError) as error:
        limits = message("encoding.limits", gib=MAX_MEMORY_BYTES >> 30, seconds=MAX_PROCESSOR_SECONDS)
        raise EncodingError(message("encoding.crashed", limits=limits, code=done.returncode)) from error
    if "error" in answer:
        raise EncodingError(from_json(answer)["error"], uids)
    return InstanceHeader(answer["values"], uids)


def main(path: str, data_offset: str, transfer_syntax_uid: str) -> None:
    """Read one header under limits and print it as JSON; the process that `read_full_header` starts."""
    # Set by the process itself: `preexec_fn` of subprocess is not safe in a program with threads.
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_PROCESSOR_SECONDS, MAX_PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would contain patient data
    try:
        data = _mapped(Path(path), int(data_offset))
        if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            data = memoryview(inflate(data))
        structure = validate_structure(data, transfer_syntax_uid)
        header = _decode(data, transfer_syntax_uid, structure)
        answer: dict[str, Any] = {"values": header.values, "uids": header.uids}
    except EncodingError as error:
        answer = to_json({"error": text_of(error), "uids": error.uids})
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    from node.dicom.network.library_settings import configure_pydicom_pynetdicom

    configure_pydicom_pynetdicom()
    main(*sys.argv[1:])
