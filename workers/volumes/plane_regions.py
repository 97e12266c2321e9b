"""The region that the closed contours of one plane enclose together.

A structure set may hold a contour twice (another start point, reversed, rounded apart), parts that overlap, and holes.
Each contour by itself is filled by the even-odd rule, so a keyhole stays a hole. Then a contour inside another is a
hole in it (unless it runs along the border), contours that overlap in part are joined, and a contour that repeats
another counts once. CLOSEDPLANAR_XOR (PS3.3 C.8.8.6.3) says by its name that contours cancel where they overlap, so
only repetitions are removed there.

The geometry is computed by shapely (GEOS): exact, and far better tested than a clipper of our own would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import shapely
from shapely import Geometry, Polygon

from config.arrays import FloatArray
from config.errors import IneligibleStudyError
from config.messages.message import message

SAME_CONTOUR_MM = 0.3  # contours nowhere farther apart than this are one; less than a pixel of any MR
INSIDE_SHARE = 0.99  # of a contour's area: so much of it within another makes it a hole
OVERLAP_SHARE = 0.005  # of the smaller area: contours that only touch by rounding do not overlap
SHARED_BORDER = 0.1  # of its length: a contour that runs along another for longer is no hole in it
LARGEST_HOLE_SHARE = 0.8  # a hole that fills more of its contour is as likely the same contour drawn twice
LEAST_AREA_MM2 = 1e-3


@dataclass(frozen=True)
class PlaneRegion:
    """The region of one plane, and what was done to get it.

    Attributes
    ----------
    rings : tuple of (n, 2) arrays, mm
        Closed lines without a repeated end point; filled together by the even-odd rule they give the region.
    n_repeated : int
        Contours left out because another one is the same.
    n_joined : int
        Contours that overlap another one in part.
    n_holes : int
        Contours that lie inside another one and are a hole in it.
    n_without_area : int
        Contours left out because they enclose nothing.
    """

    rings: tuple[FloatArray, ...]
    n_repeated: int = 0
    n_joined: int = 0
    n_holes: int = 0
    n_without_area: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {
            "n_repeated": self.n_repeated,
            "n_joined": self.n_joined,
            "n_holes": self.n_holes,
            "n_without_area": self.n_without_area,
        }


def region_of_plane(contours: Sequence[FloatArray], *, exclusive: bool = False) -> PlaneRegion:
    """Combine the closed contours of one plane into one region.

    Parameters
    ----------
    contours : sequence of (n, 2) arrays, mm
        Vertices in the plane; a repeated closing point and repeated neighbours are removed.
    exclusive : bool
        Contours of type CLOSEDPLANAR_XOR: where they overlap they cancel.

    Returns
    -------
    PlaneRegion
        No rings where no contour encloses an area.

    Raises
    ------
    IneligibleStudyError
        ``inconsistent_geometry`` for a contour inside another that fills more than four fifths of it: it may be a hole,
        or the same outline drawn twice.

    References
    ----------
    DICOM PS3.3 C.8.8.6.3 (contour geometric type), C.8.8.6.4 (inner and outer contours).
    """
    rings = [without_repeated_points(contour) for contour in contours]
    if len(rings) == 1:
        return PlaneRegion(tuple(rings)) if _encloses_area(rings[0]) else PlaneRegion((), n_without_area=1)
    solid = [ring for ring in rings if _encloses_area(ring)]
    distinct = _without_repetitions(solid)
    counts = {"n_repeated": len(solid) - len(distinct), "n_without_area": len(rings) - len(solid)}
    if exclusive or len(distinct) < 2:
        return PlaneRegion(tuple(distinct), **counts)
    areas = [_even_odd_area(ring) for ring in distinct]
    container, overlapping = _relations(areas)
    n_holes = sum(outer is not None for outer in container)
    if not overlapping:  # holes and separate parts: the even-odd rule gives them as they were drawn
        return PlaneRegion(tuple(distinct), n_holes=n_holes, **counts)
    joined = shapely.union_all(
        [_with_holes(at, areas, container) for at, outer in enumerate(container) if outer is None]
    )
    return PlaneRegion(tuple(_rings_of(joined)), n_joined=len(overlapping), n_holes=n_holes, **counts)


def without_repeated_points(contour: FloatArray) -> FloatArray:
    """Remove points that repeat their predecessor, the closing one included.

    Parameters
    ----------
    contour : (n, d) array
        Vertices of a closed line.

    Returns
    -------
    (m, d) array
        m <= n; at least one point.
    """
    differs = np.any(contour != np.roll(contour, 1, axis=0), axis=1)
    return contour[differs] if differs.any() else contour[:1]


def _encloses_area(ring: FloatArray) -> bool:
    return len(ring) >= 3 and _even_odd_area(ring).area > LEAST_AREA_MM2


def _even_odd_area(ring: FloatArray) -> Geometry:
    """Return the area inside one line by the even-odd rule, also where it touches or crosses itself (keyholes)."""
    polygon = Polygon(ring)
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


def _without_repetitions(rings: Sequence[FloatArray]) -> list[FloatArray]:
    """Keep of contours that are the same the first one."""
    distinct: list[FloatArray] = []
    lines: list[Geometry] = []
    for ring in rings:
        line = shapely.LinearRing(ring)
        if not any(_is_same_line(line, other) for other in lines):
            distinct.append(ring)
            lines.append(line)
    return distinct


def _is_same_line(first: Geometry, second: Geometry) -> bool:
    # The bounds decide most pairs at once; the Hausdorff distance does not depend on start point or direction.
    if np.abs(np.subtract(first.bounds, second.bounds)).max() > SAME_CONTOUR_MM:
        return False
    return bool(shapely.hausdorff_distance(first, second) <= SAME_CONTOUR_MM)


def _relations(areas: Sequence[Geometry]) -> tuple[list[int | None], set[int]]:
    """For each contour the smallest one around it (None: none), and those that overlap another in part."""
    container: list[int | None] = [None] * len(areas)
    overlapping: set[int] = set()
    for pair in combinations(range(len(areas)), 2):
        inner, outer = sorted(pair, key=lambda at: areas[at].area)
        shared = shapely.intersection(areas[inner], areas[outer]).area
        if shared >= INSIDE_SHARE * areas[inner].area and not _shares_border(areas[inner], areas[outer]):
            _refuse_ambiguous_hole(areas[inner].area, areas[outer].area)
            held = container[inner]
            if held is None or areas[outer].area < areas[held].area:
                container[inner] = outer
        elif shared > OVERLAP_SHARE * areas[inner].area:
            overlapping |= {inner, outer}
    return container, overlapping


def _shares_border(inner: Geometry, outer: Geometry) -> bool:
    """Whether a contour inside another runs along it: then it is a part of it drawn again, and no hole."""
    beside = shapely.intersection(inner.boundary, shapely.buffer(outer.boundary, SAME_CONTOUR_MM))
    return bool(beside.length > SHARED_BORDER * inner.boundary.length)


def _refuse_ambiguous_hole(inner_mm2: float, outer_mm2: float) -> None:
    share = inner_mm2 / outer_mm2
    if share > LARGEST_HOLE_SHARE:
        raise IneligibleStudyError(
            "inconsistent_geometry",
            message("inconsistent_geometry.drawn_twice", inner=inner_mm2, outer=outer_mm2, share=share),
        )


def _with_holes(at: int, areas: Sequence[Geometry], container: Sequence[int | None]) -> Geometry:
    """One contour without what lies inside it as a hole; a part inside a hole belongs to the region again."""
    inside = [_with_holes(inner, areas, container) for inner, outer in enumerate(container) if outer == at]
    return shapely.difference(areas[at], shapely.union_all(inside)) if inside else areas[at]


def _rings_of(region: Geometry) -> list[FloatArray]:
    parts = shapely.get_parts(shapely.get_parts(region))  # twice: a repaired contour may be a collection of collections
    polygons = [part for part in parts if isinstance(part, Polygon) and part.area > LEAST_AREA_MM2]
    lines = [line for polygon in polygons for line in (polygon.exterior, *polygon.interiors)]
    return [without_repeated_points(shapely.get_coordinates(line)) for line in lines]
