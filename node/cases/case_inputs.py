"""What goes into a look at a case, and the frozen inputs of a computation that come out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from config.errors import InputError
from node.cases.clinical_facts import ClinicalFacts


@dataclass(frozen=True)
class StoredInstance:
    """One stored instance: its identity, its bytes' digest and the header that `header_of` read."""

    sop_instance_uid: str
    digest: str
    received_at: datetime
    header: Mapping[str, Any]


@dataclass(frozen=True)
class QuarantinedFile:
    """A file of this study in quarantine: code unreadable_instance or conflicting_instance, and why."""

    code: str
    text: str
    sop_instance_uid: str = ""


@dataclass(frozen=True)
class CaseInputs:
    """Everything that the rules look at.

    images : all instances of the MR study. related : RTSTRUCT, SEG and REG of the same patient from any study, and any
    that name this study or its frame of reference. assignments : role -> Series Instance UID, by an administrator.
    """

    study_instance_uid: str
    images: tuple[StoredInstance, ...]
    patient_id: str = ""
    issuer: str = ""
    related: tuple[StoredInstance, ...] = ()
    facts: ClinicalFacts = field(default_factory=ClinicalFacts)
    assignments: Mapping[str, str] = field(default_factory=dict)
    quarantined: tuple[QuarantinedFile, ...] = ()
    last_instance_at: datetime | None = None
    character_set: str | None = None  # what the sender of the images really writes, where it labels its text wrongly
    hold: str | None = None


_NOT_IN_DIGEST = frozenset({"reason", "reasons", "provenance", "warnings", "text", "age_source"})


@dataclass(frozen=True)
class ComputeRequest:
    """The frozen inputs of one computation.

    series : role -> {"series_instance_uid", "instances": [[SOP Instance UID, digest], ...], "reason"}.
    contour : the contour of the first role; contours : role -> contour ({"sop_instance_uid", "digest", "kind",
    "series_instance_uid", "study_instance_uid", "roi_number", "roi_name", "reason"}). registrations : role ->
    {"sop_instance_uid", "digest", "from_frame_of_reference_uid", "to_frame_of_reference_uid"} where the contour
    comes from another frame of reference. refusals : {"code", "text"}; with them nothing is computed, and the report
    says why. character_set : what the text of the images really is, where it is labelled wrongly.
    ebv : {"category", "copies_per_ml", "as_given", "comparator", "observed_on",
    "provenance"}; stage : {"t", "n", "m", "edition", "verified", "provenance"}.
    """

    study_instance_uid: str
    patient_id: str
    issuer: str
    series: Mapping[str, Mapping[str, Any]]
    contour: Mapping[str, Any]
    contours: Mapping[str, Mapping[str, Any]]
    age_years: float | None
    age_source: str
    ebv: Mapping[str, Any]
    stage: Mapping[str, Any]
    decision: Mapping[str, Any]
    registrations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: tuple[Mapping[str, str], ...] = ()
    refusals: tuple[Mapping[str, str], ...] = ()
    character_set: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back to an equal value."""
        lists = {name: [dict(one) for one in getattr(self, name)] for name in ("warnings", "refusals")}
        return {**asdict(self), **lists}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ComputeRequest:
        """Raises InputError naming the keys that are missing or unknown."""
        known = set(cls.__dataclass_fields__)
        missing = known - {"registrations", "warnings", "refusals", "character_set"} - set(document)
        unknown = set(document) - known
        if missing or unknown:
            raise InputError(f"not a computation request: missing {sorted(missing)}, unknown {sorted(unknown)}")
        values = {key: document[key] for key in known if key in document}
        for name in ("warnings", "refusals"):
            values[name] = tuple(dict(one) for one in document.get(name, ()))
        return cls(**values)

    def digest(self) -> str:
        """SHA-256 hex over what influences the result: canonical JSON without reasons, provenance and warnings."""
        document = _without(self.to_json())
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(part) for key, part in value.items() if key not in _NOT_IN_DIGEST}
    if isinstance(value, list | tuple):
        return [_without(part) for part in value]
    return value
