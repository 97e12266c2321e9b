"""The edition of a stage as people and information systems name it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from config.indication.nasopharynx_staging import EDITIONS

UNKNOWN = frozenset({"", "UNKNOWN", "未知", "不详", "NA", "N/A", "N.A.", "NONE", "-", "?"})
# The year in which an edition was published or came into force; 2016 to 2018 the 8th, 2024 and 2025 Version 9.
YEARS = {"2009": "7", "2010": "7", "2016": "8", "2017": "8", "2018": "8", "2024": "9", "2025": "9"}
ORDINALS = {
    "sixth": "6", "seventh": "7", "eighth": "8", "ninth": "9", "tenth": "10", "vi": "6", "vii": "7", "viii": "8",
    "ix": "9", "siebte": "7", "siebten": "7", "achte": "8", "achten": "8", "neunte": "9", "neunten": "9", "六": "6",
    "七": "7", "八": "8", "九": "9", "十": "10",
}  # fmt: skip
EDITION_WORDS = frozenset({
    "ajcc", "uicc", "tnm", "edition", "ed", "edn", "editions", "version", "ver", "vers", "v", "auflage", "aufl",
    "édition", "edición", "edizione", "edicion", "版", "第", "版本", "manual", "th", "st", "nd", "rd", "e", "ème",
    "eme", "ª", "a", "o", "º",
})  # fmt: skip
NEUTRAL_WORDS = frozenset({
    "american", "joint", "committee", "commission", "on", "cancer", "union", "for", "international", "control",
    "staging", "stage", "system", "classification", "the", "of", "by", "per", "according", "to", "and", "neoplasm",
    "tumor", "tumour", "staging)", "malignant", "tumours", "tumors", "分期", "标准",
    "美国癌症联合委员会", "国际抗癌联盟",
})  # fmt: skip
# Systems of their own: the same letters mean other things (paranasal sinuses are T4 in the Chinese 2008 system).
OTHER_SYSTEM = re.compile(
    r"chin(?:ese|a)|中国|福州|fuzhou|广州|长沙|\bho(?:'s)?\b|ho氏|\brtog\b|\bcsco\b", re.IGNORECASE
)
_TOKEN = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")
_PUNCTUATION = frozenset(",;:/.-()[]、，。·'\"+&|")


@dataclass(frozen=True)
class NamedEdition:
    """What a text says about the edition.

    Attributes
    ----------
    number : str or None
        One of `EDITIONS`; None where none is named, or it cannot be read.
    text : str
        The words that name it; empty where none is named.
    """

    number: str | None = None
    text: str = ""

    @property
    def is_unreadable(self) -> bool:
        """Whether an edition is named that is not one of `EDITIONS`, or cannot be read: it is unknown, no default."""
        return self.number is None and bool(self.text)


def read_edition(text: object) -> NamedEdition:
    """Read the name of an edition.

    Parameters
    ----------
    text : object
        ``8``, ``AJCC 8``, ``AJCC (2017) 8th edition``, ``Version 9 (2025)``, ``9th version``, ``第九版``, or a word for
        unknown.

    Returns
    -------
    NamedEdition
        Unreadable for an edition before the 7th or after the 9th, another system, two editions, a year that is not
        that of the edition, and words that are not known.
    """
    plain = unicodedata.normalize("NFKC", str(text or "")).strip()
    if plain.upper() in UNKNOWN:
        return NamedEdition()
    tokens = tokens_of(plain)
    unknown = [token for token in tokens if not is_edition_token(token) and token not in NEUTRAL_WORDS]
    if unknown or OTHER_SYSTEM.search(plain):
        return NamedEdition(None, plain)
    return edition_of(tokens, plain)


def tokens_of(text: str) -> list[str]:
    """Return numbers and words of a text in lower case, without punctuation; ``AJCC8`` and ``8.0`` name the number 8.

    Parameters
    ----------
    text : str
        In the form NFKC.
    """
    # Tables of numbers write 8.0 for the edition.
    lowered = re.sub(r"(?<![\d.])(\d{1,2})\.0(?!\d)", r"\1", text.lower())
    tokens = [token for token in _TOKEN.findall(lowered) if token not in _PUNCTUATION]
    # Words of Chinese characters stand together: 第九版 is three of ours.
    return [part for token in tokens for part in _split_chinese(token)]


def is_edition_token(token: str) -> bool:
    """Return whether a token may belong to the name of an edition: a number, a year, or a word such as ``version``.

    Parameters
    ----------
    token : str
        As of `tokens_of`.
    """
    return token.isdigit() or token in EDITION_WORDS or token in ORDINALS


def edition_of(tokens: list[str], text: str) -> NamedEdition:
    """Return the edition that numbers, years and ordinals name together.

    Parameters
    ----------
    tokens : list of str
        As of `tokens_of`; words that are no numbers are ignored.
    text : str
        What the tokens are from, for the sentences.

    Returns
    -------
    NamedEdition
        Nothing without a number; unreadable where two editions are named.
    """
    years = {token for token in tokens if re.fullmatch(r"(?:19|20)\d\d", token)}
    numbers = {ORDINALS.get(token, token.lstrip("0")) for token in tokens if token in ORDINALS or token.isdigit()}
    numbers -= years
    if not years and not numbers:
        return NamedEdition()
    by_year = {YEARS[year] for year in years if year in YEARS}
    # The year alone names the edition; beside a number it may not be that of another edition.
    named = numbers | by_year if numbers else by_year
    if len(named) != 1 or not named <= set(EDITIONS):
        return NamedEdition(None, text)
    return NamedEdition(next(iter(named)), text)


def _split_chinese(token: str) -> list[str]:
    if token.isascii() or not re.search(r"[\u4e00-\u9fff]", token):
        return [token]
    for phrase in sorted(NEUTRAL_WORDS | EDITION_WORDS, key=len, reverse=True):
        if not phrase.isascii() and phrase in token and len(token) > len(phrase):
            before, after = token.split(phrase, 1)
            return [part for piece in (before, phrase, after) for part in (_split_chinese(piece) if piece else [])]
    return [token]
