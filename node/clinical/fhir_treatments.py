"""FHIR R4 resources about treatment to starts of treatment.

| resource | day | counts as |
|---|---|---|
| Procedure | performedDateTime, performedPeriod.start | given, or planned while it is in preparation |
| MedicationAdministration | effectiveDateTime, effectivePeriod.start | given |
| CarePlan | period.start | planned |

Source: hl7.org/fhir/R4 procedure.html, medicationadministration.html, careplan.html; codes as in mCODE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.errors import InputError
from config.settings import Settings
from node.cases.clinical_facts import StartKind
from node.clinical.codes import is_treatment
from node.clinical.entries import FactEntry, treatment_start_entry

TREATMENTS = ("Procedure", "MedicationAdministration", "CarePlan")
_KINDS: Mapping[tuple[str, str], StartKind] = {
    ("Procedure", "in-progress"): "given", ("Procedure", "completed"): "given", ("Procedure", "stopped"): "given",
    ("Procedure", "on-hold"): "given", ("Procedure", "preparation"): "planned",
    ("MedicationAdministration", "in-progress"): "given", ("MedicationAdministration", "completed"): "given",
    ("MedicationAdministration", "stopped"): "given", ("MedicationAdministration", "on-hold"): "given",
    ("CarePlan", "active"): "planned", ("CarePlan", "completed"): "planned", ("CarePlan", "on-hold"): "planned",
}  # fmt: skip
# Resource and status of a treatment that was given.
GIVEN = frozenset(key for key, kind in _KINDS.items() if kind == "given")
CANCELLED = frozenset({"not-done", "entered-in-error", "revoked"})


@dataclass
class Treatments:
    """Starts of treatment, references of cancelled resources, and a sentence for each treatment without a day."""

    starts: list[FactEntry] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def treatments_of(resources: Sequence[Mapping[str, Any]], settings: Settings) -> Treatments:
    """Read the treatments among the resources of one patient.

    Parameters
    ----------
    resources : sequence of mapping
        Of any type.
    settings : Settings
        Local codes of the site: ``[fhir] codes`` with the meaning ``treatment_start``.

    Returns
    -------
    Treatments
        Of radiotherapy, chemotherapy and antineoplastic agents; other treatments are ignored.
    """
    treatments = Treatments()
    for resource in resources:
        kind = str(resource.get("resourceType") or "")
        if kind not in TREATMENTS or not _is_of_the_tumour(resource, settings):
            continue
        reference = f"{kind}/{resource.get('id') or ''}"
        status = str(resource.get("status") or "")
        if status in CANCELLED:
            treatments.cancelled.append(reference)
            continue
        how = _KINDS.get((kind, status))
        if how is None:
            continue  # a draft, or an unknown state
        try:
            order = reference if resource.get("id") else None
            treatments.starts.append(treatment_start_entry(day_text(resource), how, order))
        except InputError:
            treatments.problems.append(f"the {kind} {resource.get('id') or '(without id)'} names no day of treatment")
    return treatments


def _is_of_the_tumour(resource: Mapping[str, Any], settings: Settings) -> bool:
    return any(
        is_treatment(str(coding.get("code") or ""), str(coding.get("system") or "?"), settings.fhir.codes)
        for concept in _concepts(resource)
        for coding in _objects(concept.get("coding"))
    )


def _concepts(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("code", "category", "medicationCodeableConcept"):
        value = resource.get(key)
        yield from _objects(value if isinstance(value, list) else [value])
    # The agent of an administration is often a resource inside it.
    for contained in _objects(resource.get("contained")):
        if contained.get("resourceType") == "Medication":
            yield from _objects([contained.get("code")])
    for activity in _objects(resource.get("activity")):
        yield from _objects([_object(activity.get("detail")).get("code")])


def day_text(resource: Mapping[str, Any]) -> str:
    """Return the day of a treatment as written, without its time; empty where there is none."""
    periods = [_object(resource.get(key)).get("start") for key in ("performedPeriod", "effectivePeriod", "period")]
    days = [resource.get("performedDateTime"), resource.get("effectiveDateTime"), *periods]
    return next((str(day)[:10] for day in days if day), "")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
