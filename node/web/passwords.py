"""Passwords: Argon2id hashes by argon2-cffi, at most two at a time, since each takes 64 MiB."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.errors import InputError

SHORTEST, LONGEST = 10, 256  # characters; a limit above keeps nobody from a sentence, and megabytes out
_hasher = PasswordHasher()
_at_once = threading.Semaphore(2)


def hash_password(password: str) -> str:
    """The hash to keep. Raises InputError for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputError(f"expected a password of {SHORTEST} to {LONGEST} characters, found {len(password)}")
    with _at_once:
        return _hasher.hash(password)


def password_fits(password: str, kept: str | None) -> bool:
    """Whether this is the password behind a hash. Without a hash (no such user) it takes just as long, and says no."""
    with _at_once:
        try:
            fits = _hasher.verify(kept or _of_nobody(), password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
    return fits and kept is not None


@cache
def _of_nobody() -> str:
    return _hasher.hash("nobody has this password")
