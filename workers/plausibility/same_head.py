"""Whether the three series show one head in one place, by the agreement of their edges on a grid of about 4 mm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from config.arrays import BoolArray, Float32Array
from config.indication.vocabulary import SeriesRole
from workers.plausibility.common_grid import CommonView
from workers.plausibility.edges import ComplexArray, agreement, edges_of, mirrored, padded_shape, transformed
from workers.plausibility.images import foreground_of_view

SIGMA_MM = 3.0
REACH_MM = 45.0
SAME_PLACE_MM = 8.0  # the head of a patient moves by a few millimetres between two series
BLOCK = 2

MIRRORS = {"": None, "left-right": 2, "front-back": 1, "head-feet": 0}


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two series.

    Attributes
    ----------
    here : float
        -1..1, at the place that the headers give, within `SAME_PLACE_MM`.
    mirrored : float
        The largest agreement with the second series mirrored left to right, at any shift in the plane.
    """

    here: float
    mirrored: float


def coarse_edges(view: CommonView) -> tuple[dict[SeriesRole, ComplexArray], tuple[float, float, float]]:
    """Return the edges of each series on a grid of about 4 mm, and its spacing zyx in mm."""
    z_mm, y_mm, x_mm = view.spacing_zyx_mm
    spacing = (z_mm, y_mm * BLOCK, x_mm * BLOCK)
    edges = {}
    for role, grey in view.grey_zyx.items():
        small = _halved(grey)
        edges[role] = edges_of(small, spacing[1:], SIGMA_MM, _well_inside(view.covered_zyx[role], small.shape))
    return edges, spacing


def pair_agreements(
    edges: Mapping[SeriesRole, ComplexArray], spacing_zyx_mm: tuple[float, float, float]
) -> dict[tuple[SeriesRole, SeriesRole], PairAgreement]:
    """Compare every two series.

    Parameters
    ----------
    edges : mapping of SeriesRole to complex64, shape (slices, rows, columns)
        From `coarse_edges`.
    spacing_zyx_mm : (float, float, float)
        Of their grid.

    Returns
    -------
    dict of pair of SeriesRole to PairAgreement
        Also of series that do not overlap, whose agreement is 0.
    """
    n, *size = next(iter(edges.values())).shape
    reach = (
        min(1, n - 1),
        *(min(int(REACH_MM // step), m - 1) for step, m in zip(spacing_zyx_mm[1:], size, strict=True)),
    )
    shape = padded_shape(size, reach[1:])
    plain = {role: transformed(one, shape) for role, one in edges.items()}
    turned = {role: transformed(mirrored(one, 2), shape) for role, one in edges.items()}
    weights = {role: float(np.sum(np.abs(one) ** 2)) for role, one in edges.items()}
    pairs = {}
    for first, second in combinations(edges, 2):
        weight = float(np.sqrt(weights[first] * weights[second]))
        found = agreement(plain[first], plain[second], weight, spacing_zyx_mm, reach)
        near = found.lengths_mm() <= max(SAME_PLACE_MM, spacing_zyx_mm[0])
        flipped = agreement(plain[first], turned[second], weight, spacing_zyx_mm, (0, *reach[1:]))
        pairs[first, second] = PairAgreement(found.best(near)[0], flipped.best()[0])
    return pairs


def _halved(grey_zyx: Float32Array) -> Float32Array:
    rows, columns = grey_zyx.shape[1:]
    rows, columns = rows // BLOCK * BLOCK, columns // BLOCK * BLOCK
    parts = [grey_zyx[:, dy:rows:BLOCK, dx:columns:BLOCK] for dy in range(BLOCK) for dx in range(BLOCK)]
    return np.asarray(sum(parts) / np.float32(len(parts)), dtype=np.float32)


def _well_inside(covered_zyx: BoolArray, shape: tuple[int, ...]) -> BoolArray:
    """Pixels not at the border of the image: the border itself is an edge of no tissue."""
    small = covered_zyx[:, ::BLOCK, ::BLOCK][:, : shape[1], : shape[2]].copy()
    small[:, :2], small[:, -2:], small[:, :, :2], small[:, :, -2:] = False, False, False, False
    return small


def tissue_of(view: CommonView, roles: tuple[SeriesRole, ...]) -> BoolArray:
    """Return where all these series show tissue: bool, shape of the view."""
    return np.asarray(np.logical_and.reduce([foreground_of_view(view.grey_zyx[role]) for role in roles]))
