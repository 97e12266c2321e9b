"""Codes under which laboratories and registries send EBV DNA and TNM; no other module contains one.

LOINC from loinc.org; SNOMED CT as in mCODE STU3 (TNM value sets).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """The fact that a code names, with the unit and the specimen that the code itself states.

    Attributes
    ----------
    fact : {"ebv_dna", "t", "n", "m", "stage"}
        The fact.
    unit, specimen : str or None
        Part of the code's definition; a unit sent with the result takes precedence.
    """

    fact: str
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
    """Return the meaning of a code.

    Parameters
    ----------
    code : str
        For example ``47982-4``.
    system : str
        Coding system as HL7 v2 (``LN``) or FHIR (a URI) names it; an empty one is taken as LOINC.
    local : mapping of str to str
        The site's own codes -> ebv_dna, t, n, m or stage; they take precedence, whatever the system.

    Returns
    -------
    Meaning or None
        None for a code that names none of the facts.
    """
    if code in local:
        return LOCAL_NAMES.get(local[code])
    if system.upper() in ("LN", "LOINC", "HTTP://LOINC.ORG", "") and code in LOINC:
        return LOINC[code]
    return None
