"""The public set of 277 untreated patients with nasopharyngeal carcinoma, as saved patches and a cohort table.

    MRI-Segments/001/T1WI/*.dcm, T2WI/*.dcm, CE-T1WI/*.dcm         three series, de-identified
    MRI-Segments/001/ROI-T1.nii, ROI-T2.nii, ROI-CE-T1.nii         the primary tumour, drawn on each series
    a spreadsheet of clinical data                                 see `npc277_table`

The headers have no dates and no patient, and every series has a mask of its own, so the rules of the service for series
and contours do not apply: the folder says the role, and patches are cut with the mask of the same series.

References
----------
Li et al., A dataset of primary nasopharyngeal carcinoma MRI with multi-modalities segmentation, arXiv:2404.03253;
Zenodo, doi:10.5281/zenodo.10900202 and 10.5281/zenodo.13131827.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from config.arrays import FloatArray, LabelArray
from config.atomic_files import replacing, write_atomically
from config.errors import IneligibleStudyError, InputError
from workers.training.ordered_processes import in_order
from workers.training.patch_store import PATCH_KEYS, SEQUENCES
from workers.training.patient_problems import PatientProblem, UnusableImagesError, image_problem
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import landmarks_of
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.series_patches import extract_series_patches, landmark_slices

FOLDER = "MRI-Segments"
SERIES = {"T1w": "T1WI", "T2w": "T2WI", "CE-T1w": "CE-T1WI"}
MASKS = {"T1w": "ROI-T1.nii", "T2w": "ROI-T2.nii", "CE-T1w": "ROI-CE-T1.nii"}
SPACING_MM = 1.0
SAME_VOLUME = 0.02  # largest relative difference of the mask's volume on its own grid and on that of its series


@dataclass(frozen=True)
class ImportedImages:
    """What `import_images` wrote.

    Attributes
    ----------
    patients : tuple of str
        With patches.
    problems : tuple of PatientProblem
        Of the others.
    """

    patients: tuple[str, ...]
    problems: tuple[PatientProblem, ...]


def patients_folder(root: Path) -> Path:
    """Return the folder with one subfolder for each patient.

    Parameters
    ----------
    root : Path
        The unpacked archive, or a folder in it.

    Raises
    ------
    InputError
        The layout is another one.
    """
    for folder in (root, root / FOLDER, root / "data" / FOLDER):
        if folder.is_dir() and any((patient / SERIES["T1w"]).is_dir() for patient in folder.iterdir()):
            return folder
    raise InputError(
        f"expected {FOLDER}/001/{SERIES['T1w']} with DICOM images in {root} or its folder data, found no such folder; "
        "give the folder into which the archive was unpacked"
    )


def import_images(
    root: Path,
    out: Path,
    templates: Mapping[str, IntensityTemplate] | None = None,
    processes: int = 1,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> ImportedImages:
    """Cut the patches of all patients; patches that exist are left as they are, so a killed call can be repeated.

    Parameters
    ----------
    root : Path
        The unpacked archive.
    out : Path
        Gets ``<patient_id>.npz`` and ``templates.json``.
    templates : mapping of str to IntensityTemplate, optional
        Those of a bundle, for patients that it will score; by default learned from these patients.
    processes : int
        That read patients at the same time.
    progress : callable
        Called with stage, finished and all patients.

    Returns
    -------
    ImportedImages
        Patients, and every problem.

    Raises
    ------
    InputError
        Another layout, or no patient whose images can be used.
    """
    folder = patients_folder(root)
    patients = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    problems: dict[str, PatientProblem] = {}
    out.mkdir(parents=True, exist_ok=True)
    if templates is None:
        landmarks: dict[str, list[FloatArray]] = {role: [] for role in SEQUENCES}
        reader = _Landmarks(folder)
        for done, (patient, taken) in enumerate(zip(patients, in_order(reader, patients, processes), strict=True), 1):
            if isinstance(taken, PatientProblem):
                problems[patient] = taken
            else:
                for role in SEQUENCES:
                    landmarks[role].append(taken[role])
            progress("landmarks", done, len(patients))
        if not landmarks[SEQUENCES[0]]:
            raise InputError(
                f"{folder}: expected a patient with images and masks, found {next(iter(problems.values()))}"
            )
        templates = {role: IntensityTemplate.from_landmarks(rows) for role, rows in landmarks.items()}
    write_atomically(
        out / "templates.json", json.dumps({role: template.to_json() for role, template in templates.items()}, indent=1)
    )
    rest = [patient for patient in patients if patient not in problems and not (out / f"{patient}.npz").is_file()]
    cut = _Patches(folder, out, templates)
    for done, problem in enumerate(in_order(cut, rest, processes), 1):
        if problem is not None:
            problems[problem.patient_id] = problem
        progress("patches", len(patients) - len(rest) + done, len(patients))
    return ImportedImages(
        tuple(patient for patient in patients if patient not in problems),
        tuple(map(problems.__getitem__, sorted(problems))),
    )


@dataclass(frozen=True)
class _Landmarks:
    """Takes the landmarks of a patient's series; can be sent to another process."""

    folder: Path

    def __call__(self, patient: str) -> dict[str, FloatArray] | PatientProblem:
        try:
            return {role: _landmarks(_series(self.folder / patient, role)) for role in SEQUENCES}
        except (InputError, OSError) as error:
            return _problem(patient, error)


