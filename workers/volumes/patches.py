"""Patches: what the networks look at. One axial tumour slice is one instance, all tumour slices of a series a bag.

An instance is 128 x 128 pixels of image and tumour mask at the bundle's in-plane spacing, centred on the mask's
bounding box in that slice, zero outside the image. Phantom arrays and DICOM series go through the same function, and
only the region that a patch shows is resampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from config.arrays import Float32Array, IndexArray, PixelArray
from config.errors import IneligibleStudyError

if TYPE_CHECKING:  # arrays alone need neither SimpleITK nor pydicom
    from workers.volumes.intensity import IntensityTemplate
    from workers.volumes.reader import MrSeries, SliceRef

PATCH_SIZE = 128
MAX_LANDMARK_SLICES = 24
MAX_OBLIQUE_DEGREES = 40.0


def extract_patches(
    image_zyx: PixelArray,
    mask_zyx: PixelArray,
    spacing_yx_mm: tuple[float, float],
    target_spacing_mm: float,
    size: int = PATCH_SIZE,
    *,
    standardise: Callable[[PixelArray], Float32Array] | None = None,
) -> tuple[Float32Array, IndexArray]:
    """Image and mask around the tumour, one patch a slice that the mask touches.

    image_zyx : (slices, rows, columns) grey values; mask_zyx : the same shape, nonzero inside the tumour.
    spacing_yx_mm : distance of rows and of columns; target_spacing_mm : the same for both in the patch.
    standardise : grey values -> [0, 1], e.g. an IntensityMap of the whole image; None: the image is in [0, 1] already.
    Returns (n, 2, size, size) float32 [image, mask] and the (n,) rising slice indices. The source pixel nearest to the
    middle of the mask's bounding box lies at [size // 2, size // 2], so equal spacings copy pixels unchanged.
    Raises ValueError when the shapes differ.
    """
    if image_zyx.ndim != 3 or image_zyx.shape != mask_zyx.shape:
        raise ValueError(f"expected image and mask of one zyx shape, found {image_zyx.shape} and {mask_zyx.shape}")
    slice_index = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    patches = np.zeros((len(slice_index), 2, size, size), dtype=np.float32)
    steps = (target_spacing_mm / spacing_yx_mm[0], target_spacing_mm / spacing_yx_mm[1])
    for patch, z in zip(patches, slice_index, strict=True):
        mask_yx = mask_zyx[z]
        centres = [_middle(mask_yx.any(axis=other)) for other in (1, 0)]
        rows, columns = (
            _Axis(centre, step, size, length)
            for centre, step, length in zip(centres, steps, mask_yx.shape, strict=True)
        )
        window = (slice(rows.first, rows.last), slice(columns.first, columns.last))
        grey = columns.resampled(rows.resampled(image_zyx[z][window].astype(np.float32)).T).T
        inside = np.ix_(rows.inside, columns.inside)
        patch[0][inside] = grey if standardise is None else standardise(grey)
        patch[1][inside] = mask_yx[np.ix_(rows.nearest, columns.nearest)] != 0
    return patches, slice_index


@dataclass(frozen=True)
class Bag:
    """All tumour slices of one series as the networks take them.

    patches : (n, 2, 128, 128) float32 [image in [0, 1], mask]; slice_index : (n,) z indices of the series, rising.
    slices : the stored slice of each patch; landmarks : of the series' histogram; distance : theirs from the template.
    """

    patches: Float32Array
    slice_index: IndexArray
    slices: tuple[SliceRef, ...]
    landmarks: tuple[float, ...]
    distance: float


def extract_bag(
    series: MrSeries,
    mask_zyx: npt.NDArray[np.uint8],
    template: IntensityTemplate,
    spacing_mm: float,
    max_oblique_degrees: float = MAX_OBLIQUE_DEGREES,
) -> Bag:
    """The bag of a stored series and its tumour mask.

    Only the tumour's slices are decoded, and at most 24 evenly spaced ones for the intensity landmarks. Patches show
    rows towards the patient's back and columns towards the left, however the slices are stored.
    template : says how the images of the training were normalised; N4 needs the whole volume and time.
    Raises IneligibleStudyError: inconsistent_geometry when the slices are not near axial; out_of_distribution when the
    series has no contrast; unreadable_instance; ValueError when the mask lies on another grid.
    """
    from workers.volumes.bias_field import bias_field
    from workers.volumes.intensity import landmarks_of

    grid = series.grid
    if mask_zyx.shape != grid.shape_zyx:
        raise ValueError(f"expected a mask of shape {grid.shape_zyx} (zyx), found {mask_zyx.shape}")
    if grid.tilt_degrees > max_oblique_degrees:
        raise IneligibleStudyError(
            "inconsistent_geometry",
            f"series {series.series_instance_uid}: expected slices within {max_oblique_degrees:g} degrees of axial, "
            f"found {grid.tilt_degrees:.0f} degrees",
        )
    tumour = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    lattice = np.arange(0, len(series.frames), -(-len(series.frames) // MAX_LANDMARK_SLICES))
    decoded = np.union1d(tumour, lattice)
    pixels = series.pixels_zyx(decoded)
    if template.corrects_bias:
        pixels = pixels / bias_field(series.image)[decoded]
    looked_at = pixels[np.searchsorted(decoded, lattice)]
    landmarks = landmarks_of(looked_at)
    image, tumour_mask = pixels[np.searchsorted(decoded, tumour)], mask_zyx[tumour]
    x_mm, y_mm, _ = grid.spacing_xyz_mm
    turned, spacing_yx_mm = _radiological(grid.axes, (y_mm, x_mm))
    patches, _ = extract_patches(
        turned(image), turned(tumour_mask), spacing_yx_mm, spacing_mm, standardise=template.map_of(looked_at, landmarks)
    )
    slices = tuple(series.slices[z] for z in tumour)
    return Bag(patches, tumour, slices, tuple(float(v) for v in landmarks), template.distance(landmarks))


def _radiological(
    axes: npt.NDArray[np.float64], spacing_yx_mm: tuple[float, float]
) -> tuple[Callable[[PixelArray], PixelArray], tuple[float, float]]:
    """How to turn zyx arrays so that columns run to the left and rows to the back, and the spacing after it.

    axes : (3, 3), columns are the LPS directions of x and y (and z). Only whole quarter turns and flips: no resampling.
    """
    swap = abs(axes[0, 1]) > abs(axes[0, 0])
    right, down = (axes[:, 1], axes[:, 0]) if swap else (axes[:, 0], axes[:, 1])
    steps = (slice(None), slice(None, None, -1 if down[1] < 0 else 1), slice(None, None, -1 if right[0] < 0 else 1))

    def turned(array_zyx: PixelArray) -> PixelArray:
        return (array_zyx.transpose(0, 2, 1) if swap else array_zyx)[steps]

    return turned, (spacing_yx_mm[::-1] if swap else spacing_yx_mm)


class _Axis:
    """One axis of a patch on one axis of its slice, in source pixels.

    inside : patch positions whose centre lies within the image; nearest : the source pixel of each of them.
    first, last : the half-open range of source pixels that they are made from. The kernel is a triangle as wide as the
    coarser of both pixels: linear interpolation towards a finer grid, an average over the covered area towards a
    coarser one.
    """

    def __init__(self, centre: int, step: float, size: int, length: int) -> None:
        positions = centre + (np.arange(size) - size // 2) * step
        self.inside = np.flatnonzero((positions >= -0.5) & (positions <= length - 0.5))
        positions = positions[self.inside]
        self.nearest = np.clip(np.floor(positions + 0.5).astype(np.intp), 0, length - 1)
        reach = max(1.0, step)
        self.first = max(0, int(np.floor(positions[0] - reach)))
        self.last = min(length, int(np.ceil(positions[-1] + reach)) + 1)
        lowest = np.ceil(positions - reach).astype(np.intp)
        source = lowest[:, None] + np.arange(int(np.floor(2 * reach)) + 1)  # (inside, taps)
        weights = np.clip(1.0 - np.abs(positions[:, None] - source) / reach, 0.0, None)
        weights[(source < 0) | (source >= length)] = 0.0
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        self._source = np.clip(source - self.first, 0, self.last - self.first - 1)

    def resampled(self, lines: Float32Array) -> Float32Array:
        """Lines (last - first, width) -> (inside, width), each a weighted sum of a few.

        Added up in a fixed order: a matrix product would depend on how many threads the machine gives it.
        """
        found = self._weights[:, :1] * lines[self._source[:, 0]]
        for tap in range(1, self._source.shape[1]):
            found += self._weights[:, tap, None] * lines[self._source[:, tap]]
        return found


def _middle(touched: npt.NDArray[np.bool_]) -> int:
    """The index nearest to the middle of the touched range."""
    indices = np.flatnonzero(touched)
    return int(indices[0] + indices[-1] + 1) // 2
