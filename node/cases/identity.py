"""Whether two objects are of one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.errors import InputError
from config.messages.message import message
from node.cases.dates import parse_date
from node.cases.person_names import names_differ

IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientName", "PatientSex")
_SEXES = {"M": "M", "MALE": "M", "男": "M", "F": "F", "FEMALE": "F", "W": "F", "女": "F"}
# De-identification writes these days: they state no birth date.
_NO_BIRTH_DATES = frozenset({"19000101", "18000101", "19010101", "17530101", "11111111"})


def patient_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """Return how the patient of the second header differs from that of the first.

    Parameters
    ----------
    first, second : mapping of DICOM keyword to value
        Compared are Patient ID, Issuer of Patient ID, Patient's Birth Date, Name and Sex.

    Returns
    -------
    str or None
        None for one patient, else half a sentence without the patient's name and birth date. A missing Patient ID is a
        difference; anything else that one side does not state is not. See `names_differ` for names.
    """
    # Spaces around an LO are not significant (PS3.5 section 6.2).
    first_id, second_id = (str(header.get("PatientID") or "").strip() for header in (first, second))
    if first_id != second_id:
        return message("identity.patient_id", second=second_id, first=first_id)
    issuers = [str(header.get("IssuerOfPatientID") or "").strip() for header in (first, second)]
    # A structure set may leave out birth date and issuer.
    if all(issuers) and issuers[0] != issuers[1]:
        return message("identity.issuer")
    if _differ([_birth_date(header) for header in (first, second)]):
        return message("identity.birth_date")
    if names_differ(_name(first), _name(second)):
        return message("identity.name")
    if _differ([_sex(header) for header in (first, second)]):
        return message("identity.sex", second=_sex(second), first=_sex(first))
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
        identities.setdefault(tuple(str(header.get(keyword) or "") for keyword in IDENTITY), header)
    known = list(identities.values())
    # Each with each: two that differ may both agree with a third one that leaves something out.
    for number, header in enumerate(known):
        for other in known[number + 1 :]:
            difference = patient_difference(header, other)
            if difference is not None:
                return message("identity_mismatch.instances", difference=difference)
    return None


def _differ(values: Sequence[str | None]) -> bool:
    return None not in values and len(set(values)) > 1


def _name(header: Mapping[str, Any]) -> str:
    name = str(header.get("PatientName") or "").strip()
    # A de-identified object repeats the number in place of the name.
    return "" if name == str(header.get("PatientID") or "").strip() else name


def _sex(header: Mapping[str, Any]) -> str | None:
    """Return M or F; None where none is stated, or O (other)."""
    return _SEXES.get(str(header.get("PatientSex") or "").strip().upper())


def _birth_date(header: Mapping[str, Any]) -> str | None:
    text = str(header.get("PatientBirthDate") or "").strip()
    try:
        day = parse_date(text).strftime("%Y%m%d") if text else ""
    except InputError:
        return None
    return day if day and day not in _NO_BIRTH_DATES else None
