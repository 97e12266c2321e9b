"""SEG objects: a tumour mask that was drawn as voxels, the second source beside RTSTRUCT.

A SEG contains one frame for each slice and segment (PS3.3 A.51, C.8.20), empty frames are usually left out. One segment
is read at a time: its own frames, and for each position where it has none the frame of another segment, so that the
grid spans the whole object. highdicom turns these frames into a volume; `segment_on_series` carries it to the grid of a
stored series.

References
----------
PS3.3 C.8.20.2 (Segmentation Image, segment numbers from 1), C.7.6.16.2.17 (Segment Identification macro).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pack_bits
from pydicom.uid import UID, ExplicitVRLittleEndian

from config.arrays import FloatArray, PixelArray
from config.errors import IneligibleStudyError, InputError
from config.messages.message import message
from node.dicom.headers.conforming import open_conforming, read_conforming
from workers.volumes.contours import RoiMask
from workers.volumes.decoder_client import decode_frames
from workers.volumes.decoder_process import Request
from workers.volumes.findings import Finding
from workers.volumes.geometry import Grid
from workers.volumes.parsing import PARSE_ERRORS
from workers.volumes.pixel_source import NATIVE, native_pixels_offset
from workers.volumes.reader import MAX_VOXELS, MrSeries
from workers.volumes.registrations import Registration, frame_mismatch, movement

SEGMENTATION_STORAGES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
SAME_GRID_MM = 0.01
INSIDE = 0.5  # of a fractional segment
BORDER = 0.1  # voxels that rounding may move a voxel beyond the border
STATED_DIFFERENCE = 0.05  # of the volume on both grids


@dataclass(frozen=True)
class Segment:
    """One segment as a volume of its own.

    Attributes
    ----------
    number : int
        Segment Number, from 1.
    label : str
        Segment Label.
    frame_of_reference_uid : str
        Frame of reference of the volume.
    mask : SimpleITK image, uint8, LPS
        1 inside, on the grid of the segmentation, right-handed axes.
    sop_instance_uids : frozenset of str
        Images that its frames name as their sources; often empty.
    """

    number: int
    label: str
    frame_of_reference_uid: str
    mask: sitk.Image
    sop_instance_uids: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Number and label, for messages."""
        return f"segment {self.number} {self.label!r}"


def read_segment(path: Path, name: str) -> Segment:
    """Read one segment of a SEG object: binary, fractional (inside from 0.5 on) or label map.

    Parameters
    ----------
    path : Path
        The stored SEG.
    name : str
        Segment Label, or Segment Number as text.

    Returns
    -------
    Segment
        Its mask spans all positions of the object, also those where this segment is empty.

    Raises
    ------
    InputError
        No segment has this name, or several have; the message lists the segments.
    IneligibleStudyError
        ``unreadable_instance`` when the file is damaged, of another kind, or claims more than it contains;
        ``inconsistent_geometry`` when its frames do not make a volume.
    """
    try:
        with open_conforming(path) as file:
            dataset = dcmread(file, stop_before_pixels=True)
            if dataset.get("SOPClassUID") not in SEGMENTATION_STORAGES:
                sop_class = dataset.get("SOPClassUID") or "no SOP class"
                raise ValueError(f"expected a Segmentation, found {getattr(sop_class, 'name', sop_class)}")
            number = _segment_number(dataset, name)
            segmentation = _with_frames_of(number, dataset, file, path)
        return _segment(hd.seg.Segmentation.from_dataset(segmentation, copy=False), number, path)
    except InputError:  # IneligibleStudyError among them
        raise
    # sqlite3: highdicom looks its frames up in a table
    except (*PARSE_ERRORS, RuntimeError, sqlite3.Error) as error:
        text = message("unreadable_instance.segmentation", file=path.name, kind=type(error).__name__, error=error)
        raise IneligibleStudyError("unreadable_instance", text) from error


