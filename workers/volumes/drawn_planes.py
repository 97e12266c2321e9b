"""The planes that contours were drawn in, and how far they are apart.

Coordinates are rounded when a structure set is written (0.01 mm, often 0.1 mm), and oblique contours are rounded in
three directions, so the contours of one plane never have exactly one height. Heights nearer than `SAME_PLANE_MM` are
one plane; then the planes must follow each other evenly, except for gaps. Anything else, such as two contour sets that
lie beside each other, is refused with the heights named: the volume would be a guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.arrays import FloatArray, IndexArray
from config.errors import IneligibleStudyError
from config.messages.message import message

SAME_PLANE_MM = 0.45
ROUNDING_MM = 0.011  # of coordinates written with two decimals
EVEN_WITHIN = 0.25  # of the distance: how far a step may be from it
MOST_UNEVEN = 0.34  # share of the steps that may be gaps or uneven; one is always allowed, between two parts


@dataclass(frozen=True)
class DrawnPlanes:
    """Planes of one contour set.

    Attributes
    ----------
    heights_mm : (n_planes,) array
        Rising, along the planes' normal; the mean of each plane's contours.
    plane_of : (n_contours,) array
        Index of the plane of each contour.
    distance_mm : float
        Between neighbouring planes.
    """

    heights_mm: FloatArray
    plane_of: IndexArray
    distance_mm: float


def drawn_planes(heights_mm: npt.ArrayLike, single_distance_mm: float) -> DrawnPlanes:
    """Group contours into planes.

    Parameters
    ----------
    heights_mm : (n_contours,) array
        Mean height of each contour along the common normal.
    single_distance_mm : float
        The distance to assume when only one plane is drawn.

    Returns
    -------
    DrawnPlanes

    Raises
    ------
    IneligibleStudyError
        ``inconsistent_geometry`` when the planes are not evenly spaced: two sets beside each other, or most missing.
    """
    heights = np.asarray(heights_mm, dtype=np.float64)
    order = np.argsort(heights, kind="stable")
    rising = heights[order]
    plane_of = np.empty(len(heights), dtype=np.intp)
    plane_of[order] = np.concatenate([[0], np.cumsum(np.diff(rising) > _same_plane_mm(rising))])
    planes = np.bincount(plane_of, weights=heights) / np.bincount(plane_of)
    if len(planes) == 1:
        return DrawnPlanes(planes, plane_of, single_distance_mm)
    return DrawnPlanes(planes, plane_of, _even_distance(planes))


def _same_plane_mm(heights: FloatArray) -> float:
    """Return how near two of these rising heights are when they belong to one plane."""
    steps = np.diff(heights)
    if np.ptp(heights) <= SAME_PLANE_MM or np.any(steps > SAME_PLANE_MM):
        return SAME_PLANE_MM
    return 0.5 * float(np.median(steps[steps > ROUNDING_MM]))  # planes thinner than any MR slice


def _even_distance(planes: FloatArray) -> float:
    steps = np.diff(planes)
    usual = float(np.median(steps[steps < 1.5 * steps.min()]))  # gaps apart
    even = np.abs(steps - usual) <= EVEN_WITHIN * usual
    if np.count_nonzero(~even) <= max(1, MOST_UNEVEN * len(steps)):
        return float(np.mean(steps[even]))
    at = int(np.argmax(steps <= steps.min() + ROUNDING_MM))  # the first of those that are nearest
    raise IneligibleStudyError(
        "inconsistent_geometry",
        message(
            "inconsistent_geometry.uneven_planes",
            low=planes[at],
            high=planes[at + 1],
            step=steps[at],
            largest=steps.max(),
        ),
    )
