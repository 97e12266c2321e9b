"""A ledger with reported patients, without DICOM or worker."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydicom.uid import generate_uid
from sqlalchemy import update

from node.ledger.cases import open_case
from node.ledger.database import Ledger
from node.ledger.reports import record_report
from node.ledger.tables import Report

MODEL = {"name": "demonstration", "horizon_months": 60, "threshold": 0.0}


def result_of(
    recommendation: str = "ICT+CCRT", interval: tuple[float, float] = (0.01, 0.1), **facts: Any
) -> dict[str, Any]:
    """A result as the ledger has it: what follow-up reads of a TreatmentReport."""
    scenario = {
        "ebv_category": "<=threshold", "recommendation": recommendation, "difference_ci95": {"60": interval}
    }  # fmt: skip
    scores = {"prognostic_score": -0.6, "predictive_score": -0.4}
    return {"model": MODEL, "scenarios": [scenario], "age_years": 44.0, "scores": scores, "refusals": [], **facts}


def report_patient(
    ledger: Ledger,
    patient_id: str = "P1",
    created: datetime | None = None,
    result: dict[str, Any] | None = None,
    digest: str = "sha256:b",
    issuer: str = "",
) -> str:
    """A study of a patient with a report; returns its Study Instance UID."""
    study = generate_uid()
    with ledger.begin() as session:
        open_case(session, study, patient_id, issuer)
        report = record_report(
            session, study_instance_uid=study, job_id="j", identity=generate_uid()[-60:], computation="c",
            request_digest="d", bundle_digest=digest, revision=1, sop_instance_uid=generate_uid(), predecessor=None,
            result=result or result_of(), objects=[], destinations=[],
        )  # fmt: skip
        if created is not None:
            session.execute(update(Report).where(Report.id == report.id).values(created_at=created))
    return study
