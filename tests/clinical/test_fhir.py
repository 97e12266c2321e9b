"""FHIR R4: resources to facts, posted and polled; the server's resources are made with the models of fhir.resources."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from config.errors import InputError
from config.settings import FhirSettings, Settings
from node.cases.clinical_facts import ClinicalFacts
from node.clinical.fhir import record_document
from node.clinical.fhir_client import FhirClient, FhirPoller, FhirUnavailableError
from node.ledger.cases import get_case, open_case
from node.ledger.database import Ledger, open_ledger
from node.ledger.facts import facts_of

models = pytest.importorskip("fhir.resources.R4B", reason="fhir.resources is not installed")
LOINC, SNOMED, MRN = "http://loinc.org", "http://snomed.info/sct", "urn:oid:1.2.3"
SETTINGS = Settings(fhir=FhirSettings(identifier_system=MRN))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def checked(resource: dict[str, Any]) -> dict[str, Any]:
    """The same resource, after the library's R4B model accepted it."""
    model = models.get_fhir_model_class(resource["resourceType"])
    return json.loads(model.model_validate(resource).model_dump_json())


def concept(code: str, system: str = LOINC, text: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"coding": [{"system": system, "code": code}]}
    return {**found, "text": text} if text else found


def observation(code: str = "47982-4", *, number: str = "1", day: str = "2026-05-01", **more: Any) -> dict[str, Any]:
    return checked({
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "code": concept(code),
        "subject": {"reference": "Patient/7", "identifier": {"system": MRN, "value": "P1"}},
        "effectiveDateTime": f"{day}T08:00:00+08:00", **more,
    })  # fmt: skip


def quantity(value: float, unit: str = "copies/mL", comparator: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"value": value, "unit": unit}
    return {"valueQuantity": {**found, "comparator": comparator} if comparator else found}


PATIENT = {"resourceType": "Patient", "id": "7", "identifier": [{"system": "urn:other", "value": "X"},
                                                                {"system": MRN, "value": "P1"}]}  # fmt: skip


def bundle(*resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return checked(
        {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources], **more}
    )


def facts(ledger: Ledger) -> ClinicalFacts:
    with ledger.begin() as session:
        return facts_of(session, "P1")


def test_a_posted_observation_becomes_a_fact(ledger: Ledger) -> None:
    found = record_document(observation(**quantity(5200), performer=[{"display": "Virology"}]), ledger, SETTINGS)
    assert (found.n_new_facts, found.problems) == (1, [])
    checked(found.operation_outcome())
    (result,) = facts(ledger).ebv_dna
    assert (result.text, result.unit, result.laboratory) == ("5200", "copies/mL", "Virology")
    assert str(result.provenance.observed_on) == "2026-05-01"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (quantity(4000, comparator=">"), ">4000"),
        (quantity(400, comparator="<"), "<400"),
        ({"valueString": "Not detected"}, "Not detected"),
        ({"valueCodeableConcept": concept("260415000", SNOMED)}, "not detected"),
    ],
)
def test_values_in_every_form(ledger: Ledger, value: dict[str, Any], text: str) -> None:
    assert record_document(observation(**value), ledger, SETTINGS).problems == []
    assert facts(ledger).ebv_dna[0].text == text


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        (observation("43730-1", **quantity(5200, "[IU]/mL")), "IU/mL"),
        (observation("36923-1", **quantity(5200)), "not interchangeable"),
        (observation(**quantity(5200), specimen={"display": "Whole blood"}), "Whole blood"),
        (observation(**quantity(400, comparator=">")), "leaves open"),
    ],
)
def test_what_cannot_be_used_is_answered_with_a_sentence(
    ledger: Ledger, resource: dict[str, Any], sentence: str
) -> None:
    found = record_document(resource, ledger, SETTINGS)
    assert sentence in found.problems[0]
    assert found.operation_outcome()["issue"][0]["severity"] == "error"


def test_status_decides(ledger: Ledger) -> None:
    record_document(observation(**quantity(5200), status="preliminary"), ledger, SETTINGS)
    assert facts(ledger).ebv_dna == ()
    record_document(observation(**quantity(5200)), ledger, SETTINGS)
    record_document(observation(**quantity(300), status="corrected"), ledger, SETTINGS)
    assert [result.text for result in facts(ledger).ebv_dna] == ["300"]
    record_document(observation(**quantity(300), status="entered-in-error"), ledger, SETTINGS)
    assert facts(ledger).ebv_dna == ()


