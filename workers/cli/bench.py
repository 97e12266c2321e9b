"""`cptdn bench`: the speed on this machine, as ratios to other programs in the same run."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from config.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]


class Benchmark(StrEnum):
    """The benchmarks; each is a module of tests/benchmarks."""

    RECEIVE = "receive"
    LATENCY = "latency"
    THROUGHPUT = "throughput"
    RESCORE = "rescore"
    CONTOURS = "contours"
    FEATURES = "features"
    NOMOGRAM = "nomogram"
    TRAIN = "train"
    GROWTH = "growth"
    LEDGER = "ledger"
    STARTUP = "startup"
    HONESTY = "honesty"


class Device(StrEnum):
    """The device of the networks."""

    CPU = "cpu"
    CUDA = "cuda"


def bench(
    names: Annotated[list[Benchmark] | None, typer.Argument(help="Which (default: all).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds and smaller sizes.")] = False,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.CPU,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets NAME.json and NAME.png.")] = Path("out/bench"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure against other programs (dcmtk, Orthanc, plastimatch, TorchIO, ...) in the same run, in turns.

    Needs the source tree with its tests; a peer that is not installed is named and not compared with.

    Example: cptdn bench receive contours --quick --json
    """
    if not (PROJECT / "tests" / "benchmarks" / "__main__.py").is_file():
        raise InputError(f"expected the source tree with tests/benchmarks in {PROJECT}, found an installation without")
    command = [sys.executable, "-m", "tests.benchmarks", *(name.value for name in names or ())]
    command += ["--out", str(out.resolve()), "--device", device.value]
    command += ["--quick"] * quick + ["--json"] * as_json
    # A process of its own: imports and settings of this command would be part of the measured start otherwise.
    done = subprocess.run(command, cwd=PROJECT, check=False)
    if done.returncode != 0:
        raise typer.Exit(1)
