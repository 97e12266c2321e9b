"""Whether the contour is around something that the images show: its outline along the edges of the three series."""

from __future__ import annotations

from collections.abc import Sequence
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
PLANE_MM = 2.0
PLANE_REACH_MM = 70.0


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
    in_place : float
        The largest value within 2 mm of the contour's place.
    reflected : float or None
        The same where the contour would be if it were reflected in one of the given planes; None where no such place
        is in the picture.
    """

    here: float
    moved: float
    moved_yx_mm: tuple[float, float]
    other_slices: float
    unmirrored: float
    mirrored: float
    in_place: float
    reflected: float | None


def contour_fit(view: CommonView, from_planes_mm: Sequence[float] = ()) -> ContourFit:
    """Compare the contour's outline with the edges of all series, at its place and around it.

    Parameters
    ----------
    view : CommonView
        Of the close-ups.
    from_planes_mm : sequence of float
        Distance of the contour's centre from each sagittal plane in which a program may have reflected it, positive to
        the left.

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
    turned_reach = (0, reach[1], min(int(PLANE_REACH_MM / x_mm), columns - 1))
    size = padded_shape((rows, columns), turned_reach[1:])
    pictured = transformed(np.asarray(edges, dtype=np.complex64), size)
    plain = agreement(pictured, transformed(outline, size), weight, view.spacing_zyx_mm, reach)
    turned_outline = np.roll(mirrored(outline, 2), back, axis=2)
    turned = agreement(pictured, transformed(turned_outline, size), weight, view.spacing_zyx_mm, turned_reach)
    return _summary(plain, turned, [_at(turned, -2 * distance) for distance in from_planes_mm])


def _at(turned: Agreement, x_mm: float) -> float | None:
    """Return the largest agreement within 2 mm of a shift to the left; None where it is outside the reach."""
    _, ys, xs = turned.shifts_zyx_mm
    near = (np.abs(ys)[:, None] <= PLANE_MM) & (np.abs(xs - x_mm)[None, :] <= PLANE_MM)
    return float(turned.values[0][near].max()) if near.any() else None


def _summary(plain: Agreement, turned: Agreement, reflected: Sequence[float | None]) -> ContourFit:
    _, y_mm, x_mm = plain.shifts_zyx_mm
    middle = plain.values.shape[0] // 2
    in_plane: FloatArray = np.hypot(y_mm[:, None], x_mm[None, :])
    around = np.zeros(plain.values.shape, dtype=bool)
    around[middle] = (in_plane > ELSEWHERE_MM) & (in_plane <= REACH_MM)
    moved, (_, to_back, to_left) = plain.best(around)
    others = np.delete(plain.values, middle, axis=0)[:, in_plane <= HERE_MM]
    # Both outlines may move equally far, so that exchanging them changes the sign of the difference and no more.
    _, y_turned_mm, x_turned_mm = turned.shifts_zyx_mm
    within = [
        (np.abs(y)[:, None] <= MIRROR_YX_MM[0]) & (np.abs(x)[None, :] <= MIRROR_YX_MM[1])
        for y, x in ((y_mm, x_mm), (y_turned_mm, x_turned_mm))
    ]
    at_place = (np.abs(y_mm)[:, None] <= PLANE_MM) & (np.abs(x_mm)[None, :] <= PLANE_MM)
    at_planes = [value for value in reflected if value is not None]
    return ContourFit(
        float(plain.values[middle][in_plane <= HERE_MM].max()), moved, (to_back, to_left),
        float(others.max(initial=-1.0)),
        float(plain.values[middle][within[0]].max()), float(turned.values[0][within[1]].max()),
        float(plain.values[middle][at_place].max()), max(at_planes, default=None),
    )  # fmt: skip