def test_a_stage_comes_as_observations_or_with_the_condition(ledger: Ledger) -> None:
    parts = [
        observation(code, number=code, valueCodeableConcept=concept(value, SNOMED), method=concept("897275008", SNOMED))
        for code, value in (("21905-5", "1228938002"), ("21906-3", "1229973008"), ("21907-1", "1229901006"))
    ]
    assert record_document(bundle(PATIENT, *parts), ledger, SETTINGS).problems == []
    stage = facts(ledger).stage
    assert stage is not None
    assert (stage.stage.text, stage.stage.edition) == ("T3N1M0", "8")
    condition = checked({
        "resourceType": "Condition", "subject": {"reference": "Patient/7"}, "recordedDate": "2026-05-09",
        "stage": [{"summary": {"text": "cT4N2M0"}, "type": {"text": "AJCC 8th edition"}}],
    })  # fmt: skip
    assert record_document(bundle(PATIENT, condition), ledger, SETTINGS).problems == []
    stage = facts(ledger).stage
    assert stage is not None
    assert stage.stage.text == "T4N2M0"


def test_a_subject_must_lead_to_an_identifier_of_the_right_system(ledger: Ledger) -> None:
    nobody = {**observation(**quantity(1)), "subject": {"reference": "Patient/8"}}
    assert "leads to no patient identifier" in record_document(nobody, ledger, SETTINGS).problems[0]
    assert record_document(bundle(PATIENT), ledger, SETTINGS).problems == ["no Observation or Condition in the Bundle"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"resourceType": "Bundle", "entry": 3},
        {"resourceType": "Observation"},
        {"resourceType": "Observation", "subject": [], "code": "x", "status": 4},
    ],
)
def test_odd_documents_are_answered(ledger: Ledger, document: dict[str, Any]) -> None:
    assert record_document(document, ledger, SETTINGS).problems


