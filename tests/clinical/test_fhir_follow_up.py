"""Follow-up as FHIR resources, posted and polled; resources are made with the models of fhir.resources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from config.settings import FhirSettings, Settings
from node.cases.follow_up import FollowUp
from node.clinical.fhir import record_document
from node.clinical.fhir_client import FhirPoller
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.facts import facts_of
from node.ledger.follow_up import follow_up_of
from node.ledger.tables import Case
from tests.clinical.reported import report_patient
from tests.clinical.test_fhir import MRN, PATIENT, SNOMED, bundle, checked, concept, observation

CODES = {"RECUR": "recurrence", "REG": "regimen", "GP": "regimen:ICT+CCRT"}
SETTINGS = Settings(fhir=FhirSettings(identifier_system=MRN, codes=CODES, base_url="http://fhir.test/r4"))
ICD = "http://hl7.org/fhir/sid/icd-10"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
SUBJECT = {"reference": "Patient/7", "identifier": {"system": MRN, "value": "P1"}}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in which P1 is reported."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    report_patient(opened)
    yield opened
    opened.close()


def known(ledger: Ledger) -> FollowUp:
    with ledger.begin() as session:
        return follow_up_of(session, "P1")


def condition(code: str, *, status: str = "active", onset: str | None = "2025-03-01", **more: Any) -> dict[str, Any]:
    day = {"onsetDateTime": onset} if onset else {}
    system = SNOMED if code.isdigit() else ICD
    return checked({
        "resourceType": "Condition", "id": "c1", "subject": SUBJECT, "code": concept(code, system),
        "clinicalStatus": concept(status, CLINICAL), **day, **more,
    })  # fmt: skip


def test_a_death_comes_with_the_patient_and_needs_its_day(ledger: Ledger) -> None:
    died = {**PATIENT, "deceasedDateTime": "2025-06-01T10:00:00+08:00"}
    assert record_document(checked(died), ledger, SETTINGS).problems == []
    assert known(ledger).death == date(2025, 6, 1)
    outcome = record_document(checked({**PATIENT, "deceasedBoolean": True}), ledger, SETTINGS)
    assert "expected the day in deceasedDateTime" in outcome.problems[0]


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (condition("C11.9", status="recurrence"), FollowUp(recurrences=(date(2025, 3, 1),))),
        (condition("C11.1", status="relapse", onset=None, recordedDate="2025-04-02"),
         FollowUp(recurrences=(date(2025, 4, 2),))),
        (condition("C79.5"), FollowUp(metastases=(date(2025, 3, 1),))),
        (condition("128462008"), FollowUp(metastases=(date(2025, 3, 1),))),
        (condition("C77.0"), FollowUp()),  # a regional node of N1
        (condition("C50.9", status="recurrence"), FollowUp()),  # of another tumour
        (condition("C11.9"), FollowUp()),
        (condition("C79.5", verificationStatus=concept("provisional", CLINICAL)), FollowUp()),
    ],
)  # fmt: skip
def test_conditions_tell_of_recurrence_and_metastasis(
    ledger: Ledger, resource: dict[str, Any], expected: FollowUp
) -> None:
    assert record_document(resource, ledger, SETTINGS).problems == []
    assert known(ledger) == expected


def test_a_condition_that_was_entered_in_error_is_withdrawn(ledger: Ledger) -> None:
    record_document(condition("C79.5"), ledger, SETTINGS)
    record_document(condition("C79.5", verificationStatus=concept("entered-in-error", CLINICAL)), ledger, SETTINGS)
    assert known(ledger) == FollowUp()


def test_a_condition_without_a_day_is_named(ledger: Ledger) -> None:
    outcome = record_document(condition("C79.5", onset="2025"), ledger, SETTINGS)
    assert "names no day" in outcome.problems[0]


def test_regimen_and_outcome_come_in_codes_of_the_site(ledger: Ledger) -> None:
    given = checked({
        "resourceType": "MedicationAdministration", "id": "m1", "status": "completed", "subject": SUBJECT,
        "medicationCodeableConcept": concept("GP", "urn:local"), "effectiveDateTime": "2024-01-10",
    })  # fmt: skip
    recurred = observation("RECUR", day="2025-03-01", valueBoolean=True)
    assert record_document(bundle(recurred, given), ledger, SETTINGS).problems == []
    followed = known(ledger)
    assert (followed.regimen, followed.regimen_start) == ("ICT+CCRT", date(2024, 1, 10))
    assert followed.recurrences == (date(2025, 3, 1),)
    with ledger.begin() as session:  # the code of a regimen tells when treatment began, as those of ATC do
        assert [start.day for start in facts_of(session, "P1").treatment_starts] == [date(2024, 1, 10)]
    outcome = record_document(observation("REG", number="9", valueString="RT"), ledger, SETTINGS)
    assert outcome.problems == ["expected the regimen ICT+CCRT or CCRT, found 'RT'"]
    early = record_document(observation("RECUR", number="8", day="2023-05-01", valueBoolean=True), ledger, SETTINGS)
    assert "after treatment began on 2024-01-10" in early.problems[0]


def test_reported_patients_are_polled_for_follow_up_once_a_day(ledger: Ledger) -> None:
    asked: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rsplit("/", 1)[-1])
        found = [{**PATIENT, "deceasedDateTime": "2025-06-01"}] if asked[-1] == "Patient" else []
        return httpx.Response(200, json=bundle(*found))

    with ledger.begin() as session:
        session.execute(update(Case).values(received_at=now_utc() - timedelta(days=400)))
    fhir = {**SETTINGS.fhir.model_dump(), "follow_up_days": 1000}
    poller = FhirPoller(ledger, Settings(fhir=FhirSettings(**fhir)), httpx.MockTransport(server))
    assert poller.poll() == 1
    assert known(ledger).death == date(2025, 6, 1)
    n = len(asked)
    assert poller.poll() == 0
    assert len(asked) == n
    poller.stop()
    without = FhirPoller(ledger, SETTINGS, httpx.MockTransport(server))
    without.poll()
    assert len(asked) == n
    without.stop()
