"""Whether a series is an image at all: neighbouring pixels are alike, and slices resemble their neighbours most."""

from __future__ import annotations

import numpy as np

from config.arrays import Float32Array
from workers.volumes.landmarks import foreground_threshold
from workers.volumes.picture import Picture

ORDER_BLOCK = 3
FEWEST_SLICES = 5
FARTHEST_NEIGHBOUR = 6


def smoothness(picture: Picture) -> float:
    """Return the correlation of neighbouring pixels within the slices.

    Parameters
    ----------
    picture : Picture
        Pixels of about 2 mm.

    Returns
    -------
    float
        -1..1: about 0 for noise, whose pixels know nothing of their neighbours, and above 0.8 for a head.
    """
    grey = picture.grey_zyx[::2]  # every second slice tells as much
    pairs = ((grey[:, :, 1:], grey[:, :, :-1]), (grey[:, 1:], grey[:, :-1]))
    return float(np.mean([correlation(a, b) for a, b in pairs]))


def foreground_share(picture: Picture) -> float:
    """Return the share of the picture that is tissue, 0..1."""
    sample = picture.grey_zyx[:, ::2, ::2]
    return float(np.mean(sample >= foreground_threshold(sample)))


def slice_order(picture: Picture) -> float:
    """Return how much the likeness of slices falls with their distance.

    Parameters
    ----------
    picture : Picture
        Slices in the order of their positions.

    Returns
    -------
    float
        -1..1: correlation of two slices' likeness with their closeness, among pairs up to 6 slices apart; about 0 for
        slices in random order. 1 for fewer than 5 slices, which have no order to speak of.
    """
    n, rows, columns = picture.grey_zyx.shape
    if n < FEWEST_SLICES:
        return 1.0
    rows, columns = rows // ORDER_BLOCK * ORDER_BLOCK, columns // ORDER_BLOCK * ORDER_BLOCK
    blocks = picture.grey_zyx[:, :rows, :columns].reshape(n, rows // ORDER_BLOCK, ORDER_BLOCK, -1, ORDER_BLOCK)
    flat = blocks.mean(axis=(2, 4)).reshape(n, -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1)
    likeness = flat @ flat.T / np.maximum(np.outer(norms, norms), 1e-9)
    first, second = np.triu_indices(n, k=1)
    near = second - first <= FARTHEST_NEIGHBOUR
    first, second = first[near], second[near]
    # Decoded slices of thin series are not evenly spaced: the closeness is of positions, not of rows.
    apart = np.abs(picture.slice_index[second] - picture.slice_index[first])
    return correlation(likeness[first, second], -apart.astype(np.float64))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Pearson correlation of two arrays of one size; 0 where one is constant."""
    a, b = (np.asarray(values, dtype=np.float64).ravel() for values in (first, second))
    a, b = a - a.mean(), b - b.mean()
    # Sums and not dot products: those wait for the threads of a linear algebra library that others use, too.
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def foreground_of_view(grey_zyx: Float32Array) -> np.ndarray:
    """Return where a volume shows tissue: bool, of the same shape."""
    # Every second row and column: the threshold is found by sorting, and needs no more.
    return np.asarray(grey_zyx >= foreground_threshold(grey_zyx[:, ::2, ::2]))
