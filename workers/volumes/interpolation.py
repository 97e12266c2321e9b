"""Between the drawn planes: the region where the signed distance to the drawn lines is positive.

Needed when contours were drawn on another series, on every other slice, or in planes of another orientation. The signed
distance of each drawn plane is interpolated linearly towards the next (shape-based interpolation, Raya and Udupa,
IEEE Trans Med Imaging 1990;9:32-42). A drawn plane stands for a slab as thick as the planes are apart, so the first
and the last reach half of that outwards, and so do planes beside a gap of more than one and a half distances, which
may be the space between two separate parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from config.arrays import FloatArray
from config.errors import InputError
from workers.volumes.scanline import Edges, Moments, fill, moments

MAX_GAP = 1.5  # in distances of drawn planes
MARGIN = 2
MAX_LATTICE = 200_000_000
OUTSIDE = -1e6


@dataclass(frozen=True)
class DrawnStack:
    """Drawn planes as signed distances on a pixel lattice.

    positions : (n_planes,) rising, along the planes' normal; distance : of neighbouring planes, in the same unit.
    signed_distance : (n_planes, height, width) pixels, positive inside; corner_xy : the lattice's first pixel.
    moments : area and first moments of each plane, in lattice units.
    """

    positions: FloatArray
    distance: float
    signed_distance: npt.NDArray[np.float32]
    corner_xy: tuple[int, int]
    moments: Moments

    @classmethod
    def of(
        cls,
        polygons: Sequence[FloatArray],
        positions: Sequence[float],
        pixel_yx: tuple[float, float],
        single_distance: float,
    ) -> DrawnStack:
        """From closed polygons, each (n, 2) xy in lattice pixels, and the position of each one's plane.

        pixel_yx : the pixel's height and width, of which only the ratio counts; single_distance : what to assume when
        only one plane is drawn. Raises InputError when the lattice would be larger than a drawn region can be.
        """
        heights, plane = _clustered(np.asarray(positions, dtype=np.float64))
        distance = float(np.median(np.diff(heights))) if len(heights) > 1 else single_distance
        points = np.concatenate(polygons)
        low = np.floor(points.min(axis=0)).astype(int) - MARGIN
        width, height = (np.ceil(points.max(axis=0)).astype(int) + MARGIN + 1 - low).tolist()
        if len(heights) * width * height > MAX_LATTICE:
            raise InputError(
                f"expected a region of at most {MAX_LATTICE} lattice points, found {len(heights)} x {height} x {width}"
            )
        filled = fill(Edges.of([polygon - low for polygon in polygons], plane), len(heights), height, width)
        signed = np.stack([_signed_distance(inside, pixel_yx) for inside in filled])
        corner = (int(low[0]), int(low[1]))
        return cls(heights, distance, signed, corner, moments(Edges.of(polygons, plane), len(heights)))

    def plane_coordinates(self, positions: npt.ArrayLike) -> FloatArray:
        """Positions -> fractional plane indices; not a number where nothing was drawn nearby."""
        wanted = np.asarray(positions, dtype=np.float64)
        above = np.searchsorted(self.positions, wanted, side="right")
        below = np.clip(above - 1, 0, len(self.positions) - 1)
        above = np.clip(above, 0, len(self.positions) - 1)
        before, after = np.abs(wanted - self.positions[below]), np.abs(self.positions[above] - wanted)
        gap = self.positions[above] - self.positions[below]
        share = before / np.where(gap > 0, gap, 1.0)
        joined = (gap > 0) & (gap <= MAX_GAP * self.distance)
        nearest = np.where(after < before, above, below)
        reached = np.minimum(before, after) <= self.distance / 2 * (1 + 1e-6)
        return np.where(joined, below + share, np.where(reached, nearest, np.nan))

    def plane_at(self, position: float) -> npt.NDArray[np.bool_]:
        """The region in a plane parallel to the drawn ones, (height, width) from corner_xy."""
        coordinate = float(self.plane_coordinates(position))
        if np.isnan(coordinate):
            return np.zeros(self.signed_distance.shape[1:], dtype=np.bool_)
        below = min(int(coordinate), len(self.positions) - 1)
        above = min(below + 1, len(self.positions) - 1)
        share = np.float32(coordinate - below)
        return self.signed_distance[below] * (1 - share) + self.signed_distance[above] * share > 0

    def contains(self, xy: FloatArray, positions: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether points lie in the region. xy : (n, 2) lattice pixels; positions : (n,) along the normal."""
        coordinates = self.plane_coordinates(positions)
        near = ~np.isnan(coordinates)
        at = np.stack([coordinates[near], xy[near, 1] - self.corner_xy[1], xy[near, 0] - self.corner_xy[0]])
        inside = np.zeros(len(xy), dtype=np.bool_)
        inside[near] = ndimage.map_coordinates(self.signed_distance, at, order=1, cval=OUTSIDE) > 0
        return inside


def _clustered(positions: FloatArray) -> tuple[FloatArray, list[int]]:
    """Planes among nearly equal positions: their rising mean positions, and the plane of each given position."""
    order = np.argsort(positions, kind="stable")
    steps = np.diff(positions[order])
    wide = steps[steps > 1e-3]
    same = 0.1 * float(np.median(wide)) if wide.size else 1e-3
    plane = np.empty(len(positions), dtype=np.intp)
    plane[order] = np.concatenate([[0], np.cumsum(steps > same)])
    heights = np.bincount(plane, weights=positions) / np.bincount(plane)
    return heights, plane.tolist()


def _signed_distance(inside: npt.NDArray[np.bool_], pixel_yx: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Distance of each pixel centre to the region's border, which runs half a pixel from the nearest centres."""
    if not inside.any():
        return np.full(inside.shape, OUTSIDE, dtype=np.float32)
    half = min(pixel_yx) / 2
    within = ndimage.distance_transform_edt(inside, sampling=pixel_yx)
    without = ndimage.distance_transform_edt(~inside, sampling=pixel_yx)
    return np.where(inside, within - half, half - without).astype(np.float32)
