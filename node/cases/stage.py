"""The clinical TNM stage as it is written by hand and by information systems."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from config.errors import InputError

_SEPARATORS = re.compile(r"[\s,;:/_.\-()]+")
_SUB = r"(?:[abd]|c(?!N|M))?"  # a c before N or M is the prefix of that category: cT3cN1cM0
_STAGE = re.compile(
    rf"^(?P<prefix>[cpyra]{{0,3}})(?:T(?P<t>is|x|[0-4]{_SUB}))?(?:[cpyra]{{0,3}}N(?P<n>x|[0-3]{_SUB}))?"
    rf"(?:[cpyra]{{0,3}}M(?P<m>x|[01]{_SUB}))?$",
    re.IGNORECASE,
)
_EDITION = re.compile(
    r"(?:AJCC|UICC|TNM)?\s*(?:ED(?:ITION)?\.?)?\s*(?:第)?\s*(\d{1,2})\s*(?:TH|版|ND|RD|ST)?\s*(?:ED(?:ITION)?\.?)?"
)
UNKNOWN = frozenset({"", "UNKNOWN", "未知", "NA", "N/A", "-", "?"})


@dataclass(frozen=True)
class StageValue:
    """T, N and M categories.

    Attributes
    ----------
    t, n, m : str or None
        For example "T3", "N1", "M0"; None where absent or X (cannot be assessed).
    prefix : str
        Letters before T: c clinical, p pathological, y after treatment, r recurrence, a autopsy.
    edition : str or None
        "8" for the AJCC/UICC 8th edition.
    """

    t: str | None = None
    n: str | None = None
    m: str | None = None
    prefix: str = ""
    edition: str | None = None

    @property
    def complete(self) -> bool:
        """Whether all three categories are stated."""
        return None not in (self.t, self.n, self.m)

    @property
    def text(self) -> str:
        """The stated categories without prefix, for example "T3N1M0"."""
        return "".join(part for part in (self.t, self.n, self.m) if part) or "unknown"


def parse_stage(text: str, edition: str | None = None) -> StageValue:
    """Read a stage.

    Parameters
    ----------
    text : str
        "T3N1M0", "cT3 N1 M0", "T3, N1, M0", or a word for unknown.
    edition : str, optional
        See `parse_edition`.

    Returns
    -------
    StageValue
        Without any category for an unknown stage.

    Raises
    ------
    InputError
        When the text is not TNM; a stage group alone ("III") does not state T, N and M.
    """
    plain = unicodedata.normalize("NFKC", str(text)).strip()
    number = parse_edition(edition)
    if plain.upper() in UNKNOWN:
        return StageValue(edition=number)
    match = _STAGE.match(_SEPARATORS.sub("", plain))
    # A stage group has several combinations of T, N and M, and which ones depends on the edition.
    if match is None or not any(match.group(part) for part in "tnm"):
        raise InputError(f"the stage {text!r} is not TNM; expected for example T3N1M0")
    t, n, m = (_part(letter, match.group(letter.lower())) for letter in "TNM")
    return StageValue(t, n, m, match.group("prefix").lower(), number)


def parse_edition(edition: str | None) -> str | None:
    """Read the number of a staging edition.

    Parameters
    ----------
    edition : str or None
        "8", "AJCC 8", "8th edition", "AJCC第8版", or a word for unknown.

    Returns
    -------
    str or None
        "8"; None for no edition or an unknown one.

    Raises
    ------
    InputError
        For any other text.
    """
    plain = unicodedata.normalize("NFKC", str(edition or "")).strip().upper()
    if plain in UNKNOWN:
        return None
    match = _EDITION.fullmatch(plain)
    if match is None:
        raise InputError(f"the staging edition {edition!r} is not known; expected for example 8")
    return match.group(1)


def _part(letter: str, value: str | None) -> str | None:
    if value is None or value.lower() == "x":
        return None
    return letter + value.lower()
