"""Which report decided a patient's treatment, and who is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from config.settings import Settings
from node.clinical.entries import record_entries, treatment_start_entry
from node.clinical.follow_up_entries import FollowUpEntry, event_entry, record_follow_up_entries, regimen_entry
from node.ledger.database import Ledger, open_ledger
from node.workflow.followed_reports import (
    EBV_UNKNOWN,
    LATE_REPORT,
    NO_FOLLOW_UP,
    NO_REGIMEN,
    NO_START,
    ReportedPatients,
    reported_patients,
    why_not_evaluated,
)
from tests.clinical.reported import report_patient, result_of

OWN, OTHER = "sha256:b", "sha256:other"
START = date(2024, 5, 11)
BEFORE, AFTER = datetime(2024, 5, 10, 12, tzinfo=UTC), datetime(2024, 5, 20, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def follow(ledger: Ledger, *entries: FollowUpEntry, patient_id: str = "P1") -> None:
    with ledger.begin() as session:
        record_follow_up_entries(session, Settings(), patient_id, "", entries, "test", "a tester")


def found(ledger: Ledger, digest: str = OWN) -> ReportedPatients:
    with ledger.begin() as session:
        return reported_patients(session, digest)


def test_a_followed_patient_has_prediction_regimen_and_outcome(ledger: Ledger) -> None:
    report_patient(ledger, created=BEFORE)
    follow(ledger, regimen_entry("CCRT", START), event_entry("recurrence", "2024-08-19"))
    (patient,) = found(ledger).patients
    assert why_not_evaluated(patient) is None
    assert (patient.recommendation, patient.regimen, patient.is_firm) == ("ICT+CCRT", "CCRT", True)
    assert (patient.age_years, patient.prognostic_score, patient.predictive_score) == (44.0, -0.6, -0.4)
    assert patient.ebv_above is False
    assert patient.outcome is not None
    assert (patient.outcome.days, patient.outcome.event) == (100, True)


def test_the_report_that_was_current_at_the_start_counts(ledger: Ledger) -> None:
    report_patient(ledger, created=BEFORE, digest=OTHER)
    report_patient(ledger, created=BEFORE, digest=OWN)
    report_patient(ledger, created=AFTER, digest=OTHER)
    follow(ledger, regimen_entry("CCRT", START))
    assert len(found(ledger).patients) == 1
    of_other = found(ledger, OTHER)
    assert (of_other.n_reported, of_other.patients) == (1, ())
    assert dict(of_other.other_bundles) == {"demonstration sha256:b": 1}


def test_a_report_that_was_made_after_treatment_began_decided_nothing(ledger: Ledger) -> None:
    report_patient(ledger, created=AFTER)
    follow(ledger, regimen_entry("CCRT", START))
    patients = found(ledger)
    assert (patients.n_reported, patients.patients, dict(patients.left_out)) == (1, (), {LATE_REPORT: 1})


def test_a_planned_start_is_no_treatment_and_a_stated_one_is(ledger: Ledger) -> None:
    report_patient(ledger, created=BEFORE)

    def start(entry: object) -> None:
        with ledger.begin() as session:
            record_entries(session, "P1", "", [entry], "test", "a tester")  # type: ignore[list-item]

    start(treatment_start_entry("2024-05-09", "planned", "order 1"))
    assert dict(found(ledger).left_out) == {NO_START: 1}
    start(treatment_start_entry(START.isoformat()))
    (patient,) = found(ledger).patients
    assert patient.start == START
    assert why_not_evaluated(patient) == NO_REGIMEN


def test_without_ebv_dna_or_follow_up_a_patient_is_not_evaluated(ledger: Ledger) -> None:
    scenarios = [
        {"ebv_category": category, "recommendation": arm, "difference_ci95": {}}
        for category, arm in ((">threshold", "CCRT"), ("<=threshold", "ICT+CCRT"))
    ]
    report_patient(ledger, created=BEFORE, result=result_of(scenarios=scenarios))
    report_patient(ledger, "P2", created=BEFORE)
    report_patient(ledger, "P3", created=BEFORE, result=result_of(scenarios=[], refusals=[{"code": "x", "text": "x"}]))
    follow(ledger, regimen_entry("CCRT", START), event_entry("death", "2025-01-01"))
    follow(ledger, regimen_entry("CCRT", START), patient_id="P2")
    patients = found(ledger)
    assert patients.n_reported == 2  # a refusal is no result
    first, second = patients.patients
    assert (first.recommendation, first.is_firm, why_not_evaluated(first)) == (None, False, EBV_UNKNOWN)
    assert why_not_evaluated(second) == NO_FOLLOW_UP
