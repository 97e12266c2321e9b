"""Whether the method applies to this patient: stage, age, EBV DNA, time of the MR, earlier treatment.

Source of the gate: Zhong et al., EBioMedicine 2021;70:103522 (T3N1M0, AJCC 8th edition, MR within 14 days before
treatment, no treatment before).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from config.decision_policy import DecisionPolicy
from config.errors import IneligibleStudyError, InputError
from config.indication.profile import StageGate
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts, EbvResult, EbvValue, parse_ebv_dna, parse_stage
from node.cases.dates import parse_date

Outcome = Literal["refused", "held"]
_PATIENT_AGE = re.compile(r"^\s*(\d{1,4})\s*([YMWD])\s*$", re.IGNORECASE)
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}
GREATEST_AGE_YEARS = 120


@dataclass(frozen=True)
class Judgement:
    """One thing that stands against computing: its state, the contract's code and a sentence."""

    outcome: Outcome
    code: str
    text: str


@dataclass
class Eligibility:
    """What was found; `explain` holds one plain sentence per question."""

    judgements: list[Judgement] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    explain: dict[str, str] = field(default_factory=dict)
    age_years: int | None = None
    age_source: str = ""
    ebv: dict[str, Any] = field(default_factory=dict)
    stage: dict[str, Any] = field(default_factory=dict)


def judge(header: Mapping[str, Any], facts: ClinicalFacts, settings: Settings, policy: DecisionPolicy) -> Eligibility:
    """Judge the facts of one patient against one MR study.

    header : any MR header of the study (study date, birth date, PatientAge).
    """
    found = Eligibility()
    study_day = _day(header, "StudyDate") or _day(header, "AcquisitionDate") or _day(header, "SeriesDate")
    _stage(found, facts, policy.stage, settings)
    _age(found, header, facts, study_day)
    _ebv(found, facts, settings, policy, study_day)
    _mr_age(found, facts, settings, study_day)
    _prior_treatment(found, facts)
    return found


def _stage(found: Eligibility, facts: ClinicalFacts, gate: StageGate, settings: Settings) -> None:
    fact = facts.stage
    stage = fact.stage if fact else parse_stage("unknown")
    found.stage = {
        "t": stage.t,
        "n": stage.n,
        "m": stage.m,
        "edition": stage.edition,
        "verified": True,
        "provenance": fact.provenance.to_json() if fact else None,
    }
    needed = f"{gate.text} (AJCC {gate.edition})"
    if {"y", "r"} & set(stage.prefix):
        text = f"The stage {stage.prefix}{stage.text} was recorded after treatment or for a recurrence."
        found.judgements.append(Judgement("refused", "prior_treatment", text))
        found.explain["stage"] = text
        return
    differing = [
        mine
        for mine, need in ((stage.t, gate.t), (stage.n, gate.n), (stage.m, gate.m))
        if mine is not None and mine[:2] != need[:2]
    ]
    if differing and stage.edition == gate.edition:
        text = f"The stage is {stage.text}; the model is for {needed}."
        found.judgements.append(Judgement("refused", "stage_not_eligible", text))
        found.explain["stage"] = text
        return
    lacking = [name for name, part in (("T", stage.t), ("N", stage.n), ("M", stage.m)) if part is None]
    if not lacking and not differing and stage.edition == gate.edition:
        found.explain["stage"] = f"The stage is {stage.text} (AJCC {stage.edition}), as the model needs."
        return
    if fact is None:
        text = f"The stage is not known; the model is for {needed}."
    elif lacking:
        text = f"The stage {stage.text} lacks {' and '.join(lacking)}; the model is for {needed}."
    else:
        edition = f"of edition {stage.edition}" if stage.edition else "without an edition"
        text = f"The stage {stage.text} is {edition}; edition {gate.edition} is needed."
    found.explain["stage"] = text
    found.stage["verified"] = False
    if settings.eligibility.stage_unknown == "hold":
        found.judgements.append(Judgement("held", "stage_unknown", text))
    else:
        found.warnings.append(("stage_unknown", f"{text} The result is reported with the stage unverified."))


def _age(found: Eligibility, header: Mapping[str, Any], facts: ClinicalFacts, study_day: date | None) -> None:
    stored = _day(header, "PatientBirthDate")
    told = facts.birth_date.day if facts.birth_date else None
    born = told or stored
    if born is not None and study_day is not None and born <= study_day:
        age = study_day.year - born.year - ((study_day.month, study_day.day) < (born.month, born.day))
        if age <= GREATEST_AGE_YEARS:
            source = "the birth date in the clinical facts" if told else "the birth date in the images"
            found.age_years, found.age_source = age, f"{source} and the study date"
    if found.age_years is None:
        match = _PATIENT_AGE.match(str(header.get("PatientAge") or ""))
        if match:
            found.age_years = int(int(match.group(1)) / _PER_YEAR[match.group(2).upper()])
            found.age_source = "PatientAge in the images"
    if told and stored and told != stored:
        text = "The birth date in the clinical facts is not that in the images; the clinical facts were used."
        found.warnings.append(("birth_date_differs", text))
    if found.age_years is None:
        text = "The age is not known: the images give neither a birth date with a study date nor a PatientAge."
        found.judgements.append(Judgement("held", "age_unknown", text))
        found.explain["age"] = text
    else:
        found.explain["age"] = f"The age is {found.age_years} years, from {found.age_source}."


