"""Which report a patient's treatment was decided with, and what came of it: the facts behind `cptdn followup report`.

The report of a patient is the one that was current when treatment began. One that was made later has decided nothing:
such patients are counted and left out, because treatment was known to have begun when it was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.indication.vocabulary import Answer, EbvCategory, TreatmentArm
from node.cases.fact_choice import choose_start
from node.cases.follow_up import DiseaseFreeSurvival, FollowUp
from node.ledger.facts import facts_of
from node.ledger.follow_up import all_follow_up, follow_up_from
from node.ledger.persons import other_identities
from node.ledger.tables import Case, FollowUpFact, Report

# Why a patient of the bundle is not evaluated; in the order in which they are found.
NO_START, LATE_REPORT, NO_REGIMEN = "treatment start unknown", "reported after treatment began", "regimen unknown"
EBV_UNKNOWN, NO_FOLLOW_UP = "EBV DNA unknown", "no event and no contact since treatment began"


@dataclass(frozen=True)
class ReportedPatient:
    """One patient with the report of one bundle that was current when treatment began.

    Attributes
    ----------
    start : date
        First day of treatment.
    recommendation : Answer or None
        As the report said it; None where the two categories of an unknown EBV DNA disagree.
    is_firm : bool
        Whether the report names a regimen, and the interval of the difference at the decision horizon excludes the
        threshold.
    regimen : TreatmentArm or None
        That was given.
    age_years, prognostic_score, predictive_score : float
        As reported.
    ebv_above : bool or None
        None where EBV DNA was unknown.
    outcome : DiseaseFreeSurvival or None
        None without follow-up.
    """

    start: date
    recommendation: Answer | None
    is_firm: bool
    regimen: TreatmentArm | None
    age_years: float
    prognostic_score: float
    predictive_score: float
    ebv_above: bool | None
    outcome: DiseaseFreeSurvival | None

    @property
    def recommended_arm(self) -> TreatmentArm | None:
        """The recommended regimen; None where the report names none."""
        return None if self.recommendation is None else self.recommendation.arm


@dataclass(frozen=True)
class ReportedPatients:
    """All patients of one bundle.

    Attributes
    ----------
    n_reported : int
        Patients with a result of the bundle.
    patients : tuple of ReportedPatient
        Those whose report was there when treatment began.
    left_out : mapping of str to int
        Number of the others, by reason.
    other_bundles : mapping of str to int
        Number of patients whose report at the start of treatment came from another bundle, by name and digest.
    """

    n_reported: int
    patients: tuple[ReportedPatient, ...]
    left_out: Mapping[str, int]
    other_bundles: Mapping[str, int]


def reported_patients(session: Session, bundle_digest: str) -> ReportedPatients:
    """Collect the patients of a bundle.

    Parameters
    ----------
    session : Session
        An open transaction; only read.
    bundle_digest : str
        ``sha256:...`` of the bundle.

    Returns
    -------
    ReportedPatients
        A patient with several reported studies counts once, with the last report before treatment began.
    """
    follow_up = all_follow_up(session)
    left_out: Counter[str] = Counter()
    others: Counter[str] = Counter()
    patients: list[ReportedPatient] = []
    n_reported = 0
    for (patient_id, issuer), reports in _reports_by_patient(session).items():
        is_own = any(report.bundle_digest == bundle_digest for report in reports)
        n_reported += is_own
        rows = _of_issuer(follow_up.get(patient_id, ()), issuer)
        # What a hospital sends after a merge has the surviving identifier.
        for other in other_identities(session, patient_id, issuer) if follow_up else ():
            rows += _of_issuer(follow_up.get(other[0], ()), other[1])
        known = follow_up_from(sorted(rows, key=lambda row: row.id))
        start = _start(session, patient_id, issuer, known)
        if start is None:
            left_out[NO_START] += is_own
            continue
        # The day of a report is that at the site; one of the first day of treatment counts as made before it.
        before = [report for report in reports if report.created_at.astimezone().date() <= start]
        if not before:
            left_out[LATE_REPORT] += is_own
            continue
        current = max(before, key=lambda report: report.id)
        if current.bundle_digest != bundle_digest:
            model = current.result["model"]
            others[f"{model['name']} {current.bundle_digest[:19]}"] += 1
            continue
        patients.append(_patient(current.result, start, known))
    return ReportedPatients(n_reported, tuple(patients), +left_out, others)


def why_not_evaluated(patient: ReportedPatient) -> str | None:
    """Return why a patient's outcome cannot be compared with the prediction; None where it can."""
    if patient.regimen is None:
        return NO_REGIMEN
    if patient.ebv_above is None:
        return EBV_UNKNOWN
    return NO_FOLLOW_UP if patient.outcome is None else None


def _reports_by_patient(session: Session) -> dict[tuple[str, str], list[Report]]:
    query = (
        select(Case.patient_id, Case.issuer, Report)
        .join(Report, Report.study_instance_uid == Case.study_instance_uid)
        .where(Case.patient_id != "")
        .order_by(Report.id)
    )
    reports: dict[tuple[str, str], list[Report]] = {}
    for patient_id, issuer, report in session.execute(query):
        if report.result.get("scenarios"):  # a refusal has no result
            reports.setdefault((patient_id, issuer), []).append(report)
    return reports


def _of_issuer(rows: Sequence[FollowUpFact], issuer: str) -> list[FollowUpFact]:
    return [row for row in rows if not issuer or row.issuer in (issuer, "")]


def _start(session: Session, patient_id: str, issuer: str, follow_up: FollowUp) -> date | None:
    if follow_up.regimen_start is not None:
        return follow_up.regimen_start
    start, _, _ = choose_start(facts_of(session, patient_id, issuer), None)
    # A planned day is no treatment: the date of an order may pass without it.
    return start.day if start is not None and start.kind != "planned" else None


def _patient(result: Mapping[str, Any], start: date, follow_up: FollowUp) -> ReportedPatient:
    scenarios = result["scenarios"]
    recommended = {scenario["recommendation"] for scenario in scenarios}
    category = EbvCategory(scenarios[0]["ebv_category"]) if len(scenarios) == 1 else EbvCategory.UNKNOWN
    scores = result["scores"]
    return ReportedPatient(
        start=start,
        recommendation=Answer(recommended.pop()) if len(recommended) == 1 else None,
        is_firm=all(_is_firm(scenario, result["model"]) for scenario in scenarios),
        regimen=follow_up.regimen,
        age_years=float(result["age_years"]),
        prognostic_score=float(scores["prognostic_score"]),
        predictive_score=float(scores["predictive_score"]),
        ebv_above=None if category is EbvCategory.UNKNOWN else category is EbvCategory.ABOVE,
        outcome=follow_up.disease_free_survival(start),
    )


def _is_firm(scenario: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    # Reports of earlier versions have no interval of the difference: none of their answers is firm.
    interval = scenario.get("difference_ci95", {}).get(str(model["horizon_months"]))
    if Answer(scenario["recommendation"]).arm is None:
        return False
    return interval is not None and not interval[0] <= model["threshold"] <= interval[1]
