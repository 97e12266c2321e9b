"""Intensity template: one grey scale for all scanners, by landmarks of the foreground histogram.

Source: Nyul, Udupa, Zhang, IEEE Trans Med Imaging 2000;19:143-150. The landmarks are percentiles of the foreground;
their mean position over the training images, on a common scale, is the template. An image is standardised by the
piecewise linear map that carries its own landmarks onto the template's.

An image's landmarks follow a change of gain or offset exactly, so neither changes the standardised image.

Two other normalisations can be chosen for a training; the bundle keeps which: N4 bias correction before the landmarks,
and z-scores of the foreground. Landmarks are taken in every case: they tell images that are unlike the training's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from config.arrays import AnyFloatArray, Float32Array
from config.errors import IneligibleStudyError, ModelBundleError

Normalisation = Literal["landmarks", "n4_landmarks", "z_score"]

STANDARD_MAXIMUM = 2048.0
PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
# Where the outermost landmarks lie on the standard scale: room below for air, room above for vessels and enhancement.
LOWEST_STANDARD, HIGHEST_STANDARD = 0.1 * STANDARD_MAXIMUM, 0.8 * STANDARD_MAXIMUM
FOREGROUND_FRACTION = 0.1
FOREGROUND_ROUNDS = 4
DARKEST_PERCENT, BRIGHTEST_PERCENT = 0.5, 99.0
MAX_SAMPLES = 400_000
LIMIT_QUANTILE, LIMIT_FACTOR = 0.99, 1.5
LOWEST_Z, HIGHEST_Z = -3.0, 5.0  # ends of the z-scores' scale: enhancement and fluid reach farther than shadows


class FlatImageError(IneligibleStudyError):
    """The image has no contrast (or no finite pixel) from which landmarks could be taken."""

    def __init__(self, text: str) -> None:
        super().__init__("out_of_distribution", text)


@dataclass(frozen=True)
class IntensityMap:
    """One image's piecewise linear way onto the standard scale; callable on any part of that image.

    grey : (n,) strictly rising grey values of the image; standard : (n,) their places on 0..2048, from 0 to 2048.
    """

    grey: AnyFloatArray
    standard: AnyFloatArray

    def __call__(self, pixels: npt.ArrayLike) -> Float32Array:
        """Grey values of any shape -> the same shape in [0, 1]: clipped to 0..2048 and divided by 2048."""
        standard = np.interp(np.asarray(pixels, dtype=np.float64), self.grey, self.standard)
        return np.asarray(standard / STANDARD_MAXIMUM, dtype=np.float32)


@dataclass(frozen=True)
class IntensityTemplate:
    """What one sequence's training images taught: fit once, kept in the bundle, applied to every later image.

    percentiles : of the foreground, in percent; standard : the template's landmarks on 0..2048, one a percentile.
    distance_limit : an image farther from the template than this is unlike the training images (see `distance`).
    n_images : how many images were learned from; training_distances : 101 quantiles of their own distances.
    kind : how images are normalised; with `z_score` the landmarks only tell how unlike an image is.
    """

    percentiles: tuple[float, ...]
    standard: tuple[float, ...]
    distance_limit: float
    n_images: int
    training_distances: tuple[float, ...] = ()
    kind: Normalisation = "landmarks"

    @classmethod
    def fit(cls, images: Iterable[npt.ArrayLike]) -> IntensityTemplate:
        """Learn from whole images of one sequence (any shape and gain); FlatImageError, or ValueError when none."""
        return cls.from_landmarks([landmarks_of(image) for image in images])

    @classmethod
    def from_landmarks(cls, landmarks: Iterable[npt.ArrayLike], kind: Normalisation = "landmarks") -> IntensityTemplate:
        """Learn from landmarks taken before: each (n_percentiles,) as `landmarks_of` gives them."""
        rows = np.array([_unit_scale(np.asarray(row, dtype=np.float64)) for row in landmarks])
        if not len(rows):
            raise ValueError("an intensity template needs at least one image, found none")
        mean = rows.mean(axis=0)
        standard = LOWEST_STANDARD + mean * (HIGHEST_STANDARD - LOWEST_STANDARD)
        distances = np.sqrt(np.mean((rows - mean) ** 2, axis=1))
        limit = LIMIT_FACTOR * float(np.quantile(distances, LIMIT_QUANTILE))
        kept = tuple(round(float(d), 5) for d in np.quantile(distances, np.linspace(0, 1, 101)))
        return cls(PERCENTILES, tuple(float(s) for s in standard), limit, len(rows), kept, kind)

    @property
    def corrects_bias(self) -> bool:
        """Whether images go through N4 before anything else."""
        return self.kind == "n4_landmarks"

    def map_of(self, image: npt.ArrayLike, landmarks: npt.ArrayLike) -> IntensityMap:
        """The map of an image (any shape, bias already corrected) with these landmarks, by the kind of normalisation.

        Raises FlatImageError.
        """
        return z_score_map(image) if self.kind == "z_score" else self.map_for(landmarks)

    def map_for(self, landmarks: npt.ArrayLike) -> IntensityMap:
        """The map of the image that has these landmarks; ties (images of few grey levels) are merged.

        Beyond the outermost landmarks the outermost segments go on to the ends of the scale, so bright enhancement
        keeps its contrast.
        """
        grey, first = np.unique(np.asarray(landmarks, dtype=np.float64), return_inverse=True)
        if len(grey) < 2:
            raise FlatImageError(f"expected landmarks of different grey values, found {grey.tolist()} only")
        standard = np.bincount(first, weights=np.asarray(self.standard)) / np.bincount(first)
        below = grey[0] - standard[0] * (grey[1] - grey[0]) / (standard[1] - standard[0])
        room = STANDARD_MAXIMUM - standard[-1]
        above = grey[-1] + room * (grey[-1] - grey[-2]) / (standard[-1] - standard[-2])
        return IntensityMap(np.array([below, *grey, above]), np.array([0.0, *standard, STANDARD_MAXIMUM]))

    def apply(self, image: npt.ArrayLike) -> Float32Array:
        """A whole image, any shape and gain -> the same shape, float32 in [0, 1] (0..2048 clipped, over 2048)."""
        return self.map_of(image, landmarks_of(image))(image)

    def distance(self, landmarks: npt.ArrayLike) -> float:
        """How unlike the template an image's histogram is: root mean square difference of landmarks.

        The unit is the span from the lowest to the highest landmark, so gain and offset do not count. 0: the same.
        """
        mean = _unit_scale(np.asarray(self.standard))
        return float(np.sqrt(np.mean((_unit_scale(np.asarray(landmarks, dtype=np.float64)) - mean) ** 2)))

    def is_out_of_distribution(self, landmarks: npt.ArrayLike) -> bool:
        """Whether the image with these landmarks lies outside what the training images spanned."""
        return self.distance(landmarks) > self.distance_limit

    def to_json(self) -> dict[str, Any]:
        """Plain values for the bundle's templates.json."""
        return {
            "kind": self.kind,
            "percentiles": list(self.percentiles),
            "standard": list(self.standard),
            "distance_limit": self.distance_limit,
            "n_images": self.n_images,
            **({"training_distances": list(self.training_distances)} if self.training_distances else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> IntensityTemplate:
        """The template that `to_json` wrote; raises ModelBundleError naming what is wrong."""
        try:
            template = cls(
                tuple(float(p) for p in document["percentiles"]),
                tuple(float(s) for s in document["standard"]),
                float(document["distance_limit"]),
                int(document["n_images"]),
                tuple(float(d) for d in document.get("training_distances", ())),
                document.get("kind", "landmarks"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelBundleError(f"not an intensity template: {type(error).__name__} {error}") from error
        if template.kind not in get_args(Normalisation):
            known = ", ".join(get_args(Normalisation))
            raise ModelBundleError(f"the intensity template expected the kind {known}, found {template.kind!r}")
        if template.percentiles != PERCENTILES or len(template.standard) != len(PERCENTILES):
            raise ModelBundleError(
                f"the intensity template expected landmarks at {PERCENTILES} %, found {template.percentiles}"
            )
        rising = np.diff([0.0, *template.standard, STANDARD_MAXIMUM])
        if np.any(rising <= 0):
            raise ModelBundleError(
                f"the intensity template's landmarks must rise within 0..2048, found {template.standard}"
            )
        return template


def landmarks_of(image: npt.ArrayLike, max_samples: int = MAX_SAMPLES) -> AnyFloatArray:
    """Grey values at PERCENTILES of the image's foreground, (n_percentiles,) float64.

    image : any shape; at most max_samples pixels on a regular lattice are looked at.
    Raises FlatImageError when the image is constant or not finite.
    """
    pixels = _sorted_sample(np.asarray(image), max_samples)
    return _percentiles(pixels[_foreground_start(pixels) :], PERCENTILES)


def z_score_map(image: npt.ArrayLike) -> IntensityMap:
    """The map that puts the foreground's mean minus 3 standard deviations at 0 and its mean plus 5 at 2048.

    image : any shape; the same pixels are looked at as for the landmarks. Raises FlatImageError.
    """
    pixels = _sorted_sample(np.asarray(image), MAX_SAMPLES)
    tissue = pixels[_foreground_start(pixels) :]
    mean, deviation = float(tissue.mean()), float(tissue.std())
    if not deviation > 0:
        raise FlatImageError(f"expected tissue of different grey values, found {mean:g} only")
    ends = np.array([mean + LOWEST_Z * deviation, mean + HIGHEST_Z * deviation])
    return IntensityMap(ends, np.array([0.0, STANDARD_MAXIMUM]))


def foreground_threshold(image: npt.ArrayLike) -> float:
    """Darkest grey value that counts as tissue, not air; raises FlatImageError.

    Tissue begins a tenth of the way from the darkest pixel to the brightest tissue (99 % of what lies above the
    threshold, found by a few rounds). The mean, which Nyul et al. use, moves with the share of air in the field of
    view; this does not, so a head and a crop of it agree, and it follows gain and offset.
    """
    pixels = _sorted_sample(np.asarray(image), MAX_SAMPLES)
    return float(pixels[_foreground_start(pixels)])


def _foreground_start(pixels: AnyFloatArray) -> int:
    """Index of the first foreground pixel in a rising sequence of grey values."""
    if not pixels.size:
        raise FlatImageError("expected an image with contrast, found no finite pixel")
    if pixels[0] == pixels[-1]:
        raise FlatImageError(f"expected an image with contrast, found the one grey value {pixels[0]:g}")
    darkest = _percentiles(pixels, (DARKEST_PERCENT,))[0]
    start = int(np.searchsorted(pixels, darkest, side="right"))
    if start == len(pixels):
        raise FlatImageError(f"expected an image with contrast, found almost only the grey value {darkest:g}")
    for _ in range(FOREGROUND_ROUNDS):
        brightest = _percentiles(pixels[start:], (BRIGHTEST_PERCENT,))[0]
        threshold = darkest + FOREGROUND_FRACTION * (brightest - darkest)
        start = int(np.searchsorted(pixels, threshold, side="right"))
    return start


def _percentiles(rising: AnyFloatArray, percent: tuple[float, ...]) -> AnyFloatArray:
    """Percentiles of values that are sorted already, linear between neighbours."""
    places = np.asarray(percent) / 100.0 * (len(rising) - 1)
    return np.interp(places, np.arange(len(rising)), rising)


def _sorted_sample(image: npt.NDArray[Any], max_samples: int) -> AnyFloatArray:
    """Finite pixels on a regular lattice, rising: rows and columns are thinned alike, no slice is left out."""
    while image.size > max_samples and max(image.shape[-2:]) > 1:
        rows_longer = image.ndim > 1 and image.shape[-2] >= image.shape[-1]
        image = image[..., ::2, :] if rows_longer else image[..., ::2]
    pixels = np.sort(image, axis=None).astype(np.float64)
    return pixels[np.isfinite(pixels)]


def _unit_scale(landmarks: AnyFloatArray) -> AnyFloatArray:
    """Landmarks shifted and scaled so that the lowest is 0 and the highest 1."""
    span = landmarks[-1] - landmarks[0]
    if not span > 0:
        raise FlatImageError(f"expected rising landmarks, found {landmarks.tolist()}")
    return np.asarray((landmarks - landmarks[0]) / span)
