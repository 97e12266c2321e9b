"""Both scores of every patient of a cohort by a bundle, for validation.

A patient of the training is scored by the member that had not learned from that patient, any other by the whole
ensemble. A call after a kill goes on where it stopped.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import IndexArray
from config.atomic_files import replacing
from config.errors import InputError
from config.indication.conventions import SCORE_DECIMALS
from workers.bundles.bundle import Bundle
from workers.bundles.training_patients import training_folds
from workers.scores.scoring import Scores
from workers.survival.csv_table import read_table
from workers.training.ensemble_scores import score_patches
from workers.training.image_examination import ImageExaminer
from workers.training.image_source import saved_templates
from workers.training.json_lines import resume_json_lines
from workers.training.ordered_processes import in_order
from workers.training.patch_store import PatientPatches, SavedPatchReader, checked_bags
from workers.training.patient_problems import PatientProblem, UnusableImagesError

PATIENTS_AT_ONCE = 32
SCORE_COLUMNS = ("prognostic_score", "predictive_score", "out_of_fold")


@dataclass(frozen=True)
class ScoredCohort:
    """What `score_cohort` wrote.

    Attributes
    ----------
    n : int
        Scored patients.
    n_out_of_fold : int or None
        Those of the training, each scored by the member that had not seen the patient; None: the bundle does not record
        its training patients.
    problems : tuple of PatientProblem
        Why patients were not scored.
    """

    n: int
    n_out_of_fold: int | None
    problems: tuple[PatientProblem, ...]


@dataclass(frozen=True)
class _MemberScores:
    """Scores of one patient by every member, or why there are none."""

    patient_id: str
    prognostic: tuple[float, ...] = ()
    predictive: tuple[float, ...] = ()
    problem: PatientProblem | None = None

    def of(self, fold: int) -> tuple[float, float]:
        """Return the scores by the member of a fold, 1 to K, or by the ensemble, 0."""
        if self.problem is not None:
            return np.nan, np.nan
        if fold:
            return self.prognostic[fold - 1], self.predictive[fold - 1]
        return float(np.mean(self.prognostic)), float(np.mean(self.predictive))


def score_cohort(
    cohort_file: Path,
    examiner: ImageExaminer,
    bundle: Bundle,
    out: Path,
    *,
    without_unusable: bool = False,
    device: str = "cpu",
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ScoredCohort:
    """Score a cohort and write its table with the scores.

    Parameters
    ----------
    cohort_file : Path
        A table of patients; the column ``patient_id`` is enough.
    examiner : ImageExaminer
        Where the images are and how they are read.
    bundle : Bundle
        The model.
    out : Path
        Gets the rows of the table with ``prognostic_score``, ``predictive_score`` and ``out_of_fold``. Beside it a
        journal remembers what is scored until the table is written.
    without_unusable : bool
        Write the table without the patients that cannot be scored; otherwise it is not written where there are any.
    device : str
        As in the settings.
    processes : int
        That read images at the same time.
    progress : callable
        Called with finished and all patients.

    Returns
    -------
    ScoredCohort
        Numbers, and every patient's problem.

    Raises
    ------
    InputError
        The table has no patients, or saved patches were cut for another model.
    """
    header, rows = read_table(cohort_file, "cohort")
    if "patient_id" not in header:
        raise InputError(f"{cohort_file}: missing the column patient_id; found {', '.join(header)}")
    texts = {name: [row[at].strip() for row in rows] for at, name in enumerate(header)}
    patients = list(dict.fromkeys(texts["patient_id"]))
    folds = training_folds(bundle.folder, patients)
    journal = out.with_name(f".{out.name}.scored.jsonl")
    scored = _scored(patients, examiner, bundle, journal, device, processes, progress)
    problems = tuple(each.problem for each in scored.values() if each.problem is not None)
    if not problems or without_unusable:
        fold_of = dict(zip(patients, [0] * len(patients) if folds is None else map(int, folds), strict=True))
        pairs = np.array([scored[patient_id].of(fold_of[patient_id]) for patient_id in texts["patient_id"]])
        fold = np.array([fold_of[patient_id] for patient_id in texts["patient_id"]], dtype=np.intp)
        write_scores(out, texts, Scores(pairs[:, 0], pairs[:, 1]), fold)
        journal.unlink(missing_ok=True)
    n_out_of_fold = None if folds is None else int(np.sum(folds > 0))
    return ScoredCohort(len(patients) - len(problems), n_out_of_fold, problems)


def write_scores(path: Path, texts: Mapping[str, Sequence[str]], scores: Scores, fold: IndexArray) -> None:
    """Write patients with their scores in place of any others, for ``cptdn nomogram evaluate``.

    Parameters
    ----------
    path : Path
        Replaced as a whole.
    texts : mapping of str to sequence of str, length n
        Columns of the cohort table.
    scores : Scores
        Shape (n,) each; a patient with NaN is left out.
    fold : int array, shape (n,)
        The member that had not seen a patient of the training, 1 to K; 0 for other patients.
    """
    kept = {name: column for name, column in texts.items() if name not in SCORE_COLUMNS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*kept, *SCORE_COLUMNS])
        for row in np.flatnonzero(~np.isnan(scores.prognostic)).tolist():
            both = (f"{scores.prognostic[row]:.{SCORE_DECIMALS}f}", f"{scores.predictive[row]:.{SCORE_DECIMALS}f}")
            writer.writerow([*(column[row] for column in kept.values()), *both, "true" if fold[row] else ""])


def _scored(
    patients: Sequence[str],
    examiner: ImageExaminer,
    bundle: Bundle,
    journal: Path,
    device: str,
    processes: int,
    progress: Callable[[int, int], None],
) -> dict[str, _MemberScores]:
    """Return the scores of all patients, those of the journal without computing them again."""
    states = {patient_id: f"{bundle.digest} {examiner.state(patient_id)}" for patient_id in patients}
    scored = {
        line["patient_id"]: _from_line(line)
        for line in resume_json_lines(journal)
        if states.get(line["patient_id"]) == line["state"]
    }
    rest = [patient_id for patient_id in patients if patient_id not in scored]
    read = _SafeReader(_reader(examiner, bundle))
    journal.parent.mkdir(parents=True, exist_ok=True)
    block: list[tuple[str, PatientPatches | PatientProblem]] = []
    with journal.open("a", encoding="utf-8") as stream:
        for number, (patient_id, bags) in enumerate(zip(rest, in_order(read, rest, processes), strict=True), start=1):
            block.append((patient_id, bags))
            if len(block) == PATIENTS_AT_ONCE or number == len(rest):
                for each in _scored_block(block, bundle, device):
                    scored[each.patient_id] = each
                    stream.write(json.dumps({**asdict(each), "state": states[each.patient_id]}) + "\n")
                stream.flush()
                block = []
                progress(len(scored), len(patients))
    return {patient_id: scored[patient_id] for patient_id in patients}


def _scored_block(
    block: Sequence[tuple[str, PatientPatches | PatientProblem]], bundle: Bundle, device: str
) -> list[_MemberScores]:
    bags = {patient_id: read for patient_id, read in block if not isinstance(read, PatientProblem)}
    results = {
        patient_id: _MemberScores(patient_id, problem=read)
        for patient_id, read in block
        if isinstance(read, PatientProblem)
    }
    if bags:
        scores = score_patches(bundle, list(bags), bags.__getitem__, device).by_member
        for at, patient_id in enumerate(bags):
            results[patient_id] = _MemberScores(
                patient_id, tuple(map(float, scores.prognostic[:, at])), tuple(map(float, scores.predictive[:, at]))
            )
    return [results[patient_id] for patient_id, _ in block]


def _from_line(line: Mapping[str, Any]) -> _MemberScores:
    problem = None if line["problem"] is None else PatientProblem(**line["problem"])
    return _MemberScores(line["patient_id"], tuple(line["prognostic"]), tuple(line["predictive"]), problem)


@dataclass(frozen=True)
class _SafeReader:
    """Returns the problem of a patient instead of raising it; can be sent to another process."""

    read_patches: Callable[[str], PatientPatches]

    def __call__(self, patient_id: str) -> PatientPatches | PatientProblem:
        try:
            return checked_bags(self.read_patches(patient_id), patient_id)
        except UnusableImagesError as error:
            return error.problem


def _reader(examiner: ImageExaminer, bundle: Bundle) -> Callable[[str], PatientPatches]:
    """Return the reader of patches on the bundle's scale of grey values."""
    if examiner.is_dicom:
        from workers.training.dicom_images import DicomPatchReader, TrainingPreprocessing

        preprocessing = TrainingPreprocessing(bundle.templates, bundle.spacing_mm)
        return DicomPatchReader(examiner.root, preprocessing, examiner.case)
    if saved_templates(examiner.root) != bundle.templates:
        raise InputError(
            f"expected patches in {examiner.root} that were cut with the intensity templates of the bundle "
            f"{bundle.manifest.name}, found others; give the DICOM folders, or cut the patches with {bundle.folder}"
            "/templates.json"
        )
    return SavedPatchReader(examiner.root)
