"""The measures of plausibility: zero for what is random, largest for what is right, the same in any storage order."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from config.arrays import FloatArray
from config.indication.vocabulary import SeriesRole
from workers.plausibility.common_grid import common_view
from workers.plausibility.contour_fit import ContourFit, contour_fit
from workers.plausibility.contrast import enhancement, likeness
from workers.plausibility.edges import agreement, edges_of, mirrored, padded_shape, transformed
from workers.plausibility.images import slice_order, smoothness
from workers.plausibility.midline import head_frame
from workers.volumes.picture import Picture, close_up_of, picture_of

AXES = np.eye(3)


def picture(grey: np.ndarray, mask: np.ndarray | None = None, step_mm: float = 2.0) -> Picture:
    mask = np.zeros(grey.shape, dtype=np.uint8) if mask is None else mask
    return picture_of(grey, mask, np.arange(len(grey)), len(grey), (step_mm, step_mm, 5.0), np.zeros(3), AXES)


def blob(shape: tuple[int, int, int], centre: tuple[float, float], radii: tuple[float, float]) -> FloatArray:
    """An ellipse of 1 on 0 in every slice."""
    y, x = np.mgrid[: shape[1], : shape[2]].astype(float)
    plane = (((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1).astype(np.float64)
    return np.repeat(plane[None], shape[0], axis=0)


def test_noise_has_no_smoothness_and_a_smoothed_picture_has() -> None:
    noise = np.random.default_rng(1).normal(100, 10, (12, 64, 64))
    assert abs(smoothness(picture(noise))) < 0.03
    # A Gaussian of 2 pixels: the autocorrelation of the smoothed noise at lag 1 is exp(-1 / (4 * 2^2)) = 0.94.
    assert smoothness(picture(ndimage.gaussian_filter(noise, (0, 2, 2)))) == pytest.approx(0.94, abs=0.02)


def test_slices_in_another_order_lose_their_order() -> None:
    noise = np.random.default_rng(2).normal(size=(20, 60, 60))
    ordered = ndimage.gaussian_filter(noise, (2, 2, 2))
    assert slice_order(picture(ordered)) > 0.7
    assert slice_order(picture(ordered[::-1])) > 0.7
    shuffled = [slice_order(picture(np.random.default_rng(s).permutation(ordered, axis=0))) for s in range(10)]
    assert max(np.abs(shuffled)) < 0.3


@pytest.mark.parametrize("shift", [(0, 0, 0), (0, 5, -7), (1, -3, 4), (-2, 0, 9)])
def test_the_agreement_of_edges_is_largest_at_the_true_shift(shift: tuple[int, int, int]) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(12, 48, 48)), (0.5, 2, 2)).astype(np.float32)
    moved = np.roll(image, shift, axis=(0, 1, 2))
    inside = np.ones(image.shape, dtype=bool)
    # The second one is also inverted: a border is a border, whichever side is brighter.
    first, second = (edges_of(one, (2.0, 2.0), 3.0, inside) for one in (moved, -3.0 * image))
    size = padded_shape((48, 48), (12, 12))
    weight = float(np.sqrt(np.sum(np.abs(first) ** 2) * np.sum(np.abs(second) ** 2)))
    found = agreement(transformed(first, size), transformed(second, size), weight, (5.0, 2.0, 2.0), (2, 12, 12))
    value, place = found.best()
    assert place == (shift[0] * 5.0, shift[1] * 2.0, shift[2] * 2.0)
    assert 0.5 < value <= 1.0001


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_edges_are_the_edges_of_the_mirrored_picture(axis: int) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(6, 30, 40)), (0, 2, 2)).astype(np.float32)
    inside = np.ones(image.shape, dtype=bool)
    expected = edges_of(np.ascontiguousarray(np.flip(image, axis)), (1.0, 1.0), 2.0, inside, 0.1)
    found = mirrored(edges_of(image, (1.0, 1.0), 2.0, inside, 0.1), axis)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_agreement_of_a_pair_is_the_sum_of_its_definition() -> None:
    """Without Fourier transforms: the mean of cos 2(a - b), weighted with both strengths."""
    rng = np.random.default_rng(5)
    first, second = (
        (rng.normal(size=(3, 10, 11)) + 1j * rng.normal(size=(3, 10, 11))).astype(np.complex64) for _ in range(2)
    )
    size = padded_shape((10, 11), (2, 2))
    found = agreement(transformed(first, size), transformed(second, size), 1.0, (1.0, 1.0, 1.0), (1, 2, 2))
    for dz, dy, dx in product((-1, 0, 1), (-2, 0, 1), (-1, 0, 2)):
        total = sum(
            (first[z, y, x] * np.conj(second[z - dz, y - dy, x - dx])).real
            for z, y, x in product(range(3), range(10), range(11))
            if 0 <= z - dz < 3 and 0 <= y - dy < 10 and 0 <= x - dx < 11
        )
        assert found.values[dz + 1, dy + 2, dx + 2] == pytest.approx(total, abs=1e-3)


def test_enhancement_changes_its_sign_with_the_roles_and_is_zero_without_contrast() -> None:
    rng = np.random.default_rng(6)
    t1 = rng.uniform(0.2, 1.0, (10, 40, 40)).astype(np.float32)
    contrast = (0.8 * t1 + 0.1).astype(np.float32)
    contrast[:, 10:16, 10:16] += 0.6  # what takes up contrast
    inside = np.ones(t1.shape, dtype=bool)
    skewness, gain = enhancement(t1, contrast, inside)
    assert skewness > 0.1
    assert gain > 0.1
    assert enhancement(contrast, t1, inside)[1] == pytest.approx(-gain)
    assert enhancement(t1, 5.0 * t1, inside) == pytest.approx((0.0, 0.0), abs=1e-3)
    assert likeness(t1, 5.0 * t1, inside) == pytest.approx(1.0)
    assert likeness(t1, contrast, inside) < 0.95


def test_the_midline_of_a_symmetric_head_is_its_middle() -> None:
    # Columns 20 to 80 mm of pixels of 2 mm, middle at column 33, with an eye on each side.
    head = (
        blob((6, 60, 70), (30, 33), (25, 18))
        + blob((6, 60, 70), (15, 27), (4, 3))
        + blob((6, 60, 70), (15, 39), (4, 3))
    )
    frame = head_frame(head.astype(np.float32), (2.0, 2.0))
    assert frame.midline_mm == pytest.approx(66.0, abs=1.0)
    assert frame.width_mm == pytest.approx(70.0, abs=6.0)
    assert (frame.front_mm + frame.back_mm) / 2 == pytest.approx(60.0, abs=4.0)


def test_an_outline_fits_where_it_was_drawn_and_not_elsewhere() -> None:
    # An egg, so that its mirror image is another outline: two ellipses joined.
    shape = (10, 90, 90)
    tumour = np.maximum(blob(shape, (45, 40), (14, 12)), blob(shape, (40, 52), (7, 10)))
    image = 0.4 * tumour + 0.02 * np.random.default_rng(7).normal(size=shape)

    def fit(mask: np.ndarray) -> object:
        study = {
            role: close_up_of(image, mask.astype(np.uint8), np.arange(10), 10, (1.0, 1.0, 5.0), np.zeros(3), AXES, 1.0)
            for role in SeriesRole
        }
        return contour_fit(common_view(study))

    right, wrong = fit(tumour), fit(np.roll(tumour, 10, axis=1))
    assert right.here > right.moved + 0.2
    assert right.unmirrored > right.mirrored
    assert wrong.moved > wrong.here + 0.2
    assert wrong.moved_yx_mm == pytest.approx((-10.0, 0.0), abs=1.1)
    flipped = fit(tumour[:, :, ::-1])
    assert flipped.mirrored > flipped.unmirrored


@pytest.mark.parametrize("middle", [30, 43, 45])
def test_a_contour_reflected_by_a_program_fits_the_place_it_came_from(middle: int) -> None:
    """An ellipse, symmetric itself: only its place tells. Columns of 1 mm, the picture's middle at 44.5."""
    shape = (10, 90, 90)
    tumour = blob(shape, (45, middle), (14, 12))
    image = 0.4 * tumour + 0.02 * np.random.default_rng(7).normal(size=shape)

    def fit(mask: np.ndarray, from_plane_mm: float) -> ContourFit:
        picture = close_up_of(image, mask.astype(np.uint8), np.arange(10), 10, (1.0, 1.0, 5.0), np.zeros(3), AXES, 1.0)
        return contour_fit(common_view(dict.fromkeys(SeriesRole, picture)), [from_plane_mm])

    distance_mm = middle - 44.5
    right, reflected = fit(tumour, distance_mm), fit(tumour[:, :, ::-1], -distance_mm)
    assert right.reflected is not None
    assert reflected.reflected is not None
    if abs(distance_mm) > 4:
        assert right.in_place > right.reflected + 0.1
        assert reflected.reflected > reflected.in_place + 0.1
    else:  # both places are within 2 mm of each other
        assert reflected.reflected == pytest.approx(reflected.in_place, abs=0.05)
    # The plane is beyond the picture's reach: nothing to compare with.
    assert fit(tumour, 60.0).reflected is None


