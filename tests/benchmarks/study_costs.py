"""What one study costs: CPU seconds of each part and megabytes on the disk, for the sizing table of docker/README.md.

`python -m tests.benchmarks.study_costs [--studies N]` prints a JSON document. CPU seconds do not grow when other work
shares the machine as wall-clock seconds do. The node runs as its own process; the steps run in this one, through the
same functions as in a worker, after its model is warm.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from config.settings import Settings, load_settings
from node.dicom.scu.store_scu import send_folder
from node.ledger.database import Ledger, open_ledger
from node.ledger.jobs import list_jobs
from node.ledger.tables import Delivery, Job
from node.messaging.queue import make_celery
from node.small_pacs.pacs import SmallPacs
from node.workflow.delivery import deliver
from tests.flow.program import free_port, run_cptdn, wait_for
from workers.phantoms.dicom_study import WrittenStudy, write_study
from workers.phantoms.population import draw_patient, published_nomogram
from workers.pipeline.computation import warm_up
from workers.pipeline.context import WorkerContext
from workers.queue import steps
from workers.queue.tasks import Step, run_step

SIZES = {"3 x 22 slices of 256 x 256": (22, 256), "3 x 36 slices of 384 x 384": (36, 384)}
MEGABYTE = 1e6


def measure(folder: Path, n_slices: int, matrix: int, n_studies: int) -> dict[str, Any]:
    """CPU seconds by part (mean over the studies) and MB by folder, one study's worth."""
    with ExitStack() as stack:
        pacs = stack.enter_context(SmallPacs(folder / "pacs", "PACS"))
        config = folder / "cptdn.toml"
        config.write_text(
            f"[node]\nport = {free_port()}\n[[pacs]]\nport = {pacs.port}\n[storage]\nmin_free_gb = 0.1\n"
            '[broker]\nurl = "redis+socket:///nowhere/broker.sock"\n[model]\nallow_demonstration = true\n'
            '[eligibility]\nout_of_distribution = "warn"\n'
        )
        settings = load_settings(config)
        ledger = open_ledger(settings.ledger.url or "")
        stack.callback(ledger.close)
        cptdn = str(Path(sys.executable).with_name("cptdn"))
        log = stack.enter_context((folder / "log.txt").open("wb"))
        node = subprocess.Popen([cptdn, "node", "--config", str(config)], stderr=log)
        stack.callback(lambda: (node.terminate(), node.wait(30)))
        wait_for(lambda: run_cptdn("ready", "node", "--config", str(config)).returncode == 0, 60, lambda: "no node")
        empty = _ledger_megabytes(settings)
        studies = _written(folder, settings, n_slices, matrix, n_studies)
        begun = _cpu_s(node.pid)
        for study in studies:
            sent = send_folder(study.files, "127.0.0.1", settings.node.port, "PACS", "CPTDN")
            assert all(outcome.status == 0 for outcome in sent)

        def queued() -> list[Job] | None:
            with ledger.begin() as session:
                jobs = list_jobs(session, ("queued",))
            return jobs if len(jobs) == n_studies else None

        jobs = wait_for(queued, 300, lambda: "not every study became a job")
        receive = (_cpu_s(node.pid) - begun) / n_studies
        found = _compute(settings, ledger, [job.id for job in jobs])
        root = settings.storage.root
        megabytes = {name: _megabytes(root / name) / n_studies for name in ("studies", "artefacts", "reports")}
        megabytes["ledger"] = (_ledger_megabytes(settings) - empty) / n_studies
        return {
            "cpu_s": {"receive": round(receive, 3), **{name: round(value, 3) for name, value in found.items()}},
            "megabytes": {name: round(value, 2) for name, value in megabytes.items()},
        }


def _written(folder: Path, settings: Settings, n_slices: int, matrix: int, n_studies: int) -> list[WrittenStudy]:
    """Phantoms on the disk, and their facts in the ledger."""
    nomogram = published_nomogram()
    written = []
    for number in range(n_studies):
        patient = f"COST-{number}"
        phantom = draw_patient(5, number, nomogram)
        folder_of_patient = folder / "sent" / patient
        written.append(
            write_study(phantom, folder_of_patient, patient, n_slices=n_slices, matrix=matrix, seed=5, number=number)
        )
        facts = ("clinical", "set", patient, "--ebv-dna", "3100", "--stage", "T3N1M0")
        assert run_cptdn(*facts, "--config", str(settings.source)).returncode == 0
    return written


def _compute(settings: Settings, ledger: Ledger, job_ids: list[str]) -> dict[str, float]:
    """The three steps and the delivery in this process: mean CPU seconds by name."""
    context = WorkerContext(settings)
    bundle = context.bundle(settings.model.bundle)
    warm_up(bundle, "cpu")
    nowhere = make_celery(settings.broker.url, settings.broker)
    spent: dict[str, list[float]] = defaultdict(list)
    todo: list[tuple[str, Step]] = [
        ("volumes", steps.prepare_volumes),
        ("features", steps.extract_features),
        ("report", steps.write_report),
    ]
    for job_id in job_ids:
        for name, step in todo:
            run_step(nowhere, context, job_id, name, _timed(step, spent[name]))
    with ledger.begin() as session:
        deliveries = [row.id for row in session.query(Delivery)]
    assert len(deliveries) == len(job_ids), "not every study was reported"
    for delivery in deliveries:
        begun = time.process_time()
        deliver(ledger, settings, context.store, delivery, "costs")
        spent["delivery"].append(time.process_time() - begun)
    context.ledger.close()
    return {name: statistics.mean(values) for name, values in spent.items()}


def _timed(step: Step, spent: list[float]) -> Step:
    def timed(context: WorkerContext, job: Job) -> steps.StepOutcome:
        begun = time.process_time()
        outcome = step(context, job)
        spent.append(time.process_time() - begun)
        return outcome

    return timed


def _cpu_s(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def _ledger_megabytes(settings: Settings) -> float:
    """The SQLite file with its log written back into it."""
    path = settings.storage.root / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size / MEGABYTE


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=4)
    n_studies = parser.parse_args().studies
    found = {}
    for name, (n_slices, matrix) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure(Path(folder), n_slices, matrix, n_studies)
            say(json.dumps({name: found[name]}))
    say(json.dumps({"cores": os.cpu_count(), "studies": n_studies, "per_study": found}, indent=1))


if __name__ == "__main__":
    main()
