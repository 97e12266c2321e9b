"""SEG objects: a tumour mask that was drawn as voxels, the second source beside RTSTRUCT (PS3.3 A.51, C.8.20)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pack_bits
from pydicom.uid import UID, ExplicitVRLittleEndian

from config.errors import IneligibleStudyError, InputError
from workers.volumes.contours import RoiMask
from workers.volumes.decoder_client import decoded
from workers.volumes.decoder_process import Request
from workers.volumes.findings import Finding
from workers.volumes.frames import PARSE_ERRORS
from workers.volumes.geometry import Grid
from workers.volumes.reader import MAX_VOXELS, MrSeries

SEGMENTATION_STORAGES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
SAME_GRID_MM = 0.01
INSIDE = 0.5  # of a fractional segment


@dataclass(frozen=True)
class Segment:
    """One segment as a volume of its own. mask : uint8, 1 inside, on the segmentation's grid."""

    number: int
    label: str
    frame_of_reference_uid: str
    mask: sitk.Image


def read_segments(path: Path) -> list[Segment]:
    """The segments of one SEG object, binary, fractional (inside from 0.5 on) or label map.

    Raises IneligibleStudyError: unreadable_instance when the file is damaged, of another kind or claims too much;
    inconsistent_geometry when its frames do not make a volume.
    """
    try:
        seg = hd.seg.Segmentation.from_dataset(_with_native_pixels(dcmread(path), path), copy=False)
        if int(seg.NumberOfFrames) * int(seg.Rows) * int(seg.Columns) > MAX_VOXELS:
            raise IneligibleStudyError("unreadable_instance", f"{path.name}: more than {MAX_VOXELS} voxels are claimed")
        geometry = seg.get_volume_geometry(allow_missing_positions=True)
        if geometry is None:
            text = f"{path.name}: expected segmentation frames that make a volume, found other places of frames"
            raise IneligibleStudyError("inconsistent_geometry", text)
        return [
            Segment(number, str(seg.get_segment_description(number).segment_label), str(seg.FrameOfReferenceUID),
                    _mask(seg, number))
            for number in seg.segment_numbers
        ]  # fmt: skip
    except IneligibleStudyError:
        raise
    except (*PARSE_ERRORS, RuntimeError, sqlite3.Error) as error:  # highdicom looks frames up in a table of its own
        text = f"{path.name} cannot be read as a segmentation: {type(error).__name__}: {error}"
        raise IneligibleStudyError("unreadable_instance", text) from error


def segment_named(segments: list[Segment], name: str) -> Segment:
    """The one segment of this label (or number); raises InputError naming those that there are."""
    same = [s for s in segments if s.label == name] or [s for s in segments if str(s.number) == name]
    if len(same) != 1:
        known = ", ".join(f"{s.number} {s.label}" for s in segments) or "none"
        raise InputError(f"expected one segment {name!r}, found {len(same)}; the segmentation has: {known}")
    return same[0]


