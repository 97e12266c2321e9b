"""FHIR R4 resources about what happened after treatment to follow-up facts.

| resource | fact |
|---|---|
| Patient with deceasedDateTime | death |
| Condition of the nasopharyngeal tumour, clinicalStatus recurrence or relapse | recurrence, on the day of its onset |
| Condition with ICD-10 C78 or C79, or SNOMED CT 128462008 | metastasis, on the day of its onset |
| Observation with a code of the site | what the code means |
| Procedure, MedicationAdministration with a code of the site | the regimen, from its day |

C77 is no metastasis here: regional nodes of T3N1 are C77.0. Without an onset the day of recording counts.

Source: hl7.org/fhir/R4 patient.html, condition.html; mCODE STU3, Secondary Cancer Condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from config.errors import InputError
from config.settings import Settings
from node.cases.dates import parse_date
from node.cases.diagnosis import read_diagnosis
from node.clinical.fhir_treatments import GIVEN, day_text
from node.clinical.follow_up_entries import FollowUpEntry, event_entry
from node.clinical.follow_up_statements import (
    MEANINGS,
    REGIMEN_CODES,
    FollowUpStatements,
    read_statement,
    withdrawn_statement,
)

ICD_10_METASTASES = ("C78", "C79")
SNOMED_METASTASIS = "128462008"  # secondary malignant neoplastic disease
RECURRED = frozenset({"recurrence", "relapse"})  # hl7.org/fhir/R4/valueset-condition-clinical.html
FINAL = frozenset({"final", "amended", "corrected"})
WITHDRAWN = frozenset({"entered-in-error", "cancelled"})


def says_death(patient: Mapping[str, Any]) -> bool:
    """Return whether a Patient says that the patient has died."""
    return bool(patient.get("deceasedDateTime")) or patient.get("deceasedBoolean") is True


def follow_up_of_resources(resources: Sequence[Mapping[str, Any]], settings: Settings) -> FollowUpStatements:
    """Read the follow-up among the resources of one patient.

    Parameters
    ----------
    resources : sequence of mapping
        Of any type.
    settings : Settings
        Local codes of the site.

    Returns
    -------
    FollowUpStatements
        Empty where no resource is about follow-up.
    """
    statements = FollowUpStatements()
    for resource in resources:
        kind = resource.get("resourceType")
        if kind == "Patient":
            _read_patient(resource, statements)
        elif kind == "Condition":
            _read_condition(resource, statements)
        elif kind == "Observation" and (meaning := _meaning(resource.get("code"), settings)) is not None:
            _read_observation(resource, meaning, statements)
        elif kind in ("Procedure", "MedicationAdministration") and (kind, resource.get("status")) in GIVEN:
            concept = resource.get("code") or resource.get("medicationCodeableConcept")
            meaning = _meaning(concept, settings)
            if meaning in REGIMEN_CODES:
                _try(statements, lambda m=meaning, r=resource: read_statement(m, "", _day(day_text(r))))
    return statements


def _read_patient(patient: Mapping[str, Any], statements: FollowUpStatements) -> None:
    day = patient.get("deceasedDateTime")
    if day:
        try:
            statements.broadcast.append(event_entry("death", str(day)))
        except InputError as error:
            statements.broadcast_problems.append(f"{error} (Patient.deceasedDateTime)")
    elif patient.get("deceasedBoolean") is True:
        statements.broadcast_problems.append(
            "the Patient has died; expected the day in deceasedDateTime, found deceasedBoolean"
        )


def _read_condition(condition: Mapping[str, Any], statements: FollowUpStatements) -> None:
    verification = _codes(condition.get("verificationStatus"))
    if verification & {"provisional", "differential", "unconfirmed"}:
        return
    codes = _codes(condition.get("code"))
    day = _onset(condition)
    if SNOMED_METASTASIS in codes or any(code.upper().startswith(ICD_10_METASTASES) for code in codes):
        name = "metastasis"
    elif _codes(condition.get("clinicalStatus")) & RECURRED and _is_nasopharyngeal(condition):
        name = "recurrence"
    else:
        return
    if verification & {"entered-in-error", "refuted"}:
        statements.withdrawn.append((name, day))
    elif day is None:
        statements.broadcast_problems.append(
            f"the Condition of a {name} names no day; expected onsetDateTime or recordedDate"
        )
    else:
        statements.broadcast.append(FollowUpEntry(name, day))


def _is_nasopharyngeal(condition: Mapping[str, Any]) -> bool:
    concepts = [condition.get("code"), *_objects(condition.get("bodySite"))]
    words = [
        str(coding.get(key)) for concept in concepts for coding in _codings(concept) for key in ("code", "display")
        if coding.get(key)
    ]  # fmt: skip
    words += [str(concept["text"]) for concept in concepts if isinstance(concept, Mapping) and concept.get("text")]
    return read_diagnosis(" ".join(words)).kind in ("nasopharyngeal_carcinoma", "recurrent")


def _read_observation(resource: Mapping[str, Any], meaning: str, statements: FollowUpStatements) -> None:
    status = str(resource.get("status") or "")
    period = resource.get("effectivePeriod")
    start = period.get("start") if isinstance(period, Mapping) else None
    day = _day(str(resource.get("effectiveDateTime") or resource.get("effectiveInstant") or start or ""))
    if status in WITHDRAWN:
        statements.withdrawn.append(withdrawn_statement(meaning, _value(resource), day))
    elif status in FINAL:
        _try(
            statements,
            lambda: read_statement(meaning, _value(resource), day, is_correction=status in ("amended", "corrected")),
        )


def _try(statements: FollowUpStatements, read: Any) -> None:
    try:
        statements.entries.append(read())
    except InputError as error:
        statements.problems.append(str(error))


def _value(resource: Mapping[str, Any]) -> str:
    if isinstance(resource.get("valueBoolean"), bool):
        return "yes" if resource["valueBoolean"] else "no"
    concept = resource.get("valueCodeableConcept")
    if isinstance(concept, Mapping):
        codings = _codings(concept)
        return str(concept.get("text") or next((c.get("display") or c.get("code") for c in codings), ""))
    return next((str(resource[key]) for key in ("valueDateTime", "valueString") if resource.get(key)), "")


def _onset(condition: Mapping[str, Any]) -> date | None:
    period = condition.get("onsetPeriod")
    start = period.get("start") if isinstance(period, Mapping) else None
    days = (condition.get("onsetDateTime"), start, condition.get("recordedDate"))
    return next((day for text in days if text and (day := _day(str(text))) is not None), None)


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except InputError:  # a year or a month alone is no day
        return None


def _meaning(concept: Any, settings: Settings) -> str | None:
    meanings = (settings.fhir.codes.get(str(coding.get("code") or ""), "") for coding in _codings(concept))
    return next((meaning for meaning in meanings if meaning in MEANINGS), None)


def _codes(concept: Any) -> set[str]:
    return {str(coding["code"]) for coding in _codings(concept) if coding.get("code")}


def _codings(concept: Any) -> list[Mapping[str, Any]]:
    return _objects(concept.get("coding")) if isinstance(concept, Mapping) else []


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
