"""The main job behind every guard at once: TLS with client certificates on both sides, audit to a repository, metrics,
notices and traces; and a patient whose name, identifier and birth date must stand nowhere but where they belong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from pydicom import dcmread

from node.audit.reading import read_message
from node.small_pacs.pacs import SmallPacs
from tests.audit.scenes import Rsyslog, checked, rsyslog
from tests.dicom.certificates import Authority, Certificate
from tests.flow.collectors import Collector, collector
from tests.flow.program import Program, free_port, know_each_other, running_program, wait_for
from tests.peers import peer
from workers.phantoms.dicom_study import WrittenStudy, write_phantom_study

PATIENT_ID, PATIENT_NAME, BIRTH_DATE = "TELLTALE4711", "Wunderlich^Hildegunde", date(1951, 7, 23)
# In any form in which they could leak; a long number could hold the figures of the date, so they must stand alone.
TELLING = re.compile(rb"TELLTALE|Wunderlich|Hildegunde|(?<!\d)19510723(?!\d)|1951-07-23", re.IGNORECASE)


@dataclass
class Guarded:
    """A running program with everything that watches it."""

    program: Program
    pacs: SmallPacs
    repository: Rsyslog
    hook: Collector
    traces: Collector
    metrics_port: int
    client: Certificate
    study: WrittenStudy
    broker: list[str]

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30).text

    def trail(self) -> list[bytes]:
        files = sorted((self.program.config.parent / "data" / "audit").rglob("audit-*.log"))
        return [line for path in files for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    """A study of a patient with a telling name."""
    study = write_phantom_study(
        tmp_path_factory.mktemp("telling"), seed=21, patient_id=PATIENT_ID, birth_date=BIRTH_DATE,
        study_date=date(2026, 3, 9),
    )  # fmt: skip
    for path in study.files:
        ds = dcmread(path)
        ds.PatientName = PATIENT_NAME
        ds.save_as(path)
    return study


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, telling: WrittenStudy) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "ca")
    node, client, archive = (authority.issue(name) for name in ("node", "client", "archive"))
    metrics_port = free_port()

    def toml(certificate: Certificate) -> str:
        paths = (certificate.certificate, certificate.private_key, certificate.ca)
        return '{{ certificate = "{}", private_key = "{}", ca = "{}" }}'.format(*paths)

    with (
        pytest.MonkeyPatch.context() as environment,
        SmallPacs(folder / "pacs", "PACS", tls=archive.settings()) as pacs,
        rsyslog(folder / "repository", "tls", authority) as repository,
        collector() as hook,
        collector() as traces,
    ):
        environment.setenv("CPTDN__NODE__TLS", node.settings().model_dump_json())
        environment.setenv("CPTDN__NODE__ALLOWED_CALLING_AES", '["PACS"]')
        environment.setenv("CPTDN__NODE__ALLOWED_ADDRESSES", '["127.0.0.1"]')
        extra = (
            f"[model]\nallow_demonstration = true\n[case]\nstable_after_s = 2\n"
            f"[metrics]\nenabled = true\nport = {metrics_port}\n"
            f'[notify]\nwebhook_url = "{hook.url}"\nevery_s = 1\n'
            f'[tracing]\nenabled = true\nendpoint = "{traces.url}"\n'
            f'[audit]\nsyslog = {{ host = "127.0.0.1", port = {repository.port}, ca = "{authority.certificate}" }}\n'
        )
        with running_program(folder / "program", pacs.port, extra, f"tls = {toml(node)}", pages=True) as program:
            know_each_other(pacs, program)
            heard: list[str] = []
            stop = _listen_to_broker(program.config.parent / "data", heard)
            yield Guarded(program, pacs, repository, hook, traces, metrics_port, client, telling, heard)
            stop.set()


def _listen_to_broker(root: Path, heard: list[str]) -> threading.Event:
    """Keep every command that the embedded broker gets from now on."""
    (where,) = (root / "run").glob("*.sock")
    stop = threading.Event()

    def listen() -> None:
        with redis.Redis(unix_socket_path=str(where)).monitor() as monitor:
            for command in monitor.listen():
                heard.append(str(command["command"]))
                if stop.is_set():
                    return

    threading.Thread(target=_quietly(listen), daemon=True).start()
    return stop


def _quietly(work: Any) -> Any:
    def run() -> None:
        try:
            work()
        except (redis.RedisError, OSError):
            return  # the broker has gone

    return run


def send_by_tls(guarded: Guarded, paths: list[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """dcmtk's storescu with certificates."""
    client = guarded.client
    command = [
        peer("storescu", "dcmtk"), "-R", "+tls", str(client.private_key), str(client.certificate), "+cf",
        str(client.ca), "-aet", "PACS", "-aec", "CPTDN", *options, "127.0.0.1", str(guarded.program.port),
        *map(str, paths),
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, timeout=200, check=False, env={**os.environ, "TCP_NODELAY": "1"}
    )


