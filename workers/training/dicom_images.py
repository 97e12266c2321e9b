"""Images of a cohort as DICOM: one folder per patient, with the three series and the RTSTRUCT (or SEG) of the tumour.

The rules of the service select series and contour, and the code of the service cuts the patches. Two passes: the first
takes the intensity landmarks of the training patients' series, the second cuts the patches with the templates learned
from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from config.decision_policy import DecisionPolicy
from config.errors import IneligibleStudyError, InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.settings import EligibilitySettings, Settings
from node.cases.assessment import CaseInputs, ComputeRequest, StoredInstance, assess_inputs
from node.cases.headers import header_of
from node.dicom.headers.conforming import read_conforming
from node.ledger.database import now_utc
from node.store.pixel_digests import pixel_digests
from workers.pipeline.computation import prepare_study
from workers.training.patch_store import PatientPatches
from workers.volumes.bias_field import bias_field
from workers.volumes.chosen_series import read_chosen
from workers.volumes.intensity import IntensityTemplate, Normalisation
from workers.volumes.landmarks import landmarks_of
from workers.volumes.series_patches import landmark_slices

UNKNOWN_AGE = "040Y"  # the rules ask for an age; training takes it from the cohort


@dataclass(frozen=True)
class TrainingPreprocessing:
    """What shapes patches before there is a bundle: intensity templates by role, and the in-plane spacing in mm."""

    templates: Mapping[str, IntensityTemplate]
    spacing_mm: float


@dataclass(frozen=True)
class PatientImages:
    """Which files of a patient's folder are the three series and the contour, by SOP Instance UID."""

    request: ComputeRequest
    files: Mapping[str, Path]


def patient_images(folder: Path, patient_id: str) -> PatientImages:
    """Select series and contour of one patient by the rules of the service.

    Parameters
    ----------
    folder : Path
        DICOM files of one study, in any subfolders; the contour may be of another study.
    patient_id : str
        Names the patient in errors.

    Returns
    -------
    PatientImages
        The request that the service would queue, and its files.

    Raises
    ------
    InputError
        Names the patient and what is missing: no folder, no series of a role, no contour.
    """
    if not folder.is_dir():
        raise InputError(f"patient {patient_id}: expected a folder of DICOM files {folder}, found none")
    stored, files = _stored(sorted(path for path in folder.rglob("*") if path.is_file()))
    images = [instance for instance in stored if instance.header.get("Modality") == "MR"]
    studies = sorted({str(instance.header["StudyInstanceUID"]) for instance in images})
    if len(studies) != 1:
        raise InputError(f"patient {patient_id}: expected MR series of one study in {folder}, found {len(studies)}")
    related = tuple(instance for instance in stored if instance.header.get("Modality") != "MR")
    inputs = CaseInputs(studies[0], tuple(images), related=related, pixel_digest_of=pixel_digests(files))
    assessment = assess_inputs(inputs, _lenient(), DecisionPolicy.of(NASOPHARYNX), now_utc())
    if assessment.request is None:
        reasons = "; ".join(reason["text"] for reason in assessment.reasons) or f"the study is {assessment.state}"
        raise InputError(f"patient {patient_id}: {folder} cannot be used: {reasons}")
    return PatientImages(assessment.request, files)


def learn_templates(
    patients: Iterable[PatientImages],
    roles: Sequence[str],
    progress: Callable[[int], None] = lambda done: None,
    normalisation: Normalisation = "landmarks",
) -> dict[str, IntensityTemplate]:
    """Learn intensity templates from the series of the training patients.

    Parameters
    ----------
    patients : iterable of PatientImages
        Read one after the other; few slices of each series are decoded.
    roles : sequence of str
        Series roles.
    progress : callable
        Called with the number of finished patients.
    normalisation : {"landmarks", "n4_landmarks", "z_score"}
        Kind of the templates.

    Returns
    -------
    dict of str to IntensityTemplate
        By role.
    """
    rows: dict[str, list[NDArray[np.floating]]] = {role: [] for role in roles}
    for done, patient in enumerate(patients, start=1):
        for role in roles:
            series = read_chosen(patient.request.series[role], patient.files)
            sampled = landmark_slices(len(series.frames))
            pixels = series.pixels_zyx(sampled)
            if normalisation == "n4_landmarks":
                # The field is estimated on the whole volume before slices are sampled, as the service does.
                pixels = pixels / bias_field(series.image)[sampled]
            rows[role].append(landmarks_of(pixels))
        progress(done)
    return {role: IntensityTemplate.from_landmarks(landmarks, normalisation) for role, landmarks in rows.items()}


def dicom_patch_reader(
    root: Path, preprocessing: TrainingPreprocessing, settings: Settings | None = None
) -> Callable[[str], PatientPatches]:
    """Return a reader of patches from ``root/<patient_id>/``.

    Parameters
    ----------
    root : Path
        One folder per patient.
    preprocessing : TrainingPreprocessing
        Templates and spacing.
    settings : Settings, optional
        Its case rules; the defaults otherwise.

    Returns
    -------
    callable
        patient_id -> patches (n, 2, 128, 128) by role, floats in [0, 1]; raises InputError naming the patient.
    """
    case = (settings or Settings()).case

    def read(patient_id: str) -> PatientPatches:
        patient = patient_images(root / patient_id, patient_id)
        try:
            material = prepare_study(patient.request, patient.files, preprocessing, case)
        except IneligibleStudyError as error:
            raise InputError(f"patient {patient_id}: {error.text}") from error
        return {role.value: one.patches for role, one in material.items()}

    return read


def _lenient() -> Settings:
    # The site decides which patients belong to its training cohort, so stage and EBV DNA are not checked here.
    return Settings(
        eligibility=EligibilitySettings(
            stage_unknown="report_unverified", ebv_unknown="both_categories", diagnosis="assume"
        )
    )


def _stored(paths: Sequence[Path]) -> tuple[list[StoredInstance], dict[str, Path]]:
    stored, files = [], {}
    for path in paths:
        try:
            header = header_of(read_conforming(path, stop_before_pixels=True))
        except (InvalidDicomError, OSError) as error:
            raise InputError(f"expected a DICOM file, found {path}: {error}") from error
        # Anonymised images often have no birth date or age, or placeholders such as 1900-01-01 and 000Y; the cohort
        # table has the age.
        header |= {"PatientAge": UNKNOWN_AGE, "PatientBirthDate": ""}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stored.append(StoredInstance(str(header["SOPInstanceUID"]), digest, now_utc(), header))
        files[str(header["SOPInstanceUID"])] = path
    return stored, files
