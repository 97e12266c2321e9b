"""Clinical facts of a patient, each with its provenance.

A laboratory result is recorded as the laboratory wrote it and interpreted when a case is assessed, so a changed
threshold or conversion applies to old results.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from node.cases.diagnosis import Diagnosis
from node.cases.ebv_dna import EbvValue, parse_ebv_dna
from node.cases.stage import StageValue, parse_stage

__all__ = [
    "ClinicalFacts",
    "DateFact",
    "Diagnosis",
    "DiagnosisFact",
    "EbvResult",
    "EbvValue",
    "PriorTreatment",
    "Provenance",
    "StageFact",
    "StageValue",
    "parse_ebv_dna",
    "parse_stage",
]


@dataclass(frozen=True)
class Provenance:
    """The origin of a value: source, who set it and when; `observed_on` is the day of the draw or examination."""

    source: str
    set_by: str | None = None
    observed_on: date | None = None
    recorded_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document of `studies explain`; times in ISO 8601."""
        return {
            "source": self.source,
            "set_by": self.set_by,
            "observed_on": self.observed_on.isoformat() if self.observed_on else None,
            "recorded_at": self.recorded_at.isoformat() if self.recorded_at else None,
        }


@dataclass(frozen=True)
class EbvResult:
    """One EBV DNA result in the words of the laboratory; `parse_ebv_dna` interprets it."""

    text: str
    provenance: Provenance
    unit: str | None = None
    specimen: str | None = None
    laboratory: str | None = None


@dataclass(frozen=True)
class StageFact:
    """A clinical stage with its provenance."""

    stage: StageValue
    provenance: Provenance


@dataclass(frozen=True)
class DiagnosisFact:
    """A diagnosis as it was recorded, with its provenance."""

    diagnosis: Diagnosis
    provenance: Provenance


@dataclass(frozen=True)
class DateFact:
    """A birth date or a start of treatment with its provenance."""

    day: date
    provenance: Provenance


@dataclass(frozen=True)
class PriorTreatment:
    """Whether the tumour was treated before the MR."""

    given: bool
    provenance: Provenance
    text: str = ""


@dataclass(frozen=True)
class ClinicalFacts:
    """All current facts of one patient.

    Attributes
    ----------
    ebv_dna : tuple of EbvResult
        One result for each day of draw, the oldest first.
    stage : StageFact or None
        The newest clinical stage; of other kinds only where there is none.
    stages : tuple of StageFact
        One for each day and kind of staging (clinical, after treatment, pathological, ...), the oldest first.
    diagnoses : tuple of DiagnosisFact
        Every diagnosis that counts, the oldest first.
    birth_date, treatment_start, prior_treatment : optional
        The newest.
    """

    ebv_dna: tuple[EbvResult, ...] = ()
    stage: StageFact | None = None
    stages: tuple[StageFact, ...] = ()
    diagnoses: tuple[DiagnosisFact, ...] = ()
    birth_date: DateFact | None = None
    treatment_start: DateFact | None = None
    prior_treatment: PriorTreatment | None = None