@pytest.fixture(scope="module")
def reported(guarded: Guarded) -> dict[str, Any]:
    """The telling study after its report, sent by dcmtk over TLS."""
    program, uid = guarded.program, guarded.study.study_instance_uid
    program.cptdn("clinical", "set", PATIENT_ID, "--ebv-dna", "3100", "--stage", "T3N1M0", "--ajcc", "8")
    done = send_by_tls(guarded, list(guarded.study.files))
    assert done.returncode == 0, done.stdout + done.stderr

    def delivered() -> dict[str, Any] | None:
        shown = program.json("studies", "show", uid)
        return shown if shown["deliveries"] and shown["deliveries"][0]["state"] == "delivered" else None

    return wait_for(delivered, 120, lambda: program.log.read_text()[-4000:])


def test_dcmtk_delivers_a_study_by_tls_and_its_report_comes_back_by_tls(
    reported: dict[str, Any], guarded: Guarded
) -> None:
    report = dcmread(guarded.pacs.stored[reported["current_report"]].path)
    assert report.PatientID == PATIENT_ID
    assert report.Modality == "SR"
    assert reported["deliveries"][0]["committed_at"]


def test_without_a_certificate_there_is_no_way_in(reported: dict[str, Any], guarded: Guarded) -> None:
    plain = [peer("storescu", "dcmtk"), "-aec", "CPTDN", "127.0.0.1", str(guarded.program.port)]
    anonymous = [*plain[:1], "+tla", "-ic", *plain[1:]]
    for command in (plain, anonymous):
        done = subprocess.run([*command, str(guarded.study.files[0])], capture_output=True, timeout=100, check=False)
        assert done.returncode != 0


def test_the_audit_trail_tells_the_whole_story_and_the_repository_has_it(
    reported: dict[str, Any], guarded: Guarded
) -> None:
    uid = guarded.study.study_instance_uid
    messages = [read_message(line) for line in guarded.trail()]
    for line in guarded.trail():
        checked(line)
    about = [m for m in messages if uid in {one["id"] for one in m["about"]}]
    story = [(m["event"], m["who"][0]["role"]) for m in about]
    assert story[:1] == [("DICOM Instances Transferred", "Source Role ID")]
    assert ("Begin Transferring DICOM Instances", "Source Role ID") in story
    received, sent = (m for m in about if m["event"] == "DICOM Instances Transferred")
    assert received["who"][0]["user"] == "PACS"
    counted = sum(sum(one["sop_classes"].values()) for one in received["about"])
    assert counted == len(guarded.study.files)
    assert [one["user"] for one in sent["who"]][1] == "main"
    starts = {m["who"][0]["user"].split(":")[0] for m in messages if "Application Start" in m["types"]}
    assert starts == {"node", "worker", "web"}
    assert any(m["event"] == "Patient Record" and m["about"][0]["id"] == PATIENT_ID for m in messages)
    wait_for(lambda: len(guarded.repository.messages()) >= len(guarded.trail()), 30, lambda: "the repository lags")
    assert [line.split(b" ", 3)[3] for line in guarded.repository.messages()] == guarded.trail()
    assert guarded.program.json("audit", "backlog")["backlog_bytes"] == 0
    listed = guarded.program.json("audit", "list", "--study", uid)
    assert [m["event"] for m in listed] == [m["event"] for m in about]