def segment_on_series(segment: Segment, series: MrSeries, registrations: Sequence[Registration] = ()) -> RoiMask:
    """Carry the mask of a segment to the grid of a stored series, as `roi_on_series` does for contours.

    Parameters
    ----------
    segment : Segment
        In the frame of reference of the series, or in one that a registration links to it.
    series : MrSeries
        Any orientation.
    registrations : sequence of Registration
        The first one that links both frames of reference is applied.

    Returns
    -------
    RoiMask
        `volume_ml` counts the voxels of the segment's own grid, `mask_volume_ml` those of the series. Another grid is
        resampled to the nearest voxel, with the finding ``contour_resampled``; a part beyond the series is stated by
        ``contour_beyond_image``.

    Raises
    ------
    IneligibleStudyError
        ``frame_of_reference_mismatch``; ``missing_contour`` when the segment is empty; ``contour_outside_image`` when
        no voxel of it is within the series.
    """
    title = segment.title
    placed, findings = _in_frame_of(series, segment, registrations)
    own = Grid.of(placed)
    inside_zyx = np.argwhere(sitk.GetArrayViewFromImage(placed))
    if not len(inside_zyx):
        raise IneligibleStudyError("missing_contour", message("missing_contour.empty_segment", title=title))
    # Nearest neighbour: a label has no values between 0 and 1, and linear interpolation would need a threshold.
    mask = sitk.Resample(placed, _reference_image(series.grid), sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    mask_zyx = sitk.GetArrayFromImage(mask)
    n_slices = int(mask_zyx.any(axis=(1, 2)).sum())
    if not n_slices:
        raise IneligibleStudyError("contour_outside_image", message("contour_outside_image.segment", title=title))
    x, y, z = (float(c) for c in own.points_of(inside_zyx[:, ::-1].mean(axis=0)[None])[0])
    mask_ml = int(np.count_nonzero(mask_zyx)) * series.grid.voxel_volume_ml
    # Volume and centroid from the SEG's own voxels; resampling to thick slices would change both.
    own_ml = len(inside_zyx) * own.voxel_volume_ml
    if not _on_lattice(own, series.grid):
        text = message("contour_resampled.segment", title=title)
        if abs(own_ml - mask_ml) > STATED_DIFFERENCE * own_ml:
            text = message("contour_resampled.segment_volume", title=title, mask_ml=mask_ml, own_ml=own_ml)
        findings.append(Finding("contour_resampled", text))
    if beyond := _n_beyond(own.points_of(inside_zyx[:, ::-1]), series.grid):
        share = 100.0 * beyond / len(inside_zyx)
        text = message("contour_beyond_image.share", title=title, share=share)
        findings.append(Finding("contour_beyond_image", text))
    return RoiMask(
        segment.number, segment.label, series.grid, mask_zyx, own_ml, mask_ml, n_slices, (x, y, z), tuple(findings)
    )


def _in_frame_of(
    series: MrSeries, segment: Segment, registrations: Sequence[Registration]
) -> tuple[sitk.Image, list[Finding]]:
    """Return the mask where it is in the frame of reference of the series."""
    source, target = segment.frame_of_reference_uid, series.frame_of_reference_uid
    if source == target:
        return segment.mask, []
    if not (source and target) and _is_on_named_slices(segment, series):
        text = message("frame_of_reference_absent.segment", title=segment.title)
        return segment.mask, [Finding("frame_of_reference_absent", text)]
    if moved := movement(segment.title, source, series, registrations):
        matrix, finding = moved
        # The grid moves and not the voxels, so that they are resampled once.
        placed = sitk.Image(segment.mask)
        own = Grid.of(placed)
        placed.SetOrigin((matrix[:3, :3] @ np.asarray(own.origin_lps_mm) + matrix[:3, 3]).tolist())
        placed.SetDirection((matrix[:3, :3] @ own.axes).ravel().tolist())
        return placed, [finding]
    raise frame_mismatch(segment.title, source, series, registrations)


def _is_on_named_slices(segment: Segment, series: MrSeries) -> bool:
    stored = {frame.sop_instance_uid for frame in series.frames}
    is_named = bool(segment.sop_instance_uids) and segment.sop_instance_uids <= stored
    return is_named and _on_lattice(Grid.of(segment.mask), series.grid)


def _n_beyond(points_lps_mm: FloatArray, grid: Grid) -> int:
    """Count the points that are beyond the border voxels of a grid."""
    indices = grid.indices_of(points_lps_mm)
    last = np.asarray(grid.size_xyz) - 0.5
    return int(np.any((indices < -0.5 - BORDER) | (indices > last + BORDER), axis=1).sum())


def _segment_number(dataset: Dataset, name: str) -> int:
    """Return the number of the one segment of this label or number."""
    # A label map names its background as a segment, too: the one whose number is the pixel padding value.
    background = dataset.get("PixelPaddingValue")
    labels = {
        int(item.SegmentNumber): str(item.SegmentLabel)
        for item in dataset.SegmentSequence
        if item.SegmentNumber != background
    }
    same = [number for number, label in labels.items() if label == name]
    same = same or [number for number in labels if str(number) == name]
    if len(same) != 1:
        known = ", ".join(f"{number} {label}" for number, label in labels.items()) or "none"
        raise InputError(f"expected one segment {name!r}, found {len(same)}; the segmentation has: {known}")
    return same[0]


def _with_frames_of(number: int, dataset: Dataset, file: BinaryIO, path: Path) -> Dataset:
    """Return the data set with the frames that one segment needs, native; `file` is at the end of the header."""
    n_frames, rows, columns = (int(dataset[name].value) for name in ("NumberOfFrames", "Rows", "Columns"))
    if n_frames * rows * columns > MAX_VOXELS:
        raise ValueError(f"expected at most {MAX_VOXELS} voxels, found {n_frames} frames of {rows} x {columns}")
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None or len(groups) != n_frames:
        found = "none" if groups is None else len(groups)
        raise ValueError(f"expected a functional group for each of the {n_frames} frames, found {found}")
    indices = _frames_of_segment(groups, number)
    pixels = _stored_frames(dataset, file, path, indices)
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
    dataset.PerFrameFunctionalGroupsSequence = [groups[index] for index in indices]
    dataset.NumberOfFrames = len(indices)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _frames_of_segment(groups: Sequence[Dataset], number: int) -> list[int]:
    """Return the indices of the segment's frames, and of one frame at each position where it has none.

    highdicom's time and memory grow with the frames: 60 segments on 40 slices are 1,000 frames, of which 40 matter.
    """
    own: list[int] = []
    elsewhere: dict[tuple[float, ...] | None, int] = {}
    covered: set[tuple[float, ...] | None] = set()
    for index, group in enumerate(groups):
        plane = group.get("PlanePositionSequence")
        position = tuple(float(v) for v in plane[0].ImagePositionPatient) if plane else None
        identification = group.get("SegmentIdentificationSequence")
        # Without an identification the frame shows all segments (label map), or the only one (in the shared groups).
        if not identification or identification[0].ReferencedSegmentNumber == number:
            own.append(index)
            covered.add(position)
        else:
            elsewhere.setdefault(position, index)
    return sorted([*own, *(index for position, index in elsewhere.items() if position not in covered)])


def _stored_frames(dataset: Dataset, file: BinaryIO, path: Path, indices: Sequence[int]) -> bytes:
    """Pixel data of chosen frames as Explicit VR Little Endian has them; compressed ones by the decoder process."""
    syntax, bits = UID(dataset.file_meta.TransferSyntaxUID), int(dataset.BitsAllocated)
    rows, columns, n_frames = int(dataset.Rows), int(dataset.Columns), int(dataset.NumberOfFrames)
    if syntax.is_encapsulated:
        request = Request(str(path), str(syntax), rows, columns, int(dataset.BitsStored), False, tuple(indices))
        frames: PixelArray = np.stack(decode_frames(request)).astype(np.uint8 if bits <= 8 else np.uint16)
        return bytes(pack_bits(frames.ravel())) if bits == 1 else frames.tobytes()
    frame_bits, claimed = rows * columns * bits, (n_frames * rows * columns * bits + 7) // 8
    if syntax in NATIVE:
        implicit, little_endian = dataset.original_encoding
        start = native_pixels_offset(file, path, bool(implicit), bool(little_endian), claimed)
    else:  # deflated: there is no place in the file, the whole is inflated
        stored, start = read_conforming(path).PixelData, 0
        if len(stored) < claimed:
            raise ValueError(f"expected {claimed} bytes of pixels, found {len(stored)}")
        file = BytesIO(stored)
    values = []
    for index in indices:
        # One-bit frames follow each other without padding: a frame may begin within a byte (PS3.5 8.1.1, 8.2).
        first, skipped = divmod(index * frame_bits, 8)
        file.seek(start + first)
        values.append((skipped, file.read((skipped + frame_bits + 7) // 8)))
    if bits == 1:
        inside = [np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[skipped : skipped + frame_bits]
                  for skipped, raw in values]  # fmt: skip
        return bytes(pack_bits(np.concatenate(inside), pad=False))
    little = [np.frombuffer(raw, f"{'<' if dataset.original_encoding[1] else '>'}u{bits // 8}") for _, raw in values]
    return np.concatenate(little).astype(f"<u{bits // 8}").tobytes()


def _segment(segmentation: hd.seg.Segmentation, number: int, path: Path) -> Segment:
    if segmentation.get_volume_geometry(allow_missing_positions=True) is None:
        text = message("inconsistent_geometry.segmentation", file=path.name)
        raise IneligibleStudyError("inconsistent_geometry", text)
    label = str(segmentation.get_segment_description(number).segment_label)
    frame_uid = str(segmentation.get("FrameOfReferenceUID") or "")
    return Segment(number, label, frame_uid, _mask(segmentation, number), _named_sources(segmentation))


def _named_sources(segmentation: Dataset) -> frozenset[str]:
    return frozenset(
        str(image.ReferencedSOPInstanceUID)
        for group in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in group.get("DerivationImageSequence") or ()
        for image in derivation.get("SourceImageSequence") or ()
        if image.get("ReferencedSOPInstanceUID")
    )


def _mask(segmentation: hd.seg.Segmentation, number: int) -> sitk.Image:
    volume = segmentation.get_volume(segment_numbers=[number], allow_missing_positions=True, rescale_fractional=True)
    inside = (volume.array[..., 0] >= INSIDE).astype(np.uint8)
    # highdicom's array axes are slice, row, column: the reverse of SimpleITK's x, y, z
    axes = np.asarray(volume.direction)[:, ::-1]
    # highdicom's volumes are right-handed in its own order, so the reverse is left-handed. Slices in the other
    # direction make it right-handed, as the grids of stored series are.
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


def _reference_image(grid: Grid) -> sitk.Image:
    """Return an image that has the grid; its pixels are not used."""
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
