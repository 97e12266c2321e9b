"""Clinical TNM stage as people and systems write it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from config.errors import InputError

_SEPARATORS = re.compile(r"[\s,;:/_.\-()]+")
_SUB = r"(?:[abd]|c(?!N|M))?"  # a c before N or M is the prefix of that part
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
    """T, N and M as recorded ("T3", "N1", "M0"; None where absent or X), with prefix (c, p, y, r) and edition."""

    t: str | None = None
    n: str | None = None
    m: str | None = None
    prefix: str = ""
    edition: str | None = None

    @property
    def complete(self) -> bool:
        return None not in (self.t, self.n, self.m)

    @property
    def text(self) -> str:
        return "".join(part for part in (self.t, self.n, self.m) if part) or "unknown"


def parse_stage(text: str, edition: str | None = None) -> StageValue:
    """Read "T3N1M0", "cT3 N1 M0", "T3, N1, M0"; `edition` is "8" for AJCC/UICC 8th.

    Raises InputError when the text is not TNM; a stage group alone ("III") does not tell T, N and M.
    """
    plain = unicodedata.normalize("NFKC", str(text)).strip()
    number = parse_edition(edition)
    if plain.upper() in UNKNOWN:
        return StageValue(edition=number)
    match = _STAGE.match(_SEPARATORS.sub("", plain))
    if match is None or not any(match.group(part) for part in "tnm"):
        raise InputError(f"the stage {text!r} is not TNM; expected for example T3N1M0")
    t, n, m = (_part(letter, match.group(letter.lower())) for letter in "TNM")
    return StageValue(t, n, m, match.group("prefix").lower(), number)


def parse_edition(edition: str | None) -> str | None:
    """ "8" out of "8", "AJCC 8", "8th edition", "AJCC第8版"; None when nothing is said."""
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
