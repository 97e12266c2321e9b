"""Whether the method applies to a patient: stage, age, EBV DNA, day of the MR, prior treatment.

Source of the criteria: Zhong et al., EBioMedicine 2021;70:103522 (T3N1M0, AJCC 8th edition, MR within 14 days before
treatment, no treatment before).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from config.decision_policy import DecisionPolicy
from config.errors import IneligibleStudyError, InputError
from config.indication.profile import StageGate
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts, EbvResult, EbvValue, parse_ebv_dna
from node.cases.dates import parse_date
from node.cases.diagnosis_eligibility import answer_diagnosis
from node.cases.stage_eligibility import answer_stage

Outcome = Literal["refused", "held"]
_PATIENT_AGE = re.compile(r"^\s*(\d{1,4})\s*([YMWD])\s*$", re.IGNORECASE)
_PLACEHOLDER_AGE = re.compile(r"^\s*0+\s*Y\s*$", re.IGNORECASE)
# Patient's Age (0010,1010) is an AS: three digits and a unit of days, weeks, months or years (PS3.5 section 6.2).
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}
# De-identification writes birth dates such as 1900-01-01 and ages such as 000Y or 999Y: these state no age.
GREATEST_AGE_YEARS = 110


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
        One sentence for each question: diagnosis, stage, age, ebv_dna, mr_age, prior_treatment.
    age_years : int or None
        Completed years on the day of the study.
    age_source : str
        What the age was computed from.
    ebv, stage : dict
        As in the computation request (see `ComputeRequest`).
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
    study_day: date | None = None
    diagnosis: str = ""
    other_tumour: str = ""
    is_diagnosed: bool = False


def assess_eligibility(
    header: Mapping[str, Any],
    facts: ClinicalFacts,
    settings: Settings,
    policy: DecisionPolicy,
    headers: Sequence[Mapping[str, Any]] = (),
) -> Eligibility:
    """Assess whether the method applies to one patient and one MR study.

    Parameters
    ----------
    header : mapping of DICOM keyword to value
        Any MR header of the study; used are study date, birth date and PatientAge.
    facts : ClinicalFacts
        The patient's current facts.
    settings : Settings
        The site's choices: windows in days, what to do without stage or EBV DNA, the conversion of IU.
    policy : DecisionPolicy
        Disease, stage gate and EBV DNA threshold of the active bundle.
    headers : sequence of mapping
        All headers of the study, for the diagnosis that the order gave them; `header` alone by default.

    Returns
    -------
    Eligibility
        Every question is answered, whatever the others say: an administrator sees all reasons at once.

    References
    ----------
    Zhong et al., EBioMedicine 2021;70:103522.
    """
    eligibility = Eligibility()
    day = study_day(header)
    eligibility.study_day = day
    _assess_diagnosis(eligibility, facts, headers or (header,), settings, policy)
    _assess_stage(eligibility, facts, policy.stage, settings, day)
    _assess_age(eligibility, header, facts, day)
    _assess_ebv(eligibility, facts, settings, policy, day)
    _assess_mr_age(eligibility, facts, settings, day)
    _assess_prior_treatment(eligibility, facts)
    return eligibility


def study_day(header: Mapping[str, Any]) -> date | None:
    """Return the day of the MR; None where no date of the header can be read.

    Parameters
    ----------
    header : mapping of DICOM keyword to value
        Any MR header of the study.
    """
    # The study date first: it is type 2 in every image, the others are optional (PS3.3 C.7.2.1, C.7.3.1, C.7.6.1).
    return _day(header, "StudyDate") or _day(header, "AcquisitionDate") or _day(header, "SeriesDate")


def _assess_stage(
    eligibility: Eligibility, facts: ClinicalFacts, gate: StageGate, settings: Settings, study_day: date | None
) -> None:
    answer = answer_stage(facts, gate, study_day)
    judgement = answer.judgement
    eligibility.stage = answer.to_json()
    eligibility.explain["stage"] = answer.text
    eligibility.warnings += judgement.warnings
    if judgement.eligible == "yes":
        eligibility.warnings += [("stage_not_used", text) for text in answer.unused]
    elif answer.treated_before:
        eligibility.findings.append(EligibilityFinding("refused", "prior_treatment", answer.treated_before))
        eligibility.explain["stage"] = answer.treated_before
    elif judgement.eligible == "no":
        eligibility.findings.append(EligibilityFinding("refused", judgement.code, answer.text))
    # A category that speaks against the model holds the case whatever the site does without a stage.
    elif judgement.is_open and settings.eligibility.stage_unknown == "report_unverified":
        text = f"{answer.text} The result is reported with the stage unverified."
        eligibility.warnings.append(("stage_unknown", text))
    else:
        eligibility.findings.append(EligibilityFinding("held", "stage_unknown", answer.text))


def _assess_diagnosis(
    eligibility: Eligibility,
    facts: ClinicalFacts,
    headers: Sequence[Mapping[str, Any]],
    settings: Settings,
    policy: DecisionPolicy,
) -> None:
    answer = answer_diagnosis(
        facts.diagnoses, headers, policy.indication.disease, settings.eligibility.diagnosis
    )  # fmt: skip
    eligibility.explain["diagnosis"] = answer.text
    eligibility.diagnosis, eligibility.other_tumour = answer.recorded, answer.other_tumour
    eligibility.is_diagnosed = answer.is_diagnosed
    if answer.state == "assumed":
        eligibility.warnings.append((answer.code, answer.text))
    elif answer.state != "met":
        outcome: Outcome = "refused" if answer.state == "refused" else "held"
        eligibility.findings.append(EligibilityFinding(outcome, answer.code, answer.text))


def _assess_age(
    eligibility: Eligibility, header: Mapping[str, Any], facts: ClinicalFacts, study_day: date | None
) -> None:
    in_images = _day(header, "PatientBirthDate")
    in_facts = facts.birth_date.day if facts.birth_date else None
    # The clinical facts first: images may have a placeholder (see `GREATEST_AGE_YEARS`).
    born = in_facts or in_images
    by_attribute = _patient_age(header)
    stated: int | None = None
    if born is not None and study_day is not None:
        # Completed years by the calendar; days divided by 365.25 are wrong around birthdays.
        stated = study_day.year - born.year - ((study_day.month, study_day.day) < (born.month, born.day))
        origin = "the birth date in the clinical facts" if in_facts else "the birth date in the images"
        eligibility.age_source = f"{origin} and the study date"
    elif by_attribute is not None:
        stated, eligibility.age_source = int(by_attribute), "PatientAge in the images"
    # "000Y" is what de-identification writes; an infant has an age in days, weeks or months.
    placeholder = eligibility.age_source.startswith("PatientAge") and _PLACEHOLDER_AGE.match(str(header["PatientAge"]))
    if stated is not None and 0 <= stated <= GREATEST_AGE_YEARS and not placeholder:
        eligibility.age_years = stated
    if in_facts and in_images and in_facts != in_images:
        text = "The birth date in the clinical facts is not that in the images; the clinical facts were used."
        eligibility.warnings.append(("birth_date_differs", text))
    if eligibility.age_years is not None:
        eligibility.explain["age"] = f"The age is {eligibility.age_years} years, from {eligibility.age_source}."
        if by_attribute is not None and abs(int(by_attribute) - eligibility.age_years) > 1:
            text = (
                f"The age is {eligibility.age_years} years by {eligibility.age_source}, and PatientAge in the images "
                f"is {str(header['PatientAge']).strip()}; the birth date was used."
            )
            eligibility.warnings.append(("patient_age_differs", text))
        return
    if stated is None:
        text = "The age is not known: the images give neither a birth date with a study date nor a PatientAge."
    else:
        text = (
            f"The age is not known: expected 0 to {GREATEST_AGE_YEARS} years, found {stated} by "
            f"{eligibility.age_source}; enter the birth date in the clinical facts."
        )
    eligibility.age_source = ""
    eligibility.findings.append(EligibilityFinding("held", "age_unknown", text))
    eligibility.explain["age"] = text


def _patient_age(header: Mapping[str, Any]) -> float | None:
    """Return PatientAge (0010,1010) in years; None where it is absent or in another form."""
    match = _PATIENT_AGE.match(str(header.get("PatientAge") or ""))
    return None if match is None else int(match.group(1)) / _PER_YEAR[match.group(2).upper()]


def _assess_ebv(
    eligibility: Eligibility, facts: ClinicalFacts, settings: Settings, policy: DecisionPolicy, study_day: date | None
) -> None:
    start = facts.treatment_start.day if facts.treatment_start else None
    usable: tuple[EbvResult, EbvValue] | None = None
    refusals = []
    for result in reversed(facts.ebv_dna):  # the last draw first
        reason = _outside_window(result, start, study_day, settings)
        if reason is None:
            try:
                usable = (result, _value(result, settings, policy))
                break
            except IneligibleStudyError as error:
                reason = error.text
        refusals.append(reason)
    if usable is not None and usable[1].category != "unknown":
        _use_ebv(eligibility, *usable, settings, policy)
        return
    eligibility.ebv = {"category": "unknown", "copies_per_ml": None, "as_given": None, "comparator": "unknown",
                 "observed_on": None, "provenance": None}  # fmt: skip
    if refusals:
        # The reason of the last draw.
        text = f"{refusals[0][:1].upper()}{refusals[0][1:]}."
        eligibility.findings.append(EligibilityFinding("held", "ebv_dna_unusable", text))
    else:
        text = "The EBV DNA before treatment is not known."
        if settings.eligibility.ebv_unknown == "hold":
            eligibility.findings.append(EligibilityFinding("held", "ebv_dna_unknown", text))
        else:
            text += " Both categories are reported."
            eligibility.warnings.append(("ebv_dna_unknown", text))
    eligibility.explain["ebv_dna"] = text


def _use_ebv(
    eligibility: Eligibility, result: EbvResult, value: EbvValue, settings: Settings, policy: DecisionPolicy
) -> None:
    threshold = policy.ebv_threshold_copies_per_ml
    observed = result.provenance.observed_on
    provenance = {**result.provenance.to_json(), "unit": result.unit, "specimen": result.specimen,
                  "laboratory": result.laboratory}  # fmt: skip
    eligibility.ebv = {
        "category": value.category,
        "copies_per_ml": value.copies_per_ml,
        "as_given": value.as_given,
        "comparator": value.comparator,
        "observed_on": observed.isoformat() if observed else None,
        "provenance": provenance,
    }
    side = "above" if value.category == ">threshold" else "not above"
    drawn = f", drawn on {observed.isoformat()}" if observed else ""
    eligibility.explain["ebv_dna"] = (
        f"EBV DNA {value.as_given} is {side} {threshold:g} copies/mL{drawn} ({result.provenance.source})."
    )
    # Only an exact number can be near: a comparator on the right side of the threshold states no distance.
    copies = value.copies_per_ml
    if copies is not None and abs(copies - threshold) <= settings.clinical.ebv_band_fraction * threshold:
        near = f"EBV DNA {copies:g} copies/mL is close to the threshold of {threshold:g}"
        text = f"{near}; a repeated draw may be on the other side."
        eligibility.warnings.append(("ebv_dna_near_threshold", text))


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


def _assess_mr_age(eligibility: Eligibility, facts: ClinicalFacts, settings: Settings, study_day: date | None) -> None:
    if facts.treatment_start is None:
        eligibility.explain["mr_age"] = "The start of treatment is not known, so the age of the MR was not checked."
        return
    start, limit = facts.treatment_start.day, settings.case.mr_max_age_days
    if study_day is None:
        eligibility.explain["mr_age"] = "The MR has no study date, so its age was not checked."
        eligibility.warnings.append(("mr_age_unknown", eligibility.explain["mr_age"]))
        return
    days = (start - study_day).days
    # An MR after the start of treatment shows a treated tumour: another reason than its age.
    if days < 0:
        text = f"The MR of {study_day.isoformat()} was taken after the treatment began on {start.isoformat()}."
        eligibility.findings.append(EligibilityFinding("refused", "prior_treatment", text))
    elif days > limit:
        text = f"The MR of {study_day.isoformat()} was taken {days} days before the treatment; {limit} are allowed."
        eligibility.findings.append(EligibilityFinding("refused", "mr_too_old", text))
    else:
        text = f"The MR was taken {days} days before the treatment ({limit} are allowed)."
    eligibility.explain["mr_age"] = text


def _assess_prior_treatment(eligibility: Eligibility, facts: ClinicalFacts) -> None:
    if facts.prior_treatment is not None and facts.prior_treatment.given:
        detail = f" ({facts.prior_treatment.text})" if facts.prior_treatment.text else ""
        text = f"The tumour was treated before{detail}; the model is for untreated patients."
        eligibility.findings.append(EligibilityFinding("refused", "prior_treatment", text))
        eligibility.explain["prior_treatment"] = text
    else:
        eligibility.explain["prior_treatment"] = "No earlier treatment is recorded."


def _day(header: Mapping[str, Any], keyword: str) -> date | None:
    text = str(header.get(keyword) or "")
    try:
        return parse_date(text) if text else None
    except InputError:
        return None
