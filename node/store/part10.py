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
_LONGEST_META = 65_536  # ours has about 400 bytes


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
