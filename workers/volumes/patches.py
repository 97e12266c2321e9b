"""Patches: squares of image and mask around the tumour, which the networks read.

A patch is 128 x 128 pixels of image and tumour mask at the bundle's in-plane spacing, centred on the bounding box of
the mask in its slice, zero outside the image. The same function cuts patches from phantom arrays and from DICOM series
(`series_patches.py`). Only the region that a patch shows is resampled.

References
----------
Zhong et al., EBioMedicine 2021;70:103522, section 2.3: 128 x 128 x 2 instances of axial tumour slices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from config.arrays import BoolArray, Float32Array, IndexArray, PixelArray

PATCH_SIZE = 128


def extract_patches(
    image_zyx: PixelArray,
    mask_zyx: PixelArray,
    spacing_yx_mm: tuple[float, float],
    target_spacing_mm: float,
    size: int = PATCH_SIZE,
    *,
    standardise: Callable[[PixelArray], Float32Array] | None = None,
) -> tuple[Float32Array, IndexArray]:
    """Cut image and mask around the tumour, one patch for each slice that the mask touches.

    Parameters
    ----------
    image_zyx : array, shape (slices, rows, columns)
        Grey values of any type.
    mask_zyx : array, same shape
        Nonzero inside the tumour.
    spacing_yx_mm : (float, float)
        Distance of neighbouring rows and of neighbouring columns.
    target_spacing_mm : float
        Pixel spacing of the patches in both directions.
    size : int
        Side of a patch in pixels, even.
    standardise : callable, optional
        Maps grey values to 0..1, for example an `IntensityMap` of the whole image. Without it the image is expected to
        be in 0..1 already.

    Returns
    -------
    patches : float32, shape (n, 2, size, size)
        Channel 0 image, channel 1 mask. The source pixel nearest to the centre of the mask's bounding box is at
        ``[size // 2, size // 2]``, so that equal spacings copy pixels unchanged.
    slice_index : int, shape (n,)
        Index z of each patch, rising.

    Raises
    ------
    ValueError
        Image and mask differ in shape or are not three-dimensional.
    """
    if image_zyx.ndim != 3 or image_zyx.shape != mask_zyx.shape:
        raise ValueError(f"expected image and mask of one zyx shape, found {image_zyx.shape} and {mask_zyx.shape}")
    slice_index = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    patches = np.zeros((len(slice_index), 2, size, size), dtype=np.float32)
    # Row spacing first: Pixel Spacing is (between rows, between columns), PS3.3 10.7.1.3.
    steps = (target_spacing_mm / spacing_yx_mm[0], target_spacing_mm / spacing_yx_mm[1])
    for patch, z in zip(patches, slice_index, strict=True):
        mask_yx = mask_zyx[z]
        centres = [_centre_index(mask_yx.any(axis=other)) for other in (1, 0)]
        rows, columns = (
            _AxisResampler(centre, step, size, length)
            for centre, step, length in zip(centres, steps, mask_yx.shape, strict=True)
        )
        window = (slice(rows.first, rows.last), slice(columns.first, columns.last))
        grey = columns.resample(rows.resample(image_zyx[z][window].astype(np.float32)).T).T
        inside = np.ix_(rows.inside, columns.inside)
        patch[0][inside] = grey if standardise is None else standardise(grey)
        # Nearest neighbour for the mask, whatever the spacing: a label must stay 0 or 1.
        patch[1][inside] = mask_yx[np.ix_(rows.nearest, columns.nearest)] != 0
    return patches, slice_index


class _AxisResampler:
    """One axis of a patch on one axis of its slice, in source pixels.

    inside : patch positions whose centre is within the image; nearest : the source pixel of each of them.
    first, last : the half-open range of source pixels that contribute. The kernel is a triangle as wide as the
    coarser of both pixels: linear interpolation towards a finer grid, an average over the covered area towards a
    coarser one.
    """

    def __init__(self, centre: int, step: float, size: int, length: int) -> None:
        # Pixel size // 2 of the patch is the centre: an even patch has no middle pixel.
        positions = centre + (np.arange(size) - size // 2) * step
        self.inside = np.flatnonzero((positions >= -0.5) & (positions <= length - 0.5))
        positions = positions[self.inside]
        # floor(x + 0.5), since rint rounds halves to even: at half steps it would take some pixels twice and skip
        # others.
        self.nearest = np.clip(np.floor(positions + 0.5).astype(np.intp), 0, length - 1)
        # A kernel narrower than a target pixel would skip source pixels and alias fine texture.
        reach = max(1.0, step)
        self.first = max(0, int(np.floor(positions[0] - reach)))
        self.last = min(length, int(np.ceil(positions[-1] + reach)) + 1)
        lowest = np.ceil(positions - reach).astype(np.intp)
        source = lowest[:, None] + np.arange(int(np.floor(2 * reach)) + 1)  # (inside, taps)
        weights = np.clip(1.0 - np.abs(positions[:, None] - source) / reach, 0.0, None)
        # At the border the weights of the pixels that exist are scaled up, so that the edge does not darken.
        weights[(source < 0) | (source >= length)] = 0.0
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        self._source = np.clip(source - self.first, 0, self.last - self.first - 1)

    def resample(self, lines: Float32Array) -> Float32Array:
        """Lines (last - first, width) -> (inside, width), each a weighted sum of a few."""
        # Tap by tap in a fixed order: the sums of a matrix product depend on how many threads the machine gives it,
        # and a report must be reproducible to the last digit.
        total = self._weights[:, :1] * lines[self._source[:, 0]]
        for tap in range(1, self._source.shape[1]):
            total += self._weights[:, tap, None] * lines[self._source[:, tap]]
        return total


def _centre_index(touched: BoolArray) -> int:
    """Index nearest to the middle of the touched range; of two equally near ones the higher."""
    indices = np.flatnonzero(touched)
    return int(indices[0] + indices[-1] + 1) // 2
