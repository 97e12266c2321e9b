"""A contour moved by millimetres: volumes of a sphere by its integral, and what moving a contour must not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from config.arrays import BoolArray
from workers.stability.moved_contour import moved_masks, with_moved_contour

RADIUS_MM, SLICE_MM = 20.0, 2.0


def sphere(spacing_mm: float) -> BoolArray:
    """A sphere of 20 mm, cut in slices of 2 mm."""
    size = round(64 / spacing_mm)
    across = (np.arange(size) - size / 2 + 0.37) * spacing_mm
    z = (np.arange(24) - 11.5) * SLICE_MM
    return (z[:, None, None] ** 2 + across[:, None] ** 2 + across**2) <= RADIUS_MM**2


@pytest.mark.parametrize("spacing_mm", [0.5, 0.7, 1.0])
@pytest.mark.parametrize("moved_mm", [2.0, -2.0])
def test_the_volume_of_a_sphere_is_that_of_its_moved_sections(spacing_mm: float, moved_mm: float) -> None:
    # Every section of radius r becomes one of radius r + d: the integral of pi (sqrt(R^2 - z^2) + d)^2 over z, outwards
    # from -R to R (4/3 pi R^3 + pi^2 d R^2 + 2 pi d^2 R), inwards as far as r exceeds 2 mm.
    if moved_mm > 0:
        expected = (
            4 / 3 * np.pi * RADIUS_MM**3 + np.pi**2 * moved_mm * RADIUS_MM**2 + 2 * np.pi * moved_mm**2 * RADIUS_MM
        )
    else:
        z = np.linspace(0, np.sqrt(RADIUS_MM**2 - moved_mm**2), 10_001)
        expected = 2 * np.trapezoid(np.pi * (np.sqrt(RADIUS_MM**2 - z**2) + moved_mm) ** 2, z)
    volume = moved_masks(sphere(spacing_mm), moved_mm, spacing_mm).sum() * spacing_mm**2 * SLICE_MM
    # Of the 2 mm at most 0.2 mm are lost or gained on the pixel grid: 4 pi R^2 0.2 / V = 3 %.
    assert volume == pytest.approx(expected, rel=0.03)


masks = arrays.arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(9, 16), st.integers(9, 16)))


@settings(max_examples=50)
@given(masks, st.floats(0.0, 3.0), st.floats(0.5, 1.5))
def test_outwards_contains_and_inwards_is_contained(mask: BoolArray, moved_mm: float, spacing_mm: float) -> None:
    grown, shrunk = moved_masks(mask, moved_mm, spacing_mm), moved_masks(mask, -moved_mm, spacing_mm)
    assert (grown >= mask).all()
    assert (shrunk <= mask).all()
    # Moving the tumour inwards is moving its surroundings outwards.
    np.testing.assert_array_equal(shrunk, ~moved_masks(~mask, moved_mm, spacing_mm))
    np.testing.assert_array_equal(moved_masks(mask, 0.0, spacing_mm), mask)


def patches_of(*widths: int) -> np.ndarray:
    """A square of each width in pixels on a slice of its own; the image says which slice it is."""
    patches = np.zeros((len(widths), 2, 128, 128), dtype=np.float32)
    for z, width in enumerate(widths):
        patches[z, 0] = z / 10
        patches[z, 1, 60 : 60 + width, 60 : 60 + width] = 1
    return patches


def test_the_image_stays_and_a_slice_without_tumour_is_gone() -> None:
    moved = with_moved_contour(patches_of(4, 10, 3), -2.0, 1.0)
    # 2 mm from each side of 10 pixels leave 6; nothing is left of 4 and of 3.
    assert moved.shape == (1, 2, 128, 128)
    assert (moved[0, 0] == np.float32(0.1)).all()
    assert moved[0, 1].sum() == 6 * 6
    assert np.flatnonzero(moved[0, 1].any(axis=1)).tolist() == list(range(62, 68))


def test_a_contour_too_small_to_shrink_keeps_a_slice() -> None:
    # 2 mm would leave nothing of 3 pixels, 1 mm leaves the one in the middle.
    assert with_moved_contour(patches_of(3), -2.0, 1.0)[:, 1].sum() == 1
    assert with_moved_contour(patches_of(1), -2.0, 1.0)[:, 1].sum() == 1
    assert with_moved_contour(patches_of(2), -2.0, 1.0)[:, 1].sum() == 4


def test_a_tumour_that_the_border_cuts_does_not_shrink_from_there() -> None:
    mask = np.zeros((1, 20, 20), dtype=np.bool_)
    mask[0, :, :10] = True
    assert moved_masks(mask, -2.0, 1.0)[0].any(axis=0).sum() == 8
