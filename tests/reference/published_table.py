"""Write the table "printed beside ours" of the published cohort: `python -m tests.reference.published_table`.

Reads the rows beside the checkout, computes every value again and writes `workers/nomogram/PUBLISHED.md`; numbers and
the paper's printed values are facts and may stand there, rows may not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.peers import PROJECT, SHARED
from tests.reference.published_values import Value, values
from workers.survival.cohort import ENDPOINTS, read_cohort

TARGET = PROJECT / "workers" / "nomogram" / "PUBLISHED.md"
HEAD = """# The paper's printed values beside ours

Zhong L et al., EBioMedicine 2021;70:103522, re-computed by this program from the patient rows that the authors
published (matched patients of centre 1: training 684, internal test 324). Written by
`python -m tests.reference.published_table`; a test compares it with the program. {agree} of {n} printed values come
out to the printed rounding; the others are marked "differs" and explained in [README.md](README.md).

| value | printed | ours | |
|---|---|---|---|
"""

SECOND_HEAD = """
## ICT-preferred patients at thresholds of 0, 2 and 5 %

| cohort | threshold | n (coding 0/1, ours) | hazard ratio | n (coding -1/1, published script) | hazard ratio |
|---|---|---|---|---|---|"""


def table(folder: Path, ours: Mapping[str, Value]) -> str:
    """The whole page: our values by key beside the printed ones of `expected_dev.json` in the folder."""
    entries = json.loads((folder / "expected_dev.json").read_text())["results"]
    printed: Mapping[str, Mapping[str, object]] = {e["key"]: e for e in entries if e["published"] is not None}
    rows = []
    for key, entry in printed.items():
        mark = "" if entry["matches_published_rounding"] else "differs"
        rows.append(f"| {key} | {entry['published']} | {shown(ours[key])} | {mark} |")
    agree = sum(1 for entry in printed.values() if entry["matches_published_rounding"])
    return HEAD.format(agree=agree, n=len(printed)) + "\n".join(rows) + "\n" + _codings(ours)


def _codings(ours: Mapping[str, Value]) -> str:
    """ICT-preferred patients by the model's coding of the treatment (0/1) and by the published script's (-1/1)."""
    lines = [SECOND_HEAD]
    for cohort in ("training", "internal"):
        for percent in (0, 2, 5):
            cells = []
            for coding in ("arm01", "scriptminus1"):
                key = f"decision.{coding}.th{percent}pct.{cohort}.ict_preferred.DFS"
                ends = f"{shown(ours[f'{key}.hr_lo'])} to {shown(ours[f'{key}.hr_hi'])}"
                cells.append(f"{ours[f'{key}.n']} | {shown(ours[f'{key}.hr'])} ({ends})")
            lines.append(f"| {cohort} | {percent} % | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(value: Value) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def main() -> None:
    folder = SHARED / "cohort"
    ours = values(read_cohort(folder / "cohort_centre1.csv", endpoints=ENDPOINTS))
    TARGET.write_text(table(folder, ours), encoding="utf-8")
    sys.stdout.write(f"written: {TARGET}\n")


if __name__ == "__main__":
    main()
