"""Codes under which laboratories and registries send EBV DNA and diagnoses; those of TNM are in `staging_codes`.

LOINC from loinc.org.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.clinical.staging_codes import STAGED


@dataclass(frozen=True)
class Meaning:
    """The fact that a code names, with the unit and the specimen that the code itself states.

    Attributes
    ----------
    fact : {"ebv_dna", "diagnosis", "t", "n", "m", "stage"}
        The fact.
    unit, specimen : str or None
        Part of the code's definition; a unit sent with the result takes precedence.
    prefix : str
        "p" for the code of a pathological category.
    edition : str or None
        Staging edition, where the code itself names it.
    """

    fact: str
    unit: str | None = None
    specimen: str | None = None
    prefix: str = ""
    edition: str | None = None


LOINC: Mapping[str, Meaning] = {
    "47982-4": Meaning("ebv_dna", "copies/mL", "plasma or serum"),
    "43730-1": Meaning("ebv_dna", "IU/mL", "plasma or serum"),
    "100677-4": Meaning("ebv_dna", "log10", "plasma or serum"),
    "36923-1": Meaning("ebv_dna", "copies/mL", "whole blood"),
    "93840-7": Meaning("ebv_dna", "IU/mL", "whole blood"),
    "29308-4": Meaning("diagnosis"),
    "52797-8": Meaning("diagnosis"),
}
LOCAL_NAMES = {name: Meaning(name) for name in ("ebv_dna", "diagnosis", "t", "n", "m", "stage")}
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
        The site's own codes -> ebv_dna, diagnosis, t, n, m or stage; they take precedence, whatever the system.

    Returns
    -------
    Meaning or None
        None for a code that names none of the facts.
    """
    if code in local:
        return LOCAL_NAMES.get(local[code])
    if system.upper() in ("LN", "LOINC", "HTTP://LOINC.ORG", "") and code in LOINC:
        return LOINC[code]
    if code in STAGED and _is_system_of(code, system):
        fact, prefix, edition = STAGED[code]
        return Meaning(fact, prefix=prefix, edition=edition)
    return None


def searched_codes() -> list[str]:
    """Return every known code as a token of a FHIR search, ``system|code``.

    Returns
    -------
    list of str
        LOINC, SNOMED CT and NCI Thesaurus; the site's own codes are not among them.
    """
    return [f"{_system_of(code)}|{code}" for code in (*LOINC, *STAGED)]


def _system_of(code: str) -> str:
    if "-" in code:
        return "http://loinc.org"
    if code.startswith("C"):
        return "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
    return "http://snomed.info/sct"


def _is_system_of(code: str, system: str) -> bool:
    """Return whether a code may be of the system that is named with it; SNOMED CT and NCI Thesaurus are named."""
    named = system.upper()
    if "-" in code:
        return named in ("LN", "LOINC", "HTTP://LOINC.ORG", "")
    return any(name in named for name in (("NCI",) if code.startswith("C") else ("SNOMED", "SCT")))
