"""Digests of what stored images show, to find images that were sent again under new UIDs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from node.cases.headers import UNREADABLE

# What gives the stored values their meaning, beside the bytes themselves (PS3.3 C.7.6.3, C.11.1).
MEANING = (
    "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue",
)  # fmt: skip


def pixel_digests(files: Mapping[str, Path]) -> Callable[[str], str]:
    """Return the function that `CaseInputs.pixel_digest_of` needs.

    Parameters
    ----------
    files : mapping of SOP Instance UID to Path
        Stored instances; a file is only read when its digest is requested.

    Returns
    -------
    callable
        SOP Instance UID -> hexadecimal digits; empty where the file is unknown or cannot be read. Equal digests mean
        equal images; the same image in another transfer syntax has another digest.
    """

    def digest_of(sop_instance_uid: str) -> str:
        path = files.get(sop_instance_uid)
        try:
            return "" if path is None else _digest_of(path, path.stat().st_mtime_ns)
        except OSError:
            return ""

    return digest_of


@lru_cache(maxsize=20_000)
def _digest_of(path: Path, _modified_ns: int) -> str:
    """Return the digest of one file; cached, because a case is assessed many times."""
    try:
        ds = dcmread(path, specific_tags=[*MEANING, "PixelData"])
        digest = hashlib.sha256(str(ds.file_meta.get("TransferSyntaxUID")).encode())
        for keyword in MEANING:
            digest.update(f"{keyword}={ds.get(keyword)};".encode())
        digest.update(ds.PixelData)
    except (InvalidDicomError, *UNREADABLE):
        return ""
    return digest.hexdigest()
