"""Whether the CE-T1w differs from the T1w as a contrast agent makes it differ.

Most tissue takes up little: its CE-T1w grey value follows from its T1w grey value. What takes up contrast (mucosa,
vessels, tumour) is brighter than other tissue of the same T1w grey value, and nothing is darker for that reason. So the
deviations from the common curve are skewed to the bright side; they are skewed to the dark side when the two series
are exchanged, and not at all when no contrast was given.
"""

from __future__ import annotations

import numpy as np

from config.arrays import BoolArray, Float32Array
from workers.plausibility.images import correlation

BINS = 24
TAIL_PERCENT = 4.0
SMALLEST_BIN = 40
MOST_PIXELS = 40_000  # sorting all of them takes a tenth of a second and tells no more


def enhancement(t1_zyx: Float32Array, contrast_zyx: Float32Array, inside: BoolArray) -> float:
    """Return how much farther the bright tail of the deviations reaches than the dark one.

    Parameters
    ----------
    t1_zyx, contrast_zyx : float32, same shape
        T1w and CE-T1w on one grid, any gain.
    inside : bool, same shape
        Tissue that both show.

    Returns
    -------
    float
        Mean of the highest 4 % of the deviations plus mean of the lowest 4 %, in units of the CE-T1w grey range of
        tissue; > 0 after contrast, < 0 for exchanged series, about 0 without contrast.
    """
    before, after = t1_zyx[inside].astype(np.float64), contrast_zyx[inside].astype(np.float64)
    every = max(1, before.size // MOST_PIXELS)
    before, after = before[::every], after[::every]
    if before.size < BINS * SMALLEST_BIN:
        return 0.0
    low, high = np.percentile(after, (5.0, 95.0))
    if high <= low:
        return 0.0
    order = np.argsort(before, kind="stable")
    deviations = np.empty_like(after)
    for part in np.array_split(order, BINS):
        # The median: the tissue that takes up contrast is the smaller part of every bin.
        deviations[part] = after[part] - np.median(after[part])
    deviations = np.sort(deviations) / (high - low)
    tail = max(1, round(deviations.size * TAIL_PERCENT / 100))
    return float(deviations[-tail:].mean() + deviations[:tail].mean())


def likeness(t1_zyx: Float32Array, contrast_zyx: Float32Array, inside: BoolArray) -> float:
    """Return the correlation of T1w and CE-T1w in tissue: 1 for one series that was sent twice."""
    before, after = t1_zyx[inside].astype(np.float64), contrast_zyx[inside].astype(np.float64)
    if before.size < 2 or not before.std() > 0 or not after.std() > 0:
        return 1.0
    return correlation(before, after)
