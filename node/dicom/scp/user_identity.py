"""Users of DICOM peers (PS3.7 section D.3.3.7): a file with argon2 hashes, one `name:hash` a line."""

from __future__ import annotations

from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.errors import SettingsError

_HASHER = PasswordHasher()


class Users:
    """The users of one file, read once.

    Parameters
    ----------
    path : Path
        UTF-8 text; empty lines and lines that begin with ``#`` are skipped.

    Raises
    ------
    SettingsError
        The file cannot be read, or a line is not ``name:hash``; the text names the line, not what it contains.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"[node] users_file: cannot read {path}: {error}") from error
        self._hashes: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, hashed = line.strip().partition(":")
            # The line itself is not shown: in a file with a mistake it may be a plain passcode.
            if not name or not hashed.startswith("$argon2"):
                raise SettingsError(
                    f"[node] users_file: {path} line {number}: expected name:$argon2..., found something else; "
                    "node/README.md says how to make a line"
                )
            self._hashes[name] = hashed
        self._hash_of_unknown = hash_passcode("unknown")

    def verify(self, name: str, passcode: bytes) -> bool:
        """Return whether this is the passcode of this user.

        An unknown name takes as long as a wrong passcode, so that the time does not tell which names exist.

        Parameters
        ----------
        name : str
            Primary field of the identity.
        passcode : bytes
            Secondary field, as it was sent: PS3.7 gives it no character set.

        Returns
        -------
        bool
            False also for an unknown name and a damaged hash.
        """
        expected = self._hashes.get(name)
        try:
            return _HASHER.verify(expected or self._hash_of_unknown, passcode) and expected is not None
        except (VerificationError, InvalidHashError):
            return False


def hash_passcode(passcode: str) -> str:
    """Return the argon2 hash of a passcode, as in a users file.

    Returns
    -------
    str
        With parameters and a random salt: two calls differ.
    """
    return _HASHER.hash(passcode)
