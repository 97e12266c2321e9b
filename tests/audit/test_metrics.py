"""Metrics and health: read from the ledger, in the form that Prometheus reads, for those who may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.errors import SettingsError
from config.settings import MetricsSettings, Settings, StorageSettings
from node.audit.metrics import live, metrics, ready
from node.audit.metrics_server import serving_metrics
from node.ledger import jobs
from node.ledger.cases import open_case, set_state
from node.ledger.database import Ledger, now_utc, open_ledger
from node.ledger.processes import heartbeat
from node.ledger.tables import Case, Job


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        storage=StorageSettings(root=tmp_path, min_free_gb=0), metrics=MetricsSettings(enabled=True, port=0)
    )  # fmt: skip


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = open_ledger(settings.ledger.url or "")
    yield opened
    opened.close()


def values(ledger: Ledger, settings: Settings) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = metrics(ledger, settings)
    assert answer.status == 200
    assert answer.content_type.startswith("text/plain")
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_every_state_is_there_from_the_start(ledger: Ledger, settings: Settings) -> None:
    found = values(ledger, settings)
    for state in ("receiving", "incomplete", "held", "queued", "running", "reported", "refused", "failed"):
        assert found["cptdn_cases", (("state", state),)] == 0
    assert found["cptdn_ledger_up", ()] == 1
    assert found["cptdn_outbox_late_seconds", ()] == 0


def test_every_process_gives_the_numbers_of_the_ledger(ledger: Ledger, settings: Settings) -> None:
    with ledger.begin() as session:
        open_case(session, "1.2.3", "SECRET-1", "")
        open_case(session, "1.2.4", "SECRET-2", "")
        set_state(session, session.get_one(Case, "1.2.3"), "held", [{"code": "stage_unknown", "text": "x"}])
        session.get_one(Case, "1.2.3").updated_at = now_utc() - timedelta(hours=2)
        for took in (2.0, 4.0):
            job = jobs.create_job(session, "1.2.4", {}, "d", "demonstration")
            job.state, job.seconds = "done", {"features": took, "volumes": 1.0}
    another = open_ledger(settings.ledger.url or "")
    found = values(another, settings)
    another.close()
    assert found["cptdn_cases", (("state", "held"),)] == 1
    assert found["cptdn_jobs", (("state", "done"),)] == 2
    assert 7200 <= found["cptdn_case_oldest_seconds", (("state", "held"),)] < 7260
    assert found["cptdn_step_seconds_sum", (("step", "features"),)] == 6.0
    assert found["cptdn_step_seconds_count", (("step", "features"),)] == 2
    assert found["cptdn_outbox_messages", ()] == 2
    assert "SECRET" not in metrics(ledger, settings).body.decode()


def test_old_durations_are_left_out(ledger: Ledger, settings: Settings) -> None:
    with ledger.begin() as session:
        open_case(session, "1.2.4", "P", "")
        job = jobs.create_job(session, "1.2.4", {}, "d", "demonstration")
        job.state, job.seconds = "done", {"features": 1.0}
        job_id = job.id
    with ledger.begin() as session:
        session.get_one(Job, job_id).created_at = now_utc() - timedelta(days=2)
    assert ("cptdn_step_seconds_sum", (("step", "features"),)) not in values(ledger, settings)


def test_an_unreachable_ledger_is_a_metric_and_not_ready(tmp_path: Path) -> None:

    from sqlalchemy import create_engine

    settings = Settings(storage=StorageSettings(root=tmp_path, min_free_gb=0))
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    away = Ledger(engine, engine)
    assert values(away, settings)["cptdn_ledger_up", ()] == 0
    answer = ready(away, settings)
    assert answer.status == 503
    assert json.loads(answer.body)["checks"]["ledger"] is False
    assert live().status == 200


def test_ready_means_a_node_is_ready_and_there_is_room(ledger: Ledger, settings: Settings) -> None:
    assert ready(ledger, settings).status == 503
    with heartbeat(ledger, "node") as beat:
        assert ready(ledger, settings).status == 503
        beat.ready(port=1)
        assert ready(ledger, settings).status == 200
        full = settings.model_copy(update={"storage": StorageSettings(root=settings.storage.root, min_free_gb=1e9)})
        assert json.loads(ready(ledger, full).body)["checks"]["storage"] is False


def test_the_listener_answers_and_only_whom_it_may(ledger: Ledger, settings: Settings) -> None:
    with serving_metrics(ledger, settings) as port:
        found = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
        assert found.status_code == 200
        assert "cptdn_cases" in found.text
        assert httpx.get(f"http://127.0.0.1:{port}/../etc/passwd", timeout=30).status_code == 404
    elsewhere = settings.model_copy(
        update={"metrics": MetricsSettings(enabled=True, port=0, allowed_addresses=("192.0.2.0/24",))}
    )
    with serving_metrics(ledger, elsewhere) as port, pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30)


def test_metrics_that_are_off_listen_nowhere_and_a_taken_port_is_named(ledger: Ledger, settings: Settings) -> None:
    with serving_metrics(ledger, settings.model_copy(update={"metrics": MetricsSettings()})) as port:
        assert port is None
    with serving_metrics(ledger, settings) as port:
        taken = settings.model_copy(update={"metrics": MetricsSettings(enabled=True, port=port or 0)})
        with pytest.raises(SettingsError, match=r"\[metrics\] cannot listen"), serving_metrics(ledger, taken):
            pass
