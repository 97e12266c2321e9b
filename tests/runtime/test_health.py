"""What the health checks say; `doctor`, `ready`, `status` and the pages share them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import DicomwebSettings, PacsSettings, Settings, load_settings
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.processes import heartbeat
from node.ledger.tables import Delivery, Report
from node.runtime import health
from node.runtime.dicomweb_health import sources
from node.runtime.health import check_parts, check_storage, ready_processes
from node.runtime.overview import overview

TOML = '[storage]\nroot = "data"\nmin_free_gb = 0\n[node]\nport = 1\n[audit]\nenabled = false\n'


def _settings(folder: Path, more: str = "") -> Settings:
    config = folder / "cptdn.toml"
    config.write_text(TOML + more, encoding="utf-8")
    return load_settings(config)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return _settings(tmp_path)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = open_ledger(settings.ledger.url or "")
    yield opened
    opened.close()


def by_part(settings: Settings) -> dict[str, health.Finding]:
    return {finding.part: finding for finding in check_parts(settings)}


def test_every_part_has_one_finding_and_each_trouble_an_advice(settings: Settings) -> None:
    findings = by_part(settings)
    assert set(findings) == {
        "configuration", "ledger", "storage", "broker", "deliveries", "node", "model bundle", "workers", "audit",
        "background work", "fonts", "PACS main",
    }  # fmt: skip
    assert findings["ledger"].verdict == findings["storage"].verdict == "ok"
    assert findings["broker"].verdict == findings["node"].verdict == findings["workers"].verdict == "warning"
    assert all(finding.advice for finding in findings.values() if finding.verdict != "ok")


def test_a_ledger_that_does_not_answer_hides_no_other_part(tmp_path: Path) -> None:
    settings = _settings(tmp_path, '[ledger]\nurl = "sqlite:////proc/nowhere/ledger.db"\n')
    findings = by_part(settings)
    assert findings["ledger"].verdict == findings["workers"].verdict == "failure"
    assert findings["storage"].verdict == "ok"


def test_a_full_disk_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path)
    low = settings.model_copy(update={"storage": settings.storage.model_copy(update={"min_free_gb": 1e9})})
    assert by_part(low)["storage"].verdict == "failure"


def test_a_pacs_that_does_not_answer_is_a_failure_of_its_own(tmp_path: Path) -> None:
    settings = _settings(tmp_path, '[[pacs]]\nname = "main"\nae_title = "P"\nhost = "127.0.0.1"\nport = 1\n')
    assert by_part(settings)["PACS main"].verdict == "failure"


def test_a_dicomweb_server_is_tried_by_a_request(tmp_path: Path) -> None:
    more = '[[pacs]]\nname = "web"\nstow_url = "http://127.0.0.1:1/dicom-web"\n'
    finding = by_part(_settings(tmp_path, more))["PACS web"]
    assert (finding.verdict, bool(finding.advice)) == ("failure", True)
    assert "the DICOMweb server http://127.0.0.1:1/dicom-web/studies cannot be reached" in finding.found


def test_each_hl7_receiver_is_tried_by_a_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        more = f'[[hl7_out]]\nname = "his"\nport = {port}\n[[hl7_out]]\nname = "ois"\nport = 1\n'
        findings = by_part(_settings(tmp_path, more))
    assert findings["HL7 his"].verdict == "ok"
    assert f"accepts connections at 127.0.0.1:{port}" in findings["HL7 his"].found
    assert findings["HL7 ois"].verdict == "failure"
    assert "cannot be reached: Connection refused" in findings["HL7 ois"].found
    assert findings["HL7 ois"].advice


def test_only_ready_processes_of_the_kind_and_host_count(ledger: Ledger) -> None:
    assert ready_processes(ledger, "node") == []
    with heartbeat(ledger, "node", ae_title="CPTDN") as beat:
        assert ready_processes(ledger, "node") == []  # alive, not ready yet
        beat.ready(port=11112)
        (process,) = ready_processes(ledger, "node")
        assert (process["ae_title"], process["port"]) == ("CPTDN", 11112)
        assert ready_processes(ledger, "node", process["host"]) == [process]
        assert ready_processes(ledger, "node", "another-machine") == []
        assert ready_processes(ledger, "worker") == []
    assert ready_processes(ledger, "node") == []


def test_an_orphan_file_is_reported_and_repaired_once(settings: Settings, ledger: Ledger) -> None:
    del ledger
    leftover = settings.storage.root / "artefacts" / "1.2.3" / ("ab" * 32)
    leftover.mkdir(parents=True)
    (leftover / "patches.npz").write_bytes(b"x")
    os.utime(leftover, (1, 1))
    os.utime(leftover.parent, (1, 1))
    (found,) = check_storage(settings, repair=False)
    assert (found.repaired, found.is_open) == ("", True)
    assert "--repair" in found.advice
    (repaired,) = check_storage(settings, repair=True)
    assert (repaired.repaired, repaired.advice, repaired.is_open) == ("removed", "", False)
    assert list(check_storage(settings, repair=False)) == []


def test_the_overview_shows_the_rest_when_the_broker_does_not_answer(settings: Settings, ledger: Ledger) -> None:
    document = overview(settings, ledger)
    assert document["queues"] == {"error": "the embedded broker does not run; `cptdn up` starts it"}
    assert document["node"]["running"] is False
    assert sum(document["cases"].values()) == 0
    assert document["disk_free_gb"] > 0


def test_dicomweb_is_checked_on_both_sides(settings: Settings, tmp_path: Path) -> None:
    pacs = PacsSettings(wado_url="http://127.0.0.1:1/dicom-web", query_retrieve=True)
    web = settings.model_copy(
        update={"pacs": (pacs,), "dicomweb": DicomwebSettings(receive=True, senders_file=tmp_path / "none")}
    )
    parts = by_part(web)
    assert (parts["PACS main, queries"].verdict, parts["DICOMweb intake"].verdict) == ("failure", "warning")
    assert "cannot be reached" in parts["PACS main, queries"].found
    assert "wado_url" in parts["PACS main, queries"].advice
    assert "senders_file" in parts["DICOMweb intake"].advice
    assert sources(web)[1:] == [
        "STOW-RS http://127.0.0.1:8042/dicomweb/studies",
        "main by QIDO-RS and WADO-RS http://127.0.0.1:1/dicom-web",
    ]


def test_deliveries_that_do_not_end_are_named_with_their_reason(settings: Settings, ledger: Ledger) -> None:
    assert by_part(settings)["deliveries"].found == "0 open, 0 given up"
    reason = "PACS 'main' cannot be reached"
    began = now_utc() - timedelta(days=3)
    with ledger.begin() as session:
        report = Report(
            study_instance_uid="1.2", job_id="j", identity="i", computation="c", request_digest="d", bundle_digest="b",
            revision=1, sop_instance_uid="1.3", result={}, created_at=began,
        )  # fmt: skip
        session.add(report)
        session.flush()
        for pacs, state in (("main", "pending"), ("archive", "dead")):
            session.add(
                Delivery(
                    report_id=report.id, pacs=pacs, state=state, not_before=began, objects={}, created_at=began,
                    error_text=reason,
                )
            )  # fmt: skip
    finding = by_part(settings)["deliveries"]
    assert finding.verdict == "warning"
    assert finding.found == f"1 open, 1 given up; the oldest open one is tried since {began:%Y-%m-%d}: {reason}"
    assert "cptdn jobs retry" in finding.advice
    assert overview(settings, ledger)["delivery_backlog"]["oldest_open_at"] == began.isoformat()


def test_the_health_check_of_a_container_loads_neither_celery_nor_pynetdicom() -> None:
    code = (
        "import sys; from node.runtime.health import ready_processes; import node.cli.ready; "
        "print(sorted({'celery', 'pynetdicom', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
