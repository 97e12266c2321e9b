"""Contours to mask: which voxels of a series the drawn region holds, and its volume.

Contours on the slices of the series are filled there, plane by plane, at pixel centres; overlapping contours of one
plane cancel (exclusive-or), which gives holes and keyholes. Contours drawn elsewhere in the same frame of reference (on
another series, or in planes of another orientation) are carried over by the signed distance to the drawn lines, with a
statement. Nothing is added beyond the drawn planes but half their distance, which is what a drawn slice stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from config.arrays import FloatArray
from config.errors import IneligibleStudyError
from workers.volumes.findings import Finding
from workers.volumes.geometry import Grid
from workers.volumes.interpolation import DrawnStack
from workers.volumes.reader import MrSeries
from workers.volumes.registrations import Registration
from workers.volumes.rtstruct import Contour, Roi
from workers.volumes.scanline import Edges, fill_box, moments

PLANE_TOLERANCE = 0.1  # of the slice distance: how far from a slice a contour may lie and still belong to it
PLANE_TOLERANCE_MM = 0.05  # the same where slices are very thin
PLANARITY_MM = 0.5
VOXELS_COUNT_BEYOND = 0.01
PARALLEL_COSINE = np.cos(np.radians(1.0))


@dataclass(frozen=True)
class RoiMask:
    """A region on the grid of a series.

    mask_zyx : uint8, 1 inside; volume_ml : area inside the drawn lines times their distance; mask_volume_ml : voxels
    times their volume; n_slices : slices with a voxel inside; centroid_lps_mm : of the drawn region; findings : what
    was ignored or carried over.
    """

    roi_number: int
    roi_name: str
    grid: Grid
    mask_zyx: npt.NDArray[np.uint8]
    volume_ml: float
    mask_volume_ml: float
    n_slices: int
    centroid_lps_mm: tuple[float, float, float]
    findings: tuple[Finding, ...]

    @cached_property
    def mask(self) -> sitk.Image:
        """The mask as an image, made when asked for."""
        return self.grid.image_of(self.mask_zyx)


@dataclass(frozen=True)
class _Drawn:
    """A region before it becomes an image: voxels, and volume and centroid that do not depend on them."""

    mask_zyx: npt.NDArray[np.bool_]
    volume_ml: float
    centroid_lps_mm: FloatArray


def roi_on_series(
    roi: Roi, series: MrSeries, registrations: Sequence[Registration] = (), *, trust_images: bool = False
) -> RoiMask:
    """The mask of one ROI on a stored series: in its frame of reference, or one that a registration links to it.

    trust_images : accept another frame of reference, with a statement, when each contour names a slice of the series
    and lies on it; some programs write a frame of reference of their own making. For a person who paired the files.
    Raises IneligibleStudyError: frame_of_reference_mismatch, and what `roi_mask` raises.
    """
    stored = {frame.sop_instance_uid for frame in series.frames}
    named = {uid for contour in roi.contours for uid in contour.sop_instance_uids}
    matrix, findings = _way_between(roi, series, registrations, trust_images)
    mask = roi_mask(roi, series.grid, matrix, drawn_here=bool(named & stored) if named else None)
    return replace(mask, findings=(*findings, *mask.findings))


def roi_mask(
    roi: Roi,
    grid: Grid | sitk.Image,
    registration: npt.ArrayLike | None = None,
    *,
    drawn_here: bool | None = None,
) -> RoiMask:
    """The mask of one ROI on a grid.

    registration : (4, 4) rigid matrix from the ROI's frame of reference to the grid's, where they differ.
    drawn_here : whether the contours name slices of this grid as those they were drawn on; None: not known.
    Raises IneligibleStudyError: missing_contour when the ROI has no closed contour; contour_outside_image when no voxel
    lies inside; inconsistent_geometry when its contours are not planar or not parallel.
    """
    grid = grid if isinstance(grid, Grid) else Grid.of(grid)
    findings: list[Finding] = []
    points = [_moved(contour.points_lps_mm, registration) for contour in _closed_contours(roi, findings)]
    split = np.cumsum([len(p) for p in points])[:-1]
    indices = np.split(grid.indices_of(np.concatenate(points)), split)
    tolerance = max(PLANE_TOLERANCE, PLANE_TOLERANCE_MM / grid.spacing_xyz_mm[2])
    on_slices = False
    if any(np.ptp(i[:, 2]) > tolerance for i in indices):
        drawn = _across_slices(roi, points, grid, findings)
    elif on_slices := _on_slices(indices, tolerance, drawn_here):
        drawn = _fill_slices(roi, indices, grid, findings)
    else:
        drawn = _between_slices(roi, indices, grid, findings)
    n_slices = int(drawn.mask_zyx.any(axis=(1, 2)).sum())
    if not n_slices:
        text = f"ROI {_title(roi)}: expected contours around voxels of the series, found no voxel inside them"
        raise IneligibleStudyError("contour_outside_image", text)
    x, y, z = (float(c) for c in drawn.centroid_lps_mm)
    mask_ml = int(np.count_nonzero(drawn.mask_zyx)) * grid.voxel_volume_ml
    volume_ml = drawn.volume_ml
    cut = any(finding.code == "contour_beyond_image" for finding in findings)
    if on_slices and (cut or n_slices == 1) and abs(volume_ml - mask_ml) > VOXELS_COUNT_BEYOND * mask_ml:
        text = f"ROI {_title(roi)}: the lines enclose {volume_ml:.3f} mL, its voxels are {mask_ml:.3f} mL; these count"
        findings.append(Finding("volume_of_voxels", text))
        volume_ml = mask_ml
    mask_zyx = drawn.mask_zyx.view(np.uint8)
    return RoiMask(roi.number, roi.name, grid, mask_zyx, volume_ml, mask_ml, n_slices, (x, y, z), tuple(findings))


def _way_between(
    roi: Roi, series: MrSeries, registrations: Sequence[Registration], trust_images: bool
) -> tuple[FloatArray | None, list[Finding]]:
    """How to move the ROI into the series' frame of reference: not at all, or by a registration's matrix."""
    source, target = roi.frame_of_reference_uid, series.frame_of_reference_uid
    if source and source == target:
        return None, []
    if not (source and target) and _lies_on_named_slices(roi, series):
        text = f"ROI {_title(roi)}: no frame of reference is named; each contour names the slice that it lies on"
        return None, [Finding("frame_of_reference_absent", text)]
    for registration in registrations if source and target else ():
        matrix = registration.between(source, target)
        if matrix is not None:
            text = f"ROI {_title(roi)}: moved by the Spatial Registration {registration.sop_instance_uid}"
            return matrix, [Finding("registration_applied", text)]
    if trust_images and _lies_on_named_slices(roi, series):
        text = (
            f"ROI {_title(roi)}: names the frame of reference {source}, not {target} of the series, but each contour "
            "names the slice that it lies on; a case of the node would be refused"
        )
        return None, [Finding("frame_of_reference_mismatch", text)]
    raise IneligibleStudyError(
        "frame_of_reference_mismatch",
        f"ROI {_title(roi)}: expected the frame of reference {target or '(none)'} of series "
        f"{series.series_instance_uid} or a registration to it, found {source or '(none)'}",
    )


def _lies_on_named_slices(roi: Roi, series: MrSeries) -> bool:
    """Whether every closed contour names a slice of the series as its image and lies in that slice's plane."""
    height = {frame.sop_instance_uid: z for z, frame in enumerate(series.frames)}
    closed = [contour for contour in roi.contours if contour.is_closed]
    return bool(closed) and all(
        len(contour.sop_instance_uids) == 1
        and contour.sop_instance_uids[0] in height
        and np.abs(series.grid.indices_of(contour.points_lps_mm)[:, 2] - height[contour.sop_instance_uids[0]]).max()
        <= PLANE_TOLERANCE
        for contour in closed
    )


