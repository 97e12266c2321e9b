"""Where the images of a training come from: kept patches, or DICOM folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from config.atomic_files import write_atomically
from config.errors import InputError, ModelBundleError
from workers.scores.multitask_network import SEQUENCES
from workers.survival.cohort import TRAINING, Cohort
from workers.training.patch_store import saved_patch_reader
from workers.training.run import ImageSource
from workers.volumes.intensity import IntensityTemplate, Normalisation

SPACING_MM = 1.0
KEPT_TEMPLATES = "templates.json"
LEARNED_TEMPLATES = "learned-templates.json"


def normalisation_of(root: Path, wanted: Normalisation | None) -> Normalisation:
    """How the images of a folder are normalised: as wanted, else as kept patches were, else by landmarks.

    Raises InputError where kept patches were normalised in another way than wanted.
    """
    if not (root / KEPT_TEMPLATES).is_file():
        return wanted or "landmarks"
    kinds = {template.kind for template in _kept_templates(root).values()}
    found = kinds.pop()
    if kinds or (wanted is not None and found != wanted):
        raise InputError(
            f"the kept patches in {root} are normalised by {', '.join(sorted({found, *kinds}))}, expected "
            f"{wanted or 'one way'}; give the DICOM folders to choose another"
        )
    return found


def image_source(
    root: Path,
    spacing_mm: float = SPACING_MM,
    progress: Callable[[int, int], None] = lambda done, total: None,
    normalisation: Normalisation = "landmarks",
    kept: Path | None = None,
) -> Callable[[Cohort], ImageSource]:
    """The source for a folder that holds `<patient_id>.npz` with templates.json, or one DICOM folder a patient.

    spacing_mm, normalisation : of patches cut from DICOM; kept patches have theirs already.
    kept : folder for what was learned from the DICOM, so that a resumed run need not look at it again.
    Raises InputError where the folder holds neither.
    """
    if not root.is_dir():
        raise InputError(f"expected a folder of images {root}, found none")

    def of(cohort: Cohort) -> ImageSource:
        first = cohort.patient_ids[0]
        if (root / f"{first}.npz").is_file():
            return ImageSource(saved_patch_reader(root), _kept_templates(root), spacing_mm)
        if (root / first).is_dir():
            return _from_dicom(root, cohort, spacing_mm, progress, normalisation, kept)
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
    except (OSError, ValueError, KeyError, ModelBundleError) as error:
        raise InputError(f"expected the intensity templates of the kept patches in {path}: {error}") from error


def _from_dicom(
    root: Path,
    cohort: Cohort,
    spacing_mm: float,
    progress: Callable[[int, int], None],
    normalisation: Normalisation,
    kept: Path | None,
) -> ImageSource:
    from workers.training.dicom_images import TrainingPreprocessing, dicom_patch_reader, learn_templates, patient_images

    learned_from = cohort.labelled(TRAINING).patient_ids

    def learned() -> dict[str, IntensityTemplate]:
        patients = (patient_images(root / patient_id, patient_id) for patient_id in learned_from)
        return learn_templates(patients, SEQUENCES, lambda done: progress(done, len(learned_from)), normalisation)

    templates = learned() if kept is None else _once(kept / LEARNED_TEMPLATES, learned_from, normalisation, learned)
    return ImageSource(dicom_patch_reader(root, TrainingPreprocessing(templates, spacing_mm)), templates, spacing_mm)


def _once(
    path: Path,
    patients: Sequence[str],
    normalisation: Normalisation,
    learned: Callable[[], dict[str, IntensityTemplate]],
) -> dict[str, IntensityTemplate]:
    """What was learned from these patients before, else learned now and kept."""
    if path.is_file():
        document = json.loads(path.read_text(encoding="utf-8"))
        if (document["patients"], document["normalisation"]) == (list(patients), normalisation):
            return {role: IntensityTemplate.from_json(document["templates"][role]) for role in SEQUENCES}
    templates = learned()
    document = {
        "patients": list(patients),
        "normalisation": normalisation,
        "templates": {role: template.to_json() for role, template in templates.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document))
    return templates
