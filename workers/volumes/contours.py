"""Contours to mask: which voxels of a series are inside a drawn region, and the region's volume.

The method (`roi_mask`):

1. Only closed contours count (CLOSED_PLANAR, PS3.3 C.8.8.6.1).
2. The points are moved by the Spatial Registration, where one links the frames of reference, and converted to
   continuous voxel indices of the grid.
3. The contours of each plane become one region (`plane_regions`): repeated ones count once, a contour inside another
   is a hole, contours that overlap in part are joined.
4. `fill_slices`: contours on the grid's own slices are filled there at pixel centres.
5. `interpolate_between_slices`: contours in parallel planes between the slices, or on every second slice throughout,
   were drawn on another series of the same frame of reference. The signed distance to the lines is interpolated along
   the normal.
6. `resample_across_slices`: contours in parallel planes of another orientation; the same in the contours' own
   coordinates.

Volume and centroid come from the areas within the lines times the distance of the planes, so they do not depend on the
pixel size. Nothing is added beyond the first and last drawn plane but half their distance: a drawn plane represents a
slab as thick as the planes are apart. What was ignored, repaired or interpolated is stated as a `Finding`.

References
----------
PS3.3 C.8.8.6 (ROI Contour module), C.7.4.1 (Frame of Reference), C.20.2 (Spatial Registration).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from config.arrays import FloatArray, LabelArray
from config.errors import IneligibleStudyError
from config.messages.message import message
from workers.volumes.drawn_region import (
    PLANE_TOLERANCE,
    fill_slices,
    interpolate_between_slices,
    resample_across_slices,
    roi_title,
)
from workers.volumes.findings import Finding
from workers.volumes.geometry import Grid
from workers.volumes.reader import MrSeries
from workers.volumes.registrations import Registration, frame_mismatch, movement
from workers.volumes.rtstruct import Contour, Roi

PLANE_TOLERANCE_MM = 0.2  # the same where slices are thin: coordinates rounded to 0.1 mm in three directions
OTHER_SLICE = 0.5  # slices between the named one and the contour
MAX_PLANE_TOLERANCE = 0.3  # of the slice distance, however thin the slices are
MAX_VOLUME_DIFFERENCE = 0.01  # of the voxels' volume: beyond it the voxels of a cut region count
MAX_VOLUME_DISAGREEMENT = 0.05  # of the voxels' volume: beyond it the contours were not understood


@dataclass(frozen=True)
class RoiMask:
    """A region on the grid of a series.

    Attributes
    ----------
    roi_number : int
        ROI Number or Segment Number.
    roi_name : str
        ROI Name or Segment Label.
    grid : Grid
        Of the series.
    mask_zyx : uint8, shape (slices, rows, columns)
        1 where the voxel's centre is inside.
    volume_ml : float
        Area inside the drawn lines times the distance of the planes, in mL.
    mask_volume_ml : float
        Number of voxels inside times their volume, in mL.
    n_slices : int
        Slices with a voxel inside, at least 1.
    centroid_lps_mm : (float, float, float)
        Of the drawn region.
    findings : tuple of Finding
        What was ignored, repaired or interpolated.
    """

    roi_number: int
    roi_name: str
    grid: Grid
    mask_zyx: LabelArray
    volume_ml: float
    mask_volume_ml: float
    n_slices: int
    centroid_lps_mm: tuple[float, float, float]
    findings: tuple[Finding, ...]

    @cached_property
    def mask(self) -> sitk.Image:
        """The mask as a SimpleITK image of type uint8, made on first use."""
        return self.grid.image_of(self.mask_zyx)


def roi_on_series(
    roi: Roi, series: MrSeries, registrations: Sequence[Registration] = (), *, trust_images: bool = False
) -> RoiMask:
    """Rasterise one ROI on a stored series.

    Parameters
    ----------
    roi : Roi
        In the frame of reference of the series, or in one that a registration links to it.
    series : MrSeries
        Any orientation.
    registrations : sequence of Registration
        The first one that links both frames of reference is applied.
    trust_images : bool
        Accept another frame of reference, with a finding, when each contour names a slice of the series and is on it.
        For an operator who paired the files; the node does not.

    Returns
    -------
    RoiMask
        On the grid of the series.

    Raises
    ------
    IneligibleStudyError
        The problem of the ROI, ``frame_of_reference_mismatch``, and what `roi_mask` raises.
    """
    if roi.problem is not None:
        raise roi.problem
    stored = {frame.sop_instance_uid for frame in series.frames}
    named = {uid for contour in roi.contours for uid in contour.sop_instance_uids}
    matrix, findings = _registration_matrix(roi, series, registrations, trust_images)
    mask = roi_mask(roi, series.grid, matrix, drawn_here=bool(named & stored) if named else None)
    if matrix is None:
        findings += _named_elsewhere(roi, series)
    return replace(mask, findings=(*findings, *mask.findings))


def roi_mask(
    roi: Roi,
    grid: Grid | sitk.Image,
    registration: npt.ArrayLike | None = None,
    *,
    drawn_here: bool | None = None,
) -> RoiMask:
    """Rasterise one ROI on a grid.

    Parameters
    ----------
    roi : Roi
        Closed contours in parallel planes.
    grid : Grid or SimpleITK image
        Any orientation.
    registration : array, shape (4, 4), optional
        Rigid matrix from the ROI's frame of reference to the grid's, in mm, where they differ.
    drawn_here : bool, optional
        Whether the contours name slices of this grid as those they were drawn on; None where they name no image.

    Returns
    -------
    RoiMask
        With at least one voxel inside.

    Raises
    ------
    IneligibleStudyError
        ``missing_contour`` when the ROI has no closed contour or none with an area; ``contour_outside_image`` when no
        voxel is inside; ``inconsistent_geometry`` when its contours are not planar, not parallel or not evenly spaced,
        or when the volumes of lines and voxels disagree by more than 5 %.
    InputError
        Coordinates so large that no drawn region can have them.
    """
    grid = grid if isinstance(grid, Grid) else Grid.of(grid)
    findings: list[Finding] = []
    points = [_moved(contour.points_lps_mm, registration) for contour in _closed_contours(roi, findings)]
    # All contours at once: a structure set has thousands of them, and one matrix product is fast.
    split = np.cumsum([len(p) for p in points])[:-1]
    indices = np.split(grid.indices_of(np.concatenate(points)), split)
    tolerance = max(PLANE_TOLERANCE, min(MAX_PLANE_TOLERANCE, PLANE_TOLERANCE_MM / grid.spacing_xyz_mm[2]))
    on_slices = False
    # A contour that extends along the normal was drawn in a plane across the slices.
    if any(np.ptp(i[:, 2]) > tolerance for i in indices):
        drawn = resample_across_slices(roi, points, grid, findings)
    elif on_slices := _on_slices(indices, tolerance, drawn_here):
        drawn = fill_slices(roi, indices, grid, findings)
    else:
        drawn = interpolate_between_slices(roi, indices, grid, findings)
    n_slices = int(drawn.mask_zyx.any(axis=(1, 2)).sum())
    if not n_slices:
        text = message("contour_outside_image.no_voxel", roi=roi_title(roi))
        raise IneligibleStudyError("contour_outside_image", text)
    x, y, z = (float(c) for c in drawn.centroid_lps_mm)
    mask_ml = int(np.count_nonzero(drawn.mask_zyx)) * grid.voxel_volume_ml
    volume_ml = drawn.volume_ml
    # A cut region has lines beyond the image, and a single slice has no distance of drawn planes: there the voxels are
    # the better measure, and the statement says so.
    cut = any(finding.code == "contour_beyond_image" for finding in findings)
    if on_slices and (cut or n_slices == 1) and abs(volume_ml - mask_ml) > MAX_VOLUME_DIFFERENCE * mask_ml:
        text = message("volume_of_voxels.differ", roi=roi_title(roi), volume_ml=volume_ml, mask_ml=mask_ml)
        findings.append(Finding("volume_of_voxels", text))
        volume_ml = mask_ml
    if not cut and abs(volume_ml - mask_ml) > MAX_VOLUME_DISAGREEMENT * mask_ml:
        text = message("inconsistent_geometry.two_volumes", roi=roi_title(roi), volume_ml=volume_ml, mask_ml=mask_ml)
        raise IneligibleStudyError("inconsistent_geometry", text)
    mask_zyx = drawn.mask_zyx.view(np.uint8)  # no copy: NumPy stores True as 1
    return RoiMask(roi.number, roi.name, grid, mask_zyx, volume_ml, mask_ml, n_slices, (x, y, z), tuple(findings))


def _registration_matrix(
    roi: Roi, series: MrSeries, registrations: Sequence[Registration], trust_images: bool
) -> tuple[FloatArray | None, list[Finding]]:
    """Return the matrix (4, 4) from the ROI's frame of reference to the series', None where they are the same."""
    source, target = roi.frame_of_reference_uid, series.frame_of_reference_uid
    if source and source == target:
        return None, []
    # Referenced Frame of Reference UID is type 1 (PS3.3 C.8.8.5), yet some planning systems leave it empty.
    if not (source and target) and _is_on_named_slices(roi, series):
        text = message("frame_of_reference_absent.contour", roi=roi_title(roi))
        return None, [Finding("frame_of_reference_absent", text)]
    if moved := movement(roi_title(roi), source, series, registrations):
        return moved[0], [moved[1]]
    if trust_images and _is_on_named_slices(roi, series):
        text = message("frame_of_reference_mismatch.named_slices", roi=roi_title(roi), source=source, target=target)
        return None, [Finding("frame_of_reference_mismatch", text)]
    raise frame_mismatch(roi_title(roi), source, series, registrations)


def _is_on_named_slices(roi: Roi, series: MrSeries) -> bool:
    """Whether every closed contour names a slice of the series as its image and is in that slice's plane."""
    height = {frame.sop_instance_uid: z for z, frame in enumerate(series.frames)}
    closed = [contour for contour in roi.contours if contour.is_closed]
    return bool(closed) and all(
        len(contour.sop_instance_uids) == 1
        and contour.sop_instance_uids[0] in height
        and np.abs(series.grid.indices_of(contour.points_lps_mm)[:, 2] - height[contour.sop_instance_uids[0]]).max()
        <= PLANE_TOLERANCE
        for contour in closed
    )


