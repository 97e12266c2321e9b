"""Shape-based interpolation: the region between drawn planes, where the signed distance to the lines is positive.

Needed when contours were drawn on another series, on every other slice, or in planes of another orientation. The signed
distance of each drawn plane is interpolated linearly towards the next one. A drawn plane represents a slab as thick as
the distance of the planes, so the first and the last reach half of it outwards. So do planes beside a gap of more than
one and a half distances, which may be the space between two separate parts.

References
----------
Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE Trans Med Imaging 1990;9:32-42.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from config.arrays import BoolArray, Float32Array, FloatArray, IndexArray
from config.errors import InputError
from workers.volumes.scanline import Edges, Moments, fill, moments

MAX_GAP = 1.5  # in distances of drawn planes
MARGIN = 2  # pixels around the drawn lines, so that the border is never at the end of the lattice
MAX_LATTICE = 200_000_000  # of damaged contours: absurd coordinates would otherwise take all memory
OUTSIDE = -1e6  # signed distance, in pixel units, of a plane whose region has no pixel


@dataclass(frozen=True)
class DrawnStack:
    """Drawn planes as signed distances on a pixel lattice.

    Attributes
    ----------
    positions : float64, shape (n_planes,)
        Along the planes' normal, rising, in the caller's unit.
    distance : float
        Of neighbouring planes, in the same unit.
    signed_distance : float32, shape (n_planes, height, width)
        Distance to the border, positive inside, in the unit of ``pixel_yx``.
    corner_xy : (int, int)
        Lattice coordinates of the first pixel.
    thickness : float64, shape (n_planes,)
        Of the slab that each plane represents: half the way to each neighbour, beside a gap half the distance.
    moments : Moments
        Area and first moments of each plane, in lattice pixels.
    """

    positions: FloatArray
    distance: float
    signed_distance: Float32Array
    corner_xy: tuple[int, int]
    thickness: FloatArray
    moments: Moments

    @classmethod
    def of(
        cls,
        polygons: Sequence[FloatArray],
        plane_of: IndexArray,
        positions: FloatArray,
        distance: float,
        pixel_yx: tuple[float, float],
    ) -> DrawnStack:
        """Make the stack of closed polygons.

        Parameters
        ----------
        polygons : sequence of float64, shape (n, 2) each
            Corners x, y in lattice pixels.
        plane_of : int, shape (n_polygons,)
            Index of each polygon's plane.
        positions : float64, shape (n_planes,)
            Of the planes along the normal, rising.
        distance : float
            Of neighbouring planes, in the unit of the positions.
        pixel_yx : (float, float)
            Height and width of a pixel, of which only the ratio counts.

        Raises
        ------
        InputError
            The lattice would be larger than a drawn region can be.
        """
        points = np.concatenate(polygons)
        low = np.floor(points.min(axis=0)).astype(int) - MARGIN
        width, height = (np.ceil(points.max(axis=0)).astype(int) + MARGIN + 1 - low).tolist()
        n_planes = len(positions)
        if n_planes * width * height > MAX_LATTICE:
            raise InputError(
                f"expected a region of at most {MAX_LATTICE} lattice points, found {n_planes} x {height} x {width}"
            )
        filled = fill(Edges.of([polygon - low for polygon in polygons], plane_of), n_planes, height, width)
        signed = np.stack([_signed_distance(inside, pixel_yx) for inside in filled])
        corner = (int(low[0]), int(low[1]))
        return cls(
            positions,
            distance,
            signed,
            corner,
            _thickness(positions, distance),
            moments(Edges.of(polygons, plane_of), n_planes),
        )

    def plane_coordinates(self, positions: npt.ArrayLike) -> FloatArray:
        """Convert positions to fractional plane indices.

        Parameters
        ----------
        positions : array
            Along the normal, in the unit of the stack's positions.

        Returns
        -------
        float64, same shape
            1.25 is a quarter of the way from plane 1 to plane 2; NaN where no drawn plane is near enough.
        """
        heights = np.asarray(positions, dtype=np.float64)
        above = np.searchsorted(self.positions, heights, side="right")
        below = np.clip(above - 1, 0, len(self.positions) - 1)
        above = np.clip(above, 0, len(self.positions) - 1)
        before, after = np.abs(heights - self.positions[below]), np.abs(self.positions[above] - heights)
        # Equal neighbours (outside the stack) have the gap 0; they are not joined, so the divisor does not matter.
        gap = self.positions[above] - self.positions[below]
        share = before / np.where(gap > 0, gap, 1.0)
        joined = (gap > 0) & (gap <= MAX_GAP * self.distance)
        nearest = np.where(after < before, above, below)
        # The last plane reaches exactly half a distance; rounding must not decide whether that slice belongs to it.
        reached = np.minimum(before, after) <= self.distance / 2 * (1 + 1e-6)
        return np.where(joined, below + share, np.where(reached, nearest, np.nan))

    def plane_at(self, position: float) -> BoolArray:
        """Cut the region with a plane parallel to the drawn ones.

        Parameters
        ----------
        position : float
            Along the normal.

        Returns
        -------
        bool, shape (height, width)
            True inside; the first pixel is at `corner_xy`.
        """
        coordinate = float(self.plane_coordinates(position))
        if np.isnan(coordinate):
            return np.zeros(self.signed_distance.shape[1:], dtype=np.bool_)
        below = min(int(coordinate), len(self.positions) - 1)
        above = min(below + 1, len(self.positions) - 1)
        share = np.float32(coordinate - below)
        # Positive inside, so the interpolated border is where the weighted distances cancel (Raya and Udupa 1990).
        return self.signed_distance[below] * (1 - share) + self.signed_distance[above] * share > 0

    def contains(self, xy: FloatArray, positions: FloatArray) -> BoolArray:
        """Return whether points are inside the region.

        Parameters
        ----------
        xy : float64, shape (n, 2)
            Lattice pixels.
        positions : float64, shape (n,)
            Along the normal.

        Returns
        -------
        bool, shape (n,)
            True inside.
        """
        coordinates = self.plane_coordinates(positions)
        near = ~np.isnan(coordinates)
        at = np.stack([coordinates[near], xy[near, 1] - self.corner_xy[1], xy[near, 0] - self.corner_xy[0]])
        inside = np.zeros(len(xy), dtype=np.bool_)
        inside[near] = ndimage.map_coordinates(self.signed_distance, at, order=1, cval=OUTSIDE) > 0
        return inside


def _thickness(positions: FloatArray, distance: float) -> FloatArray:
    steps = np.diff(positions)
    halves = np.where(steps <= MAX_GAP * distance, steps, distance) / 2
    ends = [distance / 2]
    return np.concatenate([ends, halves]) + np.concatenate([halves, ends])


def _signed_distance(inside: BoolArray, pixel_yx: tuple[float, float]) -> Float32Array:
    """Distance of each pixel centre to the region's border, positive inside."""
    if not inside.any():
        return np.full(inside.shape, OUTSIDE, dtype=np.float32)
    # The transform gives distances between pixel centres; the border is half a pixel before the nearest one.
    half = min(pixel_yx) / 2
    within = ndimage.distance_transform_edt(inside, sampling=pixel_yx)
    without = ndimage.distance_transform_edt(~inside, sampling=pixel_yx)
    return np.where(inside, within - half, half - without).astype(np.float32)
