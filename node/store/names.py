"""Names that may become paths: DICOM UIDs that follow PS3.5, and nothing else."""

from __future__ import annotations

import re
from functools import lru_cache

from config.errors import InputError

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{16,64}", re.ASCII)
UID_LENGTH = 64


def is_uid(text: str) -> bool:
    """Whether `text` is a UID by PS3.5 section 9.1: numbers without leading zeros, joined by dots, 64 characters."""
    return len(text) <= UID_LENGTH and _has_form(text)


@lru_cache(maxsize=4096)  # of short texts only: a sender may put 64 kB where a UID belongs
def _has_form(text: str) -> bool:
    return _UID.fullmatch(text) is not None


def uid_name(uid: str) -> str:
    """`uid` as the name of a file or folder. Raises InputError when it is not a UID."""
    if not is_uid(uid):
        raise InputError(f"expected a UID of digits and dots, at most 64 characters, found {uid[:80]!r}")
    return uid


def digest_name(digest: str) -> str:
    """A hexadecimal digest (with or without `sha256:`) as the name of a folder. Raises InputError."""
    bare = digest.removeprefix("sha256:")
    if _DIGEST.fullmatch(bare) is None:
        raise InputError(f"expected a hexadecimal digest, found {digest[:80]!r}")
    return bare
