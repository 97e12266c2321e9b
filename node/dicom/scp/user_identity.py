"""Names and passcodes of DICOM peers (PS3.7 section D.3.3.7): a file with argon2 hashes, one `name:hash` a line."""

from __future__ import annotations

from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.errors import SettingsError

_HASHER = PasswordHasher()


class Users:
    """The users of one file, read once."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError naming the line that is not `name:hash`."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"[node] users_file: cannot read {path}: {error}") from error
        self._hashes: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, hashed = line.strip().partition(":")
            if not name or not hashed.startswith("$argon2"):
                raise SettingsError(f"[node] users_file: {path} line {number}: expected name:$argon2..., found neither")
            self._hashes[name] = hashed
        self._nobody = hash_passcode("nobody")  # an unknown name takes as long as a wrong passcode

    def knows(self, name: str, passcode: bytes) -> bool:
        """Whether this is the passcode of this user."""
        known = self._hashes.get(name)
        try:
            return _HASHER.verify(known or self._nobody, passcode) and known is not None
        except (VerificationError, InvalidHashError):
            return False


def hash_passcode(passcode: str) -> str:
    """The hash that stands in a users file."""
    return _HASHER.hash(passcode)
