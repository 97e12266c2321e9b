"""Organs at risk in which a primary tumour of this stage cannot be, by the names that structure sets give them.

Invasion of any of them is T4 (AJCC 8th edition: intracranial extension, cranial nerves, hypopharynx, orbit, parotid
gland), or not known at all. Names follow TG-263 with what sites write instead.

References
----------
Mayo et al., AAPM TG-263, Int J Radiat Oncol Biol Phys 2018;100:1057-1066.
"""

from __future__ import annotations

import re

_WORDS = (
    r"brain[\s_-]*stem", "脑干", "腦幹",
    r"spinal[\s_-]*cord", r"(?<![a-z])cord(?![a-z])", "脊髓",
    "cerebell", "小脑", "小腦",
    r"temporal[\s_-]*lobe", r"lobe[\s_-]*temporal", "颞叶", "顳葉", "hippocamp", "海马",
    "chiasm", "视交叉", "視交叉", r"optic[\s_-]*n", r"optn", "视神经", "視神經",
    r"(?<![a-z])eyes?(?![a-z])", "eyeball", "眼球", r"(?<![a-z])lens(?![a-z])", "晶体", "晶状体",
    "parotid", "腮腺", "submandib", "颌下腺", "下颌下腺", "thyroid", "甲状腺", "lacrimal", "泪腺",
    "cochlea", "耳蜗", "larynx", "喉",
)  # fmt: skip
_ORGAN = re.compile("|".join(_WORDS), re.IGNORECASE)
# A margin around an organ, a target that spares it, or a helper structure: overlap with those means nothing.
_DERIVED = re.compile(
    r"prv|margin|expan|\+\s*\d|[-_]\d+\s*mm|ptv|ctv|gtv|ring|avoid|外扩|外放|sub(?!mand)|minus", re.IGNORECASE
)


def is_uninvaded_organ(roi_name: str) -> bool:
    """Return whether a name is that of an organ in which a primary tumour of this stage cannot be.

    Parameters
    ----------
    roi_name : str
        As in the structure set.
    """
    return bool(_ORGAN.search(roi_name)) and not _DERIVED.search(roi_name)
