"""Patches of phantoms as the service keeps them, made on the way: no DICOM, no disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from config.indication.vocabulary import SeriesRole
from workers.bundles.bundle import load_bundle
from workers.phantoms.population import published_nomogram
from workers.phantoms.writing import PhantomCohort, phantom_patches
from workers.training.patch_store import PatientPatches
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy

SEED = 4711


def phantom_materials(n: int, at_once: int) -> Iterator[list[PreparedStudy]]:
    """`n` patients in groups, drawn by as many processes as there are cores; the same ones every time."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        for first in range(0, n, at_once):  # few in flight, so memory stays bounded
            numbers = range(first, min(n, first + at_once))
            yield [material_of(bags) for bags in pool.map(partial(_bags, n), numbers, chunksize=4)]


def _bags(n: int, number: int) -> PatientPatches:
    cohort, nomogram = PhantomCohort(n, SEED), published_nomogram()
    found: PatientPatches = dict(phantom_patches(number, cohort, nomogram, load_bundle("demonstration").templates)[1])
    return found


def material_of(bags: PatientPatches) -> PreparedStudy:
    """One patient's bags as the volumes step keeps them."""
    return {SeriesRole(role): _sequence(SeriesRole(role), bag) for role, bag in bags.items()}


def _sequence(role: SeriesRole, bag: np.ndarray) -> PreparedSeries:  # type: ignore[type-arg]
    patches = bag.astype(np.float32) / 255.0 if bag.dtype == np.uint8 else np.asarray(bag, dtype=np.float32)
    slices: Sequence[tuple[str, int | None]] = [(f"1.2.{at}", None) for at in range(len(patches))]
    return PreparedSeries(
        role=role, series_instance_uid="1.2", sop_class_uid="1.2", description="phantom", patches=patches,
        slices=tuple(slices), mask_zyx=np.zeros((len(patches), 8, 8), np.uint8), volume_ml=1.0, n_slices=len(patches),
        landmark_distance=0.0, distance_limit=1.0, findings=(),
    )  # fmt: skip
