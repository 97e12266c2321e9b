"""Patches of a stored series: its tumour slices, standardised and turned the same way for every patient.

Only the tumour's slices are decoded, and at most 24 evenly spaced ones for the intensity landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import SimpleITK as sitk

from config.arrays import Float32Array, FloatArray, IndexArray, LabelArray, PixelArray
from config.errors import IneligibleStudyError
from config.messages.message import message
from workers.volumes.bias_field import bias_field
from workers.volumes.geometry import Grid
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import landmarks_of
from workers.volumes.patches import extract_patches
from workers.volumes.picture import Picture, close_up_of, picture_of
from workers.volumes.stored_slice import StoredSlice

MAX_LANDMARK_SLICES = 24
MAX_OBLIQUE_DEGREES = 40.0


class SliceSource(Protocol):
    """A series of which single slices can be decoded: `MrSeries`, or a volume in memory."""

    @property
    def grid(self) -> Grid:
        """Size and place of the volume."""

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID."""

    @property
    def slices(self) -> tuple[StoredSlice, ...]:
        """Reference to the stored slice of each z index."""

    @property
    def image(self) -> sitk.Image:
        """The whole volume."""

    def pixels_zyx(self, z_indices: Iterable[int]) -> Float32Array:
        """Grey values of chosen slices."""


@dataclass(frozen=True)
class SeriesPatches:
    """All tumour slices of one series as the networks take them.

    Attributes
    ----------
    patches : float32, shape (n, 2, 128, 128), axes patch, channel, row, column
        Channel 0 image in 0..1, channel 1 tumour mask. Rows run to the patient's back, columns to the left.
    slice_index : int, shape (n,)
        Index z of each patch in the series, rising.
    slices : tuple of StoredSlice, length n
        The stored slice of each patch.
    landmarks : tuple of float, one for each of `PERCENTILES`
        Grey values of the series at the percentiles of its foreground.
    distance : float
        Distance of the landmarks from the template; see `IntensityTemplate.distance`.
    picture, close_up : Picture or None
        All decoded slices at about 2 mm, and the tumour's region at about 1 mm; None for an empty mask.
    """

    patches: Float32Array
    slice_index: IndexArray
    slices: tuple[StoredSlice, ...]
    landmarks: tuple[float, ...]
    distance: float
    picture: Picture | None
    close_up: Picture | None


