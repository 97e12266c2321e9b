"""The inputs of an assessment, and the frozen inputs of a computation that result from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, cast

from config.errors import InputError
from config.messages import stored as messages
from node.cases.clinical_facts import ClinicalFacts
from node.cases.freezing import Freeze


@dataclass(frozen=True)
class StoredInstance:
    """One stored instance: its UID, the digest of its bytes, and the header that `header_of` read."""

    sop_instance_uid: str
    digest: str
    received_at: datetime
    header: Mapping[str, Any]


def arrival_order(instance: Any) -> tuple[Any, ...]:
    """Return the key that sorts instances, or their rows, as they arrived; those of one moment by Instance Number."""
    return instance.received_at, instance.header.get("InstanceNumber") or 0, instance.sop_instance_uid


@dataclass(frozen=True)
class QuarantinedFile:
    """A quarantined file of the study, of an object that is related to it, or one that may belong to it.

    Attributes
    ----------
    code : str
        unreadable_instance or conflicting_instance.
    text : str
        The reason, one sentence.
    sop_instance_uid : str
        As the sender announced it; empty where that is no UID.
    is_of_study : bool
        False for a file of unknown study that came in one association with objects of this study and of others.
    differences : tuple of str
        Of a conflict: keywords of what differs, or why that is not known.
    """

    code: str
    text: str
    sop_instance_uid: str = ""
    is_of_study: bool = True
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseInputs:
    """Everything that the assessment of a case depends on, besides settings and time.

    Attributes
    ----------
    study_instance_uid : str
        The MR study.
    images : tuple of StoredInstance
        All instances of the study, its contours and registrations among them.
    patient_id, issuer : str
        Identity of the patient; empty where the images state none.
    related : tuple of StoredInstance
        RTSTRUCT, SEG and REG of the same patient from any study, and those that name this study or its frame of
        reference. The latter may state another patient: such a mismatch is refused, not overlooked.
    facts : ClinicalFacts
        The patient's current facts.
    assignments : mapping of role to key
        Decisions of an administrator (see `SeriesSummary.key`).
    quarantined : tuple of QuarantinedFile
        Files of this study in quarantine.
    last_instance_at : datetime or None
        When the last object of the study was received; aware.
    character_set : str or None
        Defined term of the text that the sender of the images writes, where (0008,0005) is wrong.
    hold : str or None
        Why an administrator holds the case.
    merge_question : str or None
        What is to be confirmed of a merge of the patient: its Patient ID is retired, or others have facts.
    confirmations : mapping of reason code to mapping
        Questions that an operator has answered, see `node.cases.confirmations`.
    pixel_digest_of : callable or None
        SOP Instance UID -> digest of what the pixels of a stored image show, empty where they cannot be read. Called
        only for images that nothing in their headers tells apart.
    freeze : Freeze or None
        For a reported case whose treatment has begun.
    facts_until : datetime or None
        Facts without a day that were recorded later are left out; aware. None: until now.
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
    character_set: str | None = None
    hold: str | None = None
    merge_question: str | None = None
    confirmations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pixel_digest_of: Callable[[str], str] | None = field(default=None, compare=False, repr=False)
    freeze: Freeze | None = None
    facts_until: datetime | None = None


# What explains a value without changing the result; a corrected sentence must not start a cohort's computation anew.
_NOT_IN_DIGEST = frozenset(
    {"reason", "reasons", "provenance", "warnings", "conditions", "text", "age_source", "facts_until"}
)


_LISTS = ("warnings", "refusals", "conditions")


@dataclass(frozen=True)
class ComputeRequest:
    """The frozen inputs of one computation, as JSON-able values.

    Attributes
    ----------
    study_instance_uid, patient_id, issuer : str
        The study and the patient of the report.
    series : mapping of role to mapping
        {"series_instance_uid", "instances": [[SOP Instance UID, digest], ...], "reason"}. Besides, for one of several
        volumes of a series ``volume``, its name; ``frames``, SOP Instance UID -> frame numbers from 1, of objects of
        which only some frames belong to it; and ``other_series``, SOP Instance UID -> Series Instance UID, of the
        instances of a series that was joined.
    contour : mapping
        The contour of the first role.
    contours : mapping of role to mapping
        {"sop_instance_uid", "digest", "kind", "series_instance_uid", "study_instance_uid", "roi_number", "roi_name",
        "reason"}.
    age_years : float or None
        Completed years on the day of the study.
    age_source : str
        What the age was computed from.
    ebv : mapping
        {"category", "copies_per_ml", "as_given", "comparator", "observed_on", "provenance"}; beside a comparator also
        "bound_copies_per_ml".
    stage : mapping
        {"t", "n", "m", "edition", "verified", "provenance"}.
    decision : mapping
        Horizon and thresholds of the recommendation.
    registrations : mapping of role to mapping
        {"sop_instance_uid", "digest", "from_frame_of_reference_uid", "to_frame_of_reference_uid"}, for a contour in
        another frame of reference.
    warnings, refusals : tuple of {"code", "text"}
        With refusals nothing is computed, and the report says why.
    conditions : tuple of {"code", "state", "text"}
        The conditions of use (see `conditions_of_use`).
    character_set : str or None
        As in `CaseInputs`.
    facts_until : str or None
        ISO 8601: when the facts were read; once the report is frozen, it decides which facts are later ones.
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
    conditions: tuple[Mapping[str, str], ...] = ()
    character_set: str | None = None
    facts_until: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON document; `from_json` of it is an equal value."""
        return cast(dict[str, Any], messages.to_json(self._plain()))

    def _plain(self) -> dict[str, Any]:
        lists = {name: [dict(entry) for entry in getattr(self, name)] for name in _LISTS}
        return {**asdict(self), **lists}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ComputeRequest:
        """Read a document of `to_json`.

        Parameters
        ----------
        document : mapping
            Documents of earlier versions lack the newer optional keys.

        Returns
        -------
        ComputeRequest
            Equal to the one that was written.

        Raises
        ------
        InputError
            Naming the keys that are missing or unknown.
        """
        document = messages.from_json(document)
        known = set(cls.__dataclass_fields__)
        # Jobs of an earlier version may be queued while the program is upgraded.
        missing = known - {"registrations", *_LISTS, "character_set", "facts_until"} - set(document)
        unknown = set(document) - known
        if missing or unknown:
            raise InputError(f"not a computation request: missing {sorted(missing)}, unknown {sorted(unknown)}")
        values = {key: document[key] for key in known if key in document}
        for name in _LISTS:
            values[name] = tuple(dict(entry) for entry in document.get(name, ()))
        return cls(**values)

    def digest(self) -> str:
        """Return the SHA-256 of everything that influences the result.

        Returns
        -------
        str
            64 hexadecimal digits, over canonical JSON without reasons, provenance and warnings: a fact that is sent
            again from another source must not lead to another computation.
        """
        document = _without(self._plain())
        # ASCII and sorted keys: the same bytes on each machine and Python version.
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(part) for key, part in value.items() if key not in _NOT_IN_DIGEST}
    if isinstance(value, list | tuple):
        return [_without(part) for part in value]
    return value
