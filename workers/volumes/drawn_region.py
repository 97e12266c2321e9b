"""Rasterising the contours of one region on a grid: on its slices, between them, or across them.

`contours.roi_mask` decides which of the three applies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.arrays import BoolArray, FloatArray, IndexArray
from config.errors import IneligibleStudyError
from config.messages.message import message
from workers.volumes.drawn_planes import drawn_planes
from workers.volumes.findings import Finding
from workers.volumes.geometry import Grid
from workers.volumes.interpolation import DrawnStack
from workers.volumes.plane_regions import region_of_plane, without_repeated_points
from workers.volumes.rtstruct import CLOSED_PLANAR_XOR, Roi
from workers.volumes.scanline import Edges, Moments, fill_box, moments

PLANE_TOLERANCE = 0.1  # of the slice distance: how far from a slice a contour may be and still belong to it
PLANARITY_MM = 0.5
PARALLEL_COSINE = np.cos(np.radians(1.0))


@dataclass(frozen=True)
class DrawnRegion:
    """A rasterised region; volume and centroid do not depend on the voxels.

    Attributes
    ----------
    mask_zyx : bool, shape (slices, rows, columns)
        True where the voxel's centre is inside.
    volume_ml : float
        Area within the lines times the distance of the planes.
    centroid_lps_mm : float64, shape (3,)
        Of the region within the lines.
    """

    mask_zyx: BoolArray
    volume_ml: float
    centroid_lps_mm: FloatArray


def fill_slices(roi: Roi, indices: Sequence[FloatArray], grid: Grid, findings: list[Finding]) -> DrawnRegion:
    """Fill contours that are on the grid's own slices.

    Parameters
    ----------
    roi : Roi
        For messages.
    indices : sequence of float64, shape (n, 3) each
        Points of each contour as continuous voxel indices x, y, z.
    grid : Grid
        Of the series.
    findings : list of Finding
        Statements are appended.

    Returns
    -------
    DrawnRegion
        Perhaps without a voxel inside.

    Raises
    ------
    IneligibleStudyError
        ``missing_contour`` when the lines enclose no area; what `region_of_plane` raises.
    """
    heights = np.array([round(float(i[:, 2].mean())) for i in indices], dtype=np.intp)
    planes, plane = np.unique(heights, return_inverse=True)
    undrawn = int(planes[-1] - planes[0]) + 1 - len(planes)
    if undrawn:
        text = message("contour_gap.n", roi=roi_title(roi), n=undrawn)
        findings.append(Finding("contour_gap", text))
    y_mm, x_mm = grid.spacing_xyz_mm[1], grid.spacing_xyz_mm[0]
    polygons, plane = combine_contours(roi, [i[:, :2] for i in indices], plane, (x_mm, y_mm), findings)
    edges = Edges.of(polygons, plane)
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    within = (planes >= 0) & (planes < grid.size_xyz[2])
    region, (top, left) = fill_box(edges, len(planes), grid.size_xyz[1], grid.size_xyz[0])
    mask[planes[within], top : top + region.shape[1], left : left + region.shape[2]] = region[within]
    _state_outside(roi, np.concatenate(indices), grid, findings)
    return _region(roi, mask, moments(edges, len(planes)), np.ones(len(planes)), planes, grid)


def interpolate_between_slices(
    roi: Roi, indices: Sequence[FloatArray], grid: Grid, findings: list[Finding]
) -> DrawnRegion:
    """Interpolate contours parallel to the grid's slices but not on them, or only on every second or third.

    Parameters
    ----------
    roi : Roi
        For messages.
    indices : sequence of float64, shape (n, 3) each
        Points of each contour as continuous voxel indices x, y, z.
    grid : Grid
        Of the series.
    findings : list of Finding
        Statements are appended.

    Returns
    -------
    DrawnRegion
        Perhaps without a voxel inside.

    Raises
    ------
    IneligibleStudyError
        ``missing_contour`` when the lines enclose no area; what `drawn_planes` and `region_of_plane` raise.
    """
    x_mm, y_mm, z_mm = grid.spacing_xyz_mm
    # A single drawn plane is as thick as one slice.
    planes = drawn_planes([float(i[:, 2].mean()) * z_mm for i in indices], z_mm)
    polygons, plane_of = combine_contours(roi, [i[:, :2] for i in indices], planes.plane_of, (x_mm, y_mm), findings)
    heights = planes.heights_mm / z_mm
    stack = DrawnStack.of(polygons, plane_of, heights, planes.distance_mm / z_mm, (y_mm, x_mm))
    text = message("contour_resampled.other_planes", roi=roi_title(roi), distance=stack.distance * z_mm, step=z_mm)
    findings.append(Finding("contour_resampled", text))
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    (left, top), (height, width) = stack.corner_xy, stack.signed_distance.shape[1:]
    first_y, last_y = np.clip([top, top + height], 0, grid.size_xyz[1])
    first_x, last_x = np.clip([left, left + width], 0, grid.size_xyz[0])
    for z in range(grid.size_xyz[2]):
        plane = stack.plane_at(z)[first_y - top : last_y - top, first_x - left : last_x - left]
        mask[z, first_y:last_y, first_x:last_x] = plane
    _state_outside(roi, np.concatenate(indices), grid, findings)
    return _region(roi, mask, stack.moments, stack.thickness, stack.positions, grid)


def resample_across_slices(roi: Roi, points: Sequence[FloatArray], grid: Grid, findings: list[Finding]) -> DrawnRegion:
    """Resample contours in parallel planes of another orientation than the grid's slices.

    Parameters
    ----------
    roi : Roi
        For messages.
    points : sequence of float64, shape (n, 3) each
        Points of each contour in LPS millimetres of the grid's frame of reference.
    grid : Grid
        Of the series.
    findings : list of Finding
        Statements are appended.

    Returns
    -------
    DrawnRegion
        Perhaps without a voxel inside.

    Raises
    ------
    IneligibleStudyError
        ``inconsistent_geometry`` when the planes are not parallel, or only one is drawn; ``missing_contour`` when the
        lines enclose no area; what `drawn_planes` and `region_of_plane` raise.
    """
    axes = _plane_axes(roi, points)
    pixel = min(grid.spacing_xyz_mm[:2])
    local = [p @ axes for p in points]  # along u, v and the normal, in mm
    planes = drawn_planes([float(uvn[:, 2].mean()) for uvn in local], 0.0)
    in_plane = [uvn[:, :2] / pixel for uvn in local]
    polygons, plane_of = combine_contours(roi, in_plane, planes.plane_of, (pixel, pixel), findings)
    stack = DrawnStack.of(polygons, plane_of, planes.heights_mm, planes.distance_mm, (pixel, pixel))
    # A single plane across the slices has no thickness that could be assumed.
    if len(stack.positions) < 2:
        text = message("inconsistent_geometry.one_plane_across", roi=roi_title(roi))
        raise IneligibleStudyError("inconsistent_geometry", text)
    text = message("contour_resampled.across", roi=roi_title(roi))
    findings.append(Finding("contour_resampled", text))
    corners = grid.indices_of(np.concatenate(points))
    reach = np.ceil(stack.distance / np.asarray(grid.spacing_xyz_mm))
    low = np.clip(np.floor(corners.min(axis=0) - reach), 0, grid.size_xyz).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + reach) + 1, 0, grid.size_xyz).astype(int)
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    y, x = (index.ravel() for index in np.mgrid[low[1] : high[1], low[0] : high[0]])
    for z in range(low[2], high[2]):
        uvn = grid.points_of(np.column_stack([x, y, np.full(x.shape, z)])) @ axes
        inside = stack.contains(uvn[:, :2] / pixel, uvn[:, 2])
        mask[z, low[1] : high[1], low[0] : high[0]] = inside.reshape(high[1] - low[1], high[0] - low[0])
    _state_outside(roi, corners, grid, findings)
    slabs, thickness = stack.moments, stack.thickness
    total = _total(roi, slabs.area * thickness)
    x, y = slabs.first_x @ thickness * pixel, slabs.first_y @ thickness * pixel
    middle = np.array([x, y, (slabs.area * thickness) @ stack.positions]) / total
    return DrawnRegion(mask, total * pixel**2 / 1000.0, axes @ middle)


def combine_contours(
    roi: Roi,
    polygons: Sequence[FloatArray],
    plane_of: IndexArray,
    pixel_xy_mm: tuple[float, float],
    findings: list[Finding],
) -> tuple[list[FloatArray], IndexArray]:
    """Combine the contours of each plane into lines that the even-odd rule fills as they were meant.

    Parameters
    ----------
    roi : Roi
        For messages, and for the geometric type of its contours.
    polygons : sequence of float64, shape (n, 2) each
        Corners x, y of the closed contours, in pixels.
    plane_of : int, shape (n_polygons,)
        Index of the plane of each contour.
    pixel_xy_mm : (float, float)
        Width and height of a pixel in mm.
    findings : list of Finding
        Statements are appended: what was left out, joined, or is a hole.

    Returns
    -------
    lines : list of float64, shape (n, 2) each
        In pixels; a plane with one contour keeps it unchanged but for repeated points.
    plane_of : int, shape (n_lines,)
        Index of the plane of each line.

    Raises
    ------
    IneligibleStudyError
        ``missing_contour`` when no line encloses an area; what `region_of_plane` raises.
    """
    exclusive = {contour.geometric_type for contour in roi.contours if contour.is_closed} == {CLOSED_PLANAR_XOR}
    # In mm: the tolerances of `plane_regions` are lengths and areas, and pixels need not be square.
    scale = np.asarray(pixel_xy_mm)
    lines: list[FloatArray] = []
    planes: list[int] = []
    totals: Counter[str] = Counter()
    for plane in np.unique(plane_of):
        members = [polygons[int(at)] for at in np.flatnonzero(plane_of == plane)]
        region = region_of_plane([member * scale for member in members], exclusive=exclusive)
        totals.update(region.counts)
        # A contour that stands alone keeps its own coordinates: scaling back and forth would change the last digits.
        rings = [without_repeated_points(members[0])] if len(members) == 1 else [ring / scale for ring in region.rings]
        rings = rings if region.rings else []
        lines += rings
        planes += [int(plane)] * len(rings)
    findings += [
        Finding(code, message(f"{code}.{variant}", roi=roi_title(roi), n=totals[name]))
        for name, code, variant in _COMBINED
        if totals[name]
    ]
    if not lines:
        _total(roi, np.zeros(1))
    return lines, np.asarray(planes, dtype=np.intp)


_COMBINED = (
    ("n_repeated", "contours_repeated", "n"),
    ("n_without_area", "contours_ignored", "closed_without_area"),
    ("n_joined", "contours_overlap", "n"),
    ("n_holes", "contour_holes", "n"),
)


def _plane_axes(roi: Roi, points: Sequence[FloatArray]) -> FloatArray:
    """(3, 3) orthonormal columns: two in the drawn planes and their normal; refuses planes that are not parallel."""
    normals = np.array([_normal(p) for p in points])
    largest = normals[np.argmax(np.linalg.norm(normals, axis=1))]
    normal = largest / np.linalg.norm(largest)
    lengths = np.linalg.norm(normals, axis=1)
    bent = max(float(np.ptp(p @ normal)) for p in points)
    # The normal of a sliver is mostly rounding; its extent along the common normal shows whether it is in its plane.
    sure = lengths > 0.05 * lengths.max()
    if bent > PLANARITY_MM or np.abs(normals[sure] @ normal / lengths[sure]).min() < PARALLEL_COSINE:
        text = message("inconsistent_geometry.bent", roi=roi_title(roi), bent=bent)
        raise IneligibleStudyError("inconsistent_geometry", text)
    helper = np.eye(3)[np.argmin(np.abs(normal))]  # the axis farthest from the normal: the product is well conditioned
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(normal, first), normal])


def _normal(points: FloatArray) -> FloatArray:
    """Return the normal of a closed line by Newell's method; its length is twice the area inside."""
    # Coordinates of hundreds of mm would cancel in the products; relative to their mean they do not.
    centred = points - points.mean(axis=0)
    return np.asarray(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0))


