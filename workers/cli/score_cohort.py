"""`cptdn score-cohort`: both scores of every patient of a cohort by a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.errors import InputError
from node.cli.context import print_json, settings_of
from node.cli.progress import stages
from workers.cli.cohort_check import ProcessesOption, WithoutUnusableOption, print_problem_table
from workers.cli.training_options import EVERY_NTH, CohortArgument, DeviceOption, ImagesOption, JsonOption

NOT_RECORDED = (
    "the bundle does not record its training patients: scores of patients that it was trained on are too good, leave "
    "them out of a validation"
)


def score_cohort(
    ctx: typer.Context,
    cohort: CohortArgument,
    images: ImagesOption,
    bundle: Annotated[str, typer.Option("--bundle", metavar="BUNDLE", help="Name or folder of the bundle.")],
    out: Annotated[Path, typer.Option("--out", metavar="SCORES.csv", help="File for the cohort with its scores.")],
    without_unusable: WithoutUnusableOption = False,
    processes: ProcessesOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score every patient of a cohort by a bundle, for `cptdn nomogram evaluate`.

    SCORES.csv has the rows of COHORT.csv with prognostic_score, predictive_score and out_of_fold. A patient that the
    bundle was trained on has the scores of the member that had not seen the patient, and out_of_fold = true; any other
    has those of the whole ensemble, as a report would. An interrupted run goes on when the same command is repeated.

    Example: cptdn score-cohort external.csv --images dicom --bundle bundles/site-1 --out external-scores.csv
    """
    from config.bundle_signature import trust_of
    from workers.bundles.bundle import load_bundle
    from workers.survival.cohort import patient_ids_of
    from workers.training.cohort_scoring import score_cohort as score_all
    from workers.training.image_examination import ImageExaminer
    from workers.training.image_source import holds_dicom
    from workers.training.ordered_processes import default_process_count

    settings = settings_of(ctx)
    model = load_bundle(bundle, trust_of(settings.model))
    patients = patient_ids_of(cohort)
    examiner = ImageExaminer(images, holds_dicom(images, patients), case=settings.case)
    with stages(EVERY_NTH) as report_progress:
        scored = score_all(
            cohort,
            examiner,
            model,
            out,
            without_unusable=without_unusable,
            device=device,
            processes=processes or default_process_count(len(patients)),
            progress=lambda done, total: report_progress("scored", done, total, ""),
        )
    if scored.n_out_of_fold is None:
        typer.echo(NOT_RECORDED, err=True)
    refused = bool(scored.problems) and not without_unusable
    if as_json:
        print_json(
            {
                "n": scored.n,
                "n_out_of_fold": scored.n_out_of_fold,
                "problems": [problem.to_json() for problem in scored.problems],
                "written": None if refused else str(out),
            }
        )
    else:
        print_problem_table(scored.problems, cohort.name)
    if refused:
        raise InputError(
            f"{len(scored.problems)} patients of {cohort.name} cannot be scored: correct their images, or repeat the "
            "command with --without-unusable"
        )
    if not as_json:
        typer.echo(
            f"{scored.n} patients scored, {scored.n_out_of_fold or 'none'} of them of the bundle's training and out of "
            f"fold; written: {out}"
        )
