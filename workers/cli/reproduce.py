"""`cptdn nomogram reproduce`: the paper's printed values beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.context import print_json, print_table
from workers.cli.nomogram_options import JsonOption

if TYPE_CHECKING:
    from workers.validation.reproduction.comparison import ReproducedValue


def reproduce(
    ctx: typer.Context,
    cohorts: Annotated[
        list[Path],
        typer.Argument(metavar="COHORT.csv...", help="The paper's patients in canonical columns, in one file or more."),
    ],
    printed: Annotated[
        Path | None,
        typer.Option(
            "--printed", metavar="FILE.json", help='Printed values of which the program has no copy: {"KEY": "TEXT"}.'
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the printed values of Zhong et al. (EBioMedicine 2021;70:103522) from rows of its cohorts, and compare.

    The column cohort names the paper's cohorts: training, internal, external; values whose rows are not given are left
    out. The models are refitted on the training rows, as the paper fitted them. Values agree when they are equal at
    the printed digits.

    Example: cptdn nomogram reproduce centre1.csv
    Example: cptdn nomogram reproduce centre1.csv other-centres.csv --json
    """
    from workers.survival.cohort import read_cohort
    from workers.validation.reproduction.comparison import reproduce

    tables = [read_cohort(path, need_scores=False, need_ebv_dna=False, endpoints=()) for path in cohorts]
    values = reproduce(tables, printed)
    if as_json:
        print_json([value.to_json() for value in values])
    else:
        _print(values)


def _print(values: list[ReproducedValue]) -> None:
    from workers.validation.reproduction.comparison import shown

    for where in dict.fromkeys(value.printed.where for value in values):
        rows = [
            [value.printed.key, value.printed.printed or "-", shown(value.computed), _mark(value)]
            for value in values
            if value.printed.where == where
        ]
        print_table(("value", "printed", "ours", ""), rows, title=where)
    compared = [value for value in values if value.agrees is not None]
    differing = [value for value in compared if not value.agrees]
    if differing:
        typer.echo("Differences:")
    for value in differing:
        # Reasons are sentences, too long for a column.
        typer.echo(
            f"  {value.printed.key}: printed {value.printed.printed}, ours {shown(value.computed)}\n    {value.reason}"
        )
    typer.echo(f"{len(compared) - len(differing)} of {len(compared)} printed values come out at the printed digits")
    if len(values) > len(compared):
        typer.echo(
            f"{len(values) - len(compared)} more values are computed, but the program has no copy of what the paper "
            "prints; give it with --printed"
        )


def _mark(value: ReproducedValue) -> str:
    return {True: "agrees", False: "differs", None: ""}[value.agrees]
