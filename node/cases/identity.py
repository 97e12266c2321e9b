"""Whether two objects are of one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def patient_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """Return how the patient of the second header differs from that of the first.

    Parameters
    ----------
    first, second : mapping of DICOM keyword to value
        Compared are Patient ID, Issuer of Patient ID and Patient's Birth Date. Names are not compared, because systems
        spell them differently.

    Returns
    -------
    str or None
        None for one patient, else half a sentence without the patient's name. A missing Patient ID is a difference;
        an issuer or birth date that one side does not state is not.
    """
    # Spaces around an LO are not significant (PS3.5 section 6.2).
    first_id, second_id = (str(header.get("PatientID") or "").strip() for header in (first, second))
    if first_id != second_id:
        return f"its Patient ID is {second_id!r} and not {first_id!r}"
    for keyword, name in (("IssuerOfPatientID", "issuer of the Patient ID"), ("PatientBirthDate", "birth date")):
        values = [str(header.get(keyword) or "").strip() for header in (first, second)]
        # A structure set may leave out birth date and issuer.
        if all(values) and values[0] != values[1]:
            return f"its {name} differs"
    return None


def identity_conflict(headers: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a sentence when the instances of one study are of more than one patient, else None.

    Parameters
    ----------
    headers : sequence of mapping
        Headers of all instances of the study; the first one states the patient.
    """
    # Thousands of instances share one identity: each different one is compared once.
    identities: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for header in headers:
        key = tuple(str(header.get(k) or "") for k in ("PatientID", "IssuerOfPatientID", "PatientBirthDate"))
        identities.setdefault(key, header)
    first, *others = identities.values() or [{}]
    for other in others:
        difference = patient_difference(first, other)
        if difference is not None:
            return f"Instances of this study are of more than one patient: of one, {difference}."
    return None
