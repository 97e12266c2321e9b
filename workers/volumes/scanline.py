"""Scanlines through polygons: which pixels are inside by the even-odd rule, and the exact areas.

A pixel belongs to a region when its centre is inside. By the even-odd rule all contours of a plane are combined by
exclusive-or, which gives holes, and keyholes drawn as one line that runs in and out through a channel. All polygons of
all planes are handled in one pass of NumPy operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.arrays import BoolArray, FloatArray, IndexArray
from config.errors import InputError

AREA_LINES = 512
MAX_CROSSINGS = 20_000_000  # of damaged contours: absurd coordinates would otherwise take all memory


@dataclass(frozen=True)
class Edges:
    """The edges of closed polygons in several planes.

    Attributes
    ----------
    starts, ends : float64, shape (n, 2)
        Both ends of each edge, x and y in pixels. An edge starts at its lower y, whichever way the line was drawn, so
        that regions which share an edge agree on it exactly.
    planes : int, shape (n,)
        Plane index of each edge.
    """

    starts: FloatArray
    ends: FloatArray
    planes: IndexArray

    @classmethod
    def of(cls, polygons: Sequence[FloatArray], planes: Sequence[int] | IndexArray) -> Edges:
        """Make the edges of polygons.

        Parameters
        ----------
        polygons : sequence of float64, shape (n, 2) each
            Corners x, y; the last one is joined to the first.
        planes : sequence of int
            Plane index of each polygon.
        """
        points = np.concatenate(polygons)
        following = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
        # Each edge runs upwards in y, so that one comparison decides which end belongs to it.
        upwards = points[:, 1:] <= following[:, 1:]
        starts, ends = np.where(upwards, points, following), np.where(upwards, following, points)
        return cls(starts, ends, np.repeat(np.asarray(planes, dtype=np.intp), [len(p) for p in polygons]))

    def crossings(self, first_y: float, step_y: float, n_lines: int) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Find where edges cross the scanlines y = first_y + line * step_y.

        Parameters
        ----------
        first_y, step_y : float
            First scanline and their distance, in pixels.
        n_lines : int
            Number of scanlines.

        Returns
        -------
        plane, line : int, shape (m,)
            Plane and scanline of each crossing, unordered.
        x : float64, shape (m,)
            Place of the crossing on its scanline.

        Raises
        ------
        InputError
            More crossings than a drawn region can have.
        """
        # An edge contains its lower end and not its upper one (ceil on both), so that a scanline through a corner
        # crosses a closed polygon an even number of times, and a horizontal edge is never crossed.
        y0, y1 = self.starts[:, 1], self.ends[:, 1]
        first = np.clip(np.ceil((y0 - first_y) / step_y), 0, n_lines).astype(np.intp)
        last = np.clip(np.ceil((y1 - first_y) / step_y), 0, n_lines).astype(np.intp)
        counts = last - first
        if counts.sum() > MAX_CROSSINGS:
            raise InputError(f"expected contours with at most {MAX_CROSSINGS} scanline crossings, found {counts.sum()}")
        edge = np.repeat(np.arange(len(counts)), counts)
        line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        share = (first_y + line * step_y - y0[edge]) / (y1 - y0)[edge]
        x = self.starts[edge, 0] + share * (self.ends - self.starts)[edge, 0]
        return self.planes[edge], line, x


@dataclass(frozen=True)
class Moments:
    """Area and first moments of the region in each plane.

    Attributes
    ----------
    area : float64, shape (n_planes,)
        In the square of the polygons' unit.
    first_x, first_y : float64, shape (n_planes,)
        Integrals of x and of y over the region, in the cube of the unit; divided by the area they are the centroid.
    """

    area: FloatArray
    first_x: FloatArray
    first_y: FloatArray