def _ebv(
    found: Eligibility, facts: ClinicalFacts, settings: Settings, policy: DecisionPolicy, study_day: date | None
) -> None:
    start = facts.treatment_start.day if facts.treatment_start else None
    chosen, refusals = None, []
    for result in reversed(facts.ebv_dna):
        reason = _outside_window(result, start, study_day, settings)
        if reason is None:
            try:
                chosen = (result, _value(result, settings, policy))
                break
            except IneligibleStudyError as error:
                reason = error.text
        refusals.append(reason)
    if chosen is not None and chosen[1].category != "unknown":
        _known_ebv(found, *chosen, settings, policy)
        return
    found.ebv = {"category": "unknown", "copies_per_ml": None, "as_given": None, "comparator": "unknown",
                 "observed_on": None, "provenance": None}  # fmt: skip
    if refusals:
        text = f"{refusals[0][:1].upper()}{refusals[0][1:]}."
        found.judgements.append(Judgement("held", "ebv_dna_unusable", text))
    else:
        text = "The EBV DNA before treatment is not known."
        if settings.eligibility.ebv_unknown == "hold":
            found.judgements.append(Judgement("held", "ebv_dna_unknown", text))
        else:
            text += " Both categories are reported."
            found.warnings.append(("ebv_dna_unknown", text))
    found.explain["ebv_dna"] = text


def _known_ebv(
    found: Eligibility, result: EbvResult, value: EbvValue, settings: Settings, policy: DecisionPolicy
) -> None:
    threshold = policy.ebv_threshold_copies_per_ml
    observed = result.provenance.observed_on
    provenance = {**result.provenance.to_json(), "unit": result.unit, "specimen": result.specimen,
                  "laboratory": result.laboratory}  # fmt: skip
    found.ebv = {
        "category": value.category,
        "copies_per_ml": value.copies_per_ml,
        "as_given": value.as_given,
        "comparator": value.comparator,
        "observed_on": observed.isoformat() if observed else None,
        "provenance": provenance,
    }
    side = "above" if value.category == ">threshold" else "not above"
    drawn = f", drawn on {observed.isoformat()}" if observed else ""
    found.explain["ebv_dna"] = (
        f"EBV DNA {value.as_given} is {side} {threshold:g} copies/mL{drawn} ({result.provenance.source})."
    )
    copies = value.copies_per_ml
    if copies is not None and abs(copies - threshold) <= settings.clinical.ebv_band_fraction * threshold:
        close = f"EBV DNA {copies:g} copies/mL is close to the threshold of {threshold:g}"
        text = f"{close}; a repeated draw may fall on the other side."
        found.warnings.append(("ebv_dna_near_threshold", text))


def _value(result: EbvResult, settings: Settings, policy: DecisionPolicy) -> EbvValue:
    return parse_ebv_dna(
        result.text,
        policy.ebv_threshold_copies_per_ml,
        policy.ebv_threshold_inclusive,
        unit=result.unit,
        specimen=result.specimen,
        copies_per_iu=settings.clinical.copies_per_iu,
    )


def _outside_window(result: EbvResult, start: date | None, study_day: date | None, settings: Settings) -> str | None:
    drawn = result.provenance.observed_on
    if drawn is None:
        return None
    # A draw on the first day of treatment counts: only days are known, and blood is drawn before the first fraction.
    if start is not None and drawn > start:
        return f"the EBV DNA was drawn on {drawn.isoformat()}, after the treatment began on {start.isoformat()}"
    days = settings.clinical.ebv_window_days
    if study_day is not None and (study_day - drawn).days > days:
        return f"the EBV DNA of {drawn.isoformat()} is more than {days} days older than the MR"
    return None


def _mr_age(found: Eligibility, facts: ClinicalFacts, settings: Settings, study_day: date | None) -> None:
    if facts.treatment_start is None:
        found.explain["mr_age"] = "The start of treatment is not known, so the age of the MR was not checked."
        return
    start, limit = facts.treatment_start.day, settings.case.mr_max_age_days
    if study_day is None:
        found.explain["mr_age"] = "The MR has no study date, so its age was not checked."
        found.warnings.append(("mr_age_unknown", found.explain["mr_age"]))
        return
    days = (start - study_day).days
    if days < 0:
        text = f"The MR of {study_day.isoformat()} was taken after the treatment began on {start.isoformat()}."
        found.judgements.append(Judgement("refused", "prior_treatment", text))
    elif days > limit:
        older = f"The MR of {study_day.isoformat()} is {days} days older than the treatment's start"
        text = f"{older}; {limit} days are allowed."
        found.judgements.append(Judgement("refused", "mr_too_old", text))
    else:
        text = f"The MR was taken {days} days before the treatment's start ({limit} are allowed)."
    found.explain["mr_age"] = text


def _prior_treatment(found: Eligibility, facts: ClinicalFacts) -> None:
    if facts.prior_treatment is not None and facts.prior_treatment.given:
        detail = f" ({facts.prior_treatment.text})" if facts.prior_treatment.text else ""
        text = f"The tumour was treated before{detail}; the model is for untreated patients."
        found.judgements.append(Judgement("refused", "prior_treatment", text))
        found.explain["prior_treatment"] = text
    else:
        found.explain["prior_treatment"] = "No earlier treatment is recorded."


def _day(header: Mapping[str, Any], keyword: str) -> date | None:
    text = str(header.get(keyword) or "")
    try:
        return parse_date(text) if text else None
    except InputError:
        return None
