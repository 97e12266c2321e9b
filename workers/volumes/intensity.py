"""Intensity template: one grey scale for all scanners, by landmarks of the foreground histogram.

MR grey values have no unit. The landmarks of an image are percentiles of its foreground; their mean position over the
training images, on a common scale, is the template. An image is standardised by the piecewise linear map that carries
its own landmarks to those of the template. Landmarks follow a change of gain or offset exactly, so neither changes the
standardised image.

Two other normalisations can be chosen for a training, and the bundle says which was: N4 bias correction before the
landmarks, and z-scores of the foreground. Landmarks are taken in every case, because their distance from the template
shows whether an image is out of distribution.

References
----------
Nyul, Udupa and Zhang, New variants of a method of MRI scale standardization, IEEE Trans Med Imaging 2000;19:143-150.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from config.arrays import AnyFloatArray, Float32Array
from config.errors import ModelBundleError
from config.messages.message import message
from workers.volumes.landmarks import PERCENTILES, FlatImageError, foreground_of, landmarks_of

Normalisation = Literal["landmarks", "n4_landmarks", "z_score"]

STANDARD_MAXIMUM = 2048.0
# Place of the outermost landmarks on the standard scale: room below for air, room above for vessels and enhancement.
LOWEST_STANDARD, HIGHEST_STANDARD = 0.1 * STANDARD_MAXIMUM, 0.8 * STANDARD_MAXIMUM
LIMIT_QUANTILE, LIMIT_FACTOR = 0.99, 1.5
LOWEST_Z, HIGHEST_Z = (
    -3.0,
    5.0,
)  # ends of the z-scores' scale: enhancement and fluid are farther from the mean than shadows


@dataclass(frozen=True)
class IntensityMap:
    """Piecewise linear map of one image's grey values to the standard scale; callable on any part of that image.

    Attributes
    ----------
    grey : float, shape (n,)
        Strictly rising grey values of the image.
    standard : float, shape (n,)
        Their places on the standard scale, from 0 to 2048.
    """

    grey: AnyFloatArray
    standard: AnyFloatArray

    def __call__(self, pixels: npt.ArrayLike) -> Float32Array:
        """Standardise grey values.

        Parameters
        ----------
        pixels : array
            Grey values of the image, any shape.

        Returns
        -------
        float32, same shape
            0..1: the standard scale, clipped to 0..2048 and divided by 2048.
        """
        standard = np.interp(np.asarray(pixels, dtype=np.float64), self.grey, self.standard)
        return np.asarray(standard / STANDARD_MAXIMUM, dtype=np.float32)


@dataclass(frozen=True)
class IntensityTemplate:
    """Landmarks of the training images of one sequence: fitted once, part of the bundle, applied to every later image.

    Attributes
    ----------
    percentiles : tuple of float
        Of the foreground, in percent.
    standard : tuple of float
        Landmarks of the template on 0..2048, one for each percentile, rising.
    distance_limit : float
        An image with a larger `distance` from the template is out of distribution.
    n_images : int
        Number of training images.
    training_distances : tuple of 101 float
        Quantiles 0, 0.01, ..., 1 of the training images' own distances; empty in old bundles.
    kind : {'landmarks', 'n4_landmarks', 'z_score'}
        How images are normalised; with `z_score` the landmarks serve only for the distance.
    """

    percentiles: tuple[float, ...]
    standard: tuple[float, ...]
    distance_limit: float
    n_images: int
    training_distances: tuple[float, ...] = ()
    kind: Normalisation = "landmarks"

    @classmethod
    def fit(cls, images: Iterable[npt.ArrayLike]) -> IntensityTemplate:
        """Fit a template to images.

        Parameters
        ----------
        images : iterable of array
            Whole images of one sequence, any shape and gain.

        Returns
        -------
        IntensityTemplate
            Of the kind `landmarks`.

        Raises
        ------
        FlatImageError
            An image has no contrast.
        ValueError
            There is no image.
        """
        return cls.from_landmarks([landmarks_of(image) for image in images])

    @classmethod
    def from_landmarks(cls, landmarks: Iterable[npt.ArrayLike], kind: Normalisation = "landmarks") -> IntensityTemplate:
        """Fit a template to landmarks that were taken before.

        Parameters
        ----------
        landmarks : iterable of float, shape (n_percentiles,) each
            As `landmarks_of` returns them, one for each training image.
        kind : {'landmarks', 'n4_landmarks', 'z_score'}
            How images will be normalised.

        Returns
        -------
        IntensityTemplate
            Its `distance_limit` is 1.5 times the 99th percentile of the training images' own distances.

        Raises
        ------
        FlatImageError
            The landmarks of an image do not rise.
        ValueError
            There are no landmarks.
        """
        # On the unit scale gain and offset of the scanners are gone; the mean is one of shapes of histograms.
        rows = np.array([_unit_scale(np.asarray(row, dtype=np.float64)) for row in landmarks])
        if not len(rows):
            raise ValueError("an intensity template needs at least one image, found none")
        mean = rows.mean(axis=0)
        standard = LOWEST_STANDARD + mean * (HIGHEST_STANDARD - LOWEST_STANDARD)
        distances = np.sqrt(np.mean((rows - mean) ** 2, axis=1))
        # The 99th percentile times a margin: the largest distance would depend on one image, and scanners that were not
        # in the training are not all refused.
        limit = LIMIT_FACTOR * float(np.quantile(distances, LIMIT_QUANTILE))
        quantiles = tuple(round(float(d), 5) for d in np.quantile(distances, np.linspace(0, 1, 101)))
        return cls(PERCENTILES, tuple(float(s) for s in standard), limit, len(rows), quantiles, kind)

    @property
    def corrects_bias(self) -> bool:
        """Whether images are corrected by N4 before anything else."""
        return self.kind == "n4_landmarks"

    def map_of(self, image: npt.ArrayLike, landmarks: npt.ArrayLike) -> IntensityMap:
        """Return the map of one image, by the kind of normalisation.

        Parameters
        ----------
        image : array
            Grey values, any shape, bias already corrected.
        landmarks : float, shape (n_percentiles,)
            Of the same image.

        Returns
        -------
        IntensityMap
            For any part of this image.

        Raises
        ------
        FlatImageError
            All landmarks or all tissue have one grey value.
        """
        return z_score_map(image) if self.kind == "z_score" else self.map_for(landmarks)

    def map_for(self, landmarks: npt.ArrayLike) -> IntensityMap:
        """Return the map that carries these landmarks to those of the template.

        Parameters
        ----------
        landmarks : float, shape (n_percentiles,)
            Not falling; equal ones (images of few grey levels) are merged.

        Returns
        -------
        IntensityMap
            Beyond the outermost landmarks the outermost segments are extended to the ends of the scale.

        Raises
        ------
        FlatImageError
            All landmarks are equal.
        """
        grey, first = np.unique(np.asarray(landmarks, dtype=np.float64), return_inverse=True)
        if len(grey) < 2:
            raise FlatImageError(message("image.one_landmark", values=grey.tolist()))
        # Landmarks of equal grey value (a coarse 8-bit image) get the mean of their standard values; `np.interp` needs
        # rising ones.
        standard = np.bincount(first, weights=np.asarray(self.standard)) / np.bincount(first)
        # Without the extension, everything above the 99th percentile would be one grey value, enhancement among it.
        below = grey[0] - standard[0] * (grey[1] - grey[0]) / (standard[1] - standard[0])
        room = STANDARD_MAXIMUM - standard[-1]
        above = grey[-1] + room * (grey[-1] - grey[-2]) / (standard[-1] - standard[-2])
        return IntensityMap(np.array([below, *grey, above]), np.array([0.0, *standard, STANDARD_MAXIMUM]))

    def apply(self, image: npt.ArrayLike) -> Float32Array:
        """Standardise a whole image by its own landmarks.

        Parameters
        ----------
        image : array
            Grey values, any shape and gain.

        Returns
        -------
        float32, same shape
            0..1.

        Raises
        ------
        FlatImageError
            The image has no contrast.
        """
        return self.map_of(image, landmarks_of(image))(image)

    def distance(self, landmarks: npt.ArrayLike) -> float:
        """Return how far an image's histogram is from the template.

        Parameters
        ----------
        landmarks : float, shape (n_percentiles,)
            Of the image.

        Returns
        -------
        float
            Root mean square difference of the landmarks, in units of the span from the lowest to the highest one, so
            that gain and offset do not count; 0 for the same histogram.

        Raises
        ------
        FlatImageError
            The landmarks do not rise.
        """
        # Compared on the unit scale, so that gain and offset do not count as distance.
        mean = _unit_scale(np.asarray(self.standard))
        return float(np.sqrt(np.mean((_unit_scale(np.asarray(landmarks, dtype=np.float64)) - mean) ** 2)))

    def is_out_of_distribution(self, landmarks: npt.ArrayLike) -> bool:
        """Return whether an image is farther from the template than its limit.

        Parameters
        ----------
        landmarks : float, shape (n_percentiles,)
            Of the image.

        Returns
        -------
        bool
            True for an image unlike those of the training.
        """
        return self.distance(landmarks) > self.distance_limit

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the bundle's templates.json."""
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
        """Read the template that `to_json` wrote.

        Parameters
        ----------
        document : mapping
            One sequence's entry of templates.json.

        Raises
        ------
        ModelBundleError
            A key is missing, the kind or the percentiles are unknown, or the landmarks do not rise within 0..2048.
        """
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