def fill(edges: Edges, n_planes: int, height: int, width: int) -> BoolArray:
    """Fill the regions on a raster whose pixel centres have whole coordinates.

    Parameters
    ----------
    edges : Edges
        In pixels; parts beyond the raster are cut off.
    n_planes, height, width : int
        Size of the raster.

    Returns
    -------
    bool, shape (n_planes, height, width)
        True inside.
    """
    inside = np.zeros((n_planes, height, width), dtype=np.bool_)
    region, (top, left) = fill_box(edges, n_planes, height, width)
    inside[:, top : top + region.shape[1], left : left + region.shape[2]] = region
    return inside


def fill_box(edges: Edges, n_planes: int, height: int, width: int) -> tuple[BoolArray, tuple[int, int]]:
    """Fill only the rows and columns that are touched; otherwise as `fill`.

    Parameters
    ----------
    edges : Edges
        In pixels; parts beyond the raster are cut off.
    n_planes, height, width : int
        Size of the raster.

    Returns
    -------
    region : bool, shape (n_planes, rows, columns)
        True inside.
    corner : (int, int)
        First row and first column of the region.
    """
    plane, row, x = edges.crossings(0.0, 1.0, height)
    # A pixel centre exactly on a crossing is right of it: ceil at both ends, so that neighbours share no pixel.
    column = np.clip(np.ceil(x), 0, width).astype(np.intp)
    if not len(plane):
        return np.zeros((n_planes, 0, 0), dtype=np.bool_), (0, 0)
    top, left = int(row.min()), int(column.min())
    rows, columns = int(row.max()) + 1 - top, int(column.max()) - left  # after the last crossing all is outside
    # Each crossing toggles all pixels from its column on. As bits in words of 64 that is a prefix exclusive-or: within
    # a word by six shifts, across the words of a row by an accumulated parity.
    words = np.zeros((n_planes, rows, columns // 64 + 1), dtype="<u8")
    word, bit = np.divmod(column - left, 64)
    np.bitwise_xor.at(words, (plane, row - top, word), np.uint64(1) << bit.astype(np.uint64))
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    odd = np.bitwise_xor.accumulate(words >> np.uint64(63), axis=2)
    words[:, :, 1:] ^= np.uint64(0) - odd[:, :, :-1]
    bits = np.unpackbits(words.view(np.uint8), axis=2, bitorder="little", count=columns)
    return bits.view(np.bool_), (top, left)


def moments(edges: Edges, n_planes: int) -> Moments:
    """Integrate the even-odd regions without regard to pixels.

    Exact along x; along y by the midpoint rule with `AREA_LINES` lines that divide each plane's own extent.

    Parameters
    ----------
    edges : Edges
        In any unit.
    n_planes : int
        Number of planes.

    Returns
    -------
    Moments
        Zero for planes without edges.
    """
    low, high = np.full(n_planes, np.inf), np.full(n_planes, -np.inf)
    np.minimum.at(low, edges.planes, edges.starts[:, 1])
    np.maximum.at(high, edges.planes, edges.ends[:, 1])
    # Each plane has its own lines, so that a small region is measured as finely as a large one.
    step = np.where(high > low, (high - low) / AREA_LINES, 1.0)
    in_lines = [np.column_stack([xy[:, 0], (xy[:, 1] - low[edges.planes]) / step[edges.planes]])
                for xy in (edges.starts, edges.ends)]  # fmt: skip
    plane, line, x = Edges(in_lines[0], in_lines[1], edges.planes).crossings(0.5, 1.0, AREA_LINES)
    order = np.lexsort((x, line, plane))
    # Sorted along each line, crossings come in pairs of entry and exit: by the even-odd rule their number is even.
    plane, line, x = plane[order][0::2], line[order][0::2], x[order]
    left, right = x[0::2], x[1::2]

    def summed(lengths: FloatArray) -> FloatArray:
        return np.bincount(plane, weights=lengths * step[plane], minlength=n_planes).astype(np.float64)

    y = low[plane] + (line + 0.5) * step[plane]
    # Area, and the integrals of x and y over it; divided by the area they are the centroid.
    return Moments(summed(right - left), summed((right**2 - left**2) / 2), summed((right - left) * y))
