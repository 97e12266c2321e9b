"""What is known about a patient beside the images, each value with where it came from.

A laboratory result is kept as the laboratory wrote it and judged when a case is looked at, so that a changed threshold
or conversion judges it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from node.cases.ebv_dna import EbvValue, parse_ebv_dna
from node.cases.stage import StageValue, parse_stage

__all__ = [
    "ClinicalFacts",
    "DateFact",
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
    """Where a value came from, who set it and when; `observed_on` is the day of the draw or examination."""

    source: str
    set_by: str | None = None
    observed_on: date | None = None
    recorded_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "set_by": self.set_by,
            "observed_on": self.observed_on.isoformat() if self.observed_on else None,
            "recorded_at": self.recorded_at.isoformat() if self.recorded_at else None,
        }


@dataclass(frozen=True)
class EbvResult:
    """One result of the laboratory in its own words."""

    text: str
    provenance: Provenance
    unit: str | None = None
    specimen: str | None = None
    laboratory: str | None = None


@dataclass(frozen=True)
class StageFact:
    stage: StageValue
    provenance: Provenance


@dataclass(frozen=True)
class DateFact:
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
    """All current facts of one patient. `ebv_dna` holds one result per day of draw, the oldest first."""

    ebv_dna: tuple[EbvResult, ...] = ()
    stage: StageFact | None = None
    birth_date: DateFact | None = None
    treatment_start: DateFact | None = None
    prior_treatment: PriorTreatment | None = None
