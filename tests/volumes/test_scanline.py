"""The scanline fill, against shapes small enough to count by hand and areas known from formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from config.errors import InputError
from workers.volumes.scanline import Edges, fill, moments

COORDINATES = st.floats(-3, 15).map(lambda v: round(v, 2))


def filled(*polygons: ArrayLike, size: int = 12) -> NDArray[np.bool_]:
    return fill(Edges.of([np.asarray(p, dtype=float) for p in polygons], [0] * len(polygons)), 1, size, size)[0]


def square(low: float, high: float) -> list[tuple[float, float]]:
    return [(low, low), (high, low), (high, high), (low, high)]


def test_a_square_contains_the_pixel_centres_inside_it() -> None:
    expected = np.zeros((12, 12), bool)
    expected[3:7, 3:7] = True
    np.testing.assert_array_equal(filled(square(2.5, 6.5)), expected)


def test_touching_squares_share_no_pixel_and_leave_none_out() -> None:
    """Borders on pixel centres belong to one side only, so two squares side by side are as large as both together."""
    left, right = [(2, 2), (5, 2), (5, 8), (2, 8)], [(5, 2), (9, 2), (9, 8), (5, 8)]
    assert not (filled(left) & filled(right)).any()
    np.testing.assert_array_equal(filled(left) | filled(right), filled([(2, 2), (9, 2), (9, 8), (2, 8)]))


def test_a_hole_and_an_island_in_it() -> None:
    region = filled(square(0.5, 10.5), square(2.5, 8.5), square(4.5, 6.5))
    assert region.sum() == 100 - 36 + 4
    assert not region[3, 3]
    assert region[5, 5]


def test_a_keyhole_is_a_hole() -> None:
    outer, inner = square(0.5, 10.5), square(3.5, 7.5)
    keyhole = [*outer, outer[0], inner[0], *inner[::-1], outer[0]]
    np.testing.assert_array_equal(filled(keyhole), filled(outer, inner))


def test_a_region_is_cut_at_the_border_of_the_image() -> None:
    assert filled(square(-50.5, 5.5)).sum() == 36
    assert filled(square(8.5, 1e6)).sum() == 9
    assert filled(square(20, 30)).sum() == 0
    assert filled([(-5, 3), (20, 3), (20, 3)]).sum() == 0


@given(
    st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=12),
    st.integers(0, 11),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_start_and_sense_of_a_line_do_not_matter(points: list[tuple[float, float]], turn: int, backwards: bool) -> None:
    other = np.roll(np.asarray(points), turn, axis=0)[:: -1 if backwards else 1]
    np.testing.assert_array_equal(filled(points), filled(other))
    ours, theirs = (moments(Edges.of([np.asarray(p)], [0]), 1) for p in (points, other))
    assert ours.area[0] == pytest.approx(theirs.area[0], rel=1e-9, abs=1e-9)


@given(st.floats(1.5, 40), st.floats(0.2, 5), st.floats(0, 3.14), st.integers(3, 60))
@settings(max_examples=60, deadline=None)
def test_areas_equal_the_shoelace_formula(radius: float, squeeze: float, turn: float, corners: int) -> None:
    angle = np.arange(corners) * 2 * np.pi / corners + turn
    polygon = np.column_stack([radius * np.cos(angle) + 7, squeeze * radius * np.sin(angle) - 3])
    x, y = polygon.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = abs(cross.sum()) / 2
    found = moments(Edges.of([polygon], [0]), 1)
    assert found.area[0] == pytest.approx(area, rel=2e-3)
    centroid = [((x + np.roll(x, -1)) * cross).sum() / (3 * cross.sum()), ((y + np.roll(y, -1)) * cross).sum()
                / (3 * cross.sum())]  # fmt: skip
    np.testing.assert_allclose(
        [found.first_x[0] / area, found.first_y[0] / area], centroid, atol=2e-3 * radius * max(squeeze, 1)
    )


def test_areas_by_plane_with_holes() -> None:
    polygons = [np.asarray(square(0, 10.0)), np.asarray(square(2, 8.0)), np.asarray(square(0, 3.0))]
    np.testing.assert_allclose(moments(Edges.of(polygons, [2, 2, 0]), 3).area, [9, 0, 64], rtol=2e-3)


def test_a_line_without_area_has_none() -> None:
    assert moments(Edges.of([np.array([(0.0, 1), (5, 1), (9, 1)])], [0]), 1).area[0] == 0


def test_more_crossings_than_a_region_can_have_are_refused() -> None:
    zigzag = np.column_stack([np.arange(100_000.0), np.arange(100_000) % 2])
    with pytest.raises(InputError, match="scanline crossings"):
        moments(Edges.of([zigzag], [0]), 1)
