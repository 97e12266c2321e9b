"""Patches of phantoms as the service keeps them, made on the way: no DICOM, no disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dicom_sr.treatment_report import SeriesRole
from workers.artefacts import SequenceMaterial, StudyMaterial
from workers.bundles import load_bundle
from workers.training.patch_store import Bags
from workers.training.phantom_writing import PhantomCohort, bags_of
from workers.training.phantoms import published_nomogram

SEED = 4711


def phantom_materials(n: int, at_once: int) -> Iterator[list[StudyMaterial]]:
    """`n` patients in groups; the same ones every time."""
    cohort, nomogram = PhantomCohort(n, SEED), published_nomogram()
    templates = load_bundle("demonstration").templates
    for first in range(0, n, at_once):
        numbers = range(first, min(n, first + at_once))
        yield [material_of(bags_of(number, cohort, nomogram, templates)[1]) for number in numbers]


def material_of(bags: Bags) -> StudyMaterial:
    """One patient's bags as the volumes step keeps them."""
    return {SeriesRole(role): _sequence(SeriesRole(role), bag) for role, bag in bags.items()}


def _sequence(role: SeriesRole, bag: np.ndarray) -> SequenceMaterial:  # type: ignore[type-arg]
    patches = bag.astype(np.float32) / 255.0 if bag.dtype == np.uint8 else np.asarray(bag, dtype=np.float32)
    slices: Sequence[tuple[str, int | None]] = [(f"1.2.{at}", None) for at in range(len(patches))]
    return SequenceMaterial(
        role=role, series_instance_uid="1.2", sop_class_uid="1.2", description="phantom", patches=patches,
        slices=tuple(slices), mask_zyx=np.zeros((len(patches), 8, 8), np.uint8), volume_ml=1.0, n_slices=len(patches),
        landmark_distance=0.0, distance_limit=1.0, findings=(),
    )  # fmt: skip
