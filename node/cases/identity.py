"""Whether two objects are of one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def same_patient(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """None for one patient, else half a sentence that names what differs (and no patient name).

    Compared are Patient ID, its issuer and the birth date; a value that one side lacks says nothing, but a missing
    Patient ID is a difference. Names are not compared: systems spell them differently.
    """
    ids = [str(one.get("PatientID") or "").strip() for one in (first, second)]
    if ids[0] != ids[1]:
        return f"its Patient ID is {ids[1]!r} and not {ids[0]!r}"
    for keyword, what in (("IssuerOfPatientID", "issuer of the Patient ID"), ("PatientBirthDate", "birth date")):
        values = [str(one.get(keyword) or "").strip() for one in (first, second)]
        if all(values) and values[0] != values[1]:
            return f"its {what} differs"
    return None


def mixed_identities(headers: Sequence[Mapping[str, Any]]) -> str | None:
    """A sentence when the instances of one study are of more than one patient."""
    seen: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for header in headers:
        key = tuple(str(header.get(k) or "") for k in ("PatientID", "IssuerOfPatientID", "PatientBirthDate"))
        seen.setdefault(key, header)
    different = list(seen.values())
    for other in different[1:]:
        difference = same_patient(different[0], other)
        if difference is not None:
            return f"Instances of this study are of more than one patient: of one, {difference}."
    return None