class _Server(BaseHTTPRequestHandler):
    """A FHIR server that answers the three searches, two matches a page."""

    stored: ClassVar[dict[str, list[dict[str, Any]]]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        kind = url.path.rsplit("/", 1)[1]
        found = [one for one in self.stored.get(kind, []) if self._matches(kind, one, query)]
        offset = int(query.get("offset", ["0"])[0])
        document: dict[str, Any] = bundle(*found[offset : offset + 2])
        if len(found) > offset + 2:
            following = f"http://{self.headers['Host']}{url.path}?{url.query}&offset={offset + 2}"
            document["link"] = [{"relation": "next", "url": following}]
        body = json.dumps(checked(document)).encode()
        self.send_response(200 if self.headers.get("Authorization") == "Bearer secret" else 401)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def _matches(kind: str, one: dict[str, Any], query: dict[str, list[str]]) -> bool:
        if kind == "Patient":
            return any(f"{i['system']}|{i['value']}" in query["identifier"] for i in one["identifier"])
        asked = query["code"][0].split(",") if kind == "Observation" else None
        if asked and not any(f"{c['system']}|{c['code']}" in asked for c in one["code"]["coding"]):
            return False  # a server answers with the codes that were asked for only
        return one["subject"]["reference"] == f"Patient/{query['patient'][0]}"

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def fhir_server() -> Iterator[str]:
    _Server.stored = {
        "Patient": [PATIENT],
        "Observation": [observation(number=str(n), day=f"2026-05-0{n}", **quantity(1000 * n)) for n in (1, 2, 3)],
        "Condition": [],
    }
    _Server.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/r4"
    server.shutdown()
    server.server_close()
    thread.join()


def polled(base_url: str, **more: Any) -> Settings:
    return Settings(fhir=FhirSettings(base_url=base_url, identifier_system=MRN, bearer_token="secret", **more))


def test_polling_reads_every_page_once_and_schedules_the_case(ledger: Ledger, fhir_server: str) -> None:
    with ledger.begin() as session:
        open_case(session, "1.2.3", "P1", "")
        get_case(session, "1.2.3").assess_after = None
    poller = FhirPoller(ledger, polled(fhir_server))
    assert poller.poll() == 3
    assert [result.text for result in facts(ledger).ebv_dna] == ["1000", "2000", "3000"]
    with ledger.begin() as session:
        assert get_case(session, "1.2.3").assess_after is not None
    assert poller.poll() == 0
    assert any("offset=2" in path for path in _Server.asked)
    poller.stop()


@pytest.mark.parametrize(
    ("system", "codes"),
    [(LOINC, ("21905-5", "21906-3", "21907-1")), (SNOMED, ("399504009", "399534004", "399387003"))],
)
def test_polling_asks_for_the_categories_of_tnm_too(
    ledger: Ledger, fhir_server: str, system: str, codes: tuple[str, ...]
) -> None:
    values = ("1228938002", "1229973008", "1229901006")
    _Server.stored["Observation"] = [
        observation(code, number=code, valueCodeableConcept=concept(value, SNOMED)) | {"code": concept(code, system)}
        for code, value in zip(codes, values, strict=True)
    ]
    with ledger.begin() as session:
        open_case(session, "1.2.3", "P1", "")
    poller = FhirPoller(ledger, polled(fhir_server))
    assert poller.poll() == 1
    poller.stop()
    stage = facts(ledger).stage
    assert stage is not None
    assert stage.stage.text == "T3N1M0"


def test_a_patient_that_the_server_has_twice_or_not_at_all(fhir_server: str) -> None:
    client = FhirClient(polled(fhir_server))
    assert client.resources_of("P2") == []
    _Server.stored["Patient"] = [PATIENT, {**PATIENT, "id": "9"}]
    with pytest.raises(InputError, match="2 patients"):
        client.resources_of("P1")
    client.close()


def test_a_server_that_is_away_or_refuses_is_polled_again(fhir_server: str) -> None:
    refused = FhirClient(Settings(fhir=FhirSettings(base_url=fhir_server, bearer_token="wrong")))
    with pytest.raises(FhirUnavailableError, match="status 401"):
        refused.resources_of("P1")
    refused.close()
    away = FhirClient(polled("http://127.0.0.1:9/r4"))
    with pytest.raises(FhirUnavailableError, match="ConnectError"):
        away.resources_of("P1")
    away.close()


def test_a_page_on_another_server_is_not_followed() -> None:
    document = {"resourceType": "Bundle", "link": [{"relation": "next", "url": "http://elsewhere.example/r4"}]}
    client = FhirClient(
        polled("http://fhir.example/r4"), httpx.MockTransport(lambda _: httpx.Response(200, json=document))
    )
    with pytest.raises(FhirUnavailableError, match="another server"):
        client.resources_of("P1")
    client.close()


# --- starts of treatment ---

SUBJECT = {"reference": "Patient/7", "identifier": {"system": MRN, "value": "P1"}}
RADIOTHERAPY = concept("1217123003", SNOMED)


def procedure(status: str = "in-progress", code: Any = RADIOTHERAPY, **more: Any) -> dict[str, Any]:
    when = more or {"performedPeriod": {"start": "2026-05-11T09:00:00+08:00"}}
    return checked(
        {"resourceType": "Procedure", "id": "rt", "status": status, "code": code, "subject": SUBJECT, **when}
    )


def administration(day: str, number: str = "1", status: str = "completed") -> dict[str, Any]:
    return checked({
        "resourceType": "MedicationAdministration", "id": number, "status": status, "subject": SUBJECT,
        "medicationCodeableConcept": concept("L01XA01", "http://www.whocc.no/atc"), "effectiveDateTime": day,
    })  # fmt: skip


CARE_PLAN = checked({
    "resourceType": "CarePlan", "id": "plan", "status": "active", "intent": "plan", "subject": SUBJECT,
    "category": [concept("367336001", SNOMED)], "period": {"start": "2026-05-12"},
})  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (procedure(), [("2026-05-11", "given")]),
        (procedure(performedDateTime="2026-05-10"), [("2026-05-10", "given")]),
        (procedure("preparation"), [("2026-05-11", "planned")]),
        (procedure("not-done"), []),
        (procedure(code=concept("80146002", SNOMED)), []),  # appendectomy
        (administration("2026-05-11"), [("2026-05-11", "given")]),
        (CARE_PLAN, [("2026-05-12", "planned")]),
        (bundle(PATIENT, administration("2026-06-01", "2"), administration("2026-05-11")),
         [("2026-06-01", "given"), ("2026-05-11", "given")]),
    ],
)  # fmt: skip
def test_a_start_of_treatment_comes_by_procedure_administration_or_plan(
    ledger: Ledger, resource: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert record_document(resource, ledger, SETTINGS).problems == []
    assert [(str(start.day), start.kind) for start in facts(ledger).treatment_starts] == expected


def test_a_treatment_that_is_entered_in_error_is_withdrawn(ledger: Ledger) -> None:
    record_document(procedure(), ledger, SETTINGS)
    record_document(procedure("entered-in-error"), ledger, SETTINGS)
    assert facts(ledger).treatment_starts == ()


def test_a_number_of_json_has_one_reading(ledger: Ledger) -> None:
    """In JSON a point is the decimal sign (RFC 8259); the text 500.125 would have two readings."""
    assert record_document(observation(**quantity(500.125)), ledger, SETTINGS).problems == []
    assert float(facts(ledger).ebv_dna[0].text) == 500.125


def test_both_units_of_a_draw_in_one_bundle_are_one_result(ledger: Ledger) -> None:
    iu = observation("43730-1", number="2", **quantity(1300, "[IU]/mL"))
    for resources in ((iu, observation(**quantity(5200))), (observation(**quantity(5200)), iu)):
        assert record_document(bundle(PATIENT, *resources), ledger, SETTINGS).problems == []
    assert [result.text for result in facts(ledger).ebv_dna] == ["5200"]
