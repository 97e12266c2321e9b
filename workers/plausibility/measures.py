"""The measures of a study: numbers that say whether it shows what the model was made for.

| measure | of | what is wrong outside its limits |
|---|---|---|
| smoothness | each series | noise instead of an image |
| slice_order | each series | slices in another order than their positions |
| same_head, same_head_gap, same_side | each series | another head than in the others, or flipped |
| enhancement, enhancement_gain, likeness | T1w, CE-T1w | no contrast agent, exchanged, one series twice |
| outline and outline_* | contour | the outline follows no edges, or better ones moved, mirrored, in other slices |
| outline_reflected | contour | the outline fits better where a program with reversed columns or x would put it |
| air | contour | air inside the contour |
| head_width_mm, head_depth_mm | study | another part of the body |
| midline_mm, depth, below_air_mm | contour | another place than where tumours of this kind are |
| volume_ml, slices, extent_x_mm, extent_y_mm, extent_z_mm | contour | another size than that of the training tumours |
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from config.arrays import Float32Array
from config.indication.vocabulary import SeriesRole
from workers.plausibility.common_grid import CommonView, common_view
from workers.plausibility.contour_fit import contour_fit
from workers.plausibility.contrast import enhancement, likeness
from workers.plausibility.images import foreground_of_view, slice_order, smoothness
from workers.plausibility.midline import HeadFrame, head_frame, largest_part
from workers.plausibility.same_head import coarse_edges, pair_agreements, tissue_of
from workers.volumes.landmarks import foreground_threshold
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy

INSIDE = 0.99  # share of a pixel
CENTRAL_MM = 45.0  # around the midline: nasal cavity, pharynx and sinuses, without the mastoid cells
UPPER_END = 0.9


def study_measures(study: PreparedStudy) -> dict[str, float]:
    """Measure a prepared study.

    Parameters
    ----------
    study : PreparedStudy
        With pictures and close-ups of all series.

    Returns
    -------
    dict of str to float
        By name, ``name.ROLE`` where there is one for each series; empty where a series has no picture.
    """
    pictures = {role: series.picture for role, series in study.items() if series.picture is not None}
    close_ups = {role: series.close_up for role, series in study.items() if series.close_up is not None}
    if len(pictures) < len(study) or len(close_ups) < len(study):
        return {}
    measures: dict[str, float] = {}
    for role, picture in pictures.items():
        measures[f"smoothness.{role.value}"] = smoothness(picture)
        measures[f"slice_order.{role.value}"] = slice_order(picture)
    view = common_view(pictures)
    measures |= _same_head(view) | _contrast(view)
    mean = np.asarray(sum(view.grey_zyx.values()) / np.float32(len(view.grey_zyx)), dtype=np.float32)
    frame = head_frame(mean, view.spacing_zyx_mm[1:])
    measures |= {"head_width_mm": frame.width_mm, "head_depth_mm": frame.back_mm - frame.front_mm}
    if not view.mask_zyx.any():  # the contour is beyond the part that the series share
        return measures
    centre_mm = _centre_mm(view)
    close_view = common_view(close_ups)
    fit = contour_fit(close_view, _from_planes_mm(view, centre_mm))
    if fit.reflected is not None:
        measures["outline_reflected"] = fit.in_place - fit.reflected
    return {
        **measures,
        **_place(view, mean, frame, centre_mm),
        **_size(study[view.reference], view),
        "air": _air(close_view, view),
        "outline": fit.here,
        "outline_moved": fit.here - fit.moved,
        "outline_slices": fit.here - fit.other_slices,
        "outline_mirrored": fit.unmirrored - fit.mirrored,
    }


def _same_head(view: CommonView) -> dict[str, float]:
    edges, spacing = coarse_edges(view)
    pairs = pair_agreements(edges, spacing)
    measures = {}
    for role in edges:
        mine = [pair for roles, pair in pairs.items() if role in roles]
        # The better of two: where one series is of another head, both others still agree with each other.
        measures[f"same_head.{role.value}"] = max(pair.here for pair in mine)
        others = [pair.here for roles, pair in pairs.items() if role not in roles]
        if others:
            measures[f"same_head_gap.{role.value}"] = max(others) - measures[f"same_head.{role.value}"]
        measures[f"same_side.{role.value}"] = max(pair.here - pair.mirrored for pair in mine)
    return measures


def _contrast(view: CommonView) -> dict[str, float]:
    t1, contrast = (view.grey_zyx[role] for role in (SeriesRole.T1W, SeriesRole.CE_T1W))
    tissue = tissue_of(view, (SeriesRole.T1W, SeriesRole.CE_T1W))
    skewness, gain = enhancement(t1, contrast, tissue)
    return {"enhancement": skewness, "enhancement_gain": gain, "likeness": likeness(t1, contrast, tissue)}


def _centre_mm(view: CommonView) -> tuple[float, float, float]:
    """Centre of the contour (z, y, x), from the first voxel."""
    mask = view.mask_zyx
    z, y, x = (
        float(mask.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(mask.shape[axis]) / mask.sum()) * step
        for axis, step in enumerate(view.spacing_zyx_mm)
    )
    return z, y, x


def _from_planes_mm(view: CommonView, centre_mm: tuple[float, float, float]) -> list[float]:
    """Distances from the planes in which programs reflect contours: the picture's middle, and the patient's x = 0.

    An image that is read with its columns reversed, or a contour that is written so, is reflected in the middle of the
    picture; an x of the wrong sign, as between LPS and RAS coordinates, reflects in x = 0.
    """
    _, y_mm, x_mm = centre_mm
    origin, axes = view.picture.origin_lps_mm, view.picture.axes
    from_middle = x_mm - (view.mask_zyx.shape[2] - 1) / 2 * view.spacing_zyx_mm[2]
    # The slices are nearly axial, so their height changes x little.
    lps_x_mm = origin[0] + axes[0, 0] * x_mm + axes[0, 1] * y_mm
    return [from_middle, float(lps_x_mm / axes[0, 0])]


def _place(
    view: CommonView, mean_zyx: Float32Array, frame: HeadFrame, centre_mm: tuple[float, float, float]
) -> dict[str, float]:
    place = {
        "midline_mm": centre_mm[2] - frame.midline_mm,
        "depth": (centre_mm[1] - frame.front_mm) / max(frame.back_mm - frame.front_mm, 1.0),
    }
    top_mm = _top_of_air_mm(view, mean_zyx, frame)
    return place if top_mm is None else {**place, "below_air_mm": top_mm - centre_mm[0]}


def _top_of_air_mm(view: CommonView, mean_zyx: Float32Array, frame: HeadFrame) -> float | None:
    """Height of the skull base as the air spaces below it show it: their upper end, in mm from the lowest slice."""
    tissue = largest_part(foreground_of_view(mean_zyx))
    z_mm, y_mm, x_mm = view.spacing_zyx_mm
    columns = np.abs(np.arange(tissue.shape[2]) * x_mm - frame.midline_mm) <= CENTRAL_MM
    rows = np.arange(tissue.shape[1]) * y_mm <= (frame.front_mm + frame.back_mm) / 2
    enclosed = np.stack([ndimage.binary_fill_holes(part) & ~part for part in tissue])
    by_slice = enclosed[:, rows][:, :, columns].sum(axis=(1, 2)).astype(np.float64)
    if not by_slice.any():
        return None
    return float(np.interp(UPPER_END, np.cumsum(by_slice) / by_slice.sum(), np.arange(len(by_slice)))) * z_mm


def _size(series: PreparedSeries, view: CommonView) -> dict[str, float]:
    measures = {"volume_ml": series.volume_ml, "slices": float(series.n_slices)}
    for axis, name in ((2, "x"), (1, "y"), (0, "z")):
        touched = np.flatnonzero((view.mask_zyx > 0).any(axis=tuple({0, 1, 2} - {axis})))
        measures[f"extent_{name}_mm"] = float(touched[-1] - touched[0] + 1) * view.spacing_zyx_mm[axis]
    return measures


def _air(close_view: CommonView, view: CommonView) -> float:
    """Share of the contour that is as dark as air in T1w and in T2w."""
    inside = close_view.mask_zyx > INSIDE
    if not inside.any():
        return 0.0
    dark = np.ones(int(inside.sum()), dtype=bool)
    for role in (SeriesRole.T1W, SeriesRole.T2W):
        # The threshold of the whole picture: the close-up alone may contain no air. Both are over one brightest value
        # each, which differ by a few per cent.
        dark &= close_view.grey_zyx[role][inside] < foreground_threshold(view.grey_zyx[role][:, ::2, ::2])
    return float(dark.mean())


def roles_of(measures: Mapping[str, float], name: str) -> list[str]:
    """Return the roles for which a measure exists."""
    return [key.split(".", 1)[1] for key in measures if key.startswith(f"{name}.")]
