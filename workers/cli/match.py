"""`cptdn match`: comparable arms in a cohort that was not randomised."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import InputError
from node.cli.context import print_json, print_table
from workers.cli.nomogram_options import p_shown

if TYPE_CHECKING:
    from workers.validation.matching import Matching


def match(
    ctx: typer.Context,
    cohort: Annotated[Path, typer.Argument(metavar="COHORT.csv", help="A cohort in canonical columns.")],
    out: Annotated[Path, typer.Option("--out", metavar="MATCHED.csv", help="File for the matched patients.")],
    caliper: Annotated[
        float | None, typer.Option(min=0, help="Largest difference, in standard deviations of the propensity score.")
    ] = None,
    exact: Annotated[
        str | None, typer.Option("--exact", metavar="COLUMN", help="Partners agree in this column, e.g. centre.")
    ] = None,
    covariate: Annotated[
        list[str], typer.Option("--covariate", metavar="COLUMN", help="In place of the paper's; repeatable.")
    ] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Match the two arms 1:1 by nearest propensity score and print their balance before and after.

    MATCHED.csv has the matched rows of COHORT.csv, with the columns propensity_score and pair.

    Example: cptdn match cohort.csv --out matched.csv --caliper 0.02 --exact centre
    """
    from workers.survival.cohort import read_cohort
    from workers.validation.baseline_table import MATCHED_FACTORS
    from workers.validation.matching import match as match_arms

    if out.exists() and out.samefile(cohort):
        raise InputError(f"--out {out} is the cohort itself, whose other patients would be lost: name another file")
    # Matching precedes the scores and needs no follow-up.
    patients = read_cohort(cohort, need_scores=False, need_ebv_dna=False, endpoints=())
    matching = match_arms(patients, tuple(covariate) or MATCHED_FACTORS, caliper, exact)
    if not matching.pairs:
        limits = "--caliper" if exact is None else f"--caliper and --exact {exact}"
        raise InputError(
            f"{cohort}: no {matching.focal_arm.value} patient has a partner within {limits}: give wider ones"
        )
    _write(matching, out)
    document = {**matching.to_json(), "exact": exact, "written": str(out)}
    if as_json:
        print_json(document)
        return
    rows = []
    for before in matching.before:
        after = next((b for b in matching.after if b.factor == before.factor), None)
        shown = (f"{after.smd:+.3f}", p_shown(after.p)) if after else ("-", "-")
        rows.append((before.factor, f"{before.smd:+.3f}", p_shown(before.p), *shown))
    columns = ("", "difference before", "p", "difference after", "p")
    print_table(columns, rows, title="Standardised mean differences of the arms")
    typer.echo(
        f"{len(matching.pairs)} pairs of {len(patients)} patients: {len(matching.pairs)} of {matching.n_focal} "
        f"{matching.focal_arm.value} patients have a partner"
    )
    if matching.n_incomplete:
        typer.echo(f"{matching.n_incomplete} patients with an unknown covariate were left out")
    typer.echo(f"written: {out}")


def _write(matching: Matching, out: Path) -> None:
    texts = matching.cohort.texts
    # A table that was matched before has these two columns already.
    columns = [name for name in texts if name not in ("propensity_score", "pair")]
    try:
        with out.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([*columns, "propensity_score", "pair"])
            for number, pair in enumerate(matching.pairs, 1):
                for row in pair:
                    writer.writerow(
                        # repr keeps all digits of a float64, so that a caliper can be checked from the file.
                        [*(texts[name][row] for name in columns), repr(float(matching.propensity[row])), number]
                    )
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
