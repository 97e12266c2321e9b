"""Whether the contour is around something that the images show: its outline along the edges of the three series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import FloatArray
from workers.plausibility.common_grid import CommonView
from workers.plausibility.edges import Agreement, agreement, edges_of, mirrored, padded_shape, transformed

SIGMA_MM = 1.4
OUTLINE_EDGE_PER_MM = 0.05  # a fifth of the steepest gradient of a mask at this width
REACH_MM = 16.0
HERE_MM = 4.0
ELSEWHERE_MM = 6.0
NEIGHBOURING_SLICES = 2
MIRROR_YX_MM = (2.0, 4.0)


@dataclass(frozen=True)
class ContourFit:
    """How well the outline follows edges, here and near by: -1..1, strength and direction of the edges at the outline.

    Attributes
    ----------
    here : float
        At the contour's place, within 4 mm.
    moved : float
        The largest value 6 to 16 mm away in the plane.
    moved_yx_mm : (float, float)
        That shift: to the back, to the left.
    other_slices : float
        The largest value one or two slices away.
    unmirrored, mirrored : float
        The largest values within 2 mm (front to back) and 4 mm (right to left) of the contour's place, as it is and
        mirrored left to right about its own middle. A contour that was mirrored about the head's midline and is now
        farther away than that fits better moved.
    """

    here: float
    moved: float
    moved_yx_mm: tuple[float, float]
    other_slices: float
    unmirrored: float
    mirrored: float


def contour_fit(view: CommonView) -> ContourFit:
    """Compare the contour's outline with the edges of all series, at its place and around it.

    Parameters
    ----------
    view : CommonView
        Of the close-ups.

    Returns
    -------
    ContourFit
        The mask is not empty.
    """
    _, y_mm, x_mm = view.spacing_zyx_mm
    mask = view.mask_zyx
    n, rows, columns = mask.shape
    edges = sum(edges_of(grey, (y_mm, x_mm), SIGMA_MM, view.covered_zyx[role]) for role, grey in view.grey_zyx.items())
    outline = edges_of(mask, (y_mm, x_mm), SIGMA_MM, np.ones(mask.shape, dtype=bool), OUTLINE_EDGE_PER_MM)
    weight = float(np.abs(outline).sum()) * len(view.grey_zyx)
    # Mirrored about the middle of the picture, the outline must be moved back to its own place.
    middle = float((mask.sum(axis=(0, 1)) * np.arange(columns)).sum() / mask.sum())
    back = round(2 * middle - (columns - 1))
    reach = (
        min(NEIGHBOURING_SLICES, n - 1), min(int(REACH_MM / y_mm), rows - 1), min(int(REACH_MM / x_mm), columns - 1),
    )  # fmt: skip
    size = padded_shape((rows, columns), reach[1:])
    pictured = transformed(np.asarray(edges, dtype=np.complex64), size)
    plain = agreement(pictured, transformed(outline, size), weight, view.spacing_zyx_mm, reach)
    turned_outline = np.roll(mirrored(outline, 2), back, axis=2)
    turned = agreement(pictured, transformed(turned_outline, size), weight, view.spacing_zyx_mm, (0, *reach[1:]))
    return _summary(plain, turned)


def _summary(plain: Agreement, turned: Agreement) -> ContourFit:
    _, y_mm, x_mm = plain.shifts_zyx_mm
    middle = plain.values.shape[0] // 2
    in_plane: FloatArray = np.hypot(y_mm[:, None], x_mm[None, :])
    around = np.zeros(plain.values.shape, dtype=bool)
    around[middle] = (in_plane > ELSEWHERE_MM) & (in_plane <= REACH_MM)
    moved, (_, to_back, to_left) = plain.best(around)
    others = np.delete(plain.values, middle, axis=0)[:, in_plane <= HERE_MM]
    # Both outlines may move equally far, so that exchanging them changes the sign of the difference and no more.
    near = (np.abs(y_mm)[:, None] <= MIRROR_YX_MM[0]) & (np.abs(x_mm)[None, :] <= MIRROR_YX_MM[1])
    return ContourFit(
        float(plain.values[middle][in_plane <= HERE_MM].max()), moved, (to_back, to_left),
        float(others.max(initial=-1.0)),
        float(plain.values[middle][near].max()), float(turned.values[0][near].max()),
    )  # fmt: skip
