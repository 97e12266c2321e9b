"""Codes under which laboratories and registries send what we need; the only place where they are written.

LOINC from loinc.org; SNOMED CT as used by mCODE STU3 (TNM value sets).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """What a code stands for: the fact, and what the code itself says of unit and specimen."""

    fact: str  # ebv_dna | t | n | m | stage
    unit: str | None = None
    specimen: str | None = None


LOINC: Mapping[str, Meaning] = {
    "47982-4": Meaning("ebv_dna", "copies/mL", "plasma or serum"),
    "43730-1": Meaning("ebv_dna", "IU/mL", "plasma or serum"),
    "100677-4": Meaning("ebv_dna", "log10", "plasma or serum"),
    "36923-1": Meaning("ebv_dna", "copies/mL", "whole blood"),
    "93840-7": Meaning("ebv_dna", "IU/mL", "whole blood"),
    "21905-5": Meaning("t"),
    "21906-3": Meaning("n"),
    "21907-1": Meaning("m"),
    "21908-9": Meaning("stage"),
}
LOCAL_NAMES = {"ebv_dna": Meaning("ebv_dna"), "t": Meaning("t"), "n": Meaning("n"), "m": Meaning("m"),
               "stage": Meaning("stage")}  # fmt: skip

SNOMED_TNM: Mapping[str, str] = {
    "1228938002": "T3", "1229973008": "N1", "1229901006": "M0",
}  # fmt: skip
SNOMED_AJCC_8 = "897275008"
SNOMED_NOT_DETECTED = frozenset({"260415000", "260385009"})  # Not detected; Negative


def meaning_of(code: str, system: str, local: Mapping[str, str]) -> Meaning | None:
    """Meaning of a code; `local` maps a site's own codes to ebv_dna, t, n, m or stage."""
    if code in local:
        return LOCAL_NAMES.get(local[code])
    if system.upper() in ("LN", "LOINC", "HTTP://LOINC.ORG", "") and code in LOINC:
        return LOINC[code]
    return None
