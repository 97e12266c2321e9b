"""Where the images of a training come from: kept patches, or DICOM folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from config.errors import InputError
from workers.scores.multitask_network import SEQUENCES
from workers.training.cohort import TRAINING, Cohort
from workers.training.patch_store import kept_bags
from workers.training.run import ImageSource
from workers.volumes.intensity import IntensityTemplate

SPACING_MM = 1.0
KEPT_TEMPLATES = "templates.json"


def image_source(
    root: Path, spacing_mm: float = SPACING_MM, progress: Callable[[int, int], None] = lambda done, total: None
) -> Callable[[Cohort], ImageSource]:
    """The source for a folder that holds `<patient_id>.npz` with templates.json, or one DICOM folder a patient.

    spacing_mm : of patches cut from DICOM; kept patches have theirs already.
    Raises InputError where the folder holds neither.
    """
    if not root.is_dir():
        raise InputError(f"expected a folder of images {root}, found none")

    def of(cohort: Cohort) -> ImageSource:
        first = cohort.patient_ids[0]
        if (root / f"{first}.npz").is_file():
            return ImageSource(kept_bags(root), _kept_templates(root), spacing_mm)
        if (root / first).is_dir():
            return _from_dicom(root, cohort, spacing_mm, progress)
        raise InputError(
            f"patient {first}: expected the kept patches {root / first}.npz "
            f"or the DICOM folder {root / first}, found neither"
        )

    return of


def _kept_templates(root: Path) -> dict[str, IntensityTemplate]:
    path = root / KEPT_TEMPLATES
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {role: IntensityTemplate.from_json(document[role]) for role in SEQUENCES}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"expected the intensity templates of the kept patches in {path}: {error}") from error


def _from_dicom(root: Path, cohort: Cohort, spacing_mm: float, progress: Callable[[int, int], None]) -> ImageSource:
    from workers.training.dicom_images import TrainingPreprocessing, dicom_bags, learn_templates, patient_images

    learned_from = cohort.labelled(TRAINING).patient_ids
    patients = (patient_images(root / patient_id, patient_id) for patient_id in learned_from)
    templates = learn_templates(patients, SEQUENCES, lambda done: progress(done, len(learned_from)))
    return ImageSource(dicom_bags(root, TrainingPreprocessing(templates, spacing_mm)), templates, spacing_mm)
