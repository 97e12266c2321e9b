"""The report as FHIR resources: posted to a server of the test, tried again while it is away, refused visibly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from node.small_pacs.pacs import SmallPacs
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import running_program, wait_for
from tests.flow.test_main_job import route
from workers.phantoms.dicom_study import WrittenStudy


class FhirServer:
    """Takes transactions; answers 503 the first time and with `status` afterwards."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.received.append(json.loads(body))
                status = 503 if len(server.received) == 1 else server.status
                answer = {"resourceType": "OperationOutcome", "issue": [{"code": "processing", "diagnostics": "no"}]}
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/r4"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fhir_server() -> Iterator[FhirServer]:
    server = FhirServer()
    yield server
    server.stop()


def test_the_report_reaches_a_fhir_server_that_was_away(
    tmp_path: Path, pacs: SmallPacs, fhir_server: FhirServer, study: WrittenStudy
) -> None:
    extra = f'{ALLOW_DEMONSTRATION}[fhir]\nreport_url = "{fhir_server.url}"\n'
    with running_program(tmp_path / "program", pacs.port, extra) as program:
        program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--drawn-on", "2026-03-05",
                      "--stage", "T3N1M0")  # fmt: skip
        route(study.files, program)

        def posted() -> dict[str, Any] | None:
            found = program.study(study.study_instance_uid)
            if not found or not found["current_report"]:
                return None
            deliveries = program.json("studies", "show", study.study_instance_uid)["deliveries"]
            return next((d for d in deliveries if d["pacs"] == "fhir" and d["state"] == "delivered"), None)

        delivery = wait_for(posted, 120, lambda: str(program.json("jobs", "list")))
        assert delivery["attempts"] == 1  # the 503
        kinds = {entry["resource"]["resourceType"] for entry in fhir_server.received[-1]["entry"]}
        assert {"DiagnosticReport", "RiskAssessment", "Observation", "Device"} <= kinds
        assert fhir_server.received[0] == fhir_server.received[1]  # the same bytes again
        fhir_server.status = 422
        program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "9100", "--drawn-on", "2026-03-08")

        def refused() -> dict[str, Any] | None:
            deliveries = program.json("studies", "show", study.study_instance_uid)["deliveries"]
            return next((d for d in deliveries if d["pacs"] == "fhir" and d["state"] == "dead"), None)

        assert "422: no" in wait_for(refused, 60, lambda: str(program.json("jobs", "list")))["error"]
