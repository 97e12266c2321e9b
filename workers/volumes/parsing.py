"""Header values of DICOM data sets, and the errors that damaged files raise."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag, Tag

from config.errors import IneligibleStudyError
from config.messages.message import message
from config.system_error import reason_of

# What pydicom raises on damaged files; RecursionError comes from sequences nested without end, MemoryError from lengths
# that no file has.
PARSE_ERRORS = (
    InvalidDicomError, BytesLengthException, OSError, EOFError, struct.error, ValueError, TypeError, LookupError,
    AttributeError, NotImplementedError, OverflowError, RecursionError, MemoryError,
)  # fmt: skip
# Value representations whose values depend on nothing else in the data set; text depends on its character set.
_PLAIN_VRS = frozenset({"CS", "DS", "FD", "IS", "UI", "US"})


def unreadable(path: Path, why: str) -> IneligibleStudyError:
    """Return the error that refuses one file, with its name and the reason."""
    return IneligibleStudyError("unreadable_instance", message("unreadable_instance.image", file=path.name, why=why))


def first_value(levels: Sequence[Dataset], keyword: str) -> Any:
    """Return the value of an attribute at the nearest level that has it.

    Parameters
    ----------
    levels : sequence of pydicom Dataset
        Nearest first; for an Enhanced frame its own functional groups, the shared ones and the object.
    keyword : str
        DICOM keyword.

    Returns
    -------
    value or None
        As pydicom converts it; None where no level has the attribute. Raises what `PARSE_ERRORS` lists.
    """
    tag = _tag(keyword)
    for level in levels:
        element: Any = level.get_item(tag)  # as it was read: pydicom converts a RawDataElement on first access
        if element is None:
            continue
        if isinstance(element, RawDataElement) and element.VR in _PLAIN_VRS and isinstance(element.value, bytes):
            return _decoded(int(tag), element.VR, element.value, element.is_little_endian)
        return level[tag].value
    return None


@lru_cache(maxsize=4096)
def _decoded(tag: int, vr: str, value: bytes, little_endian: bool) -> Any:
    """Return the value of an encoded element; cached, since most are the same in all slices of a series."""
    raw = RawDataElement(Tag(tag), vr, len(value), value, 0, False, little_endian)
    return convert_raw_data_element(raw).value


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def why_unreadable(error: Exception) -> str:
    """Return what a failed read says: the type of the error, and its reason as a message where it is a usual one."""
    return message("image.read_error", kind=type(error).__name__, why=reason_of(error))
