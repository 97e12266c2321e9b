"""Codes under which laboratories, registries and pharmacies send facts; those of TNM are in `staging_codes`.

LOINC from loinc.org; SNOMED CT of treatments as in mCODE and CodeX; ATC group L01 are the antineoplastic agents (WHO
Collaborating Centre for Drug Statistics Methodology).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.local_codes import FACT_MEANINGS, REGIMEN_MEANINGS
from node.clinical.staging_codes import STAGED


@dataclass(frozen=True)
class Meaning:
    """The fact that a code names, with the unit and the specimen that the code itself states.

    Attributes
    ----------
    fact : {"ebv_dna", "diagnosis", "t", "n", "m", "stage", "treatment_start"}
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
LOCAL_NAMES = {name: Meaning(name) for name in FACT_MEANINGS}
KNOWN_CODES = frozenset(LOINC) | {code for code in STAGED if "-" in code}  # of LOINC, which need no other system
SNOMED_NOT_DETECTED = frozenset({"260415000", "260385009"})  # Not detected; Negative


# Radiation oncology and/or radiotherapy; radiotherapy; course of it; teleradiotherapy; external beam with photons;
# IMRT; VMAT; chemotherapy; combined chemotherapy and radiation therapy.
SNOMED_TREATMENTS = frozenset(
    {"108290001", "1287742003", "1217123003", "33195004", "1156506007", "441799006", "1156530009", "367336001",
     "703423002"}
)  # fmt: skip
ATC_ANTINEOPLASTIC = "L01"
LOINC_SYSTEMS = ("LN", "LOINC", "HTTP://LOINC.ORG", "")
SNOMED_SYSTEMS = ("SCT", "SNM", "SNOMED", "SNOMED-CT", "SNOMED CT", "HTTP://SNOMED.INFO/SCT")
ATC_SYSTEMS = ("ATC", "WC", "HTTP://WWW.WHOCC.NO/ATC", "URN:OID:2.16.840.1.113883.6.73")  # WC: HL7 table 0396


def is_treatment(code: str, system: str, local: Mapping[str, str]) -> bool:
    """Return whether a code names a treatment of the tumour, whose first day is the start of treatment.

    Parameters
    ----------
    code, system, local
        As of `meaning_of`; a local code with the meaning ``treatment_start`` or of a regimen names one.

    Returns
    -------
    bool
        True for radiotherapy, chemotherapy and antineoplastic agents.
    """
    if code in local:
        return local[code] in ("treatment_start", *REGIMEN_MEANINGS)
    if system.upper() in SNOMED_SYSTEMS:
        return code in SNOMED_TREATMENTS
    return system.upper() in ATC_SYSTEMS and code.upper().startswith(ATC_ANTINEOPLASTIC)


def meaning_of(code: str, system: str, local: Mapping[str, str]) -> Meaning | None:
    """Return the meaning of a code.

    Parameters
    ----------
    code : str
        For example ``47982-4``.
    system : str
        Coding system as HL7 v2 (``LN``) or FHIR (a URI) names it; an empty one is taken as LOINC.
    local : mapping of str to str
        The site's own codes -> what they mean; they take precedence, whatever the system. Meanings of follow-up give
        None: `follow_up_statements` reads them.

    Returns
    -------
    Meaning or None
        None for a code that names none of the facts.
    """
    if code in local:
        return LOCAL_NAMES.get(local[code])
    if system.upper() in LOINC_SYSTEMS and code in LOINC:
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
