"""The answers to the questions whether the method applies to a patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from node.cases.clinical_facts import LaterFact

Outcome = Literal["refused", "held"]


@dataclass(frozen=True)
class EligibilityFinding:
    """A reason against the computation: the state of the case, the contract's reason code, and a sentence."""

    outcome: Outcome
    code: str
    text: str


@dataclass
class Eligibility:
    """The answers to all questions about one patient.

    Attributes
    ----------
    findings : list of EligibilityFinding
        Reasons against the computation; empty when the method applies.
    warnings : list of (code, sentence)
        For the report.
    explain : dict of str to str
        One sentence for each question: diagnosis, stage, age, ebv_dna, mr_age, treatment_start, prior_treatment,
        later_facts.
    age_years : int or None
        Completed years on the day of the study.
    age_source : str
        What the age was computed from.
    ebv, stage : dict
        As in the computation request (see `ComputeRequest`).
    treatment_start : dict
        ``{"day", "kind", "provenance"}``; empty where it is not known.
    later : list of LaterFact
        Facts that are recorded and do not count for this MR.
    study_day : date or None
        The day of the MR.
    diagnosis, other_tumour : str
        As recorded; empty for none.
    is_diagnosed : bool
        Whether the disease of the model is recorded.
    """

    findings: list[EligibilityFinding] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    explain: dict[str, str] = field(default_factory=dict)
    age_years: int | None = None
    age_source: str = ""
    ebv: dict[str, Any] = field(default_factory=dict)
    stage: dict[str, Any] = field(default_factory=dict)
    treatment_start: dict[str, Any] = field(default_factory=dict)
    later: list[LaterFact] = field(default_factory=list)
    study_day: date | None = None
    diagnosis: str = ""
    other_tumour: str = ""
    is_diagnosed: bool = False
