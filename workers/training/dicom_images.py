"""Images of a cohort as DICOM: one folder per patient, with the three series and the RTSTRUCT (or SEG) of the tumour.

The rules of the service select series and contour, and the code of the service cuts the patches. Two passes: the first
reads every patient whole and takes the intensity landmarks (`image_examination`), the second cuts the patches with the
templates learned from the landmarks of the training patients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.errors import InvalidDicomError

from config.arrays import FloatArray
from config.decision_policy import DecisionPolicy
from config.errors import IneligibleStudyError, InputError
from config.indication.nasopharynx import NASOPHARYNX
from config.settings import CaseSettings, EligibilitySettings, Settings
from node.cases.assessment import CaseInputs, ComputeRequest, StoredInstance, assess_inputs
from node.cases.headers import header_of
from node.dicom.headers.conforming import read_conforming
from node.ledger.database import now_utc
from node.store.pixel_digests import pixel_digests
from workers.pipeline.computation import prepare_study
from workers.training.patch_store import PatientPatches
from workers.training.patient_problems import UnusableImagesError, image_problem
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


def patient_images(folder: Path, patient_id: str, case: CaseSettings | None = None) -> PatientImages:
    """Select series and contour of one patient by the rules of the service.

    Parameters
    ----------
    folder : Path
        DICOM files of one study, in any subfolders; the contour may be of another study.
    patient_id : str
        Names the patient in errors.
    case : CaseSettings, optional
        The site's rules for series and contours; the defaults otherwise.

    Returns
    -------
    PatientImages
        The request that the service would queue, and its files.

    Raises
    ------
    UnusableImagesError
        Names the patient and what is missing: no folder, no series of a role, no contour.
    """
    if not folder.is_dir():
        raise UnusableImagesError(
            image_problem(patient_id, "missing_images", "none", f"a folder of DICOM files {folder}")
        )
    stored, files = _stored(_dicom_files(folder), patient_id)
    images = [instance for instance in stored if instance.header.get("Modality") == "MR"]
    studies = sorted({str(instance.header["StudyInstanceUID"]) for instance in images})
    if len(studies) != 1:
        kind = "several_studies" if studies else "missing_series"
        raise UnusableImagesError(
            image_problem(patient_id, kind, f"{len(studies)} studies", f"MR series of one study in {folder}")
        )
    related = tuple(instance for instance in stored if instance.header.get("Modality") != "MR")
    inputs = CaseInputs(studies[0], tuple(images), related=related, pixel_digest_of=pixel_digests(files))
    assessment = assess_inputs(inputs, _lenient(case), DecisionPolicy.of(NASOPHARYNX), now_utc())
    if assessment.request is None:
        reasons = "; ".join(reason["text"] for reason in assessment.reasons) or f"the study is {assessment.state}"
        kind = assessment.reasons[0]["code"] if assessment.reasons else assessment.state
        raise UnusableImagesError(image_problem(patient_id, kind, f"in {folder}: {reasons}"))
    return PatientImages(assessment.request, files)


def patient_landmarks(
    patient: PatientImages, roles: Sequence[str], normalisation: Normalisation = "landmarks"
) -> dict[str, FloatArray]:
    """Take the intensity landmarks of a patient's series; few slices of each are decoded.

    Parameters
    ----------
    patient : PatientImages
        Chosen series.
    roles : sequence of str
        Series roles.
    normalisation : {"landmarks", "n4_landmarks", "z_score"}
        Of the template that is learned from them.

    Returns
    -------
    dict of str to float array, shape (n_percentiles,)
        By role, rising.
    """
    rows: dict[str, FloatArray] = {}
    for role in roles:
        series = read_chosen(patient.request.series[role], patient.files)
        sampled = landmark_slices(len(series.frames))
        pixels = series.pixels_zyx(sampled)
        if normalisation == "n4_landmarks":
            # The field is estimated on the whole volume before slices are sampled, as the service does.
            pixels = pixels / bias_field(series.image)[sampled]
        rows[role] = np.asarray(landmarks_of(pixels), dtype=np.float64)
    return rows


@dataclass(frozen=True)
class DicomPatchReader:
    """Reads the patches of a patient from ``root/<patient_id>/``; can be sent to another process.

    Attributes
    ----------
    root : Path
        One folder per patient.
    preprocessing : TrainingPreprocessing
        Templates and spacing.
    case : CaseSettings
        The site's rules for series and contours.
    """

    root: Path
    preprocessing: TrainingPreprocessing
    case: CaseSettings

    def __call__(self, patient_id: str) -> PatientPatches:
        """Return patches (n, 2, 128, 128) by role, floats in [0, 1].

        Raises
        ------
        UnusableImagesError
            Names the patient.
        """
        return cut_patches(patient_images(self.root / patient_id, patient_id, self.case), patient_id, self)


def cut_patches(patient: PatientImages, patient_id: str, reader: DicomPatchReader) -> PatientPatches:
    """Cut the patches of a patient whose series are chosen.

    Parameters
    ----------
    patient : PatientImages
        Chosen series and contour.
    patient_id : str
        Names the patient in errors.
    reader : DicomPatchReader
        Its templates, spacing and rules.

    Returns
    -------
    dict of str to float32 array, shape (n, 2, 128, 128)
        By role.

    Raises
    ------
    UnusableImagesError
        Images or contour cannot be read to their end, or do not fit each other.
    """
    try:
        prepared = prepare_study(patient.request, patient.files, reader.preprocessing, reader.case)
    except IneligibleStudyError as error:
        raise UnusableImagesError(image_problem(patient_id, error.code, error.text)) from error
    return {role.value: series.patches for role, series in prepared.items()}


def _dicom_files(folder: Path) -> list[Path]:
    # Media have an index, and file managers leave hidden files; neither is an image.
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name != "DICOMDIR"
    )


def _lenient(case: CaseSettings | None) -> Settings:
    # The site decides which patients belong to its training cohort, so stage and EBV DNA are not checked here.
    return Settings(
        case=case or CaseSettings(),
        eligibility=EligibilitySettings(
            stage_unknown="report_unverified", ebv_unknown="both_categories", diagnosis="assume"
        ),
    )


def _stored(paths: Sequence[Path], patient_id: str) -> tuple[list[StoredInstance], dict[str, Path]]:
    stored, files = [], {}
    for path in paths:
        try:
            header = header_of(read_conforming(path, stop_before_pixels=True))
            uid = str(header["SOPInstanceUID"])
        except (InvalidDicomError, InputError, OSError, KeyError, EOFError) as error:
            found = f"{path}: {error}"
            raise UnusableImagesError(
                image_problem(patient_id, "unreadable_instance", found, "a DICOM file")
            ) from error
        # Anonymised images often have no birth date or age, or placeholders such as 1900-01-01 and 000Y; the cohort
        # table has the age.
        header |= {"PatientAge": UNKNOWN_AGE, "PatientBirthDate": ""}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stored.append(StoredInstance(uid, digest, now_utc(), header))
        files[uid] = path
    return stored, files
