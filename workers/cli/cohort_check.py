"""The check of a cohort before `cptdn train` and `cptdn ablate`: one table of every patient's problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import InputError
from node.cli.context import print_table
from node.cli.progress import stages
from workers.cli.training_options import EVERY_NTH

if TYPE_CHECKING:
    from config.sections import CaseSettings
    from workers.training.cohort_check import CohortCheck
    from workers.training.patient_problems import PatientProblem
    from workers.volumes.intensity import Normalisation

WithoutUnusableOption = Annotated[
    bool,
    typer.Option("--without-unusable", help="Leave out the patients that cannot be used, and count them by reason."),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option("--processes", min=1, help="Processes that read images (default: one for each core)."),
]


def checked_cohort(
    cohort: Path,
    images: Path,
    normalisation: Normalisation,
    case: CaseSettings,
    processes: int | None,
    n_folds: int,
    horizons_months: Sequence[int],
    work: Path | None,
) -> CohortCheck:
    """Read all of a cohort, with its progress on stderr.

    Parameters
    ----------
    cohort, images : Path
        The table; saved patches or DICOM folders.
    normalisation : str
        Of the images.
    case : CaseSettings
        The site's rules for series and contours.
    processes : int or None
        That read images; None: by the number of patients and cores.
    n_folds, horizons_months
        What the table must allow, see `read_trainable`.
    work : Path or None
        Folder of the journal, so that every patient is read once; None: nothing is written.

    Returns
    -------
    CohortCheck
        Every problem.
    """
    from workers.survival.cohort import patient_ids_of
    from workers.training.cohort_check import check_cohort
    from workers.training.image_examination import JOURNAL, ImageExaminer
    from workers.training.image_source import holds_dicom
    from workers.training.ordered_processes import default_process_count

    patients = patient_ids_of(cohort)
    examiner = ImageExaminer(images, holds_dicom(images, patients), normalisation, case)
    with stages(EVERY_NTH) as report_progress:
        return check_cohort(
            cohort,
            examiner,
            None if work is None else work / JOURNAL,
            lambda done, total: report_progress("checked", done, total, ""),
            processes or default_process_count(len(patients)),
            n_folds,
            horizons_months,
        )


def print_problems(check: CohortCheck) -> None:
    """Print the table of problems, or that there are none."""
    print_problem_table(check.problems, check.cohort)
    typer.echo(
        f"{len(check.unusable)} of {check.n_patients} patients cannot be used"
        + (", and the table has problems of its own" if check.of_table else "")
    )


def print_problem_table(problems: Sequence[PatientProblem], title: str) -> None:
    """Print one row for each problem; nothing where there is none."""
    if problems:
        rows = [(each.patient_id or "(table)", each.kind, each.expected, each.found, each.action) for each in problems]
        print_table(("patient", "problem", "expected", "found", "what to do"), rows, title=title)


def require_usable(check: CohortCheck, without_unusable: bool) -> None:
    """Refuse a cohort that a training may not go on with.

    Raises
    ------
    InputError
        There are problems, and the operator has not said to go on without the patients, or that does not solve them.
    """
    of_patients = [problem for problem in check.problems if problem not in check.of_table]
    if of_patients and not without_unusable:
        first = of_patients[0]
        more = f" and {len(check.problems) - 1} more problems" if len(check.problems) > 1 else ""
        raise InputError(
            f"{check.cohort}: patient {first.patient_id}: expected {first.expected}, found {first.found}{more}; "
            "see all with cptdn train --check, correct them, or repeat the command with --without-unusable"
        )
    if check.of_table:
        raise InputError(check.of_table[0].found)