def landmark_slices(n_slices: int) -> IndexArray:
    """Return the slices from which the intensity landmarks of a series are taken.

    Training and service use the same slices, so that landmarks of both are comparable.

    Parameters
    ----------
    n_slices : int
        Number of slices of the series, at least 1.

    Returns
    -------
    int, shape (m,), m <= 24
        0 and every k-th slice after it, with the smallest k that gives at most 24 slices.
    """
    # Ceiling division: at most the limit, evenly spaced from the first slice on.
    return np.arange(0, n_slices, -(-n_slices // MAX_LANDMARK_SLICES))


def extract_series_patches(
    series: SliceSource,
    mask_zyx: LabelArray,
    template: IntensityTemplate,
    spacing_mm: float,
    max_oblique_degrees: float = MAX_OBLIQUE_DEGREES,
) -> SeriesPatches:
    """Cut the patches of a stored series and its tumour mask.

    Parameters
    ----------
    series : SliceSource
        A stored series, or one in memory; slices at most `max_oblique_degrees` from axial.
    mask_zyx : uint8, shape (slices, rows, columns)
        Tumour mask on the series' grid.
    template : IntensityTemplate
        Says how the training images were normalised; its N4 kind reads the whole volume and takes tens of seconds.
    spacing_mm : float
        In-plane pixel spacing of the patches.
    max_oblique_degrees : float
        Largest angle between the slices' normal and the patient's long axis.

    Returns
    -------
    SeriesPatches
        Without patches when the mask is empty.

    Raises
    ------
    IneligibleStudyError
        ``inconsistent_geometry`` when the slices are not near axial; ``out_of_distribution`` when the series has no
        contrast; ``unreadable_instance`` when a slice cannot be decoded.
    ValueError
        The mask has another shape than the series.
    """
    grid = series.grid
    if mask_zyx.shape != grid.shape_zyx:
        raise ValueError(f"expected a mask of shape {grid.shape_zyx} (zyx), found {mask_zyx.shape}")
    # The slices are not resampled to axial ones: a patch would mix several stored slices, and no reference of the
    # report to an image would be true.
    if grid.tilt_degrees > max_oblique_degrees:
        raise IneligibleStudyError(
            "inconsistent_geometry",
            message(
                "inconsistent_geometry.oblique",
                series=series.series_instance_uid,
                limit=max_oblique_degrees,
                found=grid.tilt_degrees,
            ),
        )
    tumour = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    sampled = landmark_slices(grid.size_xyz[2])
    # Each slice is decoded once, whether for the tumour, for the landmarks or for both.
    decoded = np.union1d(tumour, sampled)
    pixels = series.pixels_zyx(decoded)
    if template.corrects_bias:
        pixels = pixels / bias_field(series.image)[decoded]
    landmark_pixels = pixels[np.searchsorted(decoded, sampled)]
    landmarks = landmarks_of(landmark_pixels)
    image, tumour_mask = pixels[np.searchsorted(decoded, tumour)], mask_zyx[tumour]
    view = _radiological_view(grid)
    turn, spacing_yx_mm = view.turn, view.spacing_xyz_mm[1::-1]
    standardise = template.map_of(landmark_pixels, landmarks)
    patches, _ = extract_patches(turn(image), turn(tumour_mask), spacing_yx_mm, spacing_mm, standardise=standardise)
    return SeriesPatches(
        patches,
        tumour,
        tuple(series.slices[z] for z in tumour),
        tuple(float(v) for v in landmarks),
        template.distance(landmarks),
        *_pictures(pixels, mask_zyx[decoded], decoded, grid.size_xyz[2], view),
    )


@dataclass(frozen=True)
class _RadiologicalView:
    """How to turn zyx arrays so that columns run to the left and rows to the back, and the geometry after it."""

    turn: Callable[[PixelArray], PixelArray]
    spacing_xyz_mm: tuple[float, float, float]
    origin_lps_mm: FloatArray
    axes: FloatArray


def _pictures(
    pixels_zyx: Float32Array, mask_zyx: LabelArray, decoded: IndexArray, n_slices: int, view: _RadiologicalView
) -> tuple[Picture | None, Picture | None]:
    if not mask_zyx.any():
        return None, None
    pixels, mask = view.turn(pixels_zyx), view.turn(mask_zyx)
    geometry = (decoded, n_slices, view.spacing_xyz_mm, view.origin_lps_mm, view.axes)
    picture = picture_of(pixels, mask, *geometry)
    return picture, close_up_of(pixels, mask, *geometry, picture.brightest)


def _radiological_view(grid: Grid) -> _RadiologicalView:
    """Return the quarter turns and flips that give the radiological view: no resampling."""
    # Axial series are also stored with rows and columns exchanged or reversed (PS3.3 C.7.6.2.1.1 allows any cosines);
    # the networks have seen one view only.
    # LPS: x rises to the patient's left and y to the back, so rows run from front to back and columns from the
    # patient's right to the left.
    axes, (x_mm, y_mm, z_mm), (columns, rows, _) = grid.axes, grid.spacing_xyz_mm, grid.size_xyz
    swap = abs(axes[0, 1]) > abs(axes[0, 0])
    right, down = (axes[:, 1], axes[:, 0]) if swap else (axes[:, 0], axes[:, 1])
    spacing = (y_mm, x_mm) if swap else (x_mm, y_mm)
    last = (rows - 1, columns - 1) if swap else (columns - 1, rows - 1)
    flip_x, flip_y = right[0] < 0, down[1] < 0
    steps = (slice(None), slice(None, None, -1 if flip_y else 1), slice(None, None, -1 if flip_x else 1))
    # A flipped axis begins at the pixel that was its last one.
    origin = (
        np.asarray(grid.origin_lps_mm) + right * spacing[0] * last[0] * flip_x + down * spacing[1] * last[1] * flip_y
    )

    def turn(array_zyx: PixelArray) -> PixelArray:
        return (array_zyx.transpose(0, 2, 1) if swap else array_zyx)[steps]

    turned = np.column_stack([-right if flip_x else right, -down if flip_y else down, axes[:, 2]])
    return _RadiologicalView(turn, (*spacing, z_mm), origin, turned)
