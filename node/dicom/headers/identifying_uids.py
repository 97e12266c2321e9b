"""The identifying UIDs in bytes that may be cut off or damaged, to name an object that cannot be read."""

from __future__ import annotations

import re
import zlib

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from node.dicom.headers.structure import (
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    EncodingError,
    validate_structure,
)

SEARCHED_BYTES = 1 << 20  # UIDs are at the beginning, even behind long private elements
# Study Instance UID with Series Instance UID directly behind it, as every data set of PS3.3 has them: where a Study
# Instance UID is part of a sequence item, another element follows.
_STUDY_AND_SERIES = {
    "little": re.compile(rb"\x20\x00\x0d\x00.{4}([0-9.]{1,64})[\0 ]?\x20\x00\x0e\x00.{4}([0-9.]{1,64})", re.DOTALL),
    "big": re.compile(rb"\x00\x20\x00\x0d.{4}([0-9.]{1,64})[\0 ]?\x00\x20\x00\x0e.{4}([0-9.]{1,64})", re.DOTALL),
}


def find_identifying_uids(data: bytes | memoryview, transfer_syntax_uid: str) -> dict[int, str]:
    """Find UIDs in the beginning of a data set.

    Parameters
    ----------
    data : bytes-like
        From the beginning of the data set; it may end anywhere.
    transfer_syntax_uid : str
        The announced one.

    Returns
    -------
    dict of int to str
        By tag, as texts that may not be UIDs. Those behind damage are searched for by their tags; they are used only
        where all places say the same.
    """
    data = memoryview(data)[:SEARCHED_BYTES]
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        data = memoryview(_inflated_beginning(data))
    try:
        uids = dict(validate_structure(data, transfer_syntax_uid).uids)
    except EncodingError as error:
        uids = dict(error.uids)
    if STUDY_INSTANCE_UID not in uids:
        order = "big" if transfer_syntax_uid == ExplicitVRBigEndian else "little"
        found = {(study, series) for study, series in _STUDY_AND_SERIES[order].findall(data)}
        if len({study for study, _ in found}) == 1:
            study, series = min(found)
            uids[STUDY_INSTANCE_UID] = str(study, "ascii")
            uids.setdefault(SERIES_INSTANCE_UID, str(series, "ascii"))
    return uids


def _inflated_beginning(data: memoryview) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, SEARCHED_BYTES)
    except zlib.error:
        return b""
