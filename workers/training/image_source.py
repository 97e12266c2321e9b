"""Where the images of a training come from: saved patches, or DICOM folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.arrays import FloatArray
from config.errors import InputError, ModelBundleError
from config.sections import CaseSettings
from workers.scores.multitask_network import SEQUENCES
from workers.survival.cohort import TRAINING, Cohort
from workers.training.grey_scale import GreyScale
from workers.training.image_examination import JOURNAL, ImageExaminer, examine_images
from workers.training.patch_store import PatientPatches, saved_patch_reader
from workers.training.patient_problems import UnusableImagesError
from workers.volumes.intensity import IntensityTemplate, Normalisation

SPACING_MM = 1.0
SAVED_TEMPLATES = "templates.json"


@dataclass(frozen=True)
class ImageSource:
    """A reader of patches for all patients, and what they are made with.

    Attributes
    ----------
    read_patches : callable
        patient_id -> patches by role; can be sent to another process.
    templates : mapping of str to IntensityTemplate
        By role.
    spacing_mm : float
        In the plane.
    root : Path, optional
        The folder that they come from, where phantoms leave their marks.
    landmarks : mapping of str to (mapping of str to float array)
        patient_id -> role -> intensity landmarks, of the training patients; empty for saved patches.
    """

    read_patches: Callable[[str], PatientPatches]
    templates: Mapping[str, IntensityTemplate]
    spacing_mm: float
    root: Path | None = None
    landmarks: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)

    @property
    def scale(self) -> GreyScale:
        """The grey scale of the patches, from which members make their own."""
        return GreyScale(self.templates, self.landmarks)


def normalisation_of(root: Path, requested: Normalisation | None) -> Normalisation:
    """Return how the images of a folder are normalised: as requested, else as saved patches were, else by landmarks.

    Parameters
    ----------
    root : Path
        Folder of saved patches or of DICOM folders.
    requested : str or None
        The operator's choice.

    Raises
    ------
    InputError
        Saved patches were normalised in another way than requested; that cannot be changed afterwards.
    """
    if not (root / SAVED_TEMPLATES).is_file():
        return requested or "landmarks"
    kinds = {template.kind for template in saved_templates(root).values()}
    # Saved patches cannot be normalised again, so their templates decide.
    kind = kinds.pop()
    if kinds or (requested is not None and kind != requested):
        raise InputError(
            f"the saved patches in {root} are normalised by {', '.join(sorted({kind, *kinds}))}, expected "
            f"{requested or 'one way'}; give the DICOM folders to choose another"
        )
    return kind


def image_source(
    root: Path,
    spacing_mm: float = SPACING_MM,
    progress: Callable[[int, int], None] = lambda done, total: None,
    normalisation: Normalisation = "landmarks",
    cache: Path | None = None,
    case: CaseSettings | None = None,
    processes: int = 1,
) -> Callable[[Cohort], ImageSource]:
    """Return the source for a folder of saved patches (with templates.json), or of one DICOM folder per patient.

    Parameters
    ----------
    root : Path
        The folder.
    spacing_mm : float
        In-plane spacing of patches cut from DICOM; saved patches have their own.
    progress : callable
        Called with finished and all patients while landmarks are learned.
    normalisation : {"landmarks", "n4_landmarks", "z_score"}
        For DICOM; saved patches have their own.
    cache : Path, optional
        Folder of the landmarks taken from DICOM, so that a resumed run does not read the images again.
    case : CaseSettings, optional
        The site's rules for series and contours; the defaults otherwise.
    processes : int
        That read patients at the same time while landmarks are taken.

    Returns
    -------
    callable
        Cohort -> ImageSource.

    Raises
    ------
    InputError
        The folder has neither kind of images; other errors when the callable is called.
    """
    if not root.is_dir():
        raise InputError(f"expected a folder of images {root}, found none")

    def of(cohort: Cohort) -> ImageSource:
        if not holds_dicom(root, cohort.patient_ids):
            return ImageSource(saved_patch_reader(root), saved_templates(root), spacing_mm, root)
        examiner = ImageExaminer(root, True, normalisation, case or CaseSettings())
        return _from_dicom(examiner, cohort, spacing_mm, progress, cache, processes)

    return of


def holds_dicom(root: Path, patient_ids: Sequence[str]) -> bool:
    """Return whether a folder contains one DICOM folder for each patient, and not saved patches.

    Raises
    ------
    InputError
        It contains neither of any patient.
    """
    # Any patient decides, not the first: his images may be those that are missing.
    for patient_id in patient_ids:
        if (root / f"{patient_id}.npz").is_file():
            return False
        if (root / patient_id).is_dir():
            return True
    first = patient_ids[0]
    raise InputError(
        f"patient {first}: expected the saved patches {root / first}.npz or the DICOM folder {root / first}, "
        "found neither, nor images of another patient"
    )


def saved_templates(root: Path) -> dict[str, IntensityTemplate]:
    """Return the templates that the saved patches of a folder were made with; InputError where there are none."""
    path = root / SAVED_TEMPLATES
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {role: IntensityTemplate.from_json(document[role]) for role in SEQUENCES}
    except (OSError, ValueError, KeyError, ModelBundleError) as error:
        raise InputError(f"expected the intensity templates of the saved patches in {path}: {error}") from error


def _from_dicom(
    examiner: ImageExaminer,
    cohort: Cohort,
    spacing_mm: float,
    progress: Callable[[int, int], None],
    cache: Path | None,
    processes: int,
) -> ImageSource:
    from workers.training.dicom_images import DicomPatchReader, TrainingPreprocessing

    # Templates of the training patients alone: test images must not shape their own normalisation.
    learned_from = cohort.labelled(TRAINING).patient_ids
    journal = None if cache is None else cache / JOURNAL
    examined = examine_images(examiner, learned_from, journal, progress, processes)
    problems = [images.problem for images in examined.values() if images.problem is not None]
    if problems:
        raise UnusableImagesError(problems[0])
    templates = {
        role: IntensityTemplate.from_landmarks(
            [images.landmarks[role] for images in examined.values()], examiner.normalisation
        )
        for role in SEQUENCES
    }
    reader = DicomPatchReader(examiner.root, TrainingPreprocessing(templates, spacing_mm), examiner.case)
    landmarks = {patient_id: images.landmarks for patient_id, images in examined.items()}
    return ImageSource(reader, templates, spacing_mm, examiner.root, landmarks)