def _closed_contours(roi: Roi, findings: list[Finding]) -> list[Contour]:
    """The contours that enclose an area, each once."""
    closed = [contour for contour in roi.contours if contour.is_closed]
    if not closed:
        found = f"{len(roi.contours)} of type {', '.join(roi.geometric_types)}" if roi.contours else "none"
        text = f"ROI {_title(roi)}: expected closed planar contours, found {found}"
        raise IneligibleStudyError("missing_contour", text)
    if len(closed) < len(roi.contours):
        ignored = len(roi.contours) - len(closed)
        text = f"ROI {_title(roi)}: {ignored} contours that enclose no area (points, open lines) were ignored"
        findings.append(Finding("contours_ignored", text))
    once = list({contour.points_lps_mm.tobytes(): contour for contour in closed}.values())
    if len(once) < len(closed):
        repeated = len(closed) - len(once)
        text = f"ROI {_title(roi)}: {repeated} contours repeat another exactly and were left out"
        findings.append(Finding("contours_repeated", text))
    return once


def _on_slices(indices: Sequence[FloatArray], tolerance: float, drawn_here: bool | None) -> bool:
    """Whether every contour lies on a slice and they follow each other as slices do.

    Contours on every second slice (or third, ...) throughout were drawn on a coarser series or meant to be joined.
    """
    heights = np.array([i[:, 2].mean() for i in indices])
    if np.abs(heights - np.rint(heights)).max() > tolerance:
        return False
    steps = np.diff(np.unique(np.rint(heights)))
    coarser = steps.size > 0 and steps.min() > 1 and steps.min() == steps.max()
    return not (coarser and (drawn_here is False or steps.size > 1))