@dataclass(frozen=True)
class _Patches:
    """Cuts and saves the patches of a patient; can be sent to another process."""

    folder: Path
    out: Path
    templates: Mapping[str, IntensityTemplate]

    def __call__(self, patient: str) -> PatientProblem | None:
        try:
            bags = {}
            for role in SEQUENCES:
                series = _series(self.folder / patient, role)
                mask = mask_on_series(self.folder / patient, role, series)
                cut = extract_series_patches(series, mask, self.templates[role], SPACING_MM)
                # float16 has eleven significant bits: patches of 0..1 need no more.
                bags[PATCH_KEYS[role]] = cut.patches.astype(np.float16)
        except (InputError, OSError) as error:
            return _problem(patient, error)
        with replacing(self.out / f"{patient}.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, **bags)  # type: ignore[arg-type]
        return None


def _series(patient: Path, role: str) -> MrSeries:
    folder = patient / SERIES[role]
    files = sorted(path for path in folder.rglob("*.dcm") if not path.name.startswith("."))
    if not files:
        raise UnusableImagesError(image_problem(patient.name, "missing_series", f"no image in {folder}"))
    return read_series(files)


def _landmarks(series: MrSeries) -> FloatArray:
    return np.asarray(landmarks_of(series.pixels_zyx(landmark_slices(len(series.frames)))), dtype=np.float64)


def mask_on_series(patient: Path, role: str, series: MrSeries) -> LabelArray:
    """Read the mask of a series on the grid of that series.

    Parameters
    ----------
    patient : Path
        Folder of the patient.
    role : str
        The sequence.
    series : MrSeries
        Its images.

    Returns
    -------
    uint8, shape (slices, rows, columns)
        1 inside the tumour.

    Raises
    ------
    UnusableImagesError
        No mask, an empty one, or one at another place than the images.
    """
    path = next((p for p in (patient / MASKS[role], patient / f"{MASKS[role]}.gz") if p.is_file()), None)
    if path is None:
        raise UnusableImagesError(image_problem(patient.name, "missing_contour", f"no {MASKS[role]}", "a mask"))
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UnusableImagesError(image_problem(patient.name, "unreadable_instance", f"{path}: {error}")) from error
    values = sitk.GetArrayFromImage(image)
    # Halfway between the lowest and the highest value, as the publication's own tools separate them.
    mask = sitk.GetImageFromArray((values > (values.min() + values.max()) / 2).astype(np.uint8))
    mask.CopyInformation(image)
    # By position and not by index: a NIfTI file may store its slices in another order than the series has.
    on_series = sitk.Resample(mask, series.image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    own, moved = _volume_mm3(mask), _volume_mm3(on_series)
    if own == 0:
        raise UnusableImagesError(image_problem(patient.name, "missing_contour", f"{path.name} is empty"))
    if abs(moved - own) > SAME_VOLUME * own:
        found = f"{path.name}: {moved / 1000:.1f} of {own / 1000:.1f} mL inside the images"
        raise UnusableImagesError(image_problem(patient.name, "contour_not_covered", found))
    return sitk.GetArrayFromImage(on_series)


def _volume_mm3(mask: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(mask).sum() * np.prod(mask.GetSpacing()))


def _problem(patient: str, error: Exception) -> PatientProblem:
    if isinstance(error, UnusableImagesError):
        return error.problem
    kind = error.code if isinstance(error, IneligibleStudyError) else "unreadable_instance"
    return image_problem(patient, kind, str(error))


def rows_with_patches(rows: Sequence[Mapping[str, str]], patients: Sequence[str]) -> list[Mapping[str, str]]:
    """Return the rows of the patients that have patches.

    Raises
    ------
    InputError
        There is none: the numbers of the table are not those of the folders.
    """
    known = set(patients)
    kept = [row for row in rows if row["patient_id"] in known]
    if not kept:
        raise InputError(
            f"expected the clinical table to name patients as their folders, such as {patients[0]}, found "
            f"{rows[0]['patient_id']}"
        )
    return kept
