"""The three series of a study on one grid of about 2 mm, in the place that their headers give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from config.arrays import BoolArray, Float32Array, FloatArray
from config.indication.vocabulary import SeriesRole
from workers.volumes.picture import Picture

SMALLEST_STEP_MM = 3.0


@dataclass(frozen=True, eq=False)
class CommonView:
    """The series of one study on the pixels of one of them.

    Attributes
    ----------
    grey_zyx : mapping of SeriesRole to float32, shape (slices, rows, columns)
        Rows run to the back, columns to the left, slices to the head; 0 where the series has no pixel.
    covered_zyx : mapping of SeriesRole to bool, same shape
        Where the series has pixels.
    mask_zyx : float32, same shape
        Share of each pixel inside the contour, from the series that gives the grid.
    reference : SeriesRole
        The series that gives the grid: the one with the thickest slices.
    picture : Picture
        Its picture.
    spacing_zyx_mm : (float, float, float)
        Distances of the voxel centres.
    """

    grey_zyx: Mapping[SeriesRole, Float32Array]
    covered_zyx: Mapping[SeriesRole, BoolArray]
    mask_zyx: Float32Array
    reference: SeriesRole
    picture: Picture
    spacing_zyx_mm: tuple[float, float, float]


def common_view(pictures: Mapping[SeriesRole, Picture]) -> CommonView:
    """Put the series of a study on one grid.

    Parameters
    ----------
    pictures : mapping of SeriesRole to Picture
        Not empty.

    Returns
    -------
    CommonView
        Linear interpolation between pixels and between decoded slices; the reference is not interpolated in the plane.
    """
    # The thickest slices: interpolating them would invent sections, interpolating the others only averages.
    reference = max(pictures, key=lambda role: pictures[role].spacing_xyz_mm[2])
    base = pictures[reference]
    x_mm, y_mm, slice_mm = base.spacing_xyz_mm
    # Thin slices are thinned to 3 mm or more: neighbours would show the same.
    every = max(1, -(-SMALLEST_STEP_MM // slice_mm))
    first, last = int(base.slice_index[0]), int(base.slice_index[-1])
    heights = np.arange(first, last + 1, every, dtype=np.float64)
    if base.axes[2, 2] < 0:  # slices stored from head to feet
        heights = heights[::-1]
    shape = (len(heights), *base.grey_zyx.shape[1:])
    grey, covered = {}, {}
    for role, picture in pictures.items():
        grey[role], covered[role] = _on_grid(picture, picture.grey_zyx, base, heights, shape)
    mask, _ = _on_grid(base, base.mask_zyx, base, heights, shape)
    return CommonView(grey, covered, mask, reference, base, (float(every * slice_mm), y_mm, x_mm))


def _on_grid(
    picture: Picture, values_zyx: Float32Array, base: Picture, heights: FloatArray, shape: tuple[int, int, int]
) -> tuple[Float32Array, BoolArray]:
    # Continuous pixel indices of the picture are an affine function of those of the grid.
    to_mm = base.axes * np.asarray(base.spacing_xyz_mm)
    from_mm = (picture.axes / np.asarray(picture.spacing_xyz_mm)).T
    matrix = from_mm @ to_mm
    offset = from_mm @ (np.asarray(base.origin_lps_mm) - np.asarray(picture.origin_lps_mm))
    # From slice index to row of the decoded slices, which are not evenly spaced.
    n, n_rows, n_columns = values_zyx.shape
    sizes = (n_columns, n_rows, picture.n_slices)
    x, y, z = np.arange(shape[2], dtype=np.float64), np.arange(shape[1], dtype=np.float64), heights
    if np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-4):
        # Parallel grids, as nearly all studies have them: one axis after the other, a tenth of the time.
        places = [matrix[axis, axis] * along + offset[axis] for axis, along in enumerate((x, y, z))]
        inside = [_within(place, size) for place, size in zip(places, sizes, strict=True)]
        places[2] = np.interp(places[2], picture.slice_index, np.arange(n))
        values = values_zyx
        for axis, place in zip((2, 1, 0), places, strict=True):
            values = _linear(values, place, axis)
        covered = inside[2][:, None, None] & inside[1][None, :, None] & inside[0][None, None, :]
    else:
        zs, ys, xs = np.meshgrid(z, y, x, indexing="ij")
        xyz = [matrix[axis, 0] * xs + matrix[axis, 1] * ys + matrix[axis, 2] * zs + offset[axis] for axis in range(3)]
        covered = np.logical_and.reduce([_within(place, size) for place, size in zip(xyz, sizes, strict=True)])
        rows = np.interp(xyz[2], picture.slice_index, np.arange(n))
        values = ndimage.map_coordinates(values_zyx, [rows, xyz[1], xyz[0]], order=1, mode="nearest")
    return np.where(covered, values, np.float32(0)).astype(np.float32), covered


def _within(place: FloatArray, size: int) -> BoolArray:
    return np.asarray((place > -0.75) & (place < size - 0.25))


def _linear(values: Float32Array, place: FloatArray, axis: int) -> Float32Array:
    size = values.shape[axis]
    place = np.clip(place, 0, size - 1)
    if size == len(place) and np.abs(place - np.arange(size)).max() < 1e-3:
        return values
    low = np.minimum(place.astype(np.intp), max(size - 2, 0))
    high = np.minimum(low + 1, size - 1)
    weight = (place - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    return np.take(values, low, axis) * (1 - weight) + np.take(values, high, axis) * weight
