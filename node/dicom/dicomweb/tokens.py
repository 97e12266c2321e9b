"""Senders of STOW-RS: a file with bearer tokens, one `NAME:TOKEN` a line."""

from __future__ import annotations

import hmac
import re
from pathlib import Path

from config.errors import SettingsError

SHORTEST_TOKEN = 16
# As an AE title (PS3.5 section 6.2): the name takes its place in ledger, audit trail and stored files.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,16}", re.ASCII)
_BEARER = "bearer "


class SenderTokens:
    """The tokens of one file. It is read with each request, so that a token can be changed while the program runs.

    Parameters
    ----------
    path : Path
        UTF-8 text that only its owner may read; empty lines and lines that begin with ``#`` are skipped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, str]:
        """Return the token of each sender by its name.

        Returns
        -------
        dict of str to str
            At least one.

        Raises
        ------
        SettingsError
            The file cannot be read, others may read it, or a line is not ``NAME:TOKEN``; the text names the line, not
            what it contains.
        """
        where = f"[dicomweb] senders_file {self._path}"
        try:
            if self._path.stat().st_mode & 0o077:
                raise SettingsError(f"{where} can be read by other users of this machine: chmod 600 {self._path}")
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{where} cannot be read: {error}") from error
        tokens: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, token = line.strip().partition(":")
            if _NAME.fullmatch(name) is None or len(token) < SHORTEST_TOKEN:
                raise SettingsError(
                    f"{where} line {number}: expected NAME:TOKEN, a name of at most 16 letters, digits, '.', '_' and "
                    f"'-' and a token of at least {SHORTEST_TOKEN} characters, found something else"
                )
            tokens[name] = token
        if not tokens:
            raise SettingsError(f"{where}: expected at least one line NAME:TOKEN, found none")
        return tokens

    def sender_of(self, authorization: str) -> str | None:
        """Return the name of the sender that shows a token.

        Parameters
        ----------
        authorization : str
            Value of the Authorization header.

        Returns
        -------
        str or None
            None for an unknown token, or none. Raises SettingsError as `read` does.
        """
        tokens = self.read()
        shown = authorization[len(_BEARER) :].strip() if authorization.lower().startswith(_BEARER) else ""
        # All of them, in constant time: the time of the answer tells nothing about the tokens.
        found = [name for name, token in tokens.items() if hmac.compare_digest(token.encode(), shown.encode())]
        return found[0] if found else None