def _fill_slices(roi: Roi, indices: Sequence[FloatArray], grid: Grid, findings: list[Finding]) -> _Drawn:
    """Contours that lie on the grid's own slices."""
    heights = np.array([round(float(i[:, 2].mean())) for i in indices], dtype=np.intp)
    planes, plane = np.unique(heights, return_inverse=True)
    undrawn = int(planes[-1] - planes[0]) + 1 - len(planes)
    if undrawn:
        text = f"ROI {_title(roi)}: {undrawn} slices between drawn ones carry no contour and stay empty"
        findings.append(Finding("contour_gap", text))
    polygons = [i[:, :2] for i in indices]
    edges = Edges.of(polygons, plane)
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    within = (planes >= 0) & (planes < grid.size_xyz[2])
    region, (top, left) = fill_box(edges, len(planes), grid.size_xyz[1], grid.size_xyz[0])
    mask[planes[within], top : top + region.shape[1], left : left + region.shape[2]] = region[within]
    _note_outside(roi, np.concatenate(indices), grid, findings)
    area = moments(edges, len(planes))
    return _drawn(roi, mask, area.area, (area.first_x, area.first_y), planes, grid, grid.voxel_volume_ml)


def _between_slices(roi: Roi, indices: Sequence[FloatArray], grid: Grid, findings: list[Finding]) -> _Drawn:
    """Contours parallel to the grid's slices but not on them, or only on every second or third."""
    x_mm, y_mm, z_mm = grid.spacing_xyz_mm
    polygons = [i[:, :2] for i in indices]
    stack = DrawnStack.of(polygons, [float(i[:, 2].mean()) for i in indices], (y_mm, x_mm), 1.0)
    text = (
        f"ROI {_title(roi)}: drawn in planes {stack.distance * z_mm:.2f} mm apart that are not the series' own slices "
        f"({z_mm:.2f} mm apart); the mask was interpolated between them"
    )
    findings.append(Finding("contour_resampled", text))
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    (left, top), (height, width) = stack.corner_xy, stack.signed_distance.shape[1:]
    first_y, last_y = np.clip([top, top + height], 0, grid.size_xyz[1])
    first_x, last_x = np.clip([left, left + width], 0, grid.size_xyz[0])
    for z in range(grid.size_xyz[2]):
        plane = stack.plane_at(z)[first_y - top : last_y - top, first_x - left : last_x - left]
        mask[z, first_y:last_y, first_x:last_x] = plane
    _note_outside(roi, np.concatenate(indices), grid, findings)
    area = stack.moments
    slab_ml = grid.voxel_volume_ml * stack.distance
    return _drawn(roi, mask, area.area, (area.first_x, area.first_y), stack.positions, grid, slab_ml)


