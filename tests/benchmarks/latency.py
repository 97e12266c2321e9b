"""From the last C-STORE response to the Structured Report's arrival at the PACS, for three series of 40 slices.

Beside it the bare computation: the same steps on the same files, called one after the other in one warm process, with
nothing between them: no queue, no ledger, no network. And the same without the stability of the answer.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select

from config.settings import Settings, load_settings
from node.ledger.database import open_ledger
from node.ledger.tables import Job
from tests.benchmarks.measuring import Options, Result
from tests.benchmarks.programs import running, send_study, study_template

ROUNDS = 7
PATIENCE_S = 300.0


def run(options: Options) -> Result:
    """Seconds of the program and of the bare computation, in turns; where the program's time goes."""
    result = Result("latency")
    taken: list[float] = []
    bare: list[dict[str, float]] = []
    without: list[dict[str, float]] = []
    parts: list[dict[str, float]] = []
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        template = study_template(root / "study")
        with running(root, options.device) as (program, pacs):
            settings = load_settings(program.config)
            by_hand = BareComputation(settings)
            plain = BareComputation(_without_stability(settings))
            for number in range(options.rounds(ROUNDS) + 1):
                study, objects = template.another()
                last = send_study(program.port, objects)
                arrived = pacs.wait_for_reports(number + 1, PATIENCE_S)
                job = by_hand.job_of(study)
                steps, fewer = by_hand.run(job), plain.run(job)
                if number:  # the first one warms up
                    taken.append(arrived - last)
                    bare.append(steps)
                    without.append(fewer)
                    parts.append({name: float(value) for name, value in job.seconds.items()})
            by_hand.close()
            plain.close()
    _report(result, taken, bare, parts)
    _stability_cost(result, bare, without)
    return result


def _without_stability(settings: Settings) -> Settings:
    return settings.model_copy(update={"decision": settings.decision.model_copy(update={"stability": False})})


def _stability_cost(result: Result, bare: list[dict[str, float]], without: list[dict[str, float]]) -> None:
    sums = [[sum(one.values()) for one in each] for each in (bare, without)]
    result.figure("bare computation without stability", sums[1], "s")
    ratio = result.ratio("report with stability / without", *sums)
    result.at_most("report with stability / without", ratio, 1.5)


def _report(result: Result, taken: list[float], bare: list[dict[str, float]], parts: list[dict[str, float]]) -> None:
    total = result.figure("last response to report at the PACS", taken, "s")
    result.figure("bare computation in one warm process", [sum(one.values()) for one in bare], "s")
    for name in bare[0]:
        result.figure(f"bare: {name}", [one[name] for one in bare], "s")
    for name in ("volumes", "features", "report"):
        result.figure(f"program: step {name}", [one[name] for one in parts], "s")
    between = [
        t - sum(one[name] for name in ("volumes", "features", "report")) for t, one in zip(taken, parts, strict=True)
    ]
    result.figure("program: between the steps, looks and delivery", between, "s")
    above = result.ratio("program / bare computation", taken, [sum(one.values()) for one in bare])
    result.at_most("program / bare computation", above, 1.5)
    result.at_most("last response to report at the PACS, s", total, 2.0)
    shares = {name: median(one[name] for one in parts) / total for name in ("volumes", "features", "report")}
    result.notes.append("shares: " + json.dumps({name: f"{share:.0%}" for name, share in shares.items()}))


class BareComputation:
    """The steps of a job that the program has done, done again by hand on the same files."""

    def __init__(self, settings: Settings) -> None:
        from workers.pipeline.computation import warm_up
        from workers.pipeline.context import WorkerContext

        self.settings = settings
        self.context = WorkerContext(settings)
        self.ledger = open_ledger(settings.ledger.url or "", migrate=False)
        warm_up(self.context.bundle(settings.model.bundle), settings.model.device)

    def job_of(self, study: str) -> Job:
        """The study's finished job; waits for what the report's step writes down last."""
        deadline = time.monotonic() + 30
        while True:
            with self.ledger.begin() as session:
                job = session.scalar(select(Job).where(Job.study_instance_uid == study))
            if job is not None and job.state == "done":
                return job
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job of {study} is not done: {job.state if job else 'there is none'}")
            time.sleep(0.01)

    def run(self, job: Job) -> dict[str, float]:
        """Seconds of each step; what the program kept is put aside, so that nothing is taken from it."""
        from dicom_sr.report.json_form import load
        from workers.queue import report_objects, steps

        shutil.rmtree(self.settings.storage.root / "artefacts" / job.study_instance_uid)
        found: dict[str, float] = {}
        outcome: Any = None

        def timed(name: str, function: Any) -> Any:
            begin = time.perf_counter()
            answer = function()
            found[name] = time.perf_counter() - begin
            return answer

        timed("volumes", lambda: steps.prepare_volumes(self.context, job))
        outcome = timed("features", lambda: steps.extract_features(self.context, job))
        bundle = self.context.bundle(job.bundle)
        draft = replace(load(outcome.result["report"]), report_identity="0" * 64, revision=1)
        timed("report", lambda: report_objects.build_report_objects(self.context, job, draft, bundle))
        return found

    def close(self) -> None:
        self.context.ledger.close()
        self.ledger.close()
