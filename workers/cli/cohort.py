"""`cptdn cohort`: public data sets as cohorts of this program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from config.errors import InputError, ModelBundleError
from node.cli.context import print_json
from node.cli.progress import stages
from workers.cli.cohort_check import ProcessesOption, print_problem_table
from workers.cli.training_options import EVERY_NTH, JsonOption

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Public data sets as cohorts of this program."""


@app.command("import-npc277")
def import_npc277(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The unpacked archive, with MRI-Segments in it.")],
    clinical: Annotated[Path, typer.Option("--clinical", metavar="TABLE.csv", help="Its clinical table, as CSV.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Gets cohort.csv and patches/.")],
    column: Annotated[
        list[str],
        typer.Option("--column", metavar="NAME=HEADING", help="Which column is dfs_months, ebv_dna, ...; repeatable."),
    ] = [],  # noqa: B006
    templates: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="templates.json of the bundle that will score these patients."),
    ] = None,
    label: Annotated[str, typer.Option("--cohort", help="Label in the column cohort.")] = "external",
    processes: ProcessesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the public set of 277 untreated patients (arXiv:2404.03253) as a cohort with patches.

    Its treatments were not randomised and its stages are mixed; what it does not have stays out of the table. To train
    on it the table needs both arms and survival; to score it, patches that were cut with the templates of the bundle.

    Example: cptdn cohort import-npc277 primary_data --clinical clinical.csv --out npc277 --column dfs_months="DFS"
    """
    from workers.phantoms.writing import templates_from
    from workers.training.npc277 import import_images, patients_folder, rows_with_patches
    from workers.training.npc277_table import read_clinical_table, write_cohort_table
    from workers.training.ordered_processes import default_process_count

    named = dict(_named(text) for text in column)
    table = read_clinical_table(clinical, named, label)  # before hours of reading images
    n_patients = len(list(patients_folder(folder).iterdir()))
    known = None
    if templates is not None:
        try:
            known = templates_from(json.loads(templates.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, ModelBundleError) as error:
            raise InputError(f"expected intensity templates in {templates}: {error}") from error
    with stages(EVERY_NTH) as report_progress:
        images = import_images(
            folder,
            out / "patches",
            known,
            processes or default_process_count(n_patients),
            lambda stage, done, total: report_progress(stage, done, total, ""),
        )
    rows = rows_with_patches(table.rows, images.patients)
    write_cohort_table(out / "cohort.csv", rows)
    without_row = sorted(set(images.patients) - {row["patient_id"] for row in rows})
    if as_json:
        print_json(
            {
                "n": len(rows),
                "absent": list(table.absent),
                "unused": list(table.unused),
                "images_without_row": without_row,
                "problems": [problem.to_json() for problem in images.problems],
            }
        )
        return
    print_problem_table(images.problems, str(folder))
    typer.echo(f"{len(rows)} patients in {out / 'cohort.csv'}")
    if table.absent:
        typer.echo(f"not in the table: {', '.join(table.absent)} (name a column with --column NAME=HEADING)")
    if table.unused:
        typer.echo(f"columns that were not used: {', '.join(table.unused)}")
    if without_row:
        typer.echo(f"images without a row in the table: {', '.join(without_row)}")


def _named(text: str) -> tuple[str, str]:
    target, separator, heading = text.partition("=")
    if not separator or not heading:
        raise typer.BadParameter(f"expected NAME=HEADING, found {text!r}", param_hint="--column")
    return target, heading