def _state_outside(roi: Roi, indices: FloatArray, grid: Grid, findings: list[Finding]) -> None:
    """State that a part of the region is beyond the series, and so not in the mask."""
    if np.any(indices < -0.5 - PLANE_TOLERANCE) or np.any(indices > np.asarray(grid.size_xyz) - 0.5 + PLANE_TOLERANCE):
        text = message("contour_beyond_image.part", roi=roi_title(roi))
        findings.append(Finding("contour_beyond_image", text))


def _region(
    roi: Roi,
    mask: BoolArray,
    area: Moments,
    thickness: FloatArray,
    heights: npt.NDArray[np.floating | np.integer],
    grid: Grid,
) -> DrawnRegion:
    """Volume and centroid from areas in pixels, thickness and height of each plane in slices, (n_planes,) each."""
    total = _total(roi, area.area * thickness)
    first_x, first_y = area.first_x @ thickness, area.first_y @ thickness
    middle = np.array([first_x, first_y, (area.area * thickness) @ heights]) / total
    return DrawnRegion(mask, total * grid.voxel_volume_ml, grid.points_of(middle[None])[0])


def _total(roi: Roi, area: FloatArray) -> float:
    total = float(area.sum())
    if total <= 0:
        text = message("missing_contour.no_area", roi=roi_title(roi))
        raise IneligibleStudyError("missing_contour", text)
    return total


def roi_title(roi: Roi) -> str:
    """Return number and name of an ROI for messages."""
    return f"ROI {roi.number} {roi.name!r}"
