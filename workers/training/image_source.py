"""Where the images of a training come from: saved patches, or DICOM folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.atomic_files import write_atomically
from config.errors import InputError, ModelBundleError
from workers.scores.multitask_network import SEQUENCES
from workers.survival.cohort import TRAINING, Cohort
from workers.training.patch_store import PatientPatches, saved_patch_reader
from workers.volumes.intensity import IntensityTemplate, Normalisation

SPACING_MM = 1.0
SAVED_TEMPLATES = "templates.json"
LEARNED_TEMPLATES = "learned-templates.json"


@dataclass(frozen=True)
class ImageSource:
    """A reader of patches for all patients, with the templates and the spacing (mm) that they were made with.

    `root` is the folder that they come from, where phantoms leave their marks.
    """

    read_patches: Callable[[str], PatientPatches]
    templates: Mapping[str, IntensityTemplate]
    spacing_mm: float
    root: Path | None = None


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
    kinds = {template.kind for template in _saved_templates(root).values()}
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
        Folder for templates learned from DICOM, so that a resumed run does not read the images again.

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
        first = cohort.patient_ids[0]
        if (root / f"{first}.npz").is_file():
            return ImageSource(saved_patch_reader(root), _saved_templates(root), spacing_mm, root)
        if (root / first).is_dir():
            return _from_dicom(root, cohort, spacing_mm, progress, normalisation, cache)
        raise InputError(
            f"patient {first}: expected the saved patches {root / first}.npz "
            f"or the DICOM folder {root / first}, found neither"
        )

    return of


def _saved_templates(root: Path) -> dict[str, IntensityTemplate]:
    path = root / SAVED_TEMPLATES
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {role: IntensityTemplate.from_json(document[role]) for role in SEQUENCES}
    except (OSError, ValueError, KeyError, ModelBundleError) as error:
        raise InputError(f"expected the intensity templates of the saved patches in {path}: {error}") from error


def _from_dicom(
    root: Path,
    cohort: Cohort,
    spacing_mm: float,
    progress: Callable[[int, int], None],
    normalisation: Normalisation,
    cache: Path | None,
) -> ImageSource:
    from workers.training.dicom_images import TrainingPreprocessing, dicom_patch_reader, learn_templates, patient_images

    # Templates of the training patients alone: test images must not shape their own normalisation.
    learned_from = cohort.labelled(TRAINING).patient_ids

    def learn() -> dict[str, IntensityTemplate]:
        patients = (patient_images(root / patient_id, patient_id) for patient_id in learned_from)
        return learn_templates(patients, SEQUENCES, lambda done: progress(done, len(learned_from)), normalisation)

    templates = learn() if cache is None else _once(cache / LEARNED_TEMPLATES, learned_from, normalisation, learn)
    reader = dicom_patch_reader(root, TrainingPreprocessing(templates, spacing_mm))
    return ImageSource(reader, templates, spacing_mm, root)


def _once(
    path: Path,
    patients: Sequence[str],
    normalisation: Normalisation,
    learn: Callable[[], dict[str, IntensityTemplate]],
) -> dict[str, IntensityTemplate]:
    """Return the saved templates where they are of these patients, else learn and save them."""
    if path.is_file():
        document = json.loads(path.read_text(encoding="utf-8"))
        # Learning reads every training image; a run that was killed must not do it twice, and other patients give other
        # templates.
        if (document["patients"], document["normalisation"]) == (list(patients), normalisation):
            return {role: IntensityTemplate.from_json(document["templates"][role]) for role in SEQUENCES}
    templates = learn()
    document = {
        "patients": list(patients),
        "normalisation": normalisation,
        "templates": {role: template.to_json() for role, template in templates.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document))
    return templates
