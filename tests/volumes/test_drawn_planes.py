"""Planes of contours: which heights are one plane, and which distances are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import IneligibleStudyError
from workers.volumes.drawn_planes import drawn_planes


@given(
    st.integers(2, 30), st.floats(0.8, 8), st.integers(1, 3), st.floats(0, 0.1), st.integers(0, 2**31),
)  # fmt: skip
def test_rounded_heights_give_the_planes_back(
    n_planes: int, distance: float, each: int, jitter: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.permutation(np.repeat(np.arange(n_planes), each))
    planes = drawn_planes(-60 + plane * distance + rng.uniform(-jitter, jitter, len(plane)), 1.0)
    assert planes.plane_of.tolist() == plane.tolist()
    assert planes.distance_mm == pytest.approx(distance, abs=2 * jitter + 1e-9)


def test_two_sets_less_than_half_a_millimetre_apart_are_one() -> None:
    heights = np.arange(10) * 5.0
    planes = drawn_planes(np.concatenate([heights, heights + 0.4]), 1.0)
    assert planes.distance_mm == pytest.approx(5.0)
    assert np.allclose(planes.heights_mm, heights + 0.2)


@pytest.mark.parametrize("apart_mm", [0.8, 1.0, 1.5, 2.0])
def test_two_sets_beside_each_other_are_refused_with_their_heights(apart_mm: float) -> None:
    heights = np.arange(10) * 5.0
    with pytest.raises(IneligibleStudyError, match=rf"0\.00 and {apart_mm:.2f} mm.*two contour sets"):
        drawn_planes(np.concatenate([heights, heights + apart_mm]), 1.0)


def test_a_gap_between_two_parts_is_no_other_distance() -> None:
    assert drawn_planes([0, 3, 6, 9, 21, 24, 27], 1.0).distance_mm == pytest.approx(3)


def test_one_plane_has_the_distance_that_is_assumed() -> None:
    planes = drawn_planes([4.0, 4.02, 3.99], 5.0)
    assert (len(planes.heights_mm), planes.distance_mm) == (1, 5.0)
