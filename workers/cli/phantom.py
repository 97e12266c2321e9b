"""`cptdn phantom`: a synthetic cohort with images, to train on and to test on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from config.errors import InputError
from node.cli.context import print_json
from node.cli.progress import stages


def phantom(
    ctx: typer.Context,
    size: Annotated[int, typer.Argument(metavar="COHORT_SIZE", min=1, help="How many patients.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets cohort.csv, truth.csv, patches/ and dicom/.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same cohort.")] = 1,
    label: Annotated[str, typer.Option("--cohort", help="Label in the column cohort.")] = "training",
    scanners: Annotated[
        Literal["training", "other"], typer.Option(help="Other: gain, gamma, noise, bias and blur beyond the usual.")
    ] = "training",
    templates: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Intensity templates (default: learned from this cohort).")
    ] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write each patient as a DICOM study.")] = False,
    patches: Annotated[bool, typer.Option(help="Write the patches.")] = True,
    processes: Annotated[int, typer.Option(min=1, help="Processes that draw in parallel.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Draw synthetic patients with images, to train on and to test on.

    They have clinical facts, survival drawn from the published nomogram, and three MR series whose texture, enhancement
    and shape carry the two scores. Nothing in them comes from a real person.

    Example: cptdn phantom 200 --out out/phantoms --seed 7 --dicom
    """
    from workers.phantoms.dicom_study import write_cohort_studies
    from workers.phantoms.writing import PhantomCohort, templates_from, write_cohort, write_tables

    cohort = PhantomCohort(size, seed, label, scanners)
    known_templates = None
    if templates is not None:
        try:
            known_templates = templates_from(json.loads(templates.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"expected intensity templates in {templates}: {error}") from error
    # Tables first: they are small, and the patches of a killed run are completed by the next one.
    write_tables(cohort, out)
    with stages({"patches": 100, "studies": 100}) as report_progress:
        if patches:
            write_cohort(
                cohort, out, known_templates, processes, lambda done, total: report_progress("patches", done, total, "")
            )
        if dicom:
            write_cohort_studies(cohort, out / "dicom", lambda done, total: report_progress("studies", done, total, ""))
    summary = {"size": size, "seed": seed, "scanners": scanners, "folder": str(out), "dicom": dicom}
    if as_json:
        print_json(summary)
    else:
        typer.echo(f"{size} synthetic patients in {out}")
