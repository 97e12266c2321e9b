"""The TNM stage as people and information systems write it: one parser for command, tables, HL7 and FHIR.

A text is read whole or not at all. Words beside T, N and M that are not known ("T3N1M0 or T4", "no M0 yet") may change
their meaning, so such a text is refused with the words that were not understood.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from typing import Any

from config.errors import InputError
from config.messages.message import message
from node.cases.stage_edition import (
    NEUTRAL_WORDS,
    OTHER_SYSTEM,
    UNKNOWN,
    NamedEdition,
    edition_of,
    is_edition_token,
    read_edition,
    tokens_of,
)

_BETWEEN = r"[\s,;:/_.\-()|、，。·+&]*"
# Several tumours, by m or their number; sentinel node and fine needle aspiration (UICC). A number at the end of the
# text is an edition: T4N3M1b (9).
_SUFFIXES = {"T": r"(?:\s?\((?:m|s|\d(?=\)\s?[cpyra]{0,3}N))\))?", "N": r"(?:\s?\((?:f|sn)\))?", "M": ""}
# A c before N or M is the prefix of that category: cT3cN1cM0.
_SUB = r"(?:mi|[abde]\d?|c\d?(?![NM]))?"


def _category(letter: str, values: str) -> str:
    prefix = r"(?:[cpyra]{1,3}|(?:c|p|yc|yp|rc|rp|y|r)[\s.])?"
    return rf"(?P<prefix_{letter}>{prefix}){letter}\s?[:=]?\s?(?P<{letter.lower()}>x|{values}{_SUB}){_SUFFIXES[letter]}"


_TNM = re.compile(
    rf"(?<![A-Za-z0-9])(?=[cpyra\s.]{{0,4}}[TNM])(?:{_category('T', 'is|[0-4]')})?"
    rf"(?:{_BETWEEN}{_category('N', '[0-3]')})?(?:{_BETWEEN}{_category('M', '[01]')})?"
    r"(?:(?![A-Za-z0-9])|(?=(?:IV|I{1,3})[A-C]?\s*期))",
    re.IGNORECASE,
)
_ANOTHER = re.compile(r"(?<![A-Za-z0-9])[cpyra]{0,3}[TNM]\s?[0-9X]", re.IGNORECASE)
# T3-4, N1/2; "T3N1M0 - 8th edition" and "T3N1M0-III" are none.
_RANGE = re.compile(r"^\s*[-/~–—]\s*(?:[cpyra]{0,3}[TNM]?\s?[0-4](?!\s*(?:th|版))|x\b)", re.IGNORECASE)
_LETTER_O = re.compile(r"[TNM]\s?O(?![a-z])", re.IGNORECASE)
_GROUP = re.compile(
    r"(?:(?<![A-Za-z])(?:stage|stadium|stade|estadio|group)\s*(?:group\s*)?[:=]?\s*)"
    r"(?P<named>IV|I{1,3}|[0-4])\s?(?P<named_sub>[A-C])?(?![A-Za-z0-9])"
    r"|(?<![A-Za-z])(?P<han>IV|I{1,3}|[0-4])\s?(?P<han_sub>[A-C])?\s*期"
    r"|(?<![A-Za-z0-9])(?P<roman>IV|I{1,3})(?P<roman_sub>[A-C])?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV"}
_ENE = re.compile(
    r"(?P<before>\b(?:no|without|ohne|kein\w*)\s+|无|未见)?(?:(?:advanced|radiologic(?:al)?|image[- ]detected)\s+)*"
    r"(?:\b[ri]?ENE\b|\bECE\b|\bECS\b|extra-?nodal\s+(?:extension|spread)|extra-?capsular\s+(?:extension|spread)"
    r"|(?:淋巴结)?(?:包膜外|结外)(?:侵犯|受侵|扩展))"
    r"\s*[:=]?\s*\(?\s*(?:-(?=pos|neg|pres|abs|yes|no))?(?P<value>\+|-|positive|pos|negative|neg|present|absent|yes|no|unknown|x(?![a-z])|阳性|阴性|有|无|未知"
    r"|不详)?\s*\)?",
    re.IGNORECASE,
)
_ENE_VALUES = {
    "+": "yes", "positive": "yes", "pos": "yes", "present": "yes", "yes": "yes", "阳性": "yes", "有": "yes",
    "-": "no", "negative": "no", "neg": "no", "absent": "no", "no": "no", "阴性": "no", "无": "no",
}  # fmt: skip
# What a word says about when the stage was made; the letter is the prefix of the UICC.
_TIMES = {
    "y": re.compile(
        r"\b(?:post|after|following|re-?stag\w*|yc|yp)\b(?![- ]?op)|治疗后|放疗后|化疗后|诱导后|复查|再分期",
        re.IGNORECASE,
    ),
    "r": re.compile(r"\b(?:recurr\w*|relaps\w*|rezidiv\w*|retreatment)\b|复发", re.IGNORECASE),
    "p": re.compile(r"\b(?:patholog\w*|path|post-?op\w*|surgical)\b|病理|术后", re.IGNORECASE),
    "a": re.compile(r"\bautops\w*\b|尸检", re.IGNORECASE),
}
_KNOWN_WORDS = NEUTRAL_WORDS | frozenset({
    "clinical", "clin", "staged", "category", "categories", "primary", "initial", "baseline", "pretreatment", "pre",
    "treatment", "therapy", "before", "prior", "at", "diagnosis", "npc", "nasopharyngeal", "nasopharynx", "carcinoma",
    "finding", "qualifier", "value", "group", "is", "klinisch", "clinique", "chemo", "rt", "ict", "ccrt", "op",
    "chemotherapy", "radiotherapy", "induction", "im", "stadium", "mri", "mr", "ct", "pet", "imaging", "non",
    "keratinizing", "nonkeratinizing", "undifferentiated", "squamous", "cell",
})  # fmt: skip
# Differentiation and EBV: no part of the stage.
_BESIDE = re.compile(
    r"(?<![A-Za-z0-9])(?:G[1-4X]|EB(?:V|ER)\s?(?:DNA\s?)?(?:\+|-|positive|negative|阳性|阴性)?)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_KNOWN_HAN = re.compile(
    r"鼻咽癌|鼻咽|非角化(?:性|型)?|未分化(?:性|型)?|分化(?:性|型)|鳞癌|癌|临床分期|临床|分期"
    r"|治疗前|放疗前|初诊|初治|诊断|按|依据|标准|为|期"
)


@dataclass(frozen=True)
class StageValue:
    """T, N and M categories with what the text says about them.

    Attributes
    ----------
    t, n, m : str or None
        For example "T3", "N1", "M0"; None where absent or X (cannot be assessed).
    prefix : str
        Letters before T: c clinical, p pathological, y after treatment, r recurrence, a autopsy.
    edition : str or None
        "8" for the AJCC/UICC 8th edition; None where none is named, or it cannot be read.
    edition_text : str
        The words of an edition that cannot be read.
    edition_assumed : bool
        Whether the edition is the site's default, because none is named.
    ene : {"yes", "no"} or None
        Advanced extranodal extension.
    ene_only : bool
        Whether it was answered that an N3 of the 9th edition is N3 by extranodal extension alone, and N1 without it.
    group : str or None
        The stage group as the text states it.
    """

    t: str | None = None
    n: str | None = None
    m: str | None = None
    prefix: str = ""
    edition: str | None = None
    edition_text: str = ""
    edition_assumed: bool = False
    ene: str | None = None
    ene_only: bool = False
    group: str | None = None

    @property
    def complete(self) -> bool:
        """Whether all three categories are stated."""
        return None not in (self.t, self.n, self.m)

    @property
    def text(self) -> str:
        """The stated categories without prefix, for example "T3N1M0"."""
        return "".join(part for part in (self.t, self.n, self.m) if part) or "unknown"

    def to_json(self) -> dict[str, Any]:
        """Return the stage as the ledger records it: the first five fields, and of the others those that say something.

        Returns
        -------
        dict
            Keyword arguments of this class.
        """
        every = ("t", "n", "m", "prefix", "edition")
        return {key: value for key, value in asdict(self).items() if key in every or value}


def parse_stage(
    text: str, edition: str | None = None, *, default_edition: str | None = None, ene: str | None = None
) -> StageValue:
    """Read a stage.

    Parameters
    ----------
    text : str
        "T3N1M0", "cT3 N1 M0 (AJCC 8th ed.)", "鼻咽癌 T3N1M0 III期 第九版", or a word for unknown.
    edition : str, optional
        As recorded beside the text; see `read_edition`. Two that differ make the edition unknown.
    default_edition : str, optional
        The site's edition, where neither names one.
    ene : {"yes", "no"}, optional
        As recorded beside the text. For an N3 of the 9th edition "yes" answers that it is N3 by extranodal extension
        alone, and N1 without it.

    Returns
    -------
    StageValue
        Without any category for an unknown stage.

    Raises
    ------
    InputError
        When the text is not TNM, states two stages, or has words that are not understood; a stage group alone ("III")
        does not state T, N and M.
    """
    plain = unicodedata.normalize("NFKC", str(text)).strip()
    stage = StageValue() if plain.upper() in UNKNOWN else _read(plain, str(text))
    stage = _with_edition(stage, read_edition(edition), default_edition)
    if ene is None:
        return stage
    extension = _read_answer(ene)
    return replace(stage, ene=extension, ene_only=extension == "yes" and stage.n == "N3" and stage.edition == "9")


def parse_edition(edition: str | None) -> str | None:
    """Read the number of a staging edition.

    Parameters
    ----------
    edition : str or None
        See `read_edition`.

    Returns
    -------
    str or None
        "8"; None for no edition or a word for unknown.

    Raises
    ------
    InputError
        For any other text.
    """
    named = read_edition(edition)
    if named.is_unreadable:
        raise InputError(message("entry.stage_edition", text=str(edition)))
    return named.number


def read_group(text: str) -> str | None:
    """Return the stage group that a text states (``III`` of "Stage III"), or None; `parse_stage` refuses such a text.

    Parameters
    ----------
    text : str
        Without T, N and M.
    """
    match = _GROUP.search(unicodedata.normalize("NFKC", text))
    return None if match is None else _group_of(match)


def _read(plain: str, written: str) -> StageValue:
    """Read a text that is not a word for unknown."""
    remainder, extension = _take_extension(plain)
    matches = [match for match in _TNM.finditer(remainder) if any(match.group(part) for part in "tnm")]
    if not matches:
        # A stage group has several combinations of T, N and M, and which ones depends on the edition.
        has_letter_o = _LETTER_O.search(plain) is not None
        raise InputError(message("entry.stage_letter_o" if has_letter_o else "entry.stage_not_tnm", text=written))
    first = _of_match(matches[0])
    # A diagnosis may say the same stage twice; two that differ are a question.
    if any(_of_match(other) != first for other in matches[1:]):
        raise InputError(message("entry.stage_twice", text=written))
    if any(_RANGE.match(remainder[match.end() :]) for match in matches):
        raise InputError(message("entry.stage_range", text=written))
    for match in reversed(matches):
        remainder = f"{remainder[: match.start()]} {remainder[match.end() :]}"
    if _ANOTHER.search(remainder):
        raise InputError(message("entry.stage_twice", text=written))
    return _with_words(replace(first, ene=extension), remainder, written)


def _of_match(match: re.Match[str]) -> StageValue:
    prefixes = "".join(match.group(f"prefix_{letter}") or "" for letter in "TNM").lower()
    # In the order of the UICC: ycT3, rpT3. Prefixes of N and M count too: pN1 is known from an operation.
    prefix = "".join(letter for letter in "yrpac" if letter in prefixes)
    t, n, m = (_part(letter, match.group(letter.lower())) for letter in "TNM")
    return StageValue(t, n, m, prefix)


def _part(letter: str, value: str | None) -> str | None:
    if value is None or value.lower() == "x":
        return None
    return letter + value.lower()


def _take_extension(plain: str) -> tuple[str, str | None]:
    """Remove what a text says about extranodal extension, and return it."""
    extension = None
    for match in reversed(list(_ENE.finditer(plain))):
        value = (match.group("value") or "").lower()
        if match.group("before"):
            extension = "no"
        elif value:
            extension = _ENE_VALUES.get(value)
        else:
            extension = "yes"
        plain = f"{plain[: match.start()]} {plain[match.end() :]}"
    return plain, extension


def _with_words(stage: StageValue, remainder: str, written: str) -> StageValue:
    """Add group, prefix words and edition of the words beside T, N and M; refuse a text with any other word."""
    groups = {_group_of(match) for match in _GROUP.finditer(remainder)}
    remainder = _BESIDE.sub(" ", _GROUP.sub(" ", remainder))
    prefix = stage.prefix
    for letter, words in _TIMES.items():
        if words.search(remainder):
            prefix = prefix if letter in prefix else f"{letter}{prefix}"
            remainder = words.sub(" ", remainder)
    other_system = OTHER_SYSTEM.search(remainder)
    tokens = tokens_of(_KNOWN_HAN.sub(" ", OTHER_SYSTEM.sub(" ", remainder)))
    left = [token for token in tokens if token not in _KNOWN_WORDS]
    unknown = [token for token in left if not is_edition_token(token)]
    if unknown or len(groups) > 1:
        listed = message("volumes.listed", names=[repr(token) for token in unknown])
        found = listed if unknown else message("joined.and", parts=sorted(groups))
        raise InputError(message("entry.stage_words", text=written, found=found))
    edition = edition_of(left, remainder.strip())
    if other_system or (edition.number and not _is_named(left, remainder)):
        edition = NamedEdition(None, remainder.strip())
    return replace(
        stage,
        prefix=prefix,
        group=next(iter(groups), None),
        edition=edition.number,
        edition_text=edition.text if edition.is_unreadable else "",
    )


def _is_named(tokens: list[str], remainder: str) -> bool:
    """Return whether a number is that of an edition: with a word for it, a year, or alone in brackets."""
    return any(not token.isdigit() for token in tokens) or bool(re.search(r"\(\s*[0-9]{1,2}\s*\)", remainder))


def _group_of(match: re.Match[str]) -> str:
    for kind in ("named", "han", "roman"):
        if match.group(kind):
            number = match.group(kind).upper()
            return _ROMAN.get(number, number) + (match.group(f"{kind}_sub") or "").upper()
    raise AssertionError("one of the three is in every match")


def _with_edition(stage: StageValue, beside: NamedEdition, default_edition: str | None) -> StageValue:
    """Combine the edition in the text with the one recorded beside it."""
    if stage.edition_text or beside.is_unreadable:
        return replace(stage, edition=None, edition_text=stage.edition_text or beside.text)
    if stage.edition and beside.number and stage.edition != beside.number:
        return replace(stage, edition=None, edition_text=f"{stage.edition} and {beside.number}")
    named = stage.edition or beside.number
    if named is None and default_edition:
        return replace(stage, edition=parse_edition(default_edition), edition_assumed=True)
    return replace(stage, edition=named)


def _read_answer(ene: str) -> str | None:
    """Read what is recorded about extranodal extension beside a stage."""
    plain = unicodedata.normalize("NFKC", ene).strip().lower()
    if plain.upper() in UNKNOWN or plain in ("unknown", "x"):
        return None
    answer = {"y": "yes", "true": "yes", "1": "yes", "是": "yes", "n": "no", "false": "no", "0": "no", "否": "no"}
    extension = _ENE_VALUES.get(plain, answer.get(plain))
    if extension is None:
        raise InputError(message("entry.extension", text=str(ene)))
    return extension