def z_score_map(image: npt.ArrayLike) -> IntensityMap:
    """Return the map of z-scores: mean minus 3 standard deviations of the foreground to 0, mean plus 5 to 2048.

    Parameters
    ----------
    image : array
        Grey values, any shape; the same pixels are read as for the landmarks.

    Returns
    -------
    IntensityMap
        One straight segment, clipped at both ends.

    Raises
    ------
    FlatImageError
        The image is constant, or all tissue has one grey value.
    """
    tissue = foreground_of(image)
    mean, deviation = float(tissue.mean()), float(tissue.std())
    if not deviation > 0:
        raise FlatImageError(message("image.flat_tissue", value=mean))
    # Both ends are clipped by the map: a z-score beyond them becomes 0 or 1.
    ends = np.array([mean + LOWEST_Z * deviation, mean + HIGHEST_Z * deviation])
    return IntensityMap(ends, np.array([0.0, STANDARD_MAXIMUM]))


def rescaled(patches: Float32Array, have: IntensityTemplate, wanted: IntensityTemplate) -> Float32Array:
    """Return patches that were standardised by one template as another template standardises them.

    Parameters
    ----------
    patches : float32, shape (n, 2, rows, columns)
        Channel 0 image in 0..1 on the scale of `have`, channel 1 mask.
    have, wanted : IntensityTemplate
        Of one kind and with the same percentiles.

    Returns
    -------
    float32, same shape
        The same array where the scales are the same; z-scores have no scale of a cohort.
    """
    if have.kind == "z_score" or have.standard == wanted.standard:
        return patches
    out = patches.copy()
    # The landmarks of the patches' scale are carried to those of the other one, as those of an image are: beyond the
    # outermost ones, too.
    out[:, 0] = wanted.map_for(have.standard)(patches[:, 0] * STANDARD_MAXIMUM)
    return out


def _unit_scale(landmarks: AnyFloatArray) -> AnyFloatArray:
    """Landmarks shifted and scaled so that the lowest is 0 and the highest 1."""
    span = landmarks[-1] - landmarks[0]
    if not span > 0:
        raise FlatImageError(message("image.landmarks_not_rising", landmarks=landmarks.tolist()))
    return np.asarray((landmarks - landmarks[0]) / span)
