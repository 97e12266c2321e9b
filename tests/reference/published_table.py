"""Write the table "printed beside ours" of the published cohort: `python -m tests.reference.published_table`.

Reads the rows beside the checkout, computes every value again and writes `workers/nomogram/PUBLISHED.md`; numbers and
the paper's printed values are facts and may stand there, rows may not.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.peers import PROJECT, SHARED
from tests.reference.published_values import Value, values
from workers.survival.cohort import ENDPOINTS, read_cohort
from workers.validation.reproduction.comparison import beside_printed, computed_values
from workers.validation.reproduction.printed import read_printed_values
from workers.validation.reproduction.published_cohort import published_cohort

TARGET = PROJECT / "workers" / "nomogram" / "PUBLISHED.md"
HEAD = """# The paper's printed values beside ours

Zhong L et al., EBioMedicine 2021;70:103522, re-computed by `cptdn nomogram reproduce` from the patient rows that the
authors published (matched patients of centre 1: training 684, internal test 324). Written by
`python -m tests.reference.published_table`; a test compares it with the program. {agree} of {n} printed values come
out at the printed digits; each of the others has its reason below. [README.md](README.md) tells what follows from them.

| value | where | printed | ours | |
|---|---|---|---|---|
"""
REASONS_HEAD = """
## Differences

| value | printed | ours | reason |
|---|---|---|---|
"""

SECOND_HEAD = """
## ICT-preferred patients at thresholds of 0, 2 and 5 %

| cohort | threshold | n (coding 0/1, ours) | hazard ratio | n (coding -1/1, published script) | hazard ratio |
|---|---|---|---|---|---|"""


def table(ours: Mapping[str, Value], reproduced: Sequence[Mapping[str, Any]]) -> str:
    """The whole page: the command's values, the reasons of differences, and the two codings from our values by key."""
    rows = [
        f"| {v['key']} | {v['where']} | {v['printed']} | {shown(v['computed'])} | {'' if v['agrees'] else 'differs'} |"
        for v in reproduced
    ]
    differing = [
        f"| {v['key']} | {v['printed']} | {shown(v['computed'])} | {v['reason']} |"
        for v in reproduced
        if not v["agrees"]
    ]
    head = HEAD.format(agree=len(reproduced) - len(differing), n=len(reproduced))
    return head + "\n".join(rows) + "\n" + REASONS_HEAD + "\n".join(differing) + "\n" + _codings(ours)


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
    cohort = read_cohort(SHARED / "cohort" / "cohort_centre1.csv", endpoints=ENDPOINTS)
    published = published_cohort([cohort])
    computed = computed_values(published)
    reproduced = [value.to_json() for value in beside_printed(published, computed, read_printed_values())]
    TARGET.write_text(table(values(published, computed), reproduced), encoding="utf-8")
    sys.stdout.write(f"written: {TARGET}\n")


if __name__ == "__main__":
    main()
