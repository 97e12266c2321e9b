"""The diagnosis as codes and texts state it: nasopharyngeal carcinoma, another disease, or neither for certain."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from config.indication import nasopharynx_diagnosis as npc

Kind = Literal["nasopharyngeal_carcinoma", "recurrent", "other", "unclear"]

# A letter, a digit, a digit or letter; more after a point, or as written without one.
_ICD_10 = re.compile(
    r"(?<![A-Za-z0-9/.])([A-TV-Z]\d[0-9AB](?:\.\w{1,7}|\d{1,2}\b)?)(?:[-+*.]+)?(?![A-Za-z0-9])", re.IGNORECASE
)
_ICD_11 = re.compile(r"(?<![A-Za-z0-9])(\d[A-Z]\d[0-9A-Z](?:\.\w+)?)(?![A-Za-z0-9])")
_MORPHOLOGY = re.compile(r"(?<![\dA-Za-z.])M?-?([89]\d{3})(?:/\d)?(?![\d.])", re.IGNORECASE)
_ICD_9 = re.compile(r"(?<![\w.])((?:1[4-9]\d|20[0-8])(?:\.\d{1,2})?)(?!\w)")  # malignant neoplasms
_SCHEME = re.compile(r"\bICD-?(?:10|9|11|O)?(?:-\w+)?\b|\bSNOMED(?: CT)?\b|\bSCT\b|\bNCIt\b", re.IGNORECASE)
_CONCEPT = re.compile(r"(?<!\d)\d{6,18}(?!\d)")
_NCIT = re.compile(r"(?<![A-Za-z0-9])C\d{4,6}(?![\w.])")
_SECONDARY_NODES = re.compile(r"C77")  # of the neck: they belong to an N1
# ICD-10-GM: suspicion (V), excluded (A), state after (Z).
_NOT_CERTAIN = re.compile(r"C11\.\d[VAZ]", re.IGNORECASE)
_NO_STATEMENT = re.compile(r"not otherwise specified|not elsewhere classified|unspecified|\bNOS\b", re.IGNORECASE)
_HISTOLOGY = frozenset({
    "squamous", "cell", "carcinoma", "carcinomas", "undifferentiated", "nonkeratinizing", "non", "keratinizing",
    "keratinising", "nonkeratinising", "cancer", "malignant", "neoplasm", "tumor", "tumour", "malignancy", "primary",
    "differentiated", "poorly", "moderately", "well", "basaloid", "lymphoepithelial",
    "癌", "恶性肿瘤", "鳞癌", "鳞状细胞癌", "of", "the", "disease", "disorder", "type", "who",
})  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis as recorded, and what it is.

    Attributes
    ----------
    text : str
        Code and words as recorded.
    kind : {"nasopharyngeal_carcinoma", "recurrent", "other", "unclear"}
        "recurrent" is a nasopharyngeal carcinoma after treatment; "unclear" a text without a disease, a suspicion, or a
        morphology without a site.
    is_tumour : bool
        Whether a malignant tumour is named; of the many diagnoses of a record only these count.
    """

    text: str
    kind: Kind
    is_tumour: bool


def read_diagnosis(text: str) -> Diagnosis:
    """Read a diagnosis.

    Parameters
    ----------
    text : str
        Codes, words or both: ``C11.9``, ``C11.9 8072/3``, ``449248000``, ``Nasopharyngeal carcinoma``, ``鼻咽癌``.

    Returns
    -------
    Diagnosis
        Codes take precedence over words; a morphology must go with the site.

    References
    ----------
    See `config.indication.nasopharynx_diagnosis`.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    sites, morphologies, words = _codes(plain)
    is_of_this_site = any(_is_at_site(site) for site in sites) or bool(npc.NAMES.search(words))
    is_named = is_of_this_site or bool(npc.SITE_WORDS.search(words) and npc.CARCINOMA_WORDS.search(words))
    is_tumour = bool(is_named or any(map(_is_malignant, sites)) or morphologies or npc.OTHER_TUMOUR_WORDS.search(words))
    others = [site for site in sites if not _is_at_site(site) and not _SECONDARY_NODES.match(site)]
    if others or not morphologies <= npc.MORPHOLOGIES:
        return Diagnosis(plain, "other", is_tumour)
    if npc.UNCERTAIN_WORDS.search(words) or any(_NOT_CERTAIN.fullmatch(site) for site in sites):
        return Diagnosis(plain, "unclear", is_tumour)
    if npc.NOT_CARCINOMA_WORDS.search(words) and (is_named or npc.SITE_WORDS.search(words)):
        return Diagnosis(plain, "other", is_tumour)
    if is_named:
        recurrent = npc.RECURRENT_WORDS.search(words)
        return Diagnosis(plain, "recurrent" if recurrent else "nasopharyngeal_carcinoma", True)
    if npc.OTHER_TUMOUR_WORDS.search(words) and not npc.SITE_WORDS.search(words) and not _is_histology(words):
        return Diagnosis(plain, "other", True)
    return Diagnosis(plain, "unclear", is_tumour)


def _is_histology(words: str) -> bool:
    """Return whether words name a kind of tumour without an organ: squamous cell carcinoma is found in many."""
    return {word for word in re.findall(r"[^\W\d_]+", words.lower()) if word not in _HISTOLOGY} == set()


def _codes(plain: str) -> tuple[list[str], frozenset[str], str]:
    """Return the site and disease codes, the morphologies, and the words that are left."""
    # Other concepts of SNOMED CT and NCI Thesaurus are known by their words only.
    sites = ["C11" for concept in _CONCEPT.findall(plain) if concept in npc.SNOMED_CT]
    rest = _CONCEPT.sub(" ", plain)
    for concept in npc.NCI_THESAURUS & set(_NCIT.findall(rest.upper())):
        sites.append("C11")
        rest = re.sub(concept, " ", rest, flags=re.IGNORECASE)
    morphologies = frozenset(match.group(1) for match in _MORPHOLOGY.finditer(rest))
    rest = _SCHEME.sub(" ", _NO_STATEMENT.sub(" ", _MORPHOLOGY.sub(" ", rest)))
    for pattern in (_ICD_10, _ICD_11, _ICD_9):
        sites += [match.group(1).upper() for match in pattern.finditer(rest)]
        rest = pattern.sub(" ", rest)
    return sites, morphologies, rest.strip()


def _is_at_site(code: str) -> bool:
    return any(pattern.fullmatch(code) for pattern in (npc.ICD_10, npc.ICD_9, npc.ICD_11))


def _is_malignant(code: str) -> bool:
    return bool(re.match(r"C\d|D0|2[A-F]|1[4-9]\d|20\d", code)) and not _SECONDARY_NODES.match(code)
