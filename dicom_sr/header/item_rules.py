"""What the items of copied sequences have to contain (PS3.3), so that a part of an identifier is not copied as a whole.

An MR may have an issuer without its type, a code without its meaning, or two issuers where one is allowed. Copied as
they are, such items make an object that a receiver may refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom import Dataset

# Table 8.8-1a: how a code is written; only the two forms with a scheme need its designator.
CODE_FORMS = ("CodeValue", "LongCodeValue", "URNCodeValue")


def _designator(item: Dataset) -> str | None:
    """Table 10-17 (HL7v2 Hierarchic Designator): a local name, or a universal one with its type."""
    if "UniversalEntityID" in item and "UniversalEntityIDType" not in item:
        return "UniversalEntityIDType"
    if "UniversalEntityIDType" in item and "UniversalEntityID" not in item:
        return "UniversalEntityID"
    return None if "LocalNamespaceEntityID" in item or "UniversalEntityID" in item else "LocalNamespaceEntityID"


def _qualifiers(item: Dataset) -> str | None:
    """Table 10-18 (Issuer of Patient ID): as a designator, but everything may be absent."""
    names = ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType")
    return _designator(item) if any(name in item for name in names) else None


def _code(item: Dataset) -> str | None:
    """Table 8.8-1 (Code Sequence macro): one form of the code, its scheme, and what it means."""
    forms = [form for form in CODE_FORMS if form in item]
    if len(forms) != 1:
        return "CodeValue"
    if forms[0] != "URNCodeValue" and "CodingSchemeDesignator" not in item:
        return "CodingSchemeDesignator"
    return None if "CodeMeaning" in item else "CodeMeaning"


def _other_identifier(item: Dataset) -> str | None:
    """Table C.7-1, Other Patient IDs Sequence: an identifier and its type."""
    return next((keyword for keyword in ("PatientID", "TypeOfPatientID") if keyword not in item), None)


MISSING_IN: Mapping[str, Callable[[Dataset], str | None]] = {
    "IssuerOfPatientIDQualifiersSequence": _qualifiers,
    "IssuerOfAccessionNumberSequence": _designator,
    "AssigningFacilitySequence": _designator,
    "AssigningJurisdictionCodeSequence": _code,
    "AssigningAgencyOrDepartmentCodeSequence": _code,
    "OtherPatientIDsSequence": _other_identifier,
    "DeidentificationMethodCodeSequence": _code,
    "RequestedProcedureCodeSequence": _code,
}
ONE_ITEM = frozenset({
    "IssuerOfPatientIDQualifiersSequence", "IssuerOfAccessionNumberSequence", "AssigningFacilitySequence",
    "AssigningJurisdictionCodeSequence", "AssigningAgencyOrDepartmentCodeSequence", "RequestedProcedureCodeSequence",
})  # fmt: skip


def missing_in(sequence: str, item: Dataset) -> str | None:
    """Return the keyword of the first attribute that an item of a copied sequence lacks.

    Parameters
    ----------
    sequence : str
        Keyword of the sequence.
    item : Dataset
        Without empty attributes.

    Returns
    -------
    str or None
        None for a complete item, and for sequences of which nothing is known.

    References
    ----------
    PS3.3 tables 8.8-1, 10-17, 10-18 and C.7-1.
    """
    rule = MISSING_IN.get(sequence)
    return rule(item) if rule is not None else None
