"""Agreement of edges: whether two pictures have edges at the same places in the same directions.

Tissue contrast differs from sequence to sequence, but a border between two tissues has one direction in all of them. An
edge of direction t is the complex number exp(2 i t) times its strength in 0..1: opposite gradients, as at the border of
fluid in T1w and T2w, are equal. The agreement of two pictures under a shift is the real part of their correlation, so
that one Fourier transform gives it for all shifts in the plane; under reflection the number becomes its conjugate.

References
----------
Haber and Modersitzki, Intensity gradient based registration and fusion of multi-modal images, MICCAI 2006
(normalised gradient fields); Bigun and Granlund, Optimal orientation detection of linear symmetry, ICCV 1987
(double-angle representation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from config.arrays import BoolArray, Float32Array, FloatArray

ComplexArray = NDArray[np.complex64]


def edges_of(
    image_zyx: Float32Array,
    spacing_yx_mm: tuple[float, float],
    sigma_mm: float,
    inside: BoolArray,
    weak: float | None = None,
) -> ComplexArray:
    """Return the edges of each slice.

    Parameters
    ----------
    image_zyx : float32, shape (slices, rows, columns)
        Grey values of any gain.
    spacing_yx_mm : (float, float)
        Pixel spacing.
    sigma_mm : float
        Width of the Gaussian whose derivatives are taken.
    inside : bool, same shape
        Pixels that count; others have no edge.
    weak : float, optional
        Gradients of this strength, per mm, count half; by default the median of the pixels that count.

    Returns
    -------
    complex64, same shape
        Absolute value 0..1, angle twice that of the edge.
    """
    sigma = (0.0, sigma_mm / spacing_yx_mm[0], sigma_mm / spacing_yx_mm[1])
    smooth = ndimage.gaussian_filter(image_zyx, sigma, truncate=3.0)
    gradient = np.empty(image_zyx.shape, dtype=np.complex64)
    # Central differences; a reflection in x turns the real part, one in y the imaginary part.
    gradient.real = ndimage.correlate1d(smooth, [-0.5, 0.0, 0.5], axis=2) / spacing_yx_mm[1]
    gradient.imag = ndimage.correlate1d(smooth, [-0.5, 0.0, 0.5], axis=1) / spacing_yx_mm[0]
    power = gradient.real**2 + gradient.imag**2
    if weak is None:
        weak = float(np.sqrt(np.median(power[inside]))) if inside.any() else 0.0
    edges = gradient * gradient / (power + np.float32(max(weak, 1e-6)) ** 2)
    edges[~inside] = 0
    return np.asarray(edges, dtype=np.complex64)


def mirrored(edges_zyx: ComplexArray, axis: int) -> ComplexArray:
    """Return the edges of the picture reflected along an axis.

    Parameters
    ----------
    edges_zyx : complex64, shape (slices, rows, columns)
        From `edges_of`.
    axis : {0, 1, 2}
        0 exchanges head and feet, 1 front and back, 2 left and right.
    """
    flipped = np.flip(edges_zyx, axis)
    return flipped if axis == 0 else np.conj(flipped)


@dataclass(frozen=True)
class Agreement:
    """Agreement of two pictures for all shifts.

    Attributes
    ----------
    values : float32, shape (2 nz + 1, 2 ny + 1, 2 nx + 1)
        -1..1; the middle is no shift, index + 1 moves the second picture by one voxel along the axis.
    spacing_zyx_mm : (float, float, float)
        Of the voxels.
    """

    values: Float32Array
    spacing_zyx_mm: tuple[float, float, float]

    @property
    def shifts_zyx_mm(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Shift of each index along each axis."""
        z, y, x = (
            (np.arange(n) - n // 2) * step for n, step in zip(self.values.shape, self.spacing_zyx_mm, strict=True)
        )
        return z, y, x

    def lengths_mm(self) -> FloatArray:
        """Length of each shift, shape of `values`."""
        z, y, x = self.shifts_zyx_mm
        return np.asarray(np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2))

    def best(self, where: BoolArray | None = None) -> tuple[float, tuple[float, float, float]]:
        """Return the largest agreement and its shift (z, y, x) in mm, among the shifts `where` it is true."""
        values = self.values if where is None else np.where(where, self.values, -np.inf)
        at = np.unravel_index(int(np.argmax(values)), values.shape)
        z, y, x = (float(axis[i]) for axis, i in zip(self.shifts_zyx_mm, at, strict=True))
        return float(values[at]), (z, y, x)


def transformed(edges_zyx: ComplexArray, shape_yx: tuple[int, int]) -> ComplexArray:
    """Return the Fourier transform of each slice, padded so that shifts do not wrap."""
    result: Any = fft.fft2(edges_zyx, s=shape_yx, axes=(1, 2))
    return np.asarray(result, dtype=np.complex64)


def padded_shape(shape_yx: Sequence[int], reach: Sequence[int]) -> tuple[int, int]:
    """Return the size of transforms in which shifts up to `reach` pixels do not wrap."""
    rows, columns = (int(fft.next_fast_len(n + r)) for n, r in zip(shape_yx, reach, strict=True))
    return rows, columns


def agreement(
    first: ComplexArray,
    second: ComplexArray,
    weight: float,
    spacing_zyx_mm: tuple[float, float, float],
    reach_zyx: tuple[int, int, int],
) -> Agreement:
    """Return the agreement of two pictures for all shifts up to a reach.

    Parameters
    ----------
    first, second : complex64, shape (slices, rows, columns)
        Transforms of the edges (`transformed`), of one size.
    weight : float
        The sum that counts as agreement 1.
    spacing_zyx_mm : (float, float, float)
        Of the voxels.
    reach_zyx : (int, int, int)
        Largest shift in voxels.

    Returns
    -------
    Agreement
        Of `second` moved onto `first`.
    """
    n, (nz, ny, nx) = len(first), reach_zyx
    values = np.empty((2 * nz + 1, 2 * ny + 1, 2 * nx + 1), dtype=np.float32)
    for dz in range(-nz, nz + 1):
        low, high = max(0, dz), min(n, n + dz)
        if low >= high:
            values[dz + nz] = 0
            continue
        # Slice k - dz of the second is moved onto slice k of the first.
        product = np.einsum("zyx,zyx->yx", first[low:high], np.conj(second[low - dz : high - dz]))
        correlation = np.asarray(fft.ifft2(product)).real
        rows, columns = np.arange(-ny, ny + 1), np.arange(-nx, nx + 1)
        values[dz + nz] = correlation[np.ix_(rows, columns)] / max(weight, 1e-9)
    return Agreement(values, spacing_zyx_mm)