@pytest.mark.parametrize("direction", [AXES, np.diag([-1.0, 1.0, -1.0]), np.diag([1.0, 1.0, -1.0])])
def test_two_series_of_other_pixels_and_slices_are_put_in_one_place(direction: FloatArray) -> None:
    """Grey values that are a linear function of the position are the same on the common grid, however stored."""

    def series(spacing: tuple[float, float, float], size: tuple[int, int, int]) -> Picture:
        low = np.array([-40.0, -40.0, -30.0])
        origin = np.where(np.diag(direction) > 0, low, low + (np.array(size) - 1) * spacing)
        places = [origin[a] + direction[a, a] * np.arange(size[a]) * spacing[a] for a in range(3)]
        grey = places[2][:, None, None] * 3 + places[1][None, :, None] + 2 * places[0][None, None, :] + 500
        mask = np.zeros(grey.shape, dtype=np.uint8)
        return picture_of(grey, mask, np.arange(size[2]), size[2], spacing, origin, direction, 2.0, 1000.0)

    first, second = series((1.0, 1.0, 6.0), (80, 80, 11)), series((0.8, 1.6, 2.0), (100, 50, 31))
    view = common_view({SeriesRole.T1W: first, SeriesRole.T2W: second})
    assert view.reference is SeriesRole.T1W
    # The grey values rise with the height: slices run to the head, however they were stored.
    assert np.all(np.diff(view.grey_zyx[SeriesRole.T1W][:, 20, 20]) > 0)
    both = view.covered_zyx[SeriesRole.T1W] & view.covered_zyx[SeriesRole.T2W]
    inner = ndimage.binary_erosion(both)
    assert inner.sum() > 1000
    np.testing.assert_allclose(view.grey_zyx[SeriesRole.T2W][inner], view.grey_zyx[SeriesRole.T1W][inner], atol=2e-3)
