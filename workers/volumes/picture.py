"""Pictures of a series for the checks of plausibility: whole slices at about 2 mm, and the tumour's region at 1 mm.

The networks read the patches alone; whether a series shows a head, the head of the other series, and a tumour inside
its contour can only be told from whole slices and from the contour's surroundings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, Float32Array, FloatArray, IndexArray, LabelArray, PixelArray

PIXEL_MM, CLOSE_UP_PIXEL_MM = 2.0, 1.0
CLOSE_UP_MARGIN_MM = 40.0
CLOSE_UP_MARGIN_SLICES = 2
PICTURE_ARRAYS = ("grey_zyx", "mask_zyx", "slice_index")
BRIGHTEST_PERCENT = 99.9


@dataclass(frozen=True, eq=False)
class Picture:
    """Slices of one series, averaged to pixels of a given size or larger, in radiological view.

    Attributes
    ----------
    grey_zyx : float32, shape (n, rows, columns)
        Mean grey value of each pixel over the grey value `brightest`; rows run to the back, columns to the left.
    mask_zyx : float32, shape (n, rows, columns)
        Share of each pixel that is inside the contour, 0..1.
    slice_index : int, shape (n,)
        Index z of each slice in the series, rising; not all slices of a thin series are decoded.
    n_slices : int
        Slices of the series.
    spacing_xyz_mm : (float, float, float)
        Pixel spacing of the picture, and slice distance of the series.
    origin_lps_mm : (float, float, float)
        Centre of pixel (0, 0) of slice 0 of the series.
    direction : tuple of 9 float
        Row-major 3 x 3 matrix; its columns are the unit vectors of x, y and z.
    brightest : float
        Grey value of the series that is 1 here.
    """

    grey_zyx: Float32Array
    mask_zyx: Float32Array
    slice_index: IndexArray
    n_slices: int
    spacing_xyz_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    brightest: float

    def arrays(self) -> dict[str, PixelArray]:
        """Return the arrays in few bytes: three digits of grey, the mask in steps of 1/255."""
        return {
            "grey_zyx": self.grey_zyx.astype(np.float16),
            "mask_zyx": np.round(self.mask_zyx * 255).astype(np.uint8),
            "slice_index": self.slice_index.astype(np.int32),
        }

    def geometry(self) -> dict[str, Any]:
        """Return everything else as JSON values."""
        return {name: value for name, value in vars(self).items() if name not in PICTURE_ARRAYS}

    @classmethod
    def of(cls, geometry: Mapping[str, Any], arrays: Mapping[str, PixelArray]) -> Picture:
        """Read what `arrays` and `geometry` returned; a saved picture stays the same when it is saved again."""
        return cls(
            np.asarray(arrays["grey_zyx"], dtype=np.float32),
            np.asarray(arrays["mask_zyx"], dtype=np.float32) / np.float32(255),
            np.asarray(arrays["slice_index"], dtype=np.intp),
            int(geometry["n_slices"]),
            tuple(geometry["spacing_xyz_mm"]),
            tuple(geometry["origin_lps_mm"]),
            tuple(geometry["direction"]),
            float(geometry["brightest"]),
        )

    def as_saved(self) -> Picture:
        """Return the picture as it is after it was saved and read, so that both give the same measures."""
        return Picture.of(self.geometry(), self.arrays())

    @property
    def axes(self) -> FloatArray:
        """Unit vectors as columns, (3, 3)."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)