def _across_slices(roi: Roi, points: Sequence[FloatArray], grid: Grid, findings: list[Finding]) -> _Drawn:
    """Contours in parallel planes of another orientation than the grid's slices."""
    axes = _plane_axes(roi, points)
    pixel = min(grid.spacing_xyz_mm[:2])
    local = [p @ axes for p in points]  # along u, v and the normal, in mm
    polygons = [uvn[:, :2] / pixel for uvn in local]
    stack = DrawnStack.of(polygons, [float(uvn[:, 2].mean()) for uvn in local], (pixel, pixel), 0.0)
    if len(stack.positions) < 2:
        text = f"ROI {_title(roi)}: expected contours in several parallel planes, found one plane across the slices"
        raise IneligibleStudyError("inconsistent_geometry", text)
    text = f"ROI {_title(roi)}: drawn in planes across the series' slices; the mask was resampled from them"
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
    _note_outside(roi, corners, grid, findings)
    area, total = stack.moments, _total(roi, stack.moments.area)
    middle = np.array([area.first_x.sum() * pixel, area.first_y.sum() * pixel, area.area @ stack.positions]) / total
    return _Drawn(mask, total * pixel**2 * stack.distance / 1000.0, axes @ middle)


def _plane_axes(roi: Roi, points: Sequence[FloatArray]) -> FloatArray:
    """(3, 3) orthonormal columns: two in the drawn planes and their normal; raises when the planes are not parallel."""
    normals = np.array([_normal(p) for p in points])
    largest = normals[np.argmax(np.linalg.norm(normals, axis=1))]
    normal = largest / np.linalg.norm(largest)
    lengths = np.linalg.norm(normals, axis=1)
    bent = max(float(np.ptp(p @ normal)) for p in points)
    # a sliver's own normal is mostly rounding; where it lies is told by its extent along the common normal
    sure = lengths > 0.05 * lengths.max()
    if bent > PLANARITY_MM or np.abs(normals[sure] @ normal / lengths[sure]).min() < PARALLEL_COSINE:
        text = f"ROI {_title(roi)}: expected planar contours in parallel planes, found some {bent:.1f} mm out of them"
        raise IneligibleStudyError("inconsistent_geometry", text)
    helper = np.eye(3)[np.argmin(np.abs(normal))]
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(normal, first), normal])


def _normal(points: FloatArray) -> FloatArray:
    """Normal of a closed line, as long as twice the area inside (Newell)."""
    centred = points - points.mean(axis=0)
    return np.asarray(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0))


def _note_outside(roi: Roi, indices: FloatArray, grid: Grid, findings: list[Finding]) -> None:
    """State that a part of the region lies beyond the series and is in the volume but not in the mask."""
    if np.any(indices < -0.5 - PLANE_TOLERANCE) or np.any(indices > np.asarray(grid.size_xyz) - 0.5 + PLANE_TOLERANCE):
        text = f"ROI {_title(roi)}: a part of the contours lies beyond the series; the mask ends at its border"
        findings.append(Finding("contour_beyond_image", text))


def _drawn(
    roi: Roi,
    mask: npt.NDArray[np.bool_],
    area: FloatArray,
    first: tuple[FloatArray, FloatArray],
    heights: npt.NDArray[np.floating | np.integer],
    grid: Grid,
    slab_ml: float,
) -> _Drawn:
    """Volume and centroid from areas in pixels, (n_planes,), at plane heights in slices; slab_ml : one pixel's slab."""
    total = _total(roi, area)
    middle = np.array([first[0].sum(), first[1].sum(), area @ heights]) / total
    return _Drawn(mask, total * slab_ml, grid.points_of(middle[None])[0])


def _total(roi: Roi, area: FloatArray) -> float:
    total = float(area.sum())
    if total <= 0:
        text = f"ROI {_title(roi)}: expected contours that enclose an area, found lines without one"
        raise IneligibleStudyError("missing_contour", text)
    return total


def _moved(points: FloatArray, registration: npt.ArrayLike | None) -> FloatArray:
    if registration is None:
        return points
    matrix = np.asarray(registration, dtype=np.float64)
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _title(roi: Roi) -> str:
    return f"{roi.number} {roi.name!r}"
