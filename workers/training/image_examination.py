"""Every patient's images read once, whole: what cannot be used, and the intensity landmarks of what can.

The result of each patient is one line of a journal, so that a run that was killed continues, and a run after a
correction reads only what was corrected. The journal belongs to the working folder and stays in the hospital.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from config.arrays import FloatArray
from config.errors import CptdnError, IneligibleStudyError
from config.sections import CaseSettings
from workers.training.json_lines import resume_json_lines
from workers.training.ordered_processes import in_order
from workers.training.patch_store import SEQUENCES, SavedPatchReader, checked_bags
from workers.training.patient_problems import PatientProblem, UnusableImagesError, image_problem
from workers.volumes.intensity import IntensityTemplate, Normalisation

JOURNAL = "examined.jsonl"
TRIAL_SPACING_MM = 1.0


@dataclass(frozen=True)
class ExaminedImages:
    """What the images of one patient are good for.

    Attributes
    ----------
    patient_id : str
        The patient.
    problem : PatientProblem or None
        Why they cannot be used.
    content : str
        Digest that equal images share.
    landmarks : mapping of str to float array
        By role; empty for saved patches, which were standardised when they were cut.
    """

    patient_id: str
    problem: PatientProblem | None = None
    content: str = ""
    landmarks: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageExaminer:
    """Examines the images of one patient; can be sent to another process.

    Attributes
    ----------
    root : Path
        Saved patches, or one DICOM folder for each patient.
    is_dicom : bool
        Which of the two.
    normalisation : str
        Of the templates that will be learned from the landmarks.
    case : CaseSettings
        The site's rules for series and contours.
    """

    root: Path
    is_dicom: bool
    normalisation: Normalisation = "landmarks"
    case: CaseSettings = field(default_factory=CaseSettings)

    def place(self, patient_id: str) -> Path:
        """Return the folder or file of a patient."""
        return self.root / (patient_id if self.is_dicom else f"{patient_id}.npz")

    def state(self, patient_id: str) -> str:
        """Return a digest that changes with any file of a patient, and with the rules by which it is read."""
        place = self.place(patient_id)
        state = hashlib.sha256(f"{self.normalisation} {self.case.model_dump_json()}".encode())
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                status = path.stat()
                state.update(f"{path.relative_to(self.root)} {status.st_size} {status.st_mtime_ns};".encode())
        return state.hexdigest()

    def __call__(self, patient_id: str) -> ExaminedImages:
        """Read everything of one patient; what cannot be used is returned, not raised."""
        try:
            return self._dicom(patient_id) if self.is_dicom else self._saved(patient_id)
        except UnusableImagesError as error:
            return ExaminedImages(patient_id, error.problem)
        except IneligibleStudyError as error:
            return ExaminedImages(patient_id, image_problem(patient_id, error.code, error.text))
        except Exception as error:  # whatever a damaged file provokes in a library must not hide the other patients
            found = str(error) if isinstance(error, CptdnError) else f"{type(error).__name__}: {error}"
            return ExaminedImages(patient_id, image_problem(patient_id, "unreadable_instance", found))

    def _saved(self, patient_id: str) -> ExaminedImages:
        bags = checked_bags(SavedPatchReader(self.root)(patient_id), patient_id)
        content = hashlib.sha256()
        for role in SEQUENCES:
            content.update(np.ascontiguousarray(bags[role]).data)
        return ExaminedImages(patient_id, content=content.hexdigest())

    def _dicom(self, patient_id: str) -> ExaminedImages:
        from workers.training.dicom_images import (
            DicomPatchReader,
            TrainingPreprocessing,
            cut_patches,
            patient_images,
            patient_landmarks,
        )

        patient = patient_images(self.place(patient_id), patient_id, self.case)
        landmarks = patient_landmarks(patient, SEQUENCES, self.normalisation)
        # Cut with templates of the patient's own, for there are no others yet: this reads every slice to its end and
        # finds contours that do not fit the images.
        own = {role: IntensityTemplate.from_landmarks([row]) for role, row in landmarks.items()}
        cut_patches(
            patient,
            patient_id,
            DicomPatchReader(self.root, TrainingPreprocessing(own, TRIAL_SPACING_MM), self.case),
        )
        content = hashlib.sha256(patient.request.study_instance_uid.encode()).hexdigest()
        return ExaminedImages(patient_id, content=content, landmarks=landmarks)


def examine_images(
    examiner: ImageExaminer,
    patient_ids: Sequence[str],
    journal: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    processes: int = 1,
) -> dict[str, ExaminedImages]:
    """Examine the images of patients, those of a journal only where their files have changed.

    Parameters
    ----------
    examiner : ImageExaminer
        Where they are and how they are read.
    patient_ids : sequence of str
        Whom.
    journal : Path, optional
        A file with the results so far, in a folder that is created if necessary.
    progress : callable
        Called with finished and all patients.
    processes : int
        That read patients at the same time.

    Returns
    -------
    dict of str to ExaminedImages
        In the order of `patient_ids`. A study in two patients' folders is a problem of both.
    """
    known = {} if journal is None else _known(journal)
    states = {patient_id: examiner.state(patient_id) for patient_id in patient_ids}
    examined = {
        patient_id: known[patient_id, state] for patient_id, state in states.items() if (patient_id, state) in known
    }
    rest = [patient_id for patient_id in patient_ids if patient_id not in examined]
    if journal is not None:
        journal.parent.mkdir(parents=True, exist_ok=True)
    for result in in_order(examiner, rest, processes):
        examined[result.patient_id] = result
        if journal is not None:
            _append(journal, result, states[result.patient_id])
        progress(len(examined), len(patient_ids))
    return _with_duplicates({patient_id: examined[patient_id] for patient_id in patient_ids})


def _with_duplicates(examined: dict[str, ExaminedImages]) -> dict[str, ExaminedImages]:
    owners: dict[str, list[str]] = {}
    for patient_id, images in examined.items():
        if images.content:
            owners.setdefault(images.content, []).append(patient_id)
    for same in (patients for patients in owners.values() if len(patients) > 1):
        for patient_id in same:
            others = ", ".join(other for other in same if other != patient_id)
            problem = image_problem(patient_id, "duplicate_images", f"the same images for {others}")
            examined[patient_id] = ExaminedImages(patient_id, problem)
    return examined


def _known(journal: Path) -> dict[tuple[str, str], ExaminedImages]:
    known = {}
    for line in resume_json_lines(journal):
        problem = None if line["problem"] is None else PatientProblem(**line["problem"])
        landmarks = {role: np.array(row) for role, row in line["landmarks"].items()}
        known[line["patient_id"], line["state"]] = ExaminedImages(
            line["patient_id"], problem, line["content"], landmarks
        )
    return known


def _append(journal: Path, result: ExaminedImages, state: str) -> None:
    line = {
        **asdict(result),
        # JSON writes a float64 with all its digits, so templates do not depend on an interruption.
        "landmarks": {role: [float(value) for value in row] for role, row in result.landmarks.items()},
        "state": state,
    }
    with journal.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
