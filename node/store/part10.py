"""The header of a DICOM file (PS3.10 section 7.1): preamble, prefix, file meta information.

It is encoded here and not by pydicom: the receive path writes one for each instance, and its bytes must depend on the
values only, not on the version of a library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from config.errors import InputError

IMPLEMENTATION_CLASS_UID = "2.25.170761229088038168285627149970472198042"
IMPLEMENTATION_VERSION_NAME = "CPTDN_NODE_1"

_PREFIX = b"\x00" * 128 + b"DICM"
_PREAMBLE_AND_PREFIX = len(_PREFIX)
_LONGEST_META = 65_536  # ours has about 400 bytes
_LONG_LENGTHS = frozenset({b"OB", b"UN", b"OW", b"UT", b"SQ"})  # of those that may be in group 0002 (PS3.5 7.1.2)


@dataclass(frozen=True)
class FileMeta:
    """What an association announces of a data set; all of it is written into the file meta information.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the C-STORE command; they are compared with the data set later.
    transfer_syntax_uid : str
        Of the accepted presentation context.
    source_ae_title : str
        (0002,0016); left out when empty.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str = ""


def file_header(meta: FileMeta) -> bytes:
    """Encode the header of a DICOM file.

    Parameters
    ----------
    meta : FileMeta
        Text that is not ASCII is replaced by question marks; such UIDs are refused later.

    Returns
    -------
    bytes
        Preamble of 128 zeros, prefix, and the group 0002 in explicit VR little endian.

    References
    ----------
    PS3.10 section 7.1.
    """
    elements = b"".join(
        (
            _before(meta.sop_class_uid),
            _text(0x0003, b"UI", meta.sop_instance_uid),
            _after(meta.transfer_syntax_uid, meta.source_ae_title),
        )
    )
    return _PREFIX + struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements


@lru_cache
def _before(sop_class_uid: str) -> bytes:
    """Encode the elements between the group length and the SOP Instance UID."""
    # File Meta Information Version (0002,0001) is 00H, 01H; OB has two reserved bytes and a length of four (PS3.5
    # 7.1.2).
    version = struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01"
    return version + _text(0x0002, b"UI", sop_class_uid)


@lru_cache
def _after(transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    return b"".join(
        (
            _text(0x0010, b"UI", transfer_syntax_uid),
            _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _text(0x0016, b"AE", source_ae_title) if source_ae_title else b"",
        )
    )


def _text(element: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii", errors="replace")
    # Even lengths (PS3.5 section 7.1): UIDs are padded with a null, other texts with a space (section 6.2).
    if len(encoded) % 2:
        encoded += b"\x00" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 0x0002, element, vr, len(encoded)) + encoded


def skip_file_header(file: BinaryIO) -> int:
    """Move to the first byte of the data set of a DICOM file.

    Parameters
    ----------
    file : binary file
        At its beginning. The group length (0002,0000), which PS3.10 requires but some writers leave out, must be there.

    Returns
    -------
    int
        Offset of the data set in bytes.

    Raises
    ------
    InputError
        There is no DICM prefix or no group length.
    """
    header = file.read(144)
    if len(header) < 144 or header[128:132] != b"DICM":
        raise InputError("expected a DICOM file with preamble and DICM prefix")
    group, element, vr, _, length = struct.unpack("<HH2sHI", header[132:144])
    # Every file of the store begins so, because this program has written it.
    if (group, element, vr) != (0x0002, 0x0000, b"UL") or length > _LONGEST_META:
        raise InputError("expected the file meta information to begin with its group length (0002,0000)")
    return file.seek(144 + length)


def read_file_header(beginning: bytes | bytearray, source_ae_title: str = "") -> tuple[FileMeta, int] | None:
    """Read the header of a DICOM file that somebody else has written, from its first bytes.

    Parameters
    ----------
    beginning : bytes-like
        From the first byte of the file.
    source_ae_title : str
        Becomes the source of the result; that of the file is not read.

    Returns
    -------
    tuple of FileMeta and int, or None
        With the offset of the data set in bytes. None where the header does not end in these bytes. UIDs that the
        header does not have are empty. The group length is not needed, because some writers leave it out or get it
        wrong.

    Raises
    ------
    InputError
        This is no DICOM file, or its header is longer than 64 kB.

    References
    ----------
    PS3.10 section 7.1.
    """
    found = bytes(beginning[128:_PREAMBLE_AND_PREFIX])
    if found != b"DICM"[: len(found)]:
        raise InputError("expected a DICOM file with preamble and DICM prefix")
    uids: dict[int, str] = {}
    offset = _PREAMBLE_AND_PREFIX
    while len(beginning) >= offset + 8:
        group, element, vr, length = struct.unpack_from("<HH2sH", beginning, offset)
        # The first element of another group begins the data set; so do deflated bytes, which may look like this group.
        if group != 0x0002 or not vr.isupper():
            meta = FileMeta(uids.get(0x0002, ""), uids.get(0x0003, ""), uids.get(0x0010, ""), source_ae_title)
            return meta, offset
        start = offset + 8
        if vr in _LONG_LENGTHS:
            if len(beginning) < offset + 12:
                return None
            (length,), start = struct.unpack_from("<I", beginning, start), offset + 12
        if start + length > _LONGEST_META:
            raise InputError(f"expected file meta information of at most {_LONGEST_META} bytes, found more")
        if vr == b"UI" and len(beginning) >= start + length:
            uids[element] = str(beginning[start : start + length], "ascii", "replace").rstrip("\0 ")
        offset = start + length
    return None
