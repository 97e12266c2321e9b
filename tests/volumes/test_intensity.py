"""The intensity template: invariance to gain, offset and padding, and images that are out of distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.errors import IneligibleStudyError, ModelBundleError
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import PERCENTILES, FlatImageError, foreground_threshold, landmarks_of


def head(seed: int = 0, air: int = 20, contrast: float = 1.0) -> NDArray[np.float64]:
    """A head of three tissues that pass into each other, in noisy air; air : pixels of it around the head."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[-6:6, -40:40, -40:40]
    radius = np.hypot(y, x) + 0 * z
    tissue = np.interp(radius, [0, 14, 20, 28, 34, 38], [600, 600, 350 * contrast, 350 * contrast, 900, 900])
    image = np.where(radius < 38, tissue * (1 + 0.15 * rng.standard_normal(tissue.shape)), 0)
    image = np.pad(image, ((0, 0), (air, air), (air, air)))
    return np.hypot(image + 12 * rng.standard_normal(image.shape), 12 * rng.standard_normal(image.shape))


IMAGE = head(99)[:3]
FITTED = IntensityTemplate.fit([head(1), head(2)])


@pytest.fixture(scope="module")
def template() -> IntensityTemplate:
    return IntensityTemplate.fit(head(seed) for seed in range(8))


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-5000, 5000))
@settings(max_examples=30, deadline=None)
def test_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    np.testing.assert_allclose(FITTED.apply(gain * IMAGE + offset), FITTED.apply(IMAGE), atol=2e-6)


def test_values_are_in_zero_to_one_and_keep_their_order(template: IntensityTemplate) -> None:
    image = head(3)
    image[0, 0, 0], image[0, 0, 1] = -1e5, 1e6  # clipped, not wrapped
    standard = template.apply(image)
    assert standard.dtype == np.float32
    assert (standard.min(), standard.max()) == (0.0, 1.0)
    order = np.argsort(image, axis=None)
    assert np.all(np.diff(standard.ravel()[order]) >= 0)


def test_landmarks_are_percentiles_of_the_foreground() -> None:
    """By hand: 0..1000 evenly; the threshold is 10 % of the way from darkest (0.5 %) to the 99 % of what lies above."""
    values = np.arange(1001.0).reshape(7, 11, 13)
    threshold = foreground_threshold(values)
    darkest, brightest = 5.0, threshold + 0.99 * (1000 - threshold)
    assert threshold == pytest.approx(darkest + 0.1 * (brightest - darkest), abs=2)
    expected = np.percentile(values[values >= threshold], PERCENTILES)
    np.testing.assert_allclose(landmarks_of(values), expected)


def test_air_around_the_head_hardly_counts(template: IntensityTemplate) -> None:
    """Three times as much air moves the tissues by less than 2 % of the scale; a mean threshold does not hold this."""
    narrow, wide = template.map_for(landmarks_of(head(5, air=4))), template.map_for(landmarks_of(head(5, air=60)))
    for tissue in (350, 600, 900):
        assert float(narrow(tissue)) == pytest.approx(float(wide(tissue)), abs=0.02)


@pytest.mark.parametrize("gamma", [0.7, 1.4])
def test_gamma_is_undone(template: IntensityTemplate, gamma: float) -> None:
    image = head(6)
    curved = (image / image.max()) ** gamma
    inside = image > 200
    error = np.abs(template.apply(curved) - template.apply(image))[inside]
    assert np.median(error) < 0.02
    assert np.median(np.abs(curved / curved.max() - image / image.max())[inside]) > 0.08  # what it was without


def test_bias_field_leaves_the_medians_in_place(template: IntensityTemplate) -> None:
    image = head(7)
    bias = 1 + 0.15 * np.linspace(-1, 1, image.shape[2])
    plain, biased = template.apply(image), template.apply(image * bias)
    inside = image > 200
    assert np.median(np.abs(plain - biased)[inside]) < 0.06


def test_thinning_gives_nearly_the_same_landmarks() -> None:
    image = head(8, air=100)
    whole, thinned = landmarks_of(image, max_samples=10**9), landmarks_of(image, max_samples=300_000)
    np.testing.assert_allclose(thinned, whole, rtol=0.02)


def test_images_of_another_histogram_are_out_of_distribution(template: IntensityTemplate) -> None:
    assert template.distance(landmarks_of(head(50))) < template.distance_limit
    assert not template.is_out_of_distribution(7.5 * landmarks_of(head(51)) + 100)
    assert template.is_out_of_distribution(landmarks_of(head(52, contrast=0.4)))
    assert template.is_out_of_distribution(landmarks_of(np.random.default_rng(0).exponential(100, (20, 64, 64))))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((3, 8, 8), 7), "the one grey value 7"),
        (np.full((2, 4, 4), np.nan), "no finite pixel"),
        (np.array([0] + [5] * 999).reshape(10, 10, 10), "almost only the grey value 5"),
    ],
)
def test_an_image_without_contrast_is_refused_by_name(image: NDArray[np.float64], said: str) -> None:
    with pytest.raises(FlatImageError, match=said) as caught:
        landmarks_of(image)
    assert caught.value.code == "out_of_distribution"
    assert isinstance(caught.value, IneligibleStudyError)


def test_few_grey_levels_are_merged(template: IntensityTemplate) -> None:
    levels = np.repeat([0.0, 100.0, 200.0], 1000).reshape(3, 10, 100)
    standard = template.apply(levels)
    assert np.unique(standard).size == 3


def test_json_keeps_every_bit(template: IntensityTemplate) -> None:
    assert IntensityTemplate.from_json(template.to_json()) == template


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"standard": None}, "not an intensity template"),
        ({"percentiles": [1, 50, 99]}, "expected landmarks at"),
        ({"standard": list(range(11, 0, -1))}, "must rise"),
    ],
)
def test_a_damaged_template_is_named(template: IntensityTemplate, change: dict[str, object], said: str) -> None:
    with pytest.raises(ModelBundleError, match=said):
        IntensityTemplate.from_json({**template.to_json(), **change})


def test_fitting_needs_an_image() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        IntensityTemplate.fit([])
