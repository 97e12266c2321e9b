"""Clinical facts of a patient, each with its provenance.

A laboratory result is recorded as the laboratory wrote it and interpreted when a case is assessed, so a changed
threshold or conversion applies to old results.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from config.entered_sources import source_of
from config.messages.message import message
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
    "LaterFact",
    "PriorTreatment",
    "Provenance",
    "StageFact",
    "StageValue",
    "StartKind",
    "parse_ebv_dna",
    "parse_stage",
]


@dataclass(frozen=True)
class Provenance:
    """The origin of a value: source, who set it and when; `observed_on` is the day of the draw or staging."""

    source: str
    set_by: str | None = None
    observed_on: date | None = None
    recorded_at: datetime | None = None

    @property
    def said_source(self) -> str:
        """The source as a message, for sentences."""
        return source_of(self.source)

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
    assay: str | None = None


@dataclass(frozen=True)
class StageFact:
    """A clinical stage with its provenance."""

    stage: StageValue
    provenance: Provenance


StartKind = Literal["stated", "given", "planned"]


@dataclass(frozen=True)
class DiagnosisFact:
    """A diagnosis as it was recorded, with its provenance."""

    diagnosis: Diagnosis
    provenance: Provenance


@dataclass(frozen=True)
class DateFact:
    """A birth date or a start of treatment with its provenance.

    Attributes
    ----------
    day : date
        The day.
    kind : {"stated", "given", "planned"}
        Of a start of treatment: the first day as a person or table states it, a day on which treatment was given, or
        one for which it was ordered.
    """

    day: date
    provenance: Provenance
    kind: StartKind = "stated"


@dataclass(frozen=True)
class LaterFact:
    """A recorded fact that is shown and not used.

    Attributes
    ----------
    name : str
        As of `node.ledger.facts.NAMES`.
    text : str
        The value in words.
    day : date or None
        Of the draw, staging or treatment.
    why : str
        Half a sentence.
    source : str
        Where it comes from.
    """

    name: str
    text: str
    day: date | None
    why: str
    source: str = ""

    @property
    def sentence(self) -> str:
        """The whole sentence for explanation, page and report."""
        label = message(f"fact.{self.name}") if self.name in _LABELLED else self.name
        if self.day is None:
            return message("later_fact.without_day", label=label, value=self.text, why=self.why)
        return message("later_fact.of_day", label=label, value=self.text, day=self.day, why=self.why)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document of `studies explain`."""
        day = self.day.isoformat() if self.day else None
        return {"fact": self.name, "value": self.text, "of": day, "source": self.source, "text": self.sentence}


_LABELLED = ("ebv_dna", "stage", "treatment_start", "prior_treatment", "birth_date", "diagnosis")


@dataclass(frozen=True)
class PriorTreatment:
    """Whether the tumour was treated before the MR."""

    given: bool
    provenance: Provenance
    text: str = ""


@dataclass(frozen=True)
class ClinicalFacts:
    """The current facts of one patient; `fact_choice` chooses those that count for one MR.

    Attributes
    ----------
    ebv_dna : tuple of EbvResult
        One result for each day of draw, the oldest first.
    stage, treatment_start : StageFact, DateFact or None
        The newest ones, where nothing is known of an MR; of the stages a clinical one, where there is one.
    birth_date, prior_treatment : DateFact, PriorTreatment or None
        The newest ones.
    stages : tuple of StageFact
        One for each day and kind of staging (clinical, after treatment, pathological, ...), the oldest first.
    treatment_starts : tuple of DateFact
        All that are recorded, in order of recording.
    diagnoses : tuple of DiagnosisFact
        Every diagnosis that counts, the oldest first.
    later : tuple of LaterFact
        Recorded after the report of the case was frozen.
    issuers : tuple of str
        Issuers of the Patient ID that the facts come from, without the empty one.
    """

    ebv_dna: tuple[EbvResult, ...] = ()
    stage: StageFact | None = None
    stages: tuple[StageFact, ...] = ()
    diagnoses: tuple[DiagnosisFact, ...] = ()
    birth_date: DateFact | None = None
    treatment_start: DateFact | None = None
    prior_treatment: PriorTreatment | None = None
    treatment_starts: tuple[DateFact, ...] = ()
    later: tuple[LaterFact, ...] = ()
    issuers: tuple[str, ...] = ()