def segment_on_series(segment: Segment, series: MrSeries) -> RoiMask:
    """The mask of a segment on a stored series, as `roi_on_series` does for contours.

    Raises IneligibleStudyError: frame_of_reference_mismatch, missing_contour, contour_outside_image.
    """
    title = f"segment {segment.number} {segment.label!r}"
    if segment.frame_of_reference_uid != series.frame_of_reference_uid:
        raise IneligibleStudyError(
            "frame_of_reference_mismatch",
            f"{title}: expected the frame of reference {series.frame_of_reference_uid or '(none)'} of series "
            f"{series.series_instance_uid}, found {segment.frame_of_reference_uid}",
        )
    own = Grid.of(segment.mask)
    inside_zyx = np.argwhere(sitk.GetArrayViewFromImage(segment.mask))
    if not len(inside_zyx):
        raise IneligibleStudyError("missing_contour", f"{title}: expected voxels inside, found none")
    mask = sitk.Resample(segment.mask, _reference(series.grid), sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    mask_zyx = sitk.GetArrayFromImage(mask)
    n_slices = int(mask_zyx.any(axis=(1, 2)).sum())
    if not n_slices:
        raise IneligibleStudyError("contour_outside_image", f"{title}: expected voxels within the series, found none")
    findings = []
    if not _on_lattice(own, series.grid):
        text = f"{title}: drawn on another grid than the series'; the mask was resampled to the nearest voxel"
        findings.append(Finding("contour_resampled", text))
    x, y, z = (float(c) for c in own.points_of(inside_zyx[:, ::-1].mean(axis=0)[None])[0])
    mask_ml = int(np.count_nonzero(mask_zyx)) * series.grid.voxel_volume_ml
    own_ml = len(inside_zyx) * own.voxel_volume_ml
    return RoiMask(
        segment.number, segment.label, series.grid, mask_zyx, own_ml, mask_ml, n_slices, (x, y, z), tuple(findings)
    )


def _with_native_pixels(dataset: Dataset, path: Path) -> Dataset:
    """The same data set; compressed pixels are decoded in a process of their own, as those of images are."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if dataset.get("SOPClassUID") not in SEGMENTATION_STORAGES or not UID(syntax).is_encapsulated:
        return dataset
    n_frames, rows, columns = (int(dataset[name].value) for name in ("NumberOfFrames", "Rows", "Columns"))
    if n_frames * rows * columns > MAX_VOXELS:
        raise ValueError(f"expected at most {MAX_VOXELS} voxels, found {n_frames} frames of {rows} x {columns}")
    request = Request(str(path), str(syntax), rows, columns, int(dataset.BitsStored), False, tuple(range(n_frames)))
    frames = np.stack(decoded(request)).astype(np.uint8 if dataset.BitsAllocated <= 8 else np.uint16)
    packed = pack_bits(frames.ravel()) if dataset.BitsAllocated == 1 else frames.tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _mask(seg: hd.seg.Segmentation, number: int) -> sitk.Image:
    volume = seg.get_volume(segment_numbers=[number], allow_missing_positions=True, rescale_fractional=True)
    inside = (volume.array[..., 0] >= INSIDE).astype(np.uint8)
    # highdicom's array axes are slice, row, column: the reverse of SimpleITK's x, y, z
    axes = np.asarray(volume.direction)[:, ::-1]
    if np.linalg.det(axes) < 0:
        inside, axes = inside[::-1], axes * (1, 1, -1)
        origin = volume.map_indices_to_reference(np.array([[volume.shape[0] - 1, 0, 0]]))[0]
    else:
        origin = np.asarray(volume.position)
    z_mm, y_mm, x_mm = (float(s) for s in volume.spacing)
    shape_z, shape_y, shape_x = inside.shape
    x, y, z = (float(o) for o in origin)
    grid = Grid((shape_x, shape_y, shape_z), (x_mm, y_mm, z_mm), (x, y, z), tuple(axes.ravel().tolist()))
    return grid.image_of(np.ascontiguousarray(inside))


def _reference(grid: Grid) -> sitk.Image:
    """An image that has the grid and next to no pixels of its own to set."""
    image = sitk.Image(list(grid.size_xyz), sitk.sitkUInt8)
    image.SetSpacing(grid.spacing_xyz_mm)
    image.SetOrigin(grid.origin_lps_mm)
    image.SetDirection(grid.direction)
    return image


def _on_lattice(own: Grid, other: Grid) -> bool:
    """Whether the voxels of one grid are voxels of the other, which may be larger."""
    corners = own.points_of([(0, 0, 0), (own.size_xyz[0] - 1, 0, 0), (0, own.size_xyz[1] - 1, 0), (0, 0, 1)])
    away = other.indices_of(corners)
    same_spacing = np.allclose(own.spacing_xyz_mm, other.spacing_xyz_mm, rtol=1e-3)
    return same_spacing and bool(np.abs(away - np.rint(away)).max() * min(other.spacing_xyz_mm) < SAME_GRID_MM)
