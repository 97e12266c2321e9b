"""Hostile changes of a study: each makes one that must not be scored from one that may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from config.indication.vocabulary import SeriesRole
from workers.hostile.study_volumes import StudyVolumes, Volume

Attack = Callable[[StudyVolumes, StudyVolumes, np.random.Generator], StudyVolumes]
"""The study, another patient's, and a generator for what is drawn -> the changed study."""

LEFT_RIGHT, FRONT_BACK, HEAD_FEET = 2, 1, 0
SHIFTS_MM = (10, 15, 25, 45)
SERIES_SHIFT_MM = 25.0


def _noise(volume: Volume, rng: np.random.Generator) -> Volume:
    # Around the series' own grey values: a check of the histogram alone would not see it.
    mean, deviation = float(volume.grey_zyx.mean()), float(volume.grey_zyx.std())
    return volume.with_grey(np.abs(rng.normal(mean, max(deviation, 1.0), volume.grey_zyx.shape)))


def _noise_all(study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    return {role: _noise(volume, rng) for role, volume in study.items()}


def _one(study: StudyVolumes, rng: np.random.Generator) -> SeriesRole:
    return list(study)[int(rng.integers(len(study)))]


def _noise_one(study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    role = _one(study, rng)
    return {**study, role: _noise(study[role], rng)}


def _flip_one(axis: int, study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    role = _one(study, rng)
    return {**study, role: study[role].with_grey(np.flip(study[role].grey_zyx, axis))}


def _flip_all(axis: int, study: StudyVolumes, _other: StudyVolumes, _rng: np.random.Generator) -> StudyVolumes:
    return {role: volume.with_grey(np.flip(volume.grey_zyx, axis)) for role, volume in study.items()}


def _shuffle_one(study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    role = _one(study, rng)
    return {**study, role: study[role].with_grey(rng.permutation(study[role].grey_zyx, axis=0))}


def _shuffle_all(study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    order = rng.permutation(len(next(iter(study.values())).grey_zyx))
    return {
        # Series of different lengths have orders of their own.
        role: volume.with_grey(volume.grey_zyx[order if len(order) == len(volume.grey_zyx) else rng.permutation(
            len(volume.grey_zyx))])
        for role, volume in study.items()
    }  # fmt: skip


def _other_patient(study: StudyVolumes, other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    role = _one(study, rng)
    return {**study, role: replace(study[role], grey_zyx=_fitted(other[role].grey_zyx, study[role].grey_zyx.shape))}


def _fitted(grey_zyx: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the other patient's pixels in this patient's geometry: cut or filled with air around the middle."""
    for axis, size in enumerate(shape):
        have = grey_zyx.shape[axis]
        start = max(0, (have - size) // 2)
        grey_zyx = np.take(grey_zyx, np.arange(start, min(have, start + size)), axis)
        missing = size - grey_zyx.shape[axis]
        grey_zyx = np.pad(grey_zyx, [(missing // 2, missing - missing // 2) if i == axis else (0, 0) for i in range(3)])
    return grey_zyx


def _shift_one(study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    role = _one(study, rng)
    volume = study[role]
    angle = rng.uniform(0, 2 * np.pi)
    x_mm, y_mm, _ = volume.grid.spacing_xyz_mm
    pixels = (round(SERIES_SHIFT_MM * np.sin(angle) / y_mm), round(SERIES_SHIFT_MM * np.cos(angle) / x_mm))
    return {**study, role: volume.with_grey(np.roll(volume.grey_zyx, pixels, axis=(1, 2)))}


def _swap(
    first: SeriesRole, second: SeriesRole, study: StudyVolumes, _other: StudyVolumes, _rng: object
) -> StudyVolumes:
    # The pixels change places, the headers stay; series of different grids are exchanged as a whole.
    return {**study, first: study[second], second: study[first]}


def _no_contrast(study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator) -> StudyVolumes:
    """Make the CE-T1w a second T1w: other gain, other noise, no contrast agent."""
    t1 = study[SeriesRole.T1W]
    noise = 0.01 * float(t1.grey_zyx.max()) * rng.standard_normal(t1.grey_zyx.shape, dtype=np.float32)
    again = replace(t1, series_instance_uid=study[SeriesRole.CE_T1W].series_instance_uid)
    return {**study, SeriesRole.CE_T1W: again.with_grey(np.abs(t1.grey_zyx * rng.uniform(0.7, 1.4) + noise))}


def _empty_contrast(study: StudyVolumes, _other: StudyVolumes, _rng: np.random.Generator) -> StudyVolumes:
    volume = study[SeriesRole.CE_T1W]
    return {**study, SeriesRole.CE_T1W: volume.with_grey(np.zeros_like(volume.grey_zyx))}


def _shift_contour(
    length_mm: float, study: StudyVolumes, _other: StudyVolumes, rng: np.random.Generator
) -> StudyVolumes:
    angle = rng.uniform(0, 2 * np.pi)
    changed = {}
    for role, volume in study.items():
        x_mm, y_mm, _ = volume.grid.spacing_xyz_mm
        pixels = (round(length_mm * np.sin(angle) / y_mm), round(length_mm * np.cos(angle) / x_mm))
        changed[role] = replace(volume, mask_zyx=np.roll(volume.mask_zyx, pixels, axis=(1, 2)))
    return changed


def _mirror_contour(study: StudyVolumes, _other: StudyVolumes, _rng: np.random.Generator) -> StudyVolumes:
    return {role: replace(v, mask_zyx=np.ascontiguousarray(v.mask_zyx[:, :, ::-1])) for role, v in study.items()}


ATTACKS: Mapping[str, Attack] = {
    "noise in all series": _noise_all,
    "noise in one series": _noise_one,
    "one series flipped left to right": partial(_flip_one, LEFT_RIGHT),
    "one series flipped front to back": partial(_flip_one, FRONT_BACK),
    "one series flipped head to feet": partial(_flip_one, HEAD_FEET),
    "one series shifted by 25 mm": _shift_one,
    "one series of another patient": _other_patient,
    "slices of one series shuffled": _shuffle_one,
    "slices of all series shuffled": _shuffle_all,
    "T1w and CE-T1w exchanged": partial(_swap, SeriesRole.T1W, SeriesRole.CE_T1W),
    "CE-T1w without contrast": _no_contrast,
    "CE-T1w empty": _empty_contrast,
    **{f"contour shifted by {mm} mm": partial(_shift_contour, float(mm)) for mm in SHIFTS_MM},
    "contour mirrored": _mirror_contour,
    "all series flipped left to right": partial(_flip_all, LEFT_RIGHT),
    "all series flipped front to back": partial(_flip_all, FRONT_BACK),
}
STATED_WHATEVER_IT_IS = frozenset({"all series flipped left to right"})
"""Measured and stated; a head is nearly symmetric, so no rate is required."""
