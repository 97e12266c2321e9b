"""What people do at the pages stands in the audit trail; metrics and health are served beside the pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from config.settings import MetricsSettings, Settings, StorageSettings
from node.audit.reading import read_message
from node.audit.recorder import open_audit
from node.ledger.cases import open_case
from node.ledger.database import open_ledger
from node.web.audit import program_routes, web_audit
from node.web.context import WebEvent
from tests.audit.scenes import checked


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (WebEvent("log_in", "anna", "192.0.2.7"), ("User Authentication", "E", "success", "anna")),
        (WebEvent("log_in", "anna", "192.0.2.7", False), ("User Authentication", "E", "minor failure", "anna")),
        (WebEvent("log_in_refused", "", "192.0.2.7", False), ("User Authentication", "E", "minor failure", "unknown")),
        (WebEvent("log_out", "anna", "192.0.2.7"), ("User Authentication", "E", "success", "anna")),
        (WebEvent("denied", "anna", "192.0.2.7", False), ("Security Alert", "E", "serious failure", "anna")),
        (WebEvent("users_changed", "root", "192.0.2.7", detail="bob"), ("Security Alert", "E", "success", "root")),
        (WebEvent("case_seen", "anna", "192.0.2.7", True, "1.2"), ("DICOM Instances Accessed", "R", "success", "anna")),
        (
            WebEvent("report_seen", "anna", "192.0.2.7", True, "1.2"),
            ("DICOM Instances Accessed", "R", "success", "anna"),
        ),
        (WebEvent("decision", "anna", "192.0.2.7", True, "1.2"), ("DICOM Instances Accessed", "U", "success", "anna")),
        (WebEvent("facts_received", "FHIR", "192.0.2.7"), ("Patient Record", "U", "success", "FHIR")),
        (WebEvent("facts_received", "FHIR", "192.0.2.7", False), ("Security Alert", "E", "serious failure", "FHIR")),
    ],
)
def test_each_event_of_the_pages_is_recorded(tmp_path: Path, event: WebEvent, said: tuple[str, str, str, str]) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path, min_free_gb=0))
    ledger, audit = open_ledger(settings.ledger.url or ""), open_audit(settings, "web")
    with ledger.begin() as session:
        open_case(session, "1.2", "NPC-0042", "")
    web_audit(audit, ledger)(event)
    (line,) = audit.trail.lines()
    checked(line)
    message = read_message(line)
    (user,) = [one["user"] for one in message["who"] if one["requestor"]]
    assert (message["event"], message["action"], message["outcome"], user) == said
    assert "192.0.2.7" in {one["address"] for one in message["who"]}
    if event.study_instance_uid:
        assert [one["id"] for one in message["about"]] == ["1.2", "NPC-0042"]
    if event.detail:
        assert event.detail in message["description"]
    ledger.close()


def test_a_second_change_of_users_is_not_silenced(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path, min_free_gb=0))
    ledger, audit = open_ledger(settings.ledger.url or ""), open_audit(settings, "web")
    for _ in range(3):
        web_audit(audit, ledger)(WebEvent("users_changed", "root", "192.0.2.7"))
    assert len(list(audit.trail.lines())) == 3
    ledger.close()


def test_programs_read_metrics_and_health_where_they_may(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path, min_free_gb=0))
    ledger = open_ledger(settings.ledger.url or "")

    def status(path: str, address: str, shown: Settings = settings) -> int:
        client = TestClient(Starlette(routes=program_routes(ledger, shown)), client=(address, 1234))
        return client.get(path).status_code

    assert status("/metrics", "127.0.0.1") == 200
    assert status("/metrics", "192.0.2.7") == 403
    named = settings.model_copy(update={"metrics": MetricsSettings(allowed_addresses=("192.0.2.0/24",))})
    assert status("/metrics", "192.0.2.7", named) == 200
    assert status("/health/live", "192.0.2.7") == 200
    assert status("/health/ready", "192.0.2.7") == 503  # no node runs
    ledger.close()
