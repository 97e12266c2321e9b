"""`[fhir] receive`: facts posted to the web part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from node.ledger.facts import facts_of
from tests.web.conftest import Site

TOKEN = "a token of sixteen or more"
ON = f'[fhir]\nreceive = true\nreceive_token = "{TOKEN}"\n'
FHIR = {"Content-Type": "application/fhir+json", "Authorization": f"Bearer {TOKEN}"}
OBSERVATION = {
    "resourceType": "Observation", "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "47982-4"}]},
    "subject": {"identifier": {"value": "P-1"}}, "effectiveDateTime": "2026-03-01",
    "valueQuantity": {"value": 5200, "unit": "copies/mL"},
}  # fmt: skip


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(ON)


def outcome(answer: Any) -> OperationOutcome:
    """What came back, checked against the published model of the resource."""
    assert answer.headers["content-type"].startswith("application/fhir+json")
    return OperationOutcome.model_validate(answer.json())


@pytest.mark.parametrize("path", ["/fhir", "/fhir/Observation"])
def test_a_posted_observation_becomes_a_fact(site: Site, path: str) -> None:
    answer = site.browser().post(path, json=OBSERVATION, headers=FHIR)
    assert answer.status_code == 200
    assert outcome(answer).issue[0].severity == "information"
    with site.ledger.begin() as session:
        (result,) = facts_of(session, "P-1").ebv_dna
    assert (result.text, result.provenance.source) == ("5200", "FHIR posted")
    assert (site.events[-1].action, site.events[-1].success) == ("facts_received", True)


def test_a_bundle_may_hold_patient_and_results(site: Site) -> None:
    patient = {"resourceType": "Patient", "id": "x", "identifier": [{"value": "P-2"}]}
    result = {**OBSERVATION, "subject": {"reference": "Patient/x"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}, {"resource": result}]}
    assert site.browser().post("/fhir", json=bundle, headers=FHIR).status_code == 200
    with site.ledger.begin() as session:
        assert facts_of(session, "P-2").ebv_dna


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, b"{}", {"Content-Type": "application/fhir+json"}),
        (401, b"{}", {"Content-Type": "application/fhir+json", "Authorization": "Bearer wrong"}),
        (415, b"{}", {**FHIR, "Content-Type": "text/plain"}),
        (415, b"{}", {**FHIR, "Content-Type": "application/x-www-form-urlencoded"}),
        (400, b"{", FHIR),
        (400, b"[1]", FHIR),
        (400, b"[" * 100_000, FHIR),
        (422, b'{"resourceType": "Device"}', FHIR),
        (422, b'{"resourceType": "Observation", "status": "final", "subject": 7, "code": []}', FHIR),
    ],
)
def test_everything_else_is_refused_and_answered(site: Site, status: int, body: bytes, headers: dict[str, str]) -> None:
    answer = site.browser().post("/fhir", content=body, headers=headers)
    assert answer.status_code == status
    assert outcome(answer).issue[0].severity == "error"
    with site.ledger.begin() as session:
        assert facts_of(session, "P-1").ebv_dna == ()


def test_it_is_off_unless_the_site_says_so(make_site: Callable[..., Site]) -> None:
    assert make_site().browser().post("/fhir", json=OBSERVATION, headers=FHIR).status_code == 404
