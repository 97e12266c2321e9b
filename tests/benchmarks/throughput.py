"""A backlog of studies through the running program: how many a minute, and whether the cost stays linear.

All studies are sent one after the other without waiting; the clock runs from the first byte to the last report at the
PACS. Beside it the bare computation of one study in one warm process, times the number of studies, over the cores.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from config.settings import load_settings
from tests.benchmarks.latency import PATIENCE_S, BareComputation
from tests.benchmarks.measuring import Options, Result
from tests.benchmarks.programs import running, send_study, study_template

SIZES = (1, 3, 10, 30)


def run(options: Options) -> Result:
    """Seconds by number of studies, and studies a minute of the largest backlog."""
    result = Result("throughput")
    sizes = SIZES[:2] if options.quick else SIZES
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        template = study_template(root / "study")
        with running(root) as (program, pacs):
            by_hand = BareComputation(load_settings(program.config))
            study, objects = template.another()
            send_study(program.port, objects)
            expected = 1
            pacs.wait_for_reports(expected, PATIENCE_S)  # warm
            bare = sum(by_hand.run(by_hand.job_of(study)).values())
            points: dict[str, float] = {}
            for n in sizes:
                backlog = [template.another()[1] for _ in range(n)]
                began = time.perf_counter()
                for objects in backlog:
                    send_study(program.port, objects)
                expected += n
                points[str(n)] = round(pacs.wait_for_reports(expected, PATIENCE_S * n) - began, 3)
            by_hand.close()
    result.curve["seconds by number of studies"] = points
    largest = sizes[-1]
    result.figure("bare computation of one study", [bare], "s")
    result.figure(f"backlog of {largest}: each study", [points[str(largest)] / largest], "s")
    result.figure(f"backlog of {largest}: studies a minute", [60 * largest / points[str(largest)]], "1/min")
    cores = len(os.sched_getaffinity(0))
    result.figure(
        "bare computation / program, per study and core", [bare / cores / (points[str(largest)] / largest)], "share"
    )
    grown = (points[str(largest)] / largest) / points[str(sizes[0])]
    result.at_most(f"cost of a study in a backlog of {largest} / alone", grown, 1.0)
    return result
