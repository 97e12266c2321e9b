"""Whether two values of Patient's Name (PN) may be one person's: systems write one name in many ways.

Compared is what both values state: each value is split by script, because one system writes the ideographic form in
the first component group and another one in the second (PS3.5 section 6.2), and words of different scripts cannot be
compared without a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# De-identification and emergency registration write these instead of a name.
_PLACEHOLDERS = frozenset(
    {"anonymous", "anonymized", "anonymised", "anonym", "anon", "unknown", "noname", "none", "null", "nn", "na", "xxx",
     "deidentified", "removed", "redacted", "patient", "name", "test", "匿名", "未知", "无名"}
)  # fmt: skip
# Letters without a decomposition.
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe"})
# Spellings of umlauts: "Mueller", "Müller" and "Muller" are one name. Behind j, q, x, y, l and n "ue" is a final of
# pinyin, and Xue and Xu, Yue and Yu are different names: there it is an umlaut only beside a name written with one.
_UMLAUTS = re.compile(r"([aou])e")
_UMLAUTS_NOT_PINYIN = re.compile(r"([ao]|(?<![jqxyln])u)e")
_SEPARATORS = re.compile(r"[\s^=,;.\-_/·・\u3000]+")
_PREFIX, _SUFFIX = 3, 4  # components of PN: family, given, middle, prefix, suffix
_TITLES = frozenset({"dr", "mr", "mrs", "ms", "prof", "herr", "frau", "jr", "sr", "先生", "女士"})


def names_differ(first: object, second: object) -> bool:
    """Return whether two names are of different persons.

    Parameters
    ----------
    first, second : object
        Values of Patient's Name (0010,0010), decoded.

    Returns
    -------
    bool
        False where a value is empty or a placeholder, where no script is common to both, and for differences of case,
        spacing, accents, order, title, missing middle or given names, initials and cut ends. Where both state a
        name in several scripts, one that agrees is enough for Latin spellings, because transliterations vary;
        ideographs that differ are a difference.

    References
    ----------
    DICOM PS3.5 section 6.2.1 (component groups and components of PN); PS3.18 and PS3.3 C.7.1.1 state no comparison.
    """
    written = unicodedata.normalize("NFD", f"{first}{second}")
    umlauts = _UMLAUTS if "\u0308" in written else _UMLAUTS_NOT_PINYIN  # U+0308: combining diaeresis
    one, other = _by_script(first, umlauts), _by_script(second, umlauts)
    common = one.keys() & other.keys()
    differing = {script for script in common if not _may_be_one(one[script], other[script])}
    if "CJK" in common:
        return "CJK" in differing
    return bool(common) and differing == common


def _by_script(value: object, umlauts: re.Pattern[str]) -> dict[str, list[list[str]]]:
    """Return the words of each component by script; of several groups in one script the first counts."""
    scripts: dict[str, list[list[str]]] = {}
    for group in str(value or "").split("="):
        if _is_decoded_wrongly(group):
            continue
        words = _components(group, umlauts)
        script = _script("".join(word for component in words for word in component))
        if script:
            scripts.setdefault(script, words)
    return scripts


def _is_decoded_wrongly(group: str) -> bool:
    """Whether most characters are of Latin-1's upper half: bytes of another character set, as in "Íõ^Î°" for 王^伟."""
    written = [char for char in group if char not in "^ "]
    return "\ufffd" in group or 2 * sum("\x80" <= char <= "\xff" for char in written) > len(written) > 0


def _components(group: str, umlauts: re.Pattern[str]) -> list[list[str]]:
    plain = unicodedata.normalize("NFKC", group)
    components = []
    for number, component in enumerate(plain.split("^")):
        if number not in (_PREFIX, _SUFFIX):
            words = [_plain(word, umlauts) for word in _SEPARATORS.split(component)]
            components.append([word for word in words if word and word not in _TITLES])
    return [words for words in components if words]


def _plain(word: str, umlauts: re.Pattern[str]) -> str:
    folded = word.casefold().translate(_LETTERS)
    bare = "".join(char for char in unicodedata.normalize("NFKD", folded) if char.isalnum())
    return umlauts.sub(r"\1", bare)


def _script(text: str) -> str:
    """Return the script of most letters; empty for no name and for a placeholder."""
    if text in _PLACEHOLDERS or not text:
        return ""
    letters = [char for char in text if char.isalpha()]
    kinds = [unicodedata.name(char, "?").split()[0] for char in letters]
    if not kinds:
        return ""  # digits only: a number instead of the name
    return max(sorted(set(kinds)), key=kinds.count)


def _may_be_one(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> bool:
    words = [[word for component in each for word in component] for each in (one, other)]
    joined = ["".join(each) for each in words]
    if joined[0] == joined[1] or sorted(words[0]) == sorted(words[1]):
        return True
    shorter, longer = sorted(words, key=len)
    if _contained(shorter, longer):
        return True
    # Family name equal, and one given name the beginning of the other: cut ends, and "Xiao Dong" for "XiaoDong".
    if len(one) > 1 and len(other) > 1 and "".join(one[0]) == "".join(other[0]):
        first, second = ("".join(word for component in each[1:] for word in component) for each in (one, other))
        return first.startswith(second) or second.startswith(first)
    return False


def _contained(shorter: Sequence[str], longer: Sequence[str]) -> bool:
    """Whether each word of the shorter one is a word of the longer one, or an initial of one, and one is whole."""
    left, whole = list(longer), 0
    for word in sorted(shorter, key=len, reverse=True):
        equal = word if word in left else None
        match = equal or next((each for each in left if _is_initial(word, each)), None)
        if match is None:
            return False
        left.remove(match)
        whole += match == word
    return whole > 0


def _is_initial(word: str, other: str) -> bool:
    return (len(word) == 1 and other.startswith(word)) or (len(other) == 1 and word.startswith(other))
