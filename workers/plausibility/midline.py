"""The head's midline and outline in a study, as the images show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from config.arrays import BoolArray, Float32Array
from workers.plausibility.images import foreground_of_view


@dataclass(frozen=True)
class HeadFrame:
    """Place of the head in the picture, in mm from pixel (0, 0) of the grid.

    Attributes
    ----------
    midline_mm : float
        Column of the midline.
    front_mm, back_mm : float
        Rows between which 98 % of the head are.
    width_mm : float
        Distance between the columns between which 98 % of the head are.
    """

    midline_mm: float
    front_mm: float
    back_mm: float
    width_mm: float


def head_frame(grey_zyx: Float32Array, spacing_yx_mm: tuple[float, float]) -> HeadFrame:
    """Find the head: the largest part that is tissue, and the column about which it is most symmetric.

    Parameters
    ----------
    grey_zyx : float32, shape (slices, rows, columns)
        One series, or the mean of several.
    spacing_yx_mm : (float, float)
        Pixel spacing.

    Returns
    -------
    HeadFrame
        Of the slices together.
    """
    head = largest_part(foreground_of_view(grey_zyx))
    by_row, by_column = head.sum(axis=(0, 2)).astype(np.float64), head.sum(axis=(0, 1)).astype(np.float64)
    front, back = _span(by_row)
    left, right = _span(by_column)
    # Symmetry of the grey values within the head, not of its outline alone: a field of view may cut the outline.
    middle = _symmetry_column(np.where(head, grey_zyx, 0), (left + right) / 2)
    y_mm, x_mm = spacing_yx_mm
    return HeadFrame(middle * x_mm, front * y_mm, back * y_mm, (right - left) * x_mm)


def largest_part(tissue_zyx: BoolArray) -> BoolArray:
    """Return the largest connected part of the tissue, without specks of noise."""
    labels, n = ndimage.label(tissue_zyx)
    if n < 2:
        return tissue_zyx
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()))


def _span(counts: np.ndarray) -> tuple[float, float]:
    share = np.cumsum(counts) / max(float(counts.sum()), 1.0)
    return float(np.searchsorted(share, 0.01)), float(np.searchsorted(share, 0.99))


def _symmetry_column(grey_zyx: Float32Array, start: float) -> float:
    """Column, in half pixels, about which the picture is most like its mirror image."""
    n_columns = grey_zyx.shape[2]
    smooth = ndimage.gaussian_filter(grey_zyx, (0, 1.0, 1.0), truncate=2.0)
    spectrum = np.fft.rfft(smooth, 2 * n_columns, axis=2)
    # The autoconvolution at index k sums f(i) f(k - i): its mirror column is k / 2.
    likeness = np.fft.irfft((spectrum**2).sum(axis=(0, 1)), 2 * n_columns)
    columns = np.arange(2 * n_columns) / 2
    near = np.abs(columns - start) <= n_columns / 8
    return float(columns[near][np.argmax(likeness[near])]) if near.any() else start
