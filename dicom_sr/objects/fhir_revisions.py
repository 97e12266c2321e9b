"""Revisions of a report on a FHIR server: one logical resource per study and part, updated or entered in error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Resource = dict[str, Any]

# What is left of a resource that a later revision does not have: who it was, and no number.
LEFT = {
    "Observation": ("resourceType", "identifier", "code", "subject", "effectiveDateTime"),
    "RiskAssessment": ("resourceType", "identifier", "method", "code", "subject", "occurrenceDateTime"),
}


def with_parts_of_earlier(bundle: Resource, earlier: Mapping[str, Any] | None) -> Resource:
    """Add to the Bundle of a revision what the earlier one had and this one has not, as entered in error.

    Parameters
    ----------
    bundle : dict
        Of `fhir_bundle`.
    earlier : mapping or None
        The stored Bundle of the revision before, which itself names all parts of those before it.

    Returns
    -------
    dict
        The Bundle; the DiagnosticReport stays the last entry and refers to its own parts only.
    """
    if earlier is None:
        return bundle
    known = {_key(entry["resource"]) for entry in bundle["entry"]}
    left = [
        {**entry, "resource": _in_error(entry["resource"])}
        for entry in earlier["entry"]
        if entry["resource"]["resourceType"] in LEFT and _key(entry["resource"]) not in known
    ]
    return {**bundle, "entry": [*bundle["entry"][:-1], *left, bundle["entry"][-1]]}


def _key(resource: Mapping[str, Any]) -> tuple[str, str]:
    return resource["resourceType"], resource["identifier"][0]["value"]


def _in_error(resource: Mapping[str, Any]) -> Resource:
    kept = {name: resource[name] for name in LEFT[resource["resourceType"]] if name in resource}
    return {**kept, "status": "entered-in-error"}
