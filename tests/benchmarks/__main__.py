"""`python -m tests.benchmarks [NAME...]`: run benchmarks in turn and keep what they found.

`make bench` runs all of them; `cptdn bench NAME` one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measuring import Options, write

NAMES = {
    "receive": "C-STORE in: our node against dcmtk, Orthanc and a bare pynetdicom handler",
    "growth": "the ledger's questions from 100 to 100,000 stored studies",
}
OWN_NETWORK = ("receive", "latency", "throughput")


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    names = options.names or list(NAMES)
    documents, failed = [], False
    for name in names:
        if name in OWN_NETWORK and not os.environ.get("CPTDN_BENCH_OWN_NETWORK"):
            from tests.benchmarks.servers import in_own_network

            flags = [flag for flag in arguments if flag not in names]
            code = in_own_network([name, *flags])
            if code is not None:
                failed = failed or code != 0
                continue
        begin = time.perf_counter()
        module = importlib.import_module(f"tests.benchmarks.{name}")
        result = module.run(Options(options.out, options.quick, options.device))
        write(result, options.out)
        if options.keep:
            write(result, Path(__file__).parent / "results")
        document = result.to_json()
        documents.append(document)
        if options.json:
            sys.stdout.write(json.dumps(document, indent=1) + "\n")
        else:
            sys.stdout.write(result.to_text() + f"\n  ({time.perf_counter() - begin:.0f} s)\n\n")
        sys.stdout.flush()
        from tests.benchmarks.figures import draw

        draw(document, options.out / f"{name}.png")
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES), choices=[[], *NAMES])
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="gets NAME.json and NAME.png")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--keep", action="store_true", help="also write tests/benchmarks/results/NAME.json")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
