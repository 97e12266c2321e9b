"""Whether the CE-T1w differs from the T1w as a contrast agent makes it differ.

Most tissue takes up little: its CE-T1w grey value follows from its T1w grey value. What takes up contrast (mucosa,
vessels, tumour) is brighter than other tissue of the same T1w grey value, and nothing is darker for that reason. So the
deviations of CE-T1w from the common curve are skewed to the bright side, those of T1w are not.
"""

from __future__ import annotations

import numpy as np

from config.arrays import BoolArray, Float32Array, FloatArray
from workers.plausibility.images import correlation

BINS = 24
TAIL_PERCENT = 4.0
SMALLEST_BIN = 40
MOST_PIXELS = 40_000  # sorting all of them takes a tenth of a second and tells no more


def enhancement(t1_zyx: Float32Array, contrast_zyx: Float32Array, inside: BoolArray) -> tuple[float, float]:
    """Return how the deviations of CE-T1w from T1w are skewed to the bright side.

    Parameters
    ----------
    t1_zyx, contrast_zyx : float32, same shape
        T1w and CE-T1w on one grid, any gain.
    inside : bool, same shape
        Tissue that both show.

    Returns
    -------
    skewness : float
        > 0 after contrast, 0 for one series twice.
    gain : float
        The skewness less that of T1w from CE-T1w: its sign changes when the two are exchanged. Fat and motion skew the
        deviations of real series, too, but in both directions, so that their part cancels.
    """
    before, after = t1_zyx[inside].astype(np.float64), contrast_zyx[inside].astype(np.float64)
    every = max(1, before.size // MOST_PIXELS)
    before, after = before[::every], after[::every]
    if before.size < BINS * SMALLEST_BIN:
        return 0.0, 0.0
    skewness = _skewness(before, after)
    return skewness, skewness - _skewness(after, before)


def _skewness(known: FloatArray, other: FloatArray) -> float:
    """Mean of the highest 4 % of the deviations plus mean of the lowest 4 %, in units of the range of tissue."""
    low, high = np.percentile(other, (5.0, 95.0))
    if high <= low:
        return 0.0
    deviations = np.empty_like(other)
    for part in np.array_split(np.argsort(known, kind="stable"), BINS):
        # The median: the tissue that takes up contrast is the smaller part of every bin.
        deviations[part] = other[part] - np.median(other[part])
    deviations = np.sort(deviations) / (high - low)
    tail = max(1, round(deviations.size * TAIL_PERCENT / 100))
    return float(deviations[-tail:].mean() + deviations[:tail].mean())


def likeness(t1_zyx: Float32Array, contrast_zyx: Float32Array, inside: BoolArray) -> float:
    """Return the correlation of T1w and CE-T1w in tissue: 1 for one series that was sent twice."""
    before, after = t1_zyx[inside].astype(np.float64), contrast_zyx[inside].astype(np.float64)
    if before.size < 2 or not before.std() > 0 or not after.std() > 0:
        return 1.0
    return correlation(before, after)
