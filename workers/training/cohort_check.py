"""A cohort before its training: every patient's problem in one table, and who can be learned from without them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import BoolArray
from config.errors import InputError
from workers.survival.cohort import (
    TRAINING,
    Cohort,
    patient_ids_of,
    read_cohort,
    require_events,
    require_follow_up,
    unusable_cells,
)
from workers.survival.cohort_cells import CellProblem
from workers.training.cohort_outcomes import NEEDED_ENDPOINTS
from workers.training.cross_fitting import require_folds
from workers.training.image_examination import ImageExaminer, examine_images
from workers.training.patient_problems import WHOLE_TABLE, PatientProblem, counts_by_kind

CELL_ACTION = "correct the table"
TABLE_ACTION = "correct the table, or add patients"


@dataclass(frozen=True)
class CohortCheck:
    """What a check found.

    Attributes
    ----------
    cohort : str
        File name.
    n_patients : int
        Of the table, each counted once.
    problems : tuple of PatientProblem
        Of the whole table first, then in the order of its rows.
    """

    cohort: str
    n_patients: int
    problems: tuple[PatientProblem, ...]

    @property
    def unusable(self) -> frozenset[str]:
        """The patients that cannot be used; an empty one stands for rows without a patient."""
        return frozenset(problem.patient_id for problem in self._of_patients)

    @property
    def of_table(self) -> tuple[PatientProblem, ...]:
        """The problems that leaving patients out does not solve."""
        return tuple(problem for problem in self.problems if problem.kind == "table")

    @property
    def left_out(self) -> dict[str, Any]:
        """The numbers of unusable patients by reason, for the manifest: it names nobody."""
        return {"n": len(self.unusable), "by_reason": counts_by_kind(self._of_patients)}

    @property
    def _of_patients(self) -> list[PatientProblem]:
        return [problem for problem in self.problems if problem.kind != "table"]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``train --check``."""
        return {
            "cohort": self.cohort,
            "n_patients": self.n_patients,
            "n_unusable": len(self.unusable),
            "problems": [problem.to_json() for problem in self.problems],
            "by_reason": counts_by_kind(self._of_patients),
        }


def check_cohort(
    cohort_file: Path,
    examiner: ImageExaminer,
    journal: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    processes: int = 1,
    n_folds: int = 0,
    horizons_months: Sequence[int] = (),
) -> CohortCheck:
    """Read a whole cohort, its table and every patient's images and contour; nothing is trained.

    Parameters
    ----------
    cohort_file : Path
        The table.
    examiner, journal, progress, processes
        As of `examine_images`.
    n_folds, horizons_months
        As of `read_trainable`.

    Returns
    -------
    CohortCheck
        All problems, not only the first.

    Raises
    ------
    InputError
        The table cannot be read as a table of patients.
    """
    patients = patient_ids_of(cohort_file)
    problems, of_table = _table_problems(cohort_file)
    examined = examine_images(examiner, patients, journal, progress, processes)
    problems += [images.problem for images in examined.values() if images.problem is not None]
    if not of_table:
        try:
            read_trainable(cohort_file, {problem.patient_id for problem in problems}, n_folds, horizons_months)
        except InputError as error:
            of_table = [_of_whole_table(error, "a cohort that a model can be learned from")]
    order = {patient_id: row for row, patient_id in enumerate(patients)}
    problems.sort(key=lambda problem: order.get(problem.patient_id, -1))
    return CohortCheck(cohort_file.name, len(patients), (*of_table, *problems))


def read_trainable(
    cohort_file: Path, without: Collection[str] = (), n_folds: int = 0, horizons_months: Sequence[int] = ()
) -> tuple[Cohort, BoolArray]:
    """Read a cohort that a model can be learned from.

    Parameters
    ----------
    cohort_file : Path
        The table.
    without : collection of str
        Patients that are left out.
    n_folds : int
        Folds that need an event each; 0: none.
    horizons_months : sequence of int
        Which the follow-up of the training patients must reach; none: it need not.

    Returns
    -------
    cohort : Cohort
        All other patients.
    training : bool array, shape (n,)
        True for those labelled ``training``.

    Raises
    ------
    InputError
        The table is wrong, no patient is labelled ``training``, or there are too few events or too short a follow-up.
    """
    cohort = read_cohort(cohort_file, need_scores=False, endpoints=NEEDED_ENDPOINTS, without=without)
    training = np.array([label == TRAINING for label in cohort.labels])
    require_events(cohort.labelled(TRAINING), "dfs")
    if n_folds:
        require_folds(cohort, training, n_folds)
    if horizons_months:
        require_follow_up(cohort.outcome("dfs").durations_days[training], horizons_months, cohort.source)
    return cohort, training


def _table_problems(cohort_file: Path) -> tuple[list[PatientProblem], list[PatientProblem]]:
    """Return the problems of cells, and those of the whole table."""
    try:
        cells = unusable_cells(cohort_file, endpoints=NEEDED_ENDPOINTS)
    except InputError as error:
        return [], [_of_whole_table(error, "the columns of a cohort")]
    return [_cell_problem(cell) for cell in cells], []


def _cell_problem(cell: CellProblem) -> PatientProblem:
    kind = "duplicate_patient" if cell.column == "patient_id" else f"column_{cell.column}"
    return PatientProblem(cell.patient_id, kind, f"{cell.column}: {cell.expected}", cell.found, CELL_ACTION)


def _of_whole_table(error: InputError, expected: str) -> PatientProblem:
    return PatientProblem(WHOLE_TABLE, "table", expected, str(error), TABLE_ACTION)
