"""Scanlines through polygons: what lies inside by the even-odd rule, so holes and keyholes come out by exclusive-or.

A pixel belongs to a region when its centre lies inside. All polygons of all planes are handled in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.arrays import FloatArray, IndexArray
from config.errors import InputError

AREA_LINES = 512
MAX_CROSSINGS = 20_000_000


@dataclass(frozen=True)
class Edges:
    """The edges of closed polygons. starts, ends : (n, 2) xy; planes : (n,) plane index of each edge.

    An edge starts at its lower y, whichever way the line was drawn, so regions that share an edge agree on it exactly.
    """

    starts: FloatArray
    ends: FloatArray
    planes: IndexArray

    @classmethod
    def of(cls, polygons: Sequence[FloatArray], planes: Sequence[int] | IndexArray) -> Edges:
        """polygons : each (n, 2) xy, closed by itself; planes : the plane index of each."""
        points = np.concatenate(polygons)
        following = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
        upwards = points[:, 1:] <= following[:, 1:]
        starts, ends = np.where(upwards, points, following), np.where(upwards, following, points)
        return cls(starts, ends, np.repeat(np.asarray(planes, dtype=np.intp), [len(p) for p in polygons]))

    def crossings(self, first_y: float, step_y: float, n_lines: int) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Where edges cross the lines y = first_y + line * step_y, 0 <= line < n_lines: (plane, line, x), unordered.

        An edge owns its lower end and not its upper one, so each line crosses a closed polygon an even number of times.
        Raises InputError when there are more crossings than a drawn region can have.
        """
        y0, y1 = self.starts[:, 1], self.ends[:, 1]
        first = np.clip(np.ceil((y0 - first_y) / step_y), 0, n_lines).astype(np.intp)
        last = np.clip(np.ceil((y1 - first_y) / step_y), 0, n_lines).astype(np.intp)
        counts = last - first
        if counts.sum() > MAX_CROSSINGS:
            raise InputError(f"expected contours that {MAX_CROSSINGS} scanline crossings exhaust, found {counts.sum()}")
        edge = np.repeat(np.arange(len(counts)), counts)
        line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        share = (first_y + line * step_y - y0[edge]) / (y1 - y0)[edge]
        x = self.starts[edge, 0] + share * (self.ends - self.starts)[edge, 0]
        return self.planes[edge], line, x


@dataclass(frozen=True)
class Moments:
    """Area and its first moments of each plane, (n_planes,), in the polygons' own unit squared and cubed."""

    area: FloatArray
    first_x: FloatArray
    first_y: FloatArray


def fill(edges: Edges, n_planes: int, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Whether each pixel centre (whole x, y) lies inside, (n_planes, height, width); what lies outside is cut off."""
    inside = np.zeros((n_planes, height, width), dtype=np.bool_)
    region, (top, left) = fill_box(edges, n_planes, height, width)
    inside[:, top : top + region.shape[1], left : left + region.shape[2]] = region
    return inside


def fill_box(edges: Edges, n_planes: int, height: int, width: int) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """The same, only for the rows and columns that are touched: (n_planes, rows, columns), (first row, first column).

    Each crossing toggles the pixels from its column on: a bit in words of 64, spread by a parallel prefix exclusive-or.
    """
    plane, row, x = edges.crossings(0.0, 1.0, height)
    column = np.clip(np.ceil(x), 0, width).astype(np.intp)
    if not len(plane):
        return np.zeros((n_planes, 0, 0), dtype=np.bool_), (0, 0)
    top, left = int(row.min()), int(column.min())
    rows, columns = int(row.max()) + 1 - top, int(column.max()) - left  # after the last crossing all is outside
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
    """Areas of the even-odd regions, not bound to any pixel: exact along x, by midpoints of AREA_LINES lines along y.

    The lines divide each plane's own extent, so a rectangle comes out exactly.
    """
    low, high = np.full(n_planes, np.inf), np.full(n_planes, -np.inf)
    np.minimum.at(low, edges.planes, edges.starts[:, 1])
    np.maximum.at(high, edges.planes, edges.ends[:, 1])
    step = np.where(high > low, (high - low) / AREA_LINES, 1.0)
    in_lines = [np.column_stack([xy[:, 0], (xy[:, 1] - low[edges.planes]) / step[edges.planes]])
                for xy in (edges.starts, edges.ends)]  # fmt: skip
    plane, line, x = Edges(in_lines[0], in_lines[1], edges.planes).crossings(0.5, 1.0, AREA_LINES)
    order = np.lexsort((x, line, plane))
    plane, line, x = plane[order][0::2], line[order][0::2], x[order]
    left, right = x[0::2], x[1::2]

    def summed(lengths: FloatArray) -> FloatArray:
        return np.bincount(plane, weights=lengths * step[plane], minlength=n_planes).astype(np.float64)

    y = low[plane] + (line + 0.5) * step[plane]
    return Moments(summed(right - left), summed((right**2 - left**2) / 2), summed((right - left) * y))
