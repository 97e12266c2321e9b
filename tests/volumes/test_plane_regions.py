"""The region of one plane; expected areas are those of rectangles, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.arrays import FloatArray
from config.errors import IneligibleStudyError
from workers.volumes.plane_regions import PlaneRegion, region_of_plane
from workers.volumes.scanline import Edges, moments


def rectangle(x: float, y: float, width: float, height: float) -> FloatArray:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], dtype=np.float64)


def densely(ring: FloatArray, steps: int = 20) -> FloatArray:
    """The same line with more vertices."""
    following = np.roll(ring, -1, axis=0)
    return np.concatenate([np.linspace(a, b, steps, endpoint=False) for a, b in zip(ring, following, strict=True)])


def area(region: PlaneRegion) -> float:
    """Area by the even-odd rule of the scanlines, which is how the rings are filled later."""
    return float(moments(Edges.of(region.rings, [0] * len(region.rings)), 1).area[0]) if region.rings else 0.0


OUTER = rectangle(0, 0, 40, 30)  # 1200 mm2


@pytest.mark.parametrize(
    "again",
    [
        OUTER.copy(),
        np.roll(OUTER, 2, axis=0),
        OUTER[::-1],
        np.vstack([OUTER, OUTER[:1]]),
        OUTER + np.array([0.01, -0.01]),
        densely(OUTER),
        densely(OUTER)[::-1] + 0.1,
    ],
    ids=["exact", "other start", "reversed", "closed again", "rounded apart", "more points", "all of it"],
)
def test_a_contour_that_is_stored_twice_counts_once(again: FloatArray) -> None:
    region = region_of_plane([OUTER, again])
    assert area(region) == pytest.approx(1200, rel=2e-3)
    assert region.n_repeated == 1


def test_a_contour_inside_another_is_a_hole() -> None:
    region = region_of_plane([rectangle(10, 10, 10, 10), OUTER])
    assert area(region) == pytest.approx(1100, rel=2e-3)
    assert (region.n_holes, region.n_joined) == (1, 0)


def test_an_island_in_a_hole_belongs_to_the_region() -> None:
    region = region_of_plane([OUTER, rectangle(10, 10, 10, 10), rectangle(12, 12, 4, 4)])
    assert area(region) == pytest.approx(1200 - 100 + 16, rel=2e-3)


def test_a_part_drawn_again_along_the_border_is_no_hole() -> None:
    region = region_of_plane([OUTER, rectangle(0, 0, 20, 30)])
    assert area(region) == pytest.approx(1200, rel=2e-3)
    assert (region.n_holes, region.n_joined) == (0, 2)


def test_contours_that_overlap_in_part_are_joined() -> None:
    region = region_of_plane([OUTER, rectangle(30, 0, 40, 30)])
    assert area(region) == pytest.approx(1200 + 1200 - 300, rel=2e-3)
    assert region.n_joined == 2


def test_a_hole_stays_where_another_part_overlaps_its_contour() -> None:
    region = region_of_plane([OUTER, rectangle(2, 2, 10, 10), rectangle(30, 0, 40, 30)])
    assert area(region) == pytest.approx(1200 - 100 + 1200 - 300, rel=2e-3)


def test_separate_parts_are_returned_as_they_were_drawn() -> None:
    parts = [OUTER, rectangle(100, 0, 10, 10)]
    region = region_of_plane(parts)
    assert all(np.array_equal(ring, part) for ring, part in zip(region.rings, parts, strict=True))


def test_a_keyhole_has_a_hole() -> None:
    keyhole = np.array(
        [(0, 0), (10, 0), (10, 10), (0, 10), (0, 5), (3, 5), (3, 7), (7, 7), (7, 3), (3, 3), (3, 5), (0, 5)], float
    )
    assert area(region_of_plane([keyhole])) == pytest.approx(84, rel=2e-3)
    assert area(region_of_plane([keyhole, rectangle(8, 0, 10, 10)])) == pytest.approx(84 + 100 - 20, rel=2e-3)


def test_exclusive_contours_cancel_where_they_overlap_but_not_themselves() -> None:
    other = rectangle(30, 0, 40, 30)
    assert area(region_of_plane([OUTER, other, OUTER[::-1]], exclusive=True)) == pytest.approx(
        1200 + 1200 - 2 * 300, rel=2e-3
    )


def test_a_contour_nearly_as_large_as_the_one_around_it_is_a_question() -> None:
    with pytest.raises(IneligibleStudyError, match=r"a hole, or the outline drawn twice") as refusal:
        region_of_plane([OUTER, rectangle(1, 1, 38, 28)])
    assert refusal.value.code == "inconsistent_geometry"


def test_a_line_without_area_is_left_out() -> None:
    region = region_of_plane([OUTER, np.array([(0, 0), (10, 0), (5, 0)], float)])
    assert (area(region), region.n_without_area) == (pytest.approx(1200, rel=2e-3), 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(5, 40), st.integers(5, 40)),
        min_size=1, max_size=4,
    ),
    st.integers(0, 3), st.booleans(),
)  # fmt: skip
def test_start_point_direction_and_repetition_change_nothing(
    corners: list[tuple[int, int, int, int]], start: int, reverse: bool
) -> None:
    contours = [rectangle(*corner) for corner in corners]
    changed = [np.roll(ring[::-1] if reverse else ring, start, axis=0) for ring in contours]
    try:
        expected = area(region_of_plane(contours))
    except IneligibleStudyError:
        with pytest.raises(IneligibleStudyError):
            region_of_plane([*changed, *contours])
        return
    assert area(region_of_plane([*changed, *contours])) == pytest.approx(expected, rel=2e-3)
