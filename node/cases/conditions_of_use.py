"""The conditions of use of the model: which are met, which are not, and which were not checked.

What the program cannot check is said, so that a reader does not take silence for an answer. The list has every
condition once; the worker completes ``model_range`` and ``interval``, which need the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.bundle_conditions import ModelCondition
from config.indication.vocabulary import Condition, ConditionState
from config.messages.message import message
from node.cases.clinical_facts import ClinicalFacts
from node.cases.contour_choice import ContourObject
from node.cases.eligibility_answers import Eligibility
from node.cases.series_names import recorded_agents

Answer = tuple[ConditionState, str]


@dataclass(frozen=True)
class CheckedCase:
    """What the conditions of one case are checked on.

    Attributes
    ----------
    facts : ClinicalFacts
        Facts of the patient.
    eligibility : Eligibility
        The answers of `assess_eligibility`.
    ce_t1w : mapping of DICOM keyword to value, or None
        A header of the series that has the role CE-T1w.
    ce_t1w_reason : str
        Why it has that role.
    contours : sequence of ContourObject
        The contours that are used, each once.
    of_model : sequence of ModelCondition
        What the active bundle itself decides.
    """

    facts: ClinicalFacts
    eligibility: Eligibility
    ce_t1w: Mapping[str, Any] | None
    ce_t1w_reason: str
    contours: Sequence[ContourObject]
    of_model: Sequence[ModelCondition] = ()


def conditions_of_use(case: CheckedCase) -> list[dict[str, str]]:
    """Check the conditions of use of one case.

    Parameters
    ----------
    case : CheckedCase
        Facts, headers and contours.

    Returns
    -------
    list of {"code", "state", "text"}
        Every condition once, in the order of `Condition`.

    References
    ----------
    Zhong et al., EBioMedicine 2021;70:103522, section 2.1 (inclusion and exclusion criteria).
    """
    conditions = []
    for condition in Condition:
        state, text = _CHECKS[condition](case)
        conditions.append({"code": condition.value, "state": state.value, "text": text})
    return conditions


def _disease(case: CheckedCase) -> Answer:
    text = case.eligibility.explain["diagnosis"]
    if _has_finding(case, "diagnosis_not_eligible") or _has_finding(case, "diagnosis_contradiction"):
        return ConditionState.NOT_MET, text
    return (ConditionState.MET if case.eligibility.is_diagnosed else ConditionState.NOT_CHECKED), text


def _stage(case: CheckedCase) -> Answer:
    text = case.eligibility.explain["stage"]
    if _has_finding(case, "stage_not_eligible"):
        return ConditionState.NOT_MET, text
    return (ConditionState.MET if case.eligibility.stage["verified"] else ConditionState.NOT_CHECKED), text


def _treatment_naive(case: CheckedCase) -> Answer:
    refusals = [finding.text for finding in case.eligibility.findings if finding.code == "prior_treatment"]
    if refusals:
        return ConditionState.NOT_MET, refusals[0]
    prior = case.facts.prior_treatment
    if prior is None:
        return ConditionState.NOT_CHECKED, message("condition.treatment_not_recorded")
    return ConditionState.MET, message("condition.untreated", source=prior.provenance.said_source)


def _prior_malignancy(case: CheckedCase) -> Answer:
    if case.eligibility.other_tumour:
        return ConditionState.NOT_MET, message("condition.other_tumour", other_tumour=case.eligibility.other_tumour)
    return ConditionState.NOT_CHECKED, message("condition.malignancies_not_recorded")


def _mr_age(case: CheckedCase) -> Answer:
    text = case.eligibility.explain["mr_age"]
    start = case.eligibility.treatment_start
    if _has_finding(case, "mr_too_old") or (start and _has_finding(case, "prior_treatment")):
        return ConditionState.NOT_MET, text
    is_known = bool(start) and case.eligibility.study_day is not None
    return (ConditionState.MET if is_known else ConditionState.NOT_CHECKED), text


def _contrast(case: CheckedCase) -> Answer:
    if case.ce_t1w is None:
        return ConditionState.NOT_CHECKED, message("condition.no_ce_t1w")
    agents = recorded_agents(case.ce_t1w)
    if agents:
        return ConditionState.MET, message("condition.contrast_recorded", agents=agents)
    return (
        ConditionState.NOT_CHECKED,
        message("condition.contrast_not_recorded", why=case.ce_t1w_reason),
    )


def _contour_approved(case: CheckedCase) -> Answer:
    if not case.contours:
        return ConditionState.NOT_CHECKED, message("condition.no_contour")
    unapproved = [contour for contour in case.contours if not contour.approved]
    if not unapproved:
        return ConditionState.MET, message("condition.contour_approved", names=_names(case.contours))
    # A segmentation has no attribute for an approval (PS3.3 A.51).
    if all(contour.kind == "SEG" for contour in unapproved):
        return ConditionState.NOT_CHECKED, message(
            "condition.segmentation_states_no_approval", names=_names(unapproved)
        )
    return ConditionState.NOT_MET, message("condition.contour_not_approved", names=_names(unapproved))


def _contour_date(case: CheckedCase) -> Answer:
    study_day = case.eligibility.study_day
    days = [contour.drawn_on for contour in case.contours]
    if study_day is None or not days or None in days:
        return ConditionState.NOT_CHECKED, message("condition.contour_date_unknown")
    other_days = sorted({day.isoformat() for day in days if day is not None and day != study_day})
    if not other_days:
        return ConditionState.MET, message("condition.contour_date_same", study_day=study_day)
    return ConditionState.NOT_MET, message("condition.contour_date_differs", other_days=other_days, study_day=study_day)


def _ebv_dna_window(case: CheckedCase) -> Answer:
    text = case.eligibility.explain["ebv_dna"]
    drawn_on = case.eligibility.ebv.get("observed_on")
    if drawn_on is None:
        unknown = case.eligibility.ebv.get("category") == "unknown"
        return ConditionState.NOT_CHECKED, text if unknown else message("condition.draw_day_unknown")
    if not case.eligibility.treatment_start:
        return ConditionState.NOT_CHECKED, message("condition.draw_start_unknown", drawn_on=drawn_on)
    if case.eligibility.study_day is None:
        return ConditionState.NOT_CHECKED, message("condition.draw_mr_day_unknown", drawn_on=drawn_on)
    return ConditionState.MET, text


def _ebv_dna_assay(case: CheckedCase) -> Answer:
    # Expert laboratories agreed at an intraclass correlation of 0.59 to 0.70 before harmonising (Le et al., Clin Cancer
    # Res 2013;19:2208), so a number of copies is comparable within an assay only.
    provenance = case.eligibility.ebv.get("provenance") or {}
    whose = [str(provenance[key]) for key in ("assay", "laboratory") if provenance.get(key)]
    text = message("condition.assay", whose=whose) if whose else message("condition.assay_not_stated")
    return ConditionState.NOT_CHECKED, text


def _by_the_worker(case: CheckedCase) -> Answer:
    return ConditionState.NOT_CHECKED, message("condition.checked_by_the_computation")


def _of_model(condition: Condition) -> Callable[[CheckedCase], Answer]:
    def check(case: CheckedCase) -> Answer:
        answers = [(each.state, each.text) for each in case.of_model if each.code is condition]
        return answers[0] if answers else (ConditionState.NOT_CHECKED, message("condition.checked_by_a_bundle"))

    return check


_CHECKS: Mapping[Condition, Callable[[CheckedCase], Answer]] = {
    Condition.DISEASE: _disease,
    Condition.STAGE: _stage,
    Condition.TREATMENT_NAIVE: _treatment_naive,
    Condition.PRIOR_MALIGNANCY: _prior_malignancy,
    Condition.MR_AGE: _mr_age,
    Condition.CONTRAST: _contrast,
    Condition.CONTOUR_APPROVED: _contour_approved,
    Condition.CONTOUR_DATE: _contour_date,
    Condition.EBV_DNA_WINDOW: _ebv_dna_window,
    Condition.EBV_DNA_ASSAY: _ebv_dna_assay,
    Condition.MODEL_RANGE: _by_the_worker,
    Condition.INTERVAL: _by_the_worker,
    Condition.MODEL_ADMISSION: _of_model(Condition.MODEL_ADMISSION),
    Condition.TRIAL_EVIDENCE: _of_model(Condition.TRIAL_EVIDENCE),
}


def _has_finding(case: CheckedCase, code: str) -> bool:
    return any(finding.code == code for finding in case.eligibility.findings)


def _names(contours: Sequence[ContourObject]) -> str:
    return ", ".join(contour.name for contour in contours)
