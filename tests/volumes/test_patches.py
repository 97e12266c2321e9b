"""Patches from arrays: centring, borders, resampling, masks, turned slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import IneligibleStudyError
from tests.volumes.synthetic import SeriesGeometry, tilted, write_series
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import PERCENTILES, foreground_threshold, landmarks_of
from workers.volumes.patches import extract_patches
from workers.volumes.reader import read_series
from workers.volumes.series_patches import extract_series_patches


def test_equal_spacing_copies_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((4, 200, 220)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[1, 90:101, 100:120] = 1  # rows 90..100: middle 95; columns 100..119: middle 109.5, the nearest above is 110
    mask[3, 100, 100] = 1
    patches, slice_index = extract_patches(image, mask, (0.8, 0.8), 0.8)
    assert patches.shape == (2, 2, 128, 128)
    assert patches.dtype == np.float32
    assert slice_index.tolist() == [1, 3]
    np.testing.assert_allclose(patches[0, 0], image[1, 95 - 64 : 95 + 64, 110 - 64 : 110 + 64], atol=1e-6)
    np.testing.assert_array_equal(patches[0, 1], mask[1, 95 - 64 : 95 + 64, 110 - 64 : 110 + 64])
    assert patches[1, 1].sum() == 1
    assert patches[1, 1, 64, 64] == 1


@given(row=st.integers(0, 79), column=st.integers(0, 99), rows=st.integers(1, 30), columns=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_mask_is_centred_wherever_it_is(row: int, column: int, rows: int, columns: int) -> None:
    mask = np.zeros((1, 110, 130), np.uint8)
    mask[0, row : row + rows, column : column + columns] = 1
    image = np.ones(mask.shape, np.float32)
    patches, _ = extract_patches(image, mask, (1.0, 1.0), 1.0)
    inside = np.argwhere(patches[0, 1])
    assert len(inside) == rows * columns
    assert np.abs(inside.mean(axis=0) - 64).max() <= 0.5
    # the patch shows the image where there is one and zero elsewhere
    top, left = 64 - (2 * row + rows) // 2, 64 - (2 * column + columns) // 2
    expected = np.zeros((128, 128), np.float32)
    expected[max(top, 0) : top + 110, max(left, 0) : left + 130] = 1
    np.testing.assert_allclose(patches[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("spacing", "target"), [((0.43, 0.43), 0.75), ((1.2, 0.9), 0.75), ((0.5, 0.5), 1.5)])
def test_a_ramp_stays_a_ramp(spacing: tuple[float, float], target: float) -> None:
    """Interpolation and averaging leave a linear image as it is: its value is its place in mm, to 0.05 mm."""
    y, x = np.mgrid[0:300, 0:320]
    place_mm = 0.3 * y * spacing[0] + 0.7 * x * spacing[1]
    mask = np.zeros((1, 300, 320), np.uint8)
    mask[0, 140:161, 150:171] = 1
    patches, _ = extract_patches(place_mm[None].astype(np.float32), mask, spacing, target, size=32)
    steps = (np.arange(32) - 16) * target
    centre = 0.3 * 150 * spacing[0] + 0.7 * 160 * spacing[1]
    expected = centre + 0.3 * steps[:, None] + 0.7 * steps[None, :]
    np.testing.assert_allclose(patches[0, 0], expected, atol=0.05)


def test_shrinking_averages_instead_of_picking() -> None:
    """A fine checkerboard of 0 and 1 must come out grey, not as an aliased pattern."""
    checkers = (np.indices((300, 300)).sum(axis=0) % 2).astype(np.float32)[None]
    mask = np.zeros(checkers.shape, np.uint8)
    mask[0, 140:161, 140:161] = 1
    patches, _ = extract_patches(checkers, mask, (0.3, 0.3), 0.9, size=32)
    assert np.abs(patches[0, 0] - 0.5).max() < 0.08


@pytest.mark.parametrize("spacing", [0.4, 0.7, 1.1])
def test_the_mask_keeps_its_area(spacing: float) -> None:
    y, x = np.mgrid[0:256, 0:256]
    mask = (np.hypot(y - 128, x - 128) * spacing < 18)[None].astype(np.uint8)
    patches, _ = extract_patches(mask.astype(np.float32), mask, (spacing, spacing), 0.75)
    assert set(np.unique(patches[:, 1])) == {0.0, 1.0}
    assert patches[0, 1].sum() * 0.75**2 == pytest.approx(np.pi * 18**2, rel=0.015)


def test_no_tumour_no_patch() -> None:
    patches, slice_index = extract_patches(np.zeros((3, 40, 40)), np.zeros((3, 40, 40)), (1, 1), 1.0)
    assert patches.shape == (0, 2, 128, 128)
    assert slice_index.size == 0


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one zyx shape"):
        extract_patches(np.zeros((3, 40, 40)), np.zeros((3, 40, 41)), (1, 1), 1.0)


ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "rows upwards": (1, 0, 0, 0, -1, 0),
    "columns to the right": (-1, 0, 0, 0, 1, 0),
    "rows and columns exchanged": (0, 1, 0, 1, 0, 0),
    "quarter turn": (0, -1, 0, 1, 0, 0),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_patches_show_every_axial_series_the_same_way(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    """The same patient in five ways of storing axial slices: equal patches, and each refers to its own slice."""
    geometry = SeriesGeometry((1.0, 1.0, 2.0), orientation=orientation)
    z, y, x = np.mgrid[0:6, 0:160, 0:160]
    points = geometry.points(np.column_stack([x.ravel(), y.ravel(), z.ravel()]))
    middle = geometry.points([80, 80, 3])
    away = (points - middle).reshape(6, 160, 160, 3)
    image = (500 + 2 * away[..., 0] + 3 * away[..., 1] + 40 * (away[..., 1] > 30)).astype(np.uint16)
    mask = ((np.hypot(away[..., 0] - 5, away[..., 1]) < 12) & (np.abs(away[..., 2]) < 3)).astype(np.uint8)
    series = read_series(write_series(tmp_path, image, geometry))
    # slices are ordered along the normal, as the writer numbers them
    template = IntensityTemplate.fit([image])
    bag = extract_series_patches(series, mask, template, 1.0)
    assert len(bag.patches) == 3
    assert bag.slices == tuple(series.slices[z] for z in bag.slice_index)
    standard = template.map_for(landmarks_of(image))
    patch = bag.patches[list(bag.slice_index).index(3)]
    columns, rows = np.arange(128) - 64 + 5, np.arange(128) - 64
    expected = 500 + 2 * columns[None, :] + 3 * rows[:, None] + 40 * (rows[:, None] > 30)
    shown = patch[0] > 0
    assert shown.sum() > 120 * 120
    np.testing.assert_allclose(patch[0][shown], standard(expected)[shown], atol=0.01)


@pytest.mark.parametrize(("n_slices", "every"), [(24, 1), (25, 2), (48, 2), (49, 3)])
def test_landmarks_come_from_every_kth_slice_from_the_first_on(tmp_path: Path, n_slices: int, every: int) -> None:
    """At most 24 evenly spaced slices; the others are darkened, so that one of them would move a landmark."""
    rng = np.random.default_rng(4)
    image = rng.integers(100, 4000, (n_slices, 16, 16)).astype(np.uint16)
    sampled = image[::every]
    image[np.arange(n_slices) % every != 0] //= 7
    series = read_series(write_series(tmp_path, image, SeriesGeometry((1, 1, 2))))
    mask = np.zeros(image.shape, np.uint8)
    mask[1, 4:9, 4:9] = 1
    found = extract_series_patches(series, mask, IntensityTemplate.fit([image]), 1.0)
    assert len(sampled) <= 24
    np.testing.assert_allclose(found.landmarks, landmarks_of(sampled))
    foreground = sampled[sampled >= foreground_threshold(sampled)]
    np.testing.assert_allclose(found.landmarks, np.percentile(foreground, PERCENTILES))


def test_steep_slices_are_refused(tmp_path: Path) -> None:
    geometry = SeriesGeometry(orientation=tilted(60, (1, 0, 0)))
    image = np.random.default_rng(0).integers(0, 900, (4, 32, 32)).astype(np.uint16)
    series = read_series(write_series(tmp_path, image, geometry))
    mask = np.zeros(image.shape, np.uint8)
    mask[1, 10:20, 10:20] = 1
    template = IntensityTemplate.fit([image])
    with pytest.raises(IneligibleStudyError, match="found 60 degrees") as caught:
        extract_series_patches(series, mask, template, 1.0)
    assert caught.value.code == "inconsistent_geometry"


def test_a_mask_of_another_grid_is_refused(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 900, (4, 32, 32)).astype(np.uint16)
    series = read_series(write_series(tmp_path, image))
    mask = np.zeros((3, 32, 32), np.uint8)
    with pytest.raises(ValueError, match="expected a mask of shape"):
        extract_series_patches(series, mask, IntensityTemplate.fit([image]), 1.0)
