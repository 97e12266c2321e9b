"""Reading a stored series into a volume whose every voxel has its place in the patient.

The method, step by step in `read_series`:

1. All frames of all files are read as header facts (`frames.py`); file names and numbers play no part.
2. Phase, real and imaginary images beside magnitude images are left out (C.8.13.3.1 Complex Image Component).
3. One orientation, size and pixel spacing is required of all frames, with orthonormal cosines (C.7.6.2.1.1).
4. Frames are ordered by the position of their first pixel along the common normal. Two frames at one position must be
   pixel-identical (one is left out); otherwise they are several volumes, or contradict each other.
5. Positions must be evenly spaced along the normal and not shifted within the plane, apart from their rounding. A
   distance that is a multiple of the others is a missing slice; so is a step much greater than the header states.

`node.cases.slice_rules` decides what steps 3 to 5 accept, here and for the headers in the node. What is repaired is
stated as a `Finding`; everything else is refused by an `IneligibleStudyError` with a reason code of the contract. Slice
Location and Instance Number are not used: the standard ties neither to the geometry.

References
----------
PS3.3 C.7.6.2 (Image Plane), C.7.6.16.2 (functional groups of Enhanced MR), C.7.4.1 (Frame of Reference).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

from config.arrays import Float32Array, FloatArray
from config.errors import IneligibleStudyError, InputError
from config.messages.message import message
from node.cases.slice_rules import (
    SHEAR_TOLERANCE_MM,
    are_one_orientation,
    are_one_spacing,
    hidden_gap_mm,
    images_missing,
    is_one_position,
    is_orthonormal,
    is_pixel_spacing,
    slice_spacing,
)
from node.dicom.headers.conforming import read_conforming
from workers.volumes.findings import Finding
from workers.volumes.frames import Frame, read_frames
from workers.volumes.geometry import Grid
from workers.volumes.lossy_compression import lossy_findings
from workers.volumes.parsing import PARSE_ERRORS, first_value, unreadable, why_unreadable
from workers.volumes.pixels import decode
from workers.volumes.stored_slice import StoredSlice

MAX_VOXELS = 2**30


@dataclass(frozen=True)
class MrSeries:
    """One series as a volume in LPS millimetres; pixels are decoded on demand.

    Attributes
    ----------
    grid : Grid
        Size and place of the volume.
    frames : tuple of Frame
        One for each z index, rising along the normal.
    findings : tuple of Finding
        What was noticed and repaired.
    """

    grid: Grid
    frames: tuple[Frame, ...]
    findings: tuple[Finding, ...]

    @cached_property
    def image(self) -> sitk.Image:
        """The whole volume as float32, rescaled; raises IneligibleStudyError (``unreadable_instance``)."""
        return self.grid.image_of(decode(self.frames))

    def pixels_zyx(self, z_indices: Iterable[int]) -> Float32Array:
        """Decode chosen slices.

        Parameters
        ----------
        z_indices : iterable of int
            Slices in any order, not empty.

        Returns
        -------
        float32, shape (n, rows, columns)
            Rescaled grey values in the requested order.

        Raises
        ------
        IneligibleStudyError
            ``unreadable_instance`` with the name of the file.
        """
        return decode([self.frames[z] for z in z_indices])

    @property
    def slices(self) -> tuple[StoredSlice, ...]:
        """Reference to the stored slice of each z index."""
        return tuple(StoredSlice(frame.sop_instance_uid, frame.frame_number) for frame in self.frames)

    @property
    def dataset(self) -> Dataset:
        """Header of the first slice's instance, without pixels."""
        return self.frames[0].dataset

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Headers of the instances, without pixels, each once, in slice order."""
        return tuple({frame.sop_instance_uid: frame.dataset for frame in self.frames}.values())

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID."""
        return self.frames[0].series_instance_uid

    @property
    def series_uids(self) -> frozenset[str]:
        """Series Instance UIDs of all slices: one acquisition may be stored in two series."""
        return frozenset(frame.series_instance_uid for frame in self.frames)

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID, empty where the series names none."""
        return self.frames[0].frame_of_reference_uid


def read_series(
    paths: Sequence[Path],
    *,
    frames_of: Mapping[str, Sequence[int]] | None = None,
    is_joined: bool = False,
    check_image_count: bool = True,
) -> MrSeries:
    """Read the files of one volume, classic or Enhanced, in any orientation, compressed or not.

    Parameters
    ----------
    paths : sequence of Path
        All files of the series, or those of one of its volumes, in any order.
    frames_of : mapping of SOP Instance UID to sequence of int, optional
        Frame numbers, from 1, to be read of Enhanced objects that contain frames of other volumes as well.
    is_joined : bool
        Whether the files may be of several series that one acquisition was stored in.
    check_image_count : bool
        Whether Images in Acquisition is compared with the images; it counts all volumes of a series.

    Returns
    -------
    MrSeries
        Headers are read; pixels are decoded on demand.

    Raises
    ------
    InputError
        No file, or files of several series.
    IneligibleStudyError
        ``unreadable_instance``, ``missing_slice``, ``inconsistent_geometry``, ``conflicting_instance`` or
        ``ambiguous_series``.
    """
    if not paths:
        raise InputError("expected the files of a series, found none")
    frames = [frame for path in sorted(paths) for frame in read_frames(Path(path))]
    frames = _of_volume(frames, frames_of or {})
    _check_one_series(frames, is_joined)
    findings: list[Finding] = []
    frames = _magnitude_only(frames, findings)
    _check_one_plane(frames)
    if check_image_count:
        _check_image_count(frames)
    axes = _axes(frames[0])
    frames = _in_order(frames, axes[:, 2], findings)
    step = _slice_distance(frames, axes)
    first = frames[0]
    voxels = len(frames) * first.source.rows * first.source.columns
    if voxels > MAX_VOXELS:
        text = message("unreadable_instance.voxels", series=_uid(frames), greatest=MAX_VOXELS, found=voxels)
        raise IneligibleStudyError("unreadable_instance", text)
    # Inverted on decoding; the statement tells a reader who compares with another viewer.
    if any(frame.source.inverted for frame in frames):
        findings.append(Finding("monochrome1", message("monochrome1.inverted")))
    findings += lossy_findings(frames)
    y_mm, x_mm = first.spacing_yx_mm
    x, y, z = first.position_lps_mm
    grid = Grid((first.source.columns, first.source.rows, len(frames)), (x_mm, y_mm, step), (x, y, z),
                tuple(axes.ravel().tolist()))  # fmt: skip
    return MrSeries(grid, tuple(frames), tuple(findings))


def _of_volume(frames: Sequence[Frame], frames_of: Mapping[str, Sequence[int]]) -> list[Frame]:
    """Return the frames that belong to the volume; all of an object that is not named."""
    numbers = {uid: frozenset(chosen) for uid, chosen in frames_of.items()}
    return [
        frame
        for frame in frames
        if frame.sop_instance_uid not in numbers or frame.frame_number in numbers[frame.sop_instance_uid]
    ]


def _check_one_series(frames: Sequence[Frame], is_joined: bool) -> None:
    series = sorted({frame.series_instance_uid for frame in frames})
    if len(series) > 1 and not is_joined:
        raise InputError(f"expected the files of one series, found {len(series)}: {', '.join(series)}")
    references = {frame.frame_of_reference_uid for frame in frames}
    if len(references) > 1:
        raise _inconsistent(frames, message("image.frames_of_reference", n=len(references)))


def _magnitude_only(frames: list[Frame], findings: list[Finding]) -> list[Frame]:
    """Leave phase, real and imaginary images out where there are magnitude images, too."""
    magnitude = [frame for frame in frames if frame.magnitude]
    if magnitude and len(magnitude) < len(frames):
        left_out = len(frames) - len(magnitude)
        findings.append(Finding("frames_left_out", message("frames_left_out.n", left_out=left_out)))
        return magnitude
    return frames


def _check_one_plane(frames: Sequence[Frame]) -> None:
    """Require one orientation, size and spacing; PS3.3 C.7.6.2.1.1 requires orthonormal cosines."""
    first = frames[0]
    sizes = sorted({(frame.source.rows, frame.source.columns) for frame in frames})
    if len(sizes) > 1:
        raise _inconsistent(frames, message("image.sizes", sizes=[f"{r} x {c}" for r, c in sizes]))
    if not are_one_orientation([frame.orientation for frame in frames]):
        raise _inconsistent(frames, message("image.orientations"))
    spacings = [frame.spacing_yx_mm for frame in frames]
    if not all(map(is_pixel_spacing, spacings)) or not are_one_spacing(spacings):
        listed = ", ".join(f"{y:g} x {x:g}" for y, x in sorted(set(spacings)))
        raise _inconsistent(frames, message("image.spacings", listed=listed))
    if not is_orthonormal(first.orientation):
        raise _inconsistent(frames, message("image.not_orthonormal", cosines=list(first.orientation)))


def _check_image_count(frames: Sequence[Frame]) -> None:
    """Refuse a series with fewer images than its acquisitions contain, where the header states their number."""
    stated_distance = bool(_greatest(frames, "SpacingBetweenSlices") or _greatest(frames, "SliceThickness"))
    acquisitions: dict[str, list[Frame]] = {}
    for frame in frames:
        acquisitions.setdefault(str(_value(frame, "AcquisitionNumber") or ""), []).append(frame)
    for images in acquisitions.values():
        original = [frame for frame in images if "ORIGINAL" in (_value(frame, "ImageType") or ())]
        stated = _greatest(original, "ImagesInAcquisition")
        if images_missing(len(images), stated, stated_distance):
            text = message("missing_slice.acquisition", series=_uid(frames), expected=stated, found=len(images))
            raise IneligibleStudyError("missing_slice", text)


def _axes(frame: Frame) -> FloatArray:
    """(3, 3) exactly orthonormal columns: along a row, along a column, and their normal."""
    # Stored cosines are rounded to a few decimals; a matrix that is not orthonormal would scale distances.
    row = np.asarray(frame.orientation[:3]) / np.linalg.norm(frame.orientation[:3])
    column = np.asarray(frame.orientation[3:])
    column = column - row * (row @ column)
    column /= np.linalg.norm(column)
    return np.column_stack([row, column, np.cross(row, column)])


def _in_order(frames: Sequence[Frame], normal: FloatArray, findings: list[Finding]) -> list[Frame]:
    """Frames by position along the normal, each position once."""

    def height_mm(frame: Frame) -> float:
        return float(np.asarray(frame.position_lps_mm) @ normal)

    # UID and frame number settle the order of frames at one position, so that the same one is left out every time.
    ordered = sorted(
        frames, key=lambda frame: (round(height_mm(frame), 3), frame.sop_instance_uid, frame.frame_number or 0)
    )
    positions: list[list[Frame]] = []
    for frame in ordered:
        if positions and is_one_position(height_mm(positions[-1][0]), height_mm(frame)):
            positions[-1].append(frame)
        else:
            positions.append([frame])
    dropped = sum(_check_same(same) for same in positions if len(same) > 1)
    if dropped:
        findings.append(Finding("duplicate_slice", message("duplicate_slice.n", dropped=dropped)))
    return [same[0] for same in positions]


def _check_same(same: Sequence[Frame]) -> int:
    """How many frames at one position only repeat the first; raises when their pixels differ."""
    facts = [frame.facts() for frame in same]
    differing = sorted(name for name in set().union(*facts) if len({fact.get(name) for fact in facts}) > 1)
    pixels = decode(same)
    if all(np.array_equal(pixels[0], other) for other in pixels[1:]):
        return len(same) - 1
    where = message("image.different_at", n=len(same), place=_place(same[0]))
    # Header facts that differ (an echo, a time point) mean several volumes; equal facts mean that one image is wrong.
    if differing:
        text = message("ambiguous_series.several_volumes", series=_uid(same), where=where, differing=differing)
        raise IneligibleStudyError("ambiguous_series", text)
    text = message(
        "conflicting_instance.same_place",
        series=_uid(same),
        where=where,
        uids=[frame.sop_instance_uid for frame in same],
    )
    raise IneligibleStudyError("conflicting_instance", text)


def _slice_distance(frames: Sequence[Frame], axes: FloatArray) -> float:
    """Distance of neighbouring slices in mm, the same for all of them."""
    if len(frames) == 1:
        if frames[0].thickness_mm is None:
            raise _inconsistent(frames, message("image.no_thickness"))
        return frames[0].thickness_mm
    positions = np.array([frame.position_lps_mm for frame in frames])
    offsets_mm = (positions - positions[0]) @ axes  # along a row, along a column, along the normal
    steps = np.diff(offsets_mm[:, 2])
    stated_mm = _greatest(frames, "SpacingBetweenSlices")
    spacing = slice_spacing(offsets_mm[:, 2].tolist(), stated_mm)
    if spacing is None or not spacing.is_even:
        raise _inconsistent(frames, message("image.distances", least=steps.min(), most=steps.max()))
    if spacing.gaps:
        at = spacing.gaps[0][0]
        text = message(
            "missing_slice.gap",
            series=_uid(frames),
            step=spacing.step_mm,
            gap=steps[at],
            first=_place(frames[at]),
            second=_place(frames[at + 1]),
            n=spacing.n_missing,
        )
        raise IneligibleStudyError("missing_slice", text)
    expected_mm = hidden_gap_mm(spacing.step_mm, stated_mm, _greatest(frames, "SliceThickness"))
    if expected_mm is not None:
        text = message("missing_slice.header", series=_uid(frames), expected=expected_mm, step=spacing.step_mm)
        raise IneligibleStudyError("missing_slice", text)
    shear = float(np.ptp(offsets_mm[:, :2], axis=0).max())
    if shear > SHEAR_TOLERANCE_MM:
        raise _inconsistent(frames, message("image.shifted", shear=shear))
    # The mean, not the median: rounding errors of positions cancel, and the last slice is at its stored position.
    return float(np.mean(steps))


def _inconsistent(frames: Sequence[Frame], defect: str) -> IneligibleStudyError:
    text = message("inconsistent_geometry.stack", series=_uid(frames), defect=defect)
    return IneligibleStudyError("inconsistent_geometry", text)


def _value(frame: Frame, keyword: str) -> Any:
    try:
        return first_value(frame.levels, keyword)
    except PARSE_ERRORS as error:
        raise unreadable(frame.source.path, why_unreadable(error)) from error


def _greatest(frames: Sequence[Frame], keyword: str) -> float | None:
    """Return the greatest value of a number that is greater than 0, or None."""
    numbers = [_value(frame, keyword) for frame in frames]
    return max((float(number) for number in numbers if isinstance(number, int | float)), default=0.0) or None


def _uid(frames: Sequence[Frame]) -> str:
    return frames[0].series_instance_uid


def _place(frame: Frame) -> str:
    position = [f"{p:.1f}" for p in frame.position_lps_mm]
    if frame.frame_number:
        return message("image.place_frame", position=position, number=frame.frame_number)
    return message("image.place_instance", position=position, number=frame.instance_number)


def series_in(folder: Path) -> dict[str, list[Path]]:
    """Find the image files below a folder, by series; files that are no DICOM image are ignored.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.

    Returns
    -------
    dict
        Series Instance UID -> its files, sorted by name.

    Raises
    ------
    InputError
        There is no such folder, or no DICOM image in it.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of DICOM images, found no folder {folder}")
    paths_by_series: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            header = read_conforming(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"])
            if "Rows" in header:
                paths_by_series.setdefault(str(header.get("SeriesInstanceUID")), []).append(path)
        except PARSE_ERRORS:
            continue
    if not paths_by_series:
        raise InputError(f"expected DICOM images in {folder}, found none")
    return paths_by_series
