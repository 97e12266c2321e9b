"""A code with its meaning and source, and the coding schemes: the private one of this software and the public ones.

Public codes are from DCM (PS3.16 Annex D), SCT (SNOMED CT as used in PS3.16), LOINC, UCUM, UMLS and RFC 5646. Where no
public code was found (DFS probability, the two regimens, nomogram points, the two scores), the private scheme 99CPTDN
is used; it is declared in the Coding Scheme Identification Sequence of every object.
"""

from __future__ import annotations

from dataclasses import dataclass

from highdicom.coding_schemes import CodingSchemeIdentificationItem as SchemeItem
from highdicom.sr import CodedConcept

PRIVATE_SCHEME = "99CPTDN"
PRIVATE_SCHEME_UID = "2.25.324273081584558895343000411411136428078"
PRIVATE_SCHEME_VERSION = "2"

FHIR_SYSTEMS = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: f"urn:oid:{PRIVATE_SCHEME_UID}",
}

PS3_16 = "PS3.16 Annex D"
CID = "PS3.16 context groups"
PAPER = "Zhong et al., EBioMedicine 2021;70:103522"
MCODE = "HL7 mCODE TNM value sets (SNOMED CT)"
LOINC = "LOINC"
OURS = "this software"


@dataclass(frozen=True)
class Concept:
    """One code.

    Attributes
    ----------
    value, scheme, meaning : str
        Code Value, Coding Scheme Designator and Code Meaning (PS3.3 8.8).
    source : str
        The document that defines the code, or the quantity that a private code names.
    """

    value: str
    scheme: str
    meaning: str
    source: str

    @property
    def code(self) -> CodedConcept:
        """The code as an item of a code sequence."""
        return CodedConcept(self.value, self.scheme, self.meaning)

    @property
    def system(self) -> str:
        """The URI that FHIR uses for the scheme."""
        return FHIR_SYSTEMS[self.scheme]

    @property
    def key(self) -> tuple[str, str]:
        """Value and scheme, which identify the code; the meaning may differ between versions and languages."""
        return self.value, self.scheme


def dcm(value: str, meaning: str) -> Concept:
    """Return a code of DICOM's own scheme."""
    return Concept(value, "DCM", meaning, PS3_16)


def sct(value: str, meaning: str, source: str = CID) -> Concept:
    """Return a code of SNOMED CT."""
    return Concept(value, "SCT", meaning, source)


def ours(value: str, meaning: str, source: str = OURS) -> Concept:
    """Return a code of the private scheme."""
    return Concept(value, PRIVATE_SCHEME, meaning, source)


def unit(value: str, meaning: str) -> Concept:
    """Return a unit of measurement."""
    return Concept(value, "UCUM", meaning, "UCUM")


def coding_schemes() -> list[SchemeItem]:
    """Build the Coding Scheme Identification Sequence for the schemes that PS3.16 chapter 8 does not list.

    Returns
    -------
    list of CodingSchemeIdentificationItem
        One item, for the private scheme.

    References
    ----------
    PS3.3 C.12.1.1.2 (SOP Common, Coding Scheme Identification Sequence).
    """
    item = SchemeItem(
        designator=PRIVATE_SCHEME,
        name="Combined prognosis and treatment decision nomogram (CPTDN)",
        version=PRIVATE_SCHEME_VERSION,
        responsible_organization="cptdn-node",
    )
    item.CodingSchemeUID = PRIVATE_SCHEME_UID
    return [item]
