"""Passwords as Argon2id hashes by argon2-cffi; at most two are computed at a time, since each needs 64 MiB."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.errors import InputError
from config.messages.message import message

MIN_LENGTH, MAX_LENGTH = 10, 256  # characters; long enough for a sentence, short enough to hash
_hasher = PasswordHasher()
_two_at_a_time = threading.Semaphore(2)


def hash_password(password: str) -> str:
    """Return the Argon2id hash of a new password, with its parameters and salt.

    Raises
    ------
    InputError
        When it has fewer than `MIN_LENGTH` or more than `MAX_LENGTH` characters.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InputError(message("user.password", least=MIN_LENGTH, most=MAX_LENGTH, n=len(password)))
    with _two_at_a_time:
        return _hasher.hash(password)


def password_fits(password: str, password_hash: str | None) -> bool:
    """Return whether a password belongs to a hash.

    Parameters
    ----------
    password : str
        What was entered.
    password_hash : str or None
        The hash of the user; None for a user that does not exist. The check then takes as long and fails, so that the
        time of the response does not tell which names exist.

    Returns
    -------
    bool
        Whether the password is right.
    """
    with _two_at_a_time:
        try:
            is_right = _hasher.verify(password_hash or _hash_without_user(), password[:MAX_LENGTH])
        except (VerificationError, InvalidHashError):
            return False
    return is_right and password_hash is not None


@cache
def _hash_without_user() -> str:
    return _hasher.hash("no user has this password")