def picture_of(
    pixels_zyx: PixelArray,
    mask_zyx: LabelArray,
    slice_index: IndexArray,
    n_slices: int,
    spacing_xyz_mm: tuple[float, float, float],
    origin_lps_mm: FloatArray,
    axes: FloatArray,
    pixel_mm: float = PIXEL_MM,
    brightest: float | None = None,
) -> Picture:
    """Average slices to pixels of about a given size.

    Parameters
    ----------
    pixels_zyx : array, shape (n, rows, columns)
        Grey values of the decoded slices, turned to radiological view.
    mask_zyx : uint8, shape (n, rows, columns)
        The contour's mask on the same slices.
    slice_index : int, shape (n,)
        Index z of each slice, rising.
    n_slices : int
        Slices of the series.
    spacing_xyz_mm : (float, float, float)
        Of the series, in the order of the turned axes.
    origin_lps_mm : float, shape (3,)
        Centre of the turned pixel (0, 0) of slice 0.
    axes : float, shape (3, 3)
        Unit vectors of the turned axes as columns.
    pixel_mm : float
        Size of a pixel of the picture; larger ones are left as they are.
    brightest : float, optional
        Grey value that becomes 1; by default the 99.9th percentile.

    Returns
    -------
    Picture
        Rows and columns that do not fill a whole block are left out.
    """
    x_mm, y_mm, z_mm = spacing_xyz_mm
    by, bx = max(1, round(pixel_mm / y_mm)), max(1, round(pixel_mm / x_mm))
    grey = _block_means(np.asarray(pixels_zyx, dtype=np.float32), by, bx)
    grey[~np.isfinite(grey)] = 0.0
    # Gain has no meaning; float16 on disk has three digits of the brightest pixel.
    if brightest is None:
        brightest = float(np.percentile(grey, BRIGHTEST_PERCENT)) if grey.size else 0.0
    scale = brightest if brightest > 0 else 1.0
    # The centre of a block of b pixels is (b - 1) / 2 pixels from the centre of its first one.
    shift = axes @ np.array([(bx - 1) / 2 * x_mm, (by - 1) / 2 * y_mm, 0.0])
    x, y, z = (float(v) for v in np.asarray(origin_lps_mm) + shift)
    return Picture(
        np.clip(grey / scale, -4.0, 4.0).astype(np.float32),
        _block_means(np.asarray(mask_zyx, dtype=np.float32), by, bx),
        np.asarray(slice_index),
        n_slices,
        (bx * x_mm, by * y_mm, z_mm),
        (x, y, z),
        tuple(float(v) for v in np.asarray(axes).ravel()),
        scale,
    ).as_saved()


def close_up_of(
    pixels_zyx: PixelArray,
    mask_zyx: LabelArray,
    slice_index: IndexArray,
    n_slices: int,
    spacing_xyz_mm: tuple[float, float, float],
    origin_lps_mm: FloatArray,
    axes: FloatArray,
    brightest: float,
) -> Picture:
    """Cut the tumour's region at about 1 mm: its slices, two beyond each end, and 40 mm around it.

    Parameters
    ----------
    pixels_zyx, mask_zyx, slice_index, n_slices, spacing_xyz_mm, origin_lps_mm, axes
        As of `picture_of`; the mask is not empty.
    brightest : float
        Of the series' picture, so that both have one scale.

    Returns
    -------
    Picture
        Of that part of the decoded slices.
    """
    x_mm, y_mm, _ = spacing_xyz_mm
    touched = slice_index[mask_zyx.any(axis=(1, 2))]
    chosen = (slice_index >= touched[0] - CLOSE_UP_MARGIN_SLICES) & (
        slice_index <= touched[-1] + CLOSE_UP_MARGIN_SLICES
    )
    rows, columns = (
        _range_around(np.asarray(mask_zyx.any(axis=other)), CLOSE_UP_MARGIN_MM / step)
        for other, step in (((0, 2), y_mm), ((0, 1), x_mm))
    )
    corner = np.asarray(origin_lps_mm) + axes @ np.array([columns.start * x_mm, rows.start * y_mm, 0.0])
    return picture_of(
        pixels_zyx[chosen][:, rows, columns], mask_zyx[chosen][:, rows, columns], slice_index[chosen], n_slices,
        spacing_xyz_mm, corner, axes, CLOSE_UP_PIXEL_MM, brightest,
    )  # fmt: skip


def _range_around(touched: BoolArray, margin: float) -> slice:
    places = np.flatnonzero(touched)
    return slice(max(0, int(places[0] - margin)), min(len(touched), int(places[-1] + margin) + 1))


def _block_means(array_zyx: Float32Array, by: int, bx: int) -> Float32Array:
    n, rows, columns = array_zyx.shape
    rows, columns = rows // by * by, columns // bx * bx
    # Sums of strided views are three times as fast as the mean of a reshaped array.
    total = np.zeros((n, rows // by, columns // bx), dtype=np.float32)
    for dy in range(by):
        for dx in range(bx):
            total += array_zyx[:, dy:rows:by, dx:columns:bx]
    return np.asarray(total / np.float32(by * bx))
