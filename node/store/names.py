"""Names that may become paths: DICOM UIDs, digests, and nothing else."""

from __future__ import annotations

import re
from functools import lru_cache

from config.errors import InputError

# With leading zeros, which PS3.5 section 9.1 forbids: scanners and archives that write them are in use, and a UID is
# compared as text. Ours have none (dicom_sr/header/uids.py).
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{16,64}", re.ASCII)
UID_LENGTH = 64


def is_uid(text: str) -> bool:
    """Return whether a text is a UID by PS3.5 section 9.1, or one that has leading zeros and is none otherwise.

    Parameters
    ----------
    text : str
        Any text, of any length.

    Returns
    -------
    bool
        True for numbers joined by dots, at most 64 characters in all: nothing else may become a path, and receivers
        cut longer texts, so that two of them would become one.
    """
    return len(text) <= UID_LENGTH and _has_form(text)


@lru_cache(maxsize=4096)  # only texts of at most 64 characters: a sender may put 64 kB where a UID belongs
def _has_form(text: str) -> bool:
    return _UID.fullmatch(text) is not None


def uid_name(uid: str) -> str:
    """Return a UID as the name of a file or folder.

    Raises
    ------
    InputError
        The text is not a UID; any other text could leave the folder.
    """
    if not is_uid(uid):
        raise InputError(f"expected a UID of digits and dots, at most 64 characters, found {uid[:80]!r}")
    return uid


def digest_name(digest: str) -> str:
    """Return a digest as the name of a folder.

    Parameters
    ----------
    digest : str
        16 to 64 hexadecimal digits, with or without ``sha256:`` in front.

    Returns
    -------
    str
        The digits alone.

    Raises
    ------
    InputError
        The text is not a digest.
    """
    digits = digest.removeprefix("sha256:")
    if _DIGEST.fullmatch(digits) is None:
        raise InputError(f"expected a hexadecimal digest, found {digest[:80]!r}")
    return digits
