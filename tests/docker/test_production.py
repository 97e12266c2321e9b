"""The parts as containers and service managers start them, on Redis and PostgreSQL: replicas, health, draining."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.ledger.database import open_ledger
from node.ledger.jobs import list_jobs_of
from node.ledger.tables import Job
from node.small_pacs.pacs import SmallPacs
from tests.docker.services import postgresql, redis_server
from tests.flow.program import Program, free_port, run_cptdn, wait_for
from tests.flow.test_main_job import route
from workers.phantoms.dicom_study import WrittenStudy

CPTDN = str(Path(sys.executable).with_name("cptdn"))
DRAINED_WITHIN_S = 120.0


@dataclass
class Site:
    """A configuration, and parts that are started one by one."""

    config: Path
    ledger_url: str
    pacs: SmallPacs
    stack: ExitStack

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.config.parent / "log.txt").open("ab"))
        command = [CPTDN, *arguments, "--config", str(self.config)]
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
        self.stack.callback(_end, process)
        return process

    def ready(self, kind: str, n: int) -> bool:
        done = run_cptdn("ready", kind, "--config", str(self.config))
        return done.returncode == 0 and done.stdout == f"{kind}: {n} ready\n"

    def job(self, study: str) -> Job | None:
        ledger = open_ledger(self.ledger_url, migrate=False)
        with ledger.begin() as session:
            found = list_jobs_of(session, study)
        ledger.close()
        return found[0] if found else None

    def program(self, port: int) -> Program:
        return Program(self.config, port, None, self.config.parent / "log.txt")  # type: ignore[arg-type]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        ledger_url = stack.enter_context(postgresql())
        broker_url = stack.enter_context(redis_server())
        pacs = stack.enter_context(SmallPacs(folder / "pacs", "PACS"))
        config = folder / "cptdn.toml"
        config.write_text(
            f'[node]\nport = {free_port()}\n[[pacs]]\nport = {pacs.port}\nretry_first_s = 1\n'
            f'[storage]\nroot = "./data"\nmin_free_gb = 0.1\n[ledger]\nurl = "{ledger_url}"\n'
            f'[broker]\nurl = "{broker_url}"\n[model]\nallow_demonstration = true\n'
        )  # fmt: skip
        yield Site(config, ledger_url, pacs, stack)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_replicas_share_the_work_and_a_drained_worker_loses_nothing(tmp_path: Path, study: WrittenStudy) -> None:
    ports = free_port(), free_port()
    with site(tmp_path) as parts:
        for port in ports:  # two replicas, as behind a TCP load balancer
            parts.start("node", CPTDN__NODE__PORT=str(port))
        compute = ("worker", "--queues", "volumes,features,report", "--device", "cpu")
        worker = parts.start(*compute)
        parts.start("worker", "--queues", "delivery", "--concurrency", "2")
        log = tmp_path / "log.txt"
        wait_for(lambda: parts.ready("node", 2) and parts.ready("worker", 2), 120, log.read_text)
        first, second = (parts.program(port) for port in ports)
        first.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--stage", "T3N1M0")
        half = len(study.files) // 2
        route(study.files[:half], first)
        route(study.files[half:], second)

        def computing() -> Job | None:
            job = parts.job(study.study_instance_uid)
            return job if job is not None and job.state == "running" else None

        running = wait_for(computing, 60, log.read_text)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DRAINED_WITHIN_S) == 0
        job = parts.job(study.study_instance_uid)
        assert job is not None
        assert job.lease_owner is None  # nobody has to find out that this worker died
        assert job.step != running.step, "the running step was not finished"
        assert job.error_code is None
        parts.start(*compute)

        def committed() -> dict[str, Any] | None:
            shown: dict[str, Any] = first.json("studies", "show", study.study_instance_uid)
            return shown if shown["deliveries"] and shown["deliveries"][0]["committed_at"] else None

        shown = wait_for(committed, 240, lambda: str(parts.job(study.study_instance_uid)) + log.read_text()[-2000:])
        assert [one["error"] for one in shown["jobs"]] == [None]
        assert second.json("status")["cases"]["reported"] == 1


def test_what_is_not_running_is_not_ready(tmp_path: Path) -> None:
    config = tmp_path / "cptdn.toml"
    assert run_cptdn("init", "--yes", "--out", str(config)).returncode == 0
    run_cptdn("status", "--config", str(config))  # makes the ledger
    done = run_cptdn("ready", "worker", "--config", str(config))
    assert done.returncode == 1
    assert "no worker is ready" in done.stderr