def test_metrics_and_health_say_how_it_stands(reported: dict[str, Any], guarded: Guarded) -> None:
    families = {one.name: one for one in text_string_to_metric_families(guarded.metrics())}

    def value(name: str, **labels: str) -> float:
        return next(s.value for s in families[name].samples if s.labels == labels and s.name in (name, f"{name}_total"))

    assert value("cptdn_cases", state="reported") == 1
    assert value("cptdn_jobs", state="done") == 1
    assert value("cptdn_deliveries", pacs="main", state="delivered") == 1
    assert value("cptdn_stored_instances") == len(guarded.study.files)
    assert value("cptdn_reports") == 1
    running = Counter(one["kind"] for one in guarded.program.json("status")["node"]["processes"])
    assert running["node"] == 1
    assert {kind: value("cptdn_processes", kind=kind) for kind in running} == running
    steps = {s.labels["step"]: s.value for s in families["cptdn_step_seconds"].samples if s.name.endswith("_count")}
    assert steps["volumes"] == steps["features"] == 1
    where = f"http://127.0.0.1:{guarded.metrics_port}"
    assert httpx.get(f"{where}/health/live", timeout=30).json() == {"status": "alive"}
    ready = httpx.get(f"{where}/health/ready", timeout=30)
    assert (ready.status_code, ready.json()["checks"]) == (200, {"ledger": True, "storage": True, "node": True})
    assert httpx.get(f"{where}/", timeout=30).status_code == 404


def test_the_computation_is_one_trace_from_receiving_to_delivery(reported: dict[str, Any], guarded: Guarded) -> None:
    def spans() -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for body in list(guarded.traces.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        found.setdefault(span.name, []).append(span.trace_id)
        return found

    names = {"receive", "queue", "volumes", "features", "report", "delivery"}
    wait_for(lambda: names <= set(spans()), 30, lambda: f"spans: {sorted(spans())}")
    job = reported["jobs"][0]["id"]
    assert {trace.hex() for name in names for trace in spans()[name]} == {job.replace("-", "")}


def test_what_was_kept_aside_reaches_a_person(reported: dict[str, Any], guarded: Guarded, tmp_path: Path) -> None:
    ds = dcmread(guarded.study.files[0])
    ds.ImageComments = f"about {PATIENT_NAME}"
    ds.PixelData = bytes(len(ds.PixelData))  # the same instance with other content
    ds.save_as(tmp_path / "other.dcm")
    send_by_tls(guarded, [tmp_path / "other.dcm"])
    wait_for(lambda: guarded.hook.bodies, 60, lambda: guarded.program.log.read_text()[-2000:])
    document = json.loads(guarded.hook.bodies[0])
    assert document["source"] == "CPTDN"
    assert document["events"][0]["kind"] == "quarantine"
    assert "conflicting_instance" in document["text"]


def test_the_patient_stands_nowhere_else(reported: dict[str, Any], guarded: Guarded, tmp_path: Path) -> None:
    program, root = guarded.program, guarded.program.config.parent / "data"
    bundle = tmp_path / "support.zip"
    program.cptdn("doctor", "--bundle", str(bundle), check=False)
    with zipfile.ZipFile(bundle) as opened:
        packed = {f"bundle {name}": opened.read(name) for name in opened.namelist()}
    assert guarded.study.study_instance_uid.encode() not in b"".join(packed.values())
    states = json.loads(packed["bundle states.json"])
    assert [(job["state"], job["step"]) for job in states["jobs"]] == [("done", "done")]
    assert states["cases"][0]["codes"] == ["conflicting_instance"]
    assert states["jobs"][0]["study"] == states["cases"][0]["study"] != guarded.study.study_instance_uid
    assert len(packed["bundle events.jsonl"].splitlines()) > 5
    events = root / "run" / "events"
    searched = {
        "log": program.log.read_bytes(),
        "metrics": guarded.metrics().encode(),
        "broker": "\n".join(guarded.broker).encode(),
        "webhook": b"".join(guarded.hook.bodies),
        "traces": b"".join(guarded.traces.bodies),
        "errors": json.dumps([program.json("jobs", "list"), program.json("quarantine", "list")]).encode(),
        "status": json.dumps(program.json("status")).encode(),
        "paths": "\n".join(str(path) for path in root.rglob("*")).encode(),
        "events": b"".join(path.read_bytes() for path in events.iterdir()),
        "notes": b"".join(path.read_bytes() for path in (root / "quarantine").rglob("*.txt")),
        **packed,
    }
    assert b"cptdn." in searched["broker"]  # the tasks went by while we listened
    assert all(searched[name] for name in ("log", "metrics", "webhook", "traces", "events", "notes"))
    for name, text in searched.items():
        found = TELLING.search(text)
        assert found is None, f"{name} holds {text[max(0, found.start() - 200) : found.end() + 50]!r}"
    in_trail = {match[0] for line in guarded.trail() for match in TELLING.finditer(line)}
    assert in_trail == {b"TELLTALE"}  # the identifier, as PS3.15 wants it; never name or birth date
