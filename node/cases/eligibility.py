"""Whether the method applies to a patient: stage, age, EBV DNA, day of the MR, prior treatment.

Source of the criteria: Zhong et al., EBioMedicine 2021;70:103522 (T3N1M0, AJCC 8th edition, MR within 14 days before
treatment, no treatment before).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from config.decision_policy import DecisionPolicy
from config.errors import InputError
from config.indication.profile import StageGate
from config.messages.message import message, sentences
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts, LaterFact
from node.cases.dates import parse_date
from node.cases.diagnosis_eligibility import answer_diagnosis
from node.cases.ebv_eligibility import assess_ebv
from node.cases.eligibility_answers import Eligibility, EligibilityFinding, Outcome
from node.cases.fact_choice import choose_facts, study_day_of
from node.cases.stage_eligibility import answer_stage

_PATIENT_AGE = re.compile(r"^\s*(\d{1,4})\s*([YMWD])\s*$", re.IGNORECASE)
_PLACEHOLDER_AGE = re.compile(r"^\s*0+\s*Y\s*$", re.IGNORECASE)
# Patient's Age (0010,1010) is an AS: three digits and a unit of days, weeks, months or years (PS3.5 section 6.2).
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}
# De-identification writes birth dates such as 1900-01-01 and ages such as 000Y or 999Y: these state no age.
GREATEST_AGE_YEARS = 110
MACHINES = ("HL7", "FHIR")  # who sets facts without a person's look at the images


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
    day = eligibility.study_day = study_day_of(header)
    chosen = choose_facts(facts, day, settings)
    facts = replace(facts, treatment_start=chosen.treatment_start)
    eligibility.later += chosen.later
    eligibility.warnings += chosen.notes
    eligibility.warnings += [("later_fact", later.sentence) for later in chosen.later]
    _assess_diagnosis(eligibility, facts, headers or (header,), settings, policy)
    _assess_stage(eligibility, facts, policy.stage, settings)
    _assess_age(eligibility, header, facts, day)
    assess_ebv(eligibility, chosen, settings, policy)
    _assess_mr_age(eligibility, facts, settings, day)
    _assess_identity(eligibility, header, facts)
    _assess_prior_treatment(eligibility, facts)
    if eligibility.later:
        eligibility.explain["later_facts"] = sentences(later.sentence for later in eligibility.later)
    return eligibility


def _assess_stage(eligibility: Eligibility, facts: ClinicalFacts, gate: StageGate, settings: Settings) -> None:
    answer = answer_stage(facts, gate, eligibility.study_day, settings.case.mr_max_age_days)
    judgement = answer.judgement
    eligibility.stage = answer.to_json()
    eligibility.explain["stage"] = answer.text
    eligibility.warnings += judgement.warnings
    eligibility.later += [
        LaterFact("stage", f"{fact.stage.prefix}{fact.stage.text}", fact.provenance.observed_on, why,
                  fact.provenance.said_source)
        for fact, why in answer.left_out
    ]  # fmt: skip
    if judgement.eligible == "yes":
        eligibility.warnings += [("stage_not_used", text) for text in answer.unused]
    elif answer.treated_before:
        eligibility.findings.append(EligibilityFinding("refused", "prior_treatment", answer.treated_before))
        eligibility.explain["stage"] = answer.treated_before
    elif judgement.eligible == "no":
        eligibility.findings.append(EligibilityFinding("refused", judgement.code, answer.text))
    # A category that speaks against the model holds the case whatever the site does without a stage.
    elif judgement.is_open and settings.eligibility.stage_unknown == "report_unverified":
        text = message("stage_unknown.reported_unverified", stage=answer.text)
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
        origin = message("age.birth_date_in_facts") if in_facts else message("age.birth_date_in_images")
        eligibility.age_source = message("age.from_birth_date", origin=origin)
    elif by_attribute is not None:
        stated, eligibility.age_source = int(by_attribute), message("age.from_patient_age")
    # "000Y" is what de-identification writes; an infant has an age in days, weeks or months.
    placeholder = eligibility.age_source.startswith("PatientAge") and _PLACEHOLDER_AGE.match(str(header["PatientAge"]))
    if stated is not None and 0 <= stated <= GREATEST_AGE_YEARS and not placeholder:
        eligibility.age_years = stated
    if in_facts and in_images and in_facts != in_images:
        text = message("birth_date_differs.facts_used")
        eligibility.warnings.append(("birth_date_differs", text))
    if eligibility.age_years is not None:
        eligibility.explain["age"] = message("age.used", years=eligibility.age_years, source=eligibility.age_source)
        if by_attribute is not None and abs(int(by_attribute) - eligibility.age_years) > 1:
            text = message(
                "patient_age_differs.birth_date_used",
                years=eligibility.age_years,
                source=eligibility.age_source,
                patient_age=str(header["PatientAge"]).strip(),
            )
            eligibility.warnings.append(("patient_age_differs", text))
        return
    if stated is None:
        text = message("age_unknown.not_given")
    else:
        text = message(
            "age_unknown.implausible", greatest=GREATEST_AGE_YEARS, stated=stated, source=eligibility.age_source
        )
    eligibility.age_source = ""
    eligibility.findings.append(EligibilityFinding("held", "age_unknown", text))
    eligibility.explain["age"] = text


def _patient_age(header: Mapping[str, Any]) -> float | None:
    """Return PatientAge (0010,1010) in years; None where it is absent or in another form."""
    match = _PATIENT_AGE.match(str(header.get("PatientAge") or ""))
    return None if match is None else int(match.group(1)) / _PER_YEAR[match.group(2).upper()]


def _assess_mr_age(eligibility: Eligibility, facts: ClinicalFacts, settings: Settings, study_day: date | None) -> None:
    if facts.treatment_start is None:
        text = message("treatment_start.unknown")
        eligibility.explain["treatment_start"] = eligibility.explain["mr_age"] = text
        return
    fact = facts.treatment_start
    eligibility.treatment_start = {"day": fact.day.isoformat(), "kind": fact.kind,
                                   "provenance": fact.provenance.to_json()}  # fmt: skip
    eligibility.explain["treatment_start"] = message(
        f"treatment_start.{fact.kind}", day=fact.day, source=fact.provenance.said_source
    )
    start, limit = facts.treatment_start.day, settings.case.mr_max_age_days
    if study_day is None:
        eligibility.explain["mr_age"] = message("mr_age_unknown.no_study_date")
        eligibility.warnings.append(("mr_age_unknown", eligibility.explain["mr_age"]))
        return
    days = (start - study_day).days
    # An MR after the start of treatment shows a treated tumour: another reason than its age.
    if days < 0:
        text = message("prior_treatment.mr_after_start", study_day=study_day, start=start)
        eligibility.findings.append(EligibilityFinding("refused", "prior_treatment", text))
    elif days > limit:
        text = message("mr_too_old.days", study_day=study_day, days=days, limit=limit)
        eligibility.findings.append(EligibilityFinding("refused", "mr_too_old", text))
    else:
        text = message("mr_age.within_limit", days=days, limit=limit)
    eligibility.explain["mr_age"] = text


def _assess_identity(eligibility: Eligibility, header: Mapping[str, Any], facts: ClinicalFacts) -> None:
    """Hold the case where a fact cannot be about the person in the images."""
    in_images, fact = _day(header, "PatientBirthDate"), facts.birth_date
    start = facts.treatment_start.day if facts.treatment_start else None
    born = fact.day if fact else in_images
    if start is not None and born is not None and start < born:
        text = message("identity_mismatch.start_before_birth", start=start)
    # A person's entry corrects the images; a message of another system is about whomever its sender meant.
    elif fact is not None and fact.provenance.set_by in MACHINES and _is_birth_date(in_images) and born != in_images:
        text = message("identity_mismatch.birth_date", source=fact.provenance.said_source)
    else:
        return
    eligibility.findings.append(EligibilityFinding("held", "identity_mismatch", text))
    eligibility.explain["identity"] = text


def _is_birth_date(day: date | None) -> bool:
    return day is not None and (day.month, day.day) != (1, 1)  # what de-identification writes


def _assess_prior_treatment(eligibility: Eligibility, facts: ClinicalFacts) -> None:
    if facts.prior_treatment is not None and facts.prior_treatment.given:
        what = facts.prior_treatment.text
        text = message("prior_treatment.recorded_as", what=what) if what else message("prior_treatment.recorded")
        eligibility.findings.append(EligibilityFinding("refused", "prior_treatment", text))
        eligibility.explain["prior_treatment"] = text
    else:
        eligibility.explain["prior_treatment"] = message("prior_treatment.none_recorded")


def _day(header: Mapping[str, Any], keyword: str) -> date | None:
    text = str(header.get(keyword) or "")
    try:
        return parse_date(text) if text else None
    except InputError:
        return None
