"""`python -m tests.benchmarks [NAME...]`: run benchmarks in turn and keep what they found.

`make bench` runs all of them; `cptdn bench NAME` one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figures import draw
from tests.benchmarks.measuring import Options, write
from tests.benchmarks.servers import in_own_network

RESULTS = Path(__file__).parent / "results"

NAMES = {
    "receive": "C-STORE in: our node against dcmtk, Orthanc and a bare pynetdicom handler",
    "latency": "last C-STORE response to the report at the PACS, beside the bare computation",
    "throughput": "a backlog of studies through the running program",
    "rescore": "a cohort of 1,872 patients scored again from kept patches",
    "contours": "RTSTRUCT to mask and the whole preparation: against plastimatch, rt-utils, TorchIO, MONAI",
    "features": "the SE-ResNet against the machine's matrix product, float32 and bfloat16",
    "nomogram": "scoring up to a million patients: against lifelines",
    "train": "reading patches against learning from them",
    "growth": "the ledger's questions from 100 to 100,000 stored studies",
    "ledger": "rows of instances by group commit, states by triggers: against the plain form of both",
    "startup": "commands, and `cptdn up` until it is ready",
    "honesty": "what a trained model promises beside what it keeps, on phantoms with known truth",
}
OWN_NETWORK = ("receive", "latency", "throughput")


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    names = options.names or list(NAMES)
    if wrong := [name for name in names if name not in NAMES]:
        sys.stderr.write(f"expected benchmarks out of {', '.join(NAMES)}; found {', '.join(wrong)}\n")
        return 2
    failed = [name for name in names if not _run(name, options)]
    if options.json:
        found = [json.loads((options.out / f"{name}.json").read_text()) for name in names if name not in failed]
        sys.stdout.write(json.dumps(found[0] if len(names) == 1 and found else found, indent=1) + "\n")
    if failed:
        sys.stderr.write(f"not finished: {', '.join(failed)}\n")
    return int(bool(failed))


def _run(name: str, options: argparse.Namespace) -> bool:
    """Run one benchmark, write what it found, and tell it; False when it did not finish."""
    if name in OWN_NETWORK:
        flags = ["--out", str(options.out), "--device", options.device, *_flags(options)]
        code = in_own_network([name, *flags])
        if code is not None:
            return code == 0
    begin = time.perf_counter()
    try:
        result = importlib.import_module(f"tests.benchmarks.{name}").run(
            Options(options.out, options.quick, options.device)
        )
    except Exception:  # one benchmark that fails must not keep the others from their turn
        traceback.print_exc()
        return False
    document = result.to_json()
    for folder in [options.out, *([RESULTS] if options.keep else [])]:
        write(document, folder)
    draw(document, options.out / f"{name}.png")
    if not options.json:
        sys.stdout.write(result.to_text() + f"\n  ({time.perf_counter() - begin:.0f} s)\n\n")
        sys.stdout.flush()
    return True


def _flags(options: argparse.Namespace) -> list[str]:
    return [f"--{name}" for name in ("quick", "keep", "json") if getattr(options, name)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="gets NAME.json and NAME.png")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--keep", action="store_true", help="also write tests/benchmarks/results/NAME.json")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
