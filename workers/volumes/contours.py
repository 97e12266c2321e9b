"""Contours to mask: which voxels of a series the drawn region holds, and its volume.

Contours on the slices of the series are filled there, plane by plane, at pixel centres; overlapping contours of one
plane cancel (exclusive-or), which gives holes and keyholes. Contours drawn elsewhere in the same frame of reference (on
another series, or in planes of another orientation) are carried over by the signed distance to the drawn lines, with a
statement. Nothing is added beyond the drawn planes but half their distance, which is what a drawn slice stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from config.errors import IneligibleStudyError
from workers.volumes.findings import Finding
from workers.volumes.geometry import Grid
from workers.volumes.scanline import Edges, fill, moments
from workers.volumes.structures import Contour, Roi

FloatArray = npt.NDArray[np.float64]

PLANE_TOLERANCE = 0.1  # of the slice distance: how far from a slice a contour may lie and still belong to it
MIN_PLANE_TOLERANCE_MM = 0.05


@dataclass(frozen=True)
class RoiMask:
    """A region on the grid of a series.

    mask : uint8, 1 inside; volume_ml : area inside the drawn lines times their distance; mask_volume_ml : voxels times
    their volume; n_slices : slices with a voxel inside; centroid_lps_mm : of the drawn region; findings : what was
    ignored or carried over.
    """

    roi_number: int
    roi_name: str
    mask: sitk.Image
    volume_ml: float
    mask_volume_ml: float
    n_slices: int
    centroid_lps_mm: tuple[float, float, float]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Drawn:
    """A region before it becomes an image: voxels, and volume and centroid that do not depend on them."""

    mask_zyx: npt.NDArray[np.bool_]
    volume_ml: float
    centroid_lps_mm: FloatArray


def roi_mask(roi: Roi, grid: Grid | sitk.Image, registration: npt.ArrayLike | None = None) -> RoiMask:
    """The mask of one ROI on a grid.

    registration : (4, 4) rigid matrix from the ROI's frame of reference to the grid's, where they differ.
    Raises IneligibleStudyError: missing_contour when the ROI has no closed contour; contour_outside_image when no voxel
    lies inside; inconsistent_geometry when its contours are not planar.
    """
    grid = grid if isinstance(grid, Grid) else Grid.of(grid)
    findings: list[Finding] = []
    contours = _closed_contours(roi, findings)
    points = [_moved(contour.points_lps_mm, registration) for contour in contours]
    drawn = _on_slices(roi, points, grid, findings)
    n_slices = int(drawn.mask_zyx.any(axis=(1, 2)).sum())
    if not n_slices:
        raise IneligibleStudyError(
            "contour_outside_image",
            f"ROI {_title(roi)}: expected contours within the series, found no voxel inside them",
        )
    x, y, z = (float(c) for c in drawn.centroid_lps_mm)
    return RoiMask(
        roi.number, roi.name, grid.image_of(drawn.mask_zyx.view(np.uint8)), drawn.volume_ml,
        int(np.count_nonzero(drawn.mask_zyx)) * grid.voxel_volume_ml, n_slices, (x, y, z), tuple(findings),
    )  # fmt: skip


def _closed_contours(roi: Roi, findings: list[Finding]) -> list[Contour]:
    """The contours that enclose an area, each once."""
    closed = [contour for contour in roi.contours if contour.is_closed]
    if not closed:
        found = (
            f"{len(roi.contours)} contours of type {', '.join(roi.geometric_types)}" if roi.contours else "no contour"
        )
        raise IneligibleStudyError(
            "missing_contour", f"ROI {_title(roi)}: expected closed planar contours, found {found}"
        )
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


def _on_slices(roi: Roi, points: Sequence[FloatArray], grid: Grid, findings: list[Finding]) -> _Drawn:
    """Contours that lie on the grid's own slices."""
    split = np.cumsum([len(p) for p in points])[:-1]
    indices = np.split(grid.indices_of(np.concatenate(points)), split)
    planes = np.array([round(float(i[:, 2].mean())) for i in indices], dtype=np.intp)
    low = int(planes.min())
    n_planes = int(planes.max()) - low + 1
    polygons = [i[:, :2] for i in indices]
    filled = fill(Edges.of(polygons, list(planes - low)), n_planes, grid.size_xyz[1], grid.size_xyz[0])
    mask = np.zeros(grid.shape_zyx, dtype=np.bool_)
    first, last = max(low, 0), min(low + n_planes, grid.size_xyz[2])
    if first < last:
        mask[first:last] = filled[first - low : last - low]
    area = moments(Edges.of(polygons, list(planes - low)), n_planes)
    total = float(area.area.sum())
    if total <= 0:
        raise IneligibleStudyError("missing_contour", f"ROI {_title(roi)}: expected contours that enclose an area")
    z = float(area.area @ (np.arange(n_planes) + low))
    centroid = np.array([area.first_x.sum(), area.first_y.sum(), z]) / total
    return _Drawn(mask, total * grid.voxel_volume_ml, grid.points_of(centroid[None])[0])


def _moved(points: FloatArray, registration: npt.ArrayLike | None) -> FloatArray:
    if registration is None:
        return points
    matrix = np.asarray(registration, dtype=np.float64)
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _title(roi: Roi) -> str:
    return f"{roi.number} {roi.name!r}"
