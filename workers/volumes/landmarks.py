"""Landmarks of an image: percentiles of its foreground, the same pixels of the same image every time.

References
----------
Nyul, Udupa and Zhang, New variants of a method of MRI scale standardization, IEEE Trans Med Imaging 2000;19:143-150.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from config.arrays import AnyFloatArray
from config.errors import IneligibleStudyError
from config.messages.message import message

PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
FOREGROUND_FRACTION = 0.1
FOREGROUND_ROUNDS = 4
DARKEST_PERCENT, BRIGHTEST_PERCENT = 0.5, 99.0
MAX_SAMPLES = 400_000


class FlatImageError(IneligibleStudyError):
    """The image has no contrast, or no finite pixel, from which landmarks could be taken."""

    def __init__(self, text: str) -> None:
        super().__init__("out_of_distribution", text)


def landmarks_of(image: npt.ArrayLike, max_samples: int = MAX_SAMPLES) -> AnyFloatArray:
    """Take the landmarks of an image: the grey values at `PERCENTILES` of its foreground.

    Parameters
    ----------
    image : array
        Grey values, any shape; the last two axes are rows and columns.
    max_samples : int
        At most this many pixels are read, on a regular lattice.

    Returns
    -------
    float64, shape (n_percentiles,)
        Not falling.

    Raises
    ------
    FlatImageError
        The image is constant or has no finite pixel.
    """
    return _percentiles(foreground_of(image, max_samples), PERCENTILES)


def foreground_of(image: npt.ArrayLike, max_samples: int = MAX_SAMPLES) -> AnyFloatArray:
    """Return the grey values of tissue, without air, in rising order.

    Parameters
    ----------
    image : array
        Grey values, any shape; the last two axes are rows and columns.
    max_samples : int
        At most this many pixels are read, on a regular lattice.

    Returns
    -------
    float64, shape (n,)
        Sorted, at least one value.

    Raises
    ------
    FlatImageError
        The image is constant or has no finite pixel.
    """
    pixels = _sorted_sample(np.asarray(image), max_samples)
    return pixels[_foreground_start(pixels) :]


def foreground_threshold(image: npt.ArrayLike) -> float:
    """Return the darkest grey value that counts as tissue, not air.

    Tissue begins a tenth of the way from the darkest pixel to the brightest tissue (the 99th percentile of the pixels
    above the threshold, iterated).

    Parameters
    ----------
    image : array
        Grey values, any shape.

    Returns
    -------
    float
        A grey value of the image; it follows gain and offset.

    Raises
    ------
    FlatImageError
        The image is constant or has no finite pixel.
    """
    # Nyul et al. take the image's mean, which moves with the share of air in the field of view: a head and a crop of it
    # would have different landmarks.
    return float(foreground_of(image)[0])


def _foreground_start(pixels: AnyFloatArray) -> int:
    """Index of the first foreground pixel in a rising sequence of grey values."""
    if not pixels.size:
        raise FlatImageError(message("image.no_finite_pixel"))
    if pixels[0] == pixels[-1]:
        raise FlatImageError(message("image.one_grey_value", value=pixels[0]))
    # A percentile and not the minimum: one dead pixel or a padding value would move the threshold.
    darkest = _percentiles(pixels, (DARKEST_PERCENT,))[0]
    start = int(np.searchsorted(pixels, darkest, side="right"))
    if start == len(pixels):
        raise FlatImageError(message("image.almost_one_grey_value", value=darkest))
    # The bright end is taken from the foreground, and the foreground from the bright end: a few rounds until both
    # agree, independent of the share of air.
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
    # A lattice and not a random sample, so that the same image always has the same landmarks.
    while image.size > max_samples and max(image.shape[-2:]) > 1:
        rows_longer = image.ndim > 1 and image.shape[-2] >= image.shape[-1]
        image = image[..., ::2, :] if rows_longer else image[..., ::2]
    # Converted after the sorting: percentiles are interpolated between neighbours in float64.
    pixels = np.sort(image, axis=None).astype(np.float64)
    return pixels[np.isfinite(pixels)]
