"""Phantom patients as volumes in memory, on the grid of the phantoms' DICOM studies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from config.indication.vocabulary import SeriesRole
from workers.hostile.study_volumes import StudyVolumes, Volume
from workers.phantoms.dicom_study import MATRIX, N_SLICES, study_grid
from workers.phantoms.images import render, tissues, tumour_mask
from workers.phantoms.population import draw_patient, patient_rng, published_nomogram
from workers.phantoms.writing import SCANNERS, subject_of
from workers.volumes.geometry import Grid

# Slices and pixels of each series, over the same field of view: every second patient as the phantoms of the training
# (22 slices of 5 mm with 0.9 mm pixels), the others from 18 slices of 6.1 mm with 1.6 mm to 28 of 3.9 mm with 1.2 mm.
GEOMETRIES = ((22, 256), (18, 144), (22, 256), (28, 192), (22, 256), (22, 320))
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def phantoms_of_all_geometries(seed: int, first: int, stop: int, scanners: str = "training") -> Iterator[StudyVolumes]:
    """Yield the phantoms of these numbers, each in the next one of `GEOMETRIES`."""
    for number in range(first, stop):
        yield phantom_volumes(seed, number, scanners, *GEOMETRIES[number % len(GEOMETRIES)])


def phantom_volumes(
    seed: int, number: int, scanners: str = "training", n_slices: int = N_SLICES, matrix: int = MATRIX
) -> StudyVolumes:
    """Draw one phantom patient as three volumes with the pixels of its DICOM study.

    Parameters
    ----------
    seed, number : int
        Of the cohort, and of the patient in it.
    scanners : {"training", "other"}
        Range from which each series' scanner is drawn.
    n_slices, matrix : int
        Of each series; the field of view does not change.

    Returns
    -------
    StudyVolumes
        Whole stacks; grey values rounded as they are stored.
    """
    patient = draw_patient(seed, number, published_nomogram())
    subject, sections = subject_of(patient, seed, number), study_grid(n_slices, matrix)
    labels, mask = tissues(subject.head, sections), tumour_mask(subject.tumour, sections)
    x, y, z = (float(axis[1] - axis[0]) for axis in (sections.x_mm, sections.y_mm, sections.z_mm))
    n, rows, columns = labels.shape
    origin = (float(sections.x_mm[0]), float(sections.y_mm[0]), float(sections.z_mm[0]))
    grid = Grid((columns, rows, n), (x, y, z), origin, IDENTITY)
    volumes = {}
    for at, role in enumerate(SeriesRole):
        rng = patient_rng(seed, number, 10 + at)
        grey = render(subject, role.value, sections, labels, SCANNERS[scanners], rng)
        volumes[role] = Volume(
            grid, np.round(np.clip(grey, 0, 4095)).astype(np.float32), mask, f"2.25.{seed}.{number}.{at}"
        )
    return volumes
