"""Plasma EBV DNA as laboratories write it, resolved to a side of the threshold or refused with a sentence.

Units accepted: copies/mL with powers of ten, and log10 copies/mL. IU/mL only where the site configures a conversion,
because the factor differs by assay; whole blood never, because it is not interchangeable with plasma.

One rule for separators, for every route: the decimal sign is a point; commas, spaces and apostrophes group digits by
three. Text that follows another convention, or that may follow two ("5.000", "0,500", "12,5"), is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from config.errors import IneligibleStudyError
from config.indication.nasopharynx import NASOPHARYNX
from config.messages.message import message

Comparator = Literal["=", ">", ">=", "<", "<=", "not-detected", "unknown"]
Category = Literal[">threshold", "<=threshold", "unknown"]

MAX_COPIES_PER_ML = 1e12  # more is an error of unit or exponent
CODE = "ebv_dna_unusable"
UNKNOWN = frozenset(
    {"", "unknown", "not done", "not tested", "n/a", "na", "none", "未知", "未查", "未做", "未检测", "-", "?"}
)
NOT_DETECTED = re.compile(
    r"^(?:not[\s_-]*detect(?:ed|able)|undetect(?:ed|able)|target not detected|tnd|neg(?:ative)?|nd|none detected|"
    r"negativ|nicht nachweisbar|nachweisgrenze unterschritten|阴性|阴|\(-\)|未检出|未检测到|"
    r"检测不到|低于检测下限|低于检测限|"
    r"below (?:the )?(?:limit of detection|detection limit|lod))$"
)
_COMPARATOR = re.compile(
    r"^(>=|=>|≥|⩾|<=|=<|≤|⩽|>|<|=|~|≈|about|approx\.?|greater than|more than|above|less than|below|大于等于|小于等于|"
    r"不低于|不高于|大于|高于|超过|小于|低于|少于)\s*"
)
_COMPARATORS: dict[str, Comparator] = {
    ">=": ">=", "=>": ">=", "≥": ">=", "⩾": ">=", "大于等于": ">=", "不低于": ">=",
    "<=": "<=", "=<": "<=", "≤": "<=", "⩽": "<=", "小于等于": "<=", "不高于": "<=",
    ">": ">", "greater than": ">", "more than": ">", "above": ">", "大于": ">", "高于": ">", "超过": ">",
    "<": "<", "less than": "<", "below": "<", "小于": "<", "低于": "<", "少于": "<", "=": "=",
}  # fmt: skip
_NUMBER = re.compile(
    r"^(?P<mantissa>[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?(?![\d.,'’])|\.\d+|\d(?:[\d.,'’]*\d)?)"
    r"(?:\s*[e]\s*(?P<e>[+-]?\d{1,3})|\s*[x×*·]\s*10\s*(?:\^|\*\*|e)?\s*(?P<p>[+-]?\d{1,2})|\s*(?P<wan>万))?\s*(?P<unit>.*)$"
)
_SEPARATORS = re.compile(r"[,'’ ]")
_PLAIN = re.compile(r"^(?:\d*\.)?\d+$")
_GROUPED = re.compile(r"^[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+|(?:['’]\d{3})+)(?:\.\d+)?$")
# 5.000 is five thousand where the dot groups digits, and five where it is the decimal point.
_DOT_GROUPED = re.compile(r"^[1-9]\d{0,2}\.\d{3}$")
_COPIES = re.compile(
    r"^(?:10\s*[\^*]\s*(?P<power>\d{1,2})\s*)?[\s.·*x×]*"
    r"(?:\{?\[?(?:dna |ebv |ebv dna )?"
    r"(?:copies|copy|cop|cps|cp|copie|kopien|geq|genome equivalents|拷贝数|拷贝)\]?\}?)?"
    r"\s*/\s*ml$"
)
_IU = re.compile(r"(?:^|[^a-z])(?:\[?iu\]?|\[iu\]|i\.u\.|国际单位|ie)\s*/")
_LOG = re.compile(r"log(?:10|_?\{?10\}?|\s*\(10\)|\[10\])?|\blg\b")
_UNBRACED = str.maketrans("{}[]()_", "       ")
_WHOLE_BLOOD = re.compile(
    r"whole|vollblut|全血|\bwb\b|edta blood|\bbld\b|pbmc|leuko|leuco|lymphocyt|bone|csf|swab|saliva|tissue|urine"
)


@dataclass(frozen=True)
class EbvValue:
    """One interpreted result.

    Attributes
    ----------
    category : {">threshold", "<=threshold", "unknown"}
        The side of the threshold.
    copies_per_ml : float or None
        The exact number; None for a comparator, "not detected" or unknown.
    as_given : str
        The text of the laboratory.
    comparator : str
        "=", ">", ">=", "<", "<=", "not-detected" or "unknown".
    bound_copies_per_ml : float or None
        The number after a comparator; 0 for "not detected".
    is_converted : bool
        Whether the result was in IU/mL.
    """

    category: Category
    copies_per_ml: float | None
    as_given: str
    comparator: Comparator = "="
    bound_copies_per_ml: float | None = None
    is_converted: bool = False


def parse_ebv_dna(
    text: str,
    threshold: float = NASOPHARYNX.biomarker.threshold,
    inclusive: bool = NASOPHARYNX.biomarker.threshold_inclusive,
    *,
    unit: str | None = None,
    specimen: str | None = None,
    copies_per_iu: float | None = None,
) -> EbvValue:
    """Resolve a laboratory result to a side of the threshold.

    Parameters
    ----------
    text : str
        "5000", ">4000", "<400", "5.2e3", "not detected", "阴性", "unknown"; a unit may follow the number.
    threshold : float
        Copies per mL of plasma.
    inclusive : bool
        Whether a value equal to the threshold counts as above it.
    unit, specimen : str, optional
        As sent beside the result; a unit in the text must agree with `unit`.
    copies_per_iu : float, optional
        The site's conversion of IU to copies.

    Returns
    -------
    EbvValue
        With category "unknown" for a text that says that nothing was measured.

    Raises
    ------
    IneligibleStudyError
        ``ebv_dna_unusable`` for another unit or specimen, for a comparator that allows both sides, and for anything
        that is not a number.
    """
    given = str(text).strip()
    plain = unicodedata.normalize("NFKC", given).strip().lower()
    _check_specimen(specimen)
    if plain in UNKNOWN:
        return EbvValue("unknown", None, given, "unknown")
    if NOT_DETECTED.match(plain):
        return EbvValue("<=threshold", None, given, "not-detected", 0.0)
    comparator, rest = _comparator(plain, given)
    number, written_unit = _number(rest, given, unit or "")
    copies = _in_copies(number, written_unit, unit, given, copies_per_iu)
    is_converted = any(_is_iu(part) for part in (written_unit, _plain_unit(unit)))
    if comparator == "=":
        above = copies >= threshold if inclusive else copies > threshold
        return EbvValue(">threshold" if above else "<=threshold", copies, given, "=", copies, is_converted)
    side = _side(comparator, copies, threshold, inclusive, given)
    return EbvValue(side, None, given, comparator, copies, is_converted)


def is_in_iu(text: str, unit: str | None = None) -> bool:
    """Return whether a result is in international units, which are another statement about a draw than copies.

    Parameters
    ----------
    text : str
        The result; a unit may follow the number.
    unit : str, optional
        As sent beside it.

    Returns
    -------
    bool
        Whether the unit or the text names IU.
    """
    return any(_is_iu(_plain_unit(part)) for part in (text, unit))


def _side(comparator: Comparator, bound: float, threshold: float, inclusive: bool, given: str) -> Category:
    """Return the side of every value that the comparator allows."""
    if comparator == ">" and bound >= threshold:
        return ">threshold"
    if comparator == ">=" and (bound >= threshold if inclusive else bound > threshold):
        return ">threshold"
    if comparator == "<" and bound <= threshold:
        return "<=threshold"
    if comparator == "<=" and (bound < threshold if inclusive else bound <= threshold):
        return "<=threshold"
    # For example "<10000": the limit of a diluted assay may be above the threshold.
    raise _refused(message("ebv_dna_unusable.open_side", given=given, threshold=threshold))


def _check_specimen(specimen: str | None) -> None:
    plain = unicodedata.normalize("NFKC", specimen or "").strip().lower()
    # "Plasma of whole blood" names both and is plasma.
    if _WHOLE_BLOOD.search(plain) and not re.search(r"plasma|血浆", plain):
        raise _refused(message("ebv_dna_unusable.specimen_differs", specimen=specimen))


def _comparator(plain: str, given: str) -> tuple[Comparator, str]:
    match = _COMPARATOR.match(plain)
    if match is None:
        return "=", plain
    word = match.group(1)
    # "about 4000" cannot be put on a side of 4000.
    if word not in _COMPARATORS:
        raise _refused(message("ebv_dna_unusable.approximate", given=given))
    return _COMPARATORS[word], plain[match.end() :]


def _number(rest: str, given: str, unit: str) -> tuple[float, str]:
    match = _NUMBER.match(rest)
    if match is None:
        raise _refused(message("ebv_dna_unusable.no_number", given=given))
    mantissa = match.group("mantissa")
    has_exponent = bool(match.group("e") or match.group("p") or match.group("wan"))
    # A logarithm of 3.716 has decimals, whatever the convention: thousands of it would be no amount of anything.
    logarithmic = _LOG.search(rest) or _LOG.search(unit.lower())
    has_two_readings = _DOT_GROUPED.match(mantissa) and not has_exponent and not logarithmic
    is_grouped_logarithm = "," in mantissa and logarithmic
    if has_two_readings or is_grouped_logarithm or not (_PLAIN.match(mantissa) or _GROUPED.match(mantissa)):
        raise _refused(message("ebv_dna_unusable.thousands_or_decimals", given=given))
    exponent = int(match.group("e") or match.group("p") or (4 if match.group("wan") else 0))  # 万 is ten thousand
    number = float(f"{_SEPARATORS.sub('', mantissa)}e{exponent}")
    return number, match.group("unit").strip()


def _in_copies(number: float, written: str, unit: str | None, given: str, copies_per_iu: float | None) -> float:
    """Convert the number to copies/mL; a unit in the text and one beside it must give the same number."""
    stated = _plain_unit(unit)
    units = [part for part in (written, stated) if part]
    if any(_WHOLE_BLOOD.search(part) for part in units):
        raise _refused(message("ebv_dna_unusable.other_specimen", given=given))
    # As a set: a unit in the text and one beside it are two statements about one number, and both must be the same.
    copies = {_converted(number, part, given, copies_per_iu) for part in units} or {number}
    if len(copies) > 1:
        raise _refused(message("ebv_dna_unusable.two_units", given=given, written=written, unit=unit))
    value = copies.pop()
    if not 0 <= value <= MAX_COPIES_PER_ML:
        raise _refused(message("ebv_dna_unusable.range", given=given, greatest=MAX_COPIES_PER_ML))
    return value


def _converted(number: float, unit: str, given: str, copies_per_iu: float | None) -> float:
    logarithmic = bool(_LOG.search(unit))
    linear = _linear(unit)
    if _is_iu(unit):
        if copies_per_iu is None:
            raise _refused(message("ebv_dna_unusable.iu", given=given))
        factor = copies_per_iu
    else:
        match = _COPIES.match(linear)
        # "log" alone may be the logarithm of IU or of copies.
        if match is None or (logarithmic and not re.search(r"cop|cp|拷贝|geq|kop", linear)):
            raise _refused(message("ebv_dna_unusable.unit", given=given, unit=unit))
        factor = 10.0 ** int(match.group("power") or 0)
    if logarithmic and number > 12:  # 10**number must not overflow before the range is checked
        raise _refused(message("ebv_dna_unusable.logarithm", given=given))
    return (10.0**number if logarithmic else number) * factor


def _plain_unit(unit: str | None) -> str:
    return unicodedata.normalize("NFKC", unit or "").strip().lower()


def _linear(unit: str) -> str:
    return _LOG.sub("", unit.translate(_UNBRACED)).strip(" .*") if _LOG.search(unit) else unit


def _is_iu(unit: str) -> bool:
    return bool(_IU.search(_linear(unit)))


def _refused(sentence: str) -> IneligibleStudyError:
    return IneligibleStudyError(CODE, sentence)
