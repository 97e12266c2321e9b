"""A ledger of a site whose patients were reported by a bundle and followed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from config.indication.vocabulary import TreatmentArm
from node.ledger.database import Ledger, now_utc
from node.ledger.tables import Case, FollowUpFact, Report
from workers.validation.follow_up.cohort import FollowedCohort


def record_site(ledger: Ledger, patients: FollowedCohort, digest: str, name: str = "demonstration") -> None:
    """Every patient with a report of the day before treatment, regimen and outcome, in one transaction."""
    with ledger.begin() as session:
        for row in range(len(patients)):
            session.add_all(_rows(patients, row, digest, name))


def _rows(patients: FollowedCohort, row: int, digest: str, name: str) -> list[object]:
    start = datetime.fromordinal(int(patients.start_day[row])).replace(tzinfo=UTC)
    covariates = patients.covariates
    age, ebv, prognostic, predictive = (
        float(np.asarray(values)[row])
        for values in (
            covariates.age_years, covariates.ebv_dna_gt_threshold, covariates.prognostic_score,
            covariates.predictive_score,
        )
    )  # fmt: skip
    arms = {True: TreatmentArm.ICT_CCRT.value, False: TreatmentArm.CCRT.value}
    scenario = {
        "ebv_category": ">threshold" if ebv else "<=threshold",
        "recommendation": arms[bool(patients.ict_recommended[row])],
        "difference_ci95": {"60": [0.01, 0.1] if row % 2 else [-0.1, 0.1]},
    }
    result = {
        "model": {"name": name, "horizon_months": 60, "threshold": 0.0}, "scenarios": [scenario], "age_years": age,
        "scores": {"prognostic_score": prognostic, "predictive_score": predictive}, "refusals": [],
    }  # fmt: skip
    study, patient, now = f"1.2.{row}", f"NPC-{row:04d}", now_utc()
    reported = start - timedelta(days=1)
    case = Case(
        study_instance_uid=study, patient_id=patient, issuer="", state="reported", reasons=[], assessment={},
        assignments={}, confirmations={}, received_at=reported, last_instance_at=reported, updated_at=now,
    )  # fmt: skip
    report = Report(
        study_instance_uid=study, job_id="j", identity=f"i{row}", computation="c", request_digest="d",
        bundle_digest=digest, revision=1, sop_instance_uid=f"1.2.{row}.1", result=result, created_at=reported,
    )  # fmt: skip
    last = (start + timedelta(days=int(patients.days[row]))).date()
    event = "recurrence" if patients.event[row] else "last_contact"
    regimen = {"regimen": arms[bool(patients.treated[row])], "day": start.date()}
    facts = [
        FollowUpFact(patient_id=patient, issuer="", name=fact, source="test", set_by="tester", recorded_at=now, **more)
        for fact, more in (("regimen", regimen), (event, {"day": last}))
    ]
    return [case, report, *facts]
