"""How long a person waits for a command, and an installation for `cptdn up`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.measuring import Options, Result, interleaved, timed
from tests.flow.program import free_port, running_program

SCORE = "nomogram score --age 40 --ebv-dna 5000 --prognostic-score 0 --predictive-score -0.4 --json"
COMMANDS = {"--help": 0.3, SCORE: 1.0, "--version": 0.3}
READY_GOAL_S = 10.0


def run(options: Options) -> Result:
    """Seconds of commands, and until everything is ready."""
    result = Result("startup")
    program = str(Path(sys.executable).with_name("cptdn"))

    def call(words: str) -> None:
        subprocess.run([program, *words.split()], capture_output=True, check=True)

    contestants = {words: timed(lambda words=words: call(words)) for words in COMMANDS}  # type: ignore[misc]
    contestants["floor: python -c pass"] = timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    found = interleaved(contestants, options.rounds(9))
    for words, times in found.items():
        name = words.split(" --")[0] if words.startswith("nomogram") else words
        took = result.figure(name, times, "s")
        if words in COMMANDS:
            result.at_most(f"cptdn {name}, s", took, COMMANDS[words])
    ready = []
    for _ in range(options.rounds(5)):
        with TemporaryDirectory() as folder:
            began = time.perf_counter()
            with running_program(Path(folder), free_port(), pages=True, installed=True):
                ready.append(time.perf_counter() - began)
    result.at_most("cptdn up ready, s", result.figure("cptdn up: ready", ready, "s"), READY_GOAL_S)
    return result