def _named_elsewhere(roi: Roi, series: MrSeries) -> list[Finding]:
    """State contours that name a slice of the series on which they are not: an image and its contour got apart."""
    height = {frame.sop_instance_uid: z for z, frame in enumerate(series.frames)}
    elsewhere = 0
    for contour in roi.contours:
        slices = {height[uid] for uid in contour.sop_instance_uids if uid in height}
        if contour.is_closed and slices:
            z = float(series.grid.indices_of(contour.points_lps_mm)[:, 2].mean())
            elsewhere += min(abs(z - named) for named in slices) > OTHER_SLICE
    if not elsewhere:
        return []
    text = message("contour_names_other_slice.n", roi=roi_title(roi), n=elsewhere)
    return [Finding("contour_names_other_slice", text)]


def _closed_contours(roi: Roi, findings: list[Finding]) -> list[Contour]:
    """Return the contours that may enclose an area."""
    closed = [contour for contour in roi.contours if contour.is_closed]
    if not closed:
        others = (
            message("contour.n_of_types", n=len(roi.contours), types=roi.geometric_types)
            if roi.contours
            else message("contour.none")
        )
        text = message("missing_contour.not_closed", roi=roi_title(roi), found=others)
        raise IneligibleStudyError("missing_contour", text)
    if len(closed) < len(roi.contours):
        ignored = len(roi.contours) - len(closed)
        text = message("contours_ignored.no_area", roi=roi_title(roi), n=ignored)
        findings.append(Finding("contours_ignored", text))
    return closed


def _on_slices(indices: Sequence[FloatArray], tolerance: float, drawn_here: bool | None) -> bool:
    """Whether every contour is on a slice of the grid and they follow each other as slices do."""
    heights = np.array([i[:, 2].mean() for i in indices])
    if np.abs(heights - np.rint(heights)).max() > tolerance:
        return False
    # Contours on every second (or third, ...) slice throughout were drawn on a coarser series, or are meant to be
    # joined; irregular gaps are the drawer's decision and stay empty. Two planes alone have one gap and prove nothing
    # unless they name another series.
    steps = np.diff(np.unique(np.rint(heights)))
    coarser = steps.size > 0 and steps.min() > 1 and steps.min() == steps.max()
    return not (coarser and (drawn_here is False or steps.size > 1))


def _moved(points: FloatArray, registration: npt.ArrayLike | None) -> FloatArray:
    if registration is None:
        return points
    matrix = np.asarray(registration, dtype=np.float64)
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])
