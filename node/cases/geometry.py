"""The stack of slices of one series: plane, step, gaps, duplicates and bounds, from headers alone.

Linear in the number of instances but for one sort: it runs for every assessment of a case.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from config.messages.message import message
from node.cases.physics import numbers_of, parts_of
from node.cases.slice_rules import (
    BITS_ALLOCATED,
    MAX_SIDE_PIXELS,
    SHEAR_TOLERANCE_MM,
    SliceSpacing,
    are_one_orientation,
    are_one_spacing,
    hidden_gap_mm,
    images_missing,
    is_one_position,
    is_orthonormal,
    is_pixel_spacing,
    slice_spacing,
)

Plane = Literal["axial", "coronal", "sagittal", "unknown"]
Point = tuple[float, float, float]

MAX_NAMED_GAPS = 3

Defect = tuple[str, str]  # reason code, half a sentence


@dataclass(frozen=True)
class Stack:
    """Geometry of one series in patient coordinates (LPS, mm).

    Attributes
    ----------
    plane : {"axial", "coronal", "sagittal", "unknown"}
        The patient axis that is nearest to the normal.
    oblique_degrees : float or None
        Angle between the normal and the patient's z axis, 0 for axial slices.
    normal : tuple of three floats, or None
        Unit normal of the slices, row direction x column direction.
    offsets_mm : tuple of float
        Different slice positions along the normal, ascending.
    step_mm : float or None
        Distance of neighbouring slices, missing ones left aside, to 0.01 mm; None for fewer than two slices.
    bounds_mm : tuple of two points, or None
        Least and greatest corner of the axis-parallel box around all slices, half a step beyond the outer ones.
    findings : tuple of (str, str)
        Reason code of the contract and half a sentence for each defect.
    """

    plane: Plane = "unknown"
    oblique_degrees: float | None = None
    normal: Point | None = None
    offsets_mm: tuple[float, ...] = ()
    step_mm: float | None = None
    bounds_mm: tuple[Point, Point] | None = None
    findings: tuple[tuple[str, str], ...] = ()

    @property
    def n_slices(self) -> int:
        """Number of different slice positions."""
        return len(self.offsets_mm)


def stack_of(
    headers: Sequence[Mapping[str, Any]],
    series_headers: Sequence[Mapping[str, Any]] | None = None,
    check_image_count: bool = True,
) -> Stack:
    """Compute the stack that the instances of one volume form.

    Parameters
    ----------
    headers : sequence of mapping
        Headers of all its instances, classic (one slice each) or Enhanced (``FrameOffsets``, mm along the normal).
    series_headers : sequence of mapping, optional
        Headers of the whole series, where the volume is only one of several in it: Images in Acquisition counts all.
    check_image_count : bool
        Whether Images in Acquisition is compared with the images that are there.

    Returns
    -------
    Stack
        Defects are findings, not errors: the other series of the study must still be assessed.

    References
    ----------
    PS3.3 C.7.6.2.1.1 (position and orientation).
    """
    orientations = [numbers_of(header.get("ImageOrientationPatient")) for header in headers]
    first = next((numbers for numbers in orientations if len(numbers) == 6), None)
    if first is None:
        return Stack(findings=(("inconsistent_geometry", message("inconsistent_geometry.no_orientation")),))
    normal = unit_normal(first)
    if normal is None or not is_orthonormal(first):
        return Stack(findings=(("inconsistent_geometry", message("inconsistent_geometry.not_perpendicular")),))
    findings = [*_unreadable(headers), *_differences(headers, orientations, first)]
    offsets_by_header = [slice_offsets_mm(header, normal) for header in headers]
    missing = sum(not offsets for offsets in offsets_by_header)
    if missing:
        findings.append(
            ("inconsistent_geometry", message("inconsistent_geometry.no_position", missing=missing, total=len(headers)))
        )
    distinct, duplicates = _distinct(sorted(offset for offsets in offsets_by_header for offset in offsets))
    if duplicates:
        findings.append(
            ("inconsistent_geometry", message("inconsistent_geometry.duplicate_positions", duplicates=duplicates))
        )
    stated_mm = _greatest(headers, "SpacingBetweenSlices")
    spacing = slice_spacing(distinct, stated_mm)
    step = None if spacing is None else round(spacing.step_mm, 2)
    findings += _shear(headers, first, normal)
    findings += _steps(distinct, spacing, stated_mm, _greatest(headers, "SliceThickness"))
    if check_image_count:
        findings += _counts(headers, series_headers)
    plane, oblique = _plane(normal)
    return Stack(
        plane=plane,
        oblique_degrees=oblique,
        normal=normal,
        offsets_mm=tuple(distinct),
        step_mm=step,
        bounds_mm=_bounds(headers, first, normal, distinct, step),
        findings=tuple(findings),
    )


def box_contains(bounds: tuple[Point, Point], extent: Sequence[Sequence[float]], tolerance_mm: float) -> bool:
    """Return whether a box, for example around a contour, is inside the box of a stack.

    Parameters
    ----------
    bounds : tuple of two points
        Least and greatest corner of the stack, LPS, mm (see `Stack.bounds_mm`).
    extent : [[x, y, z], [x, y, z]]
        Least and greatest corner of the other box, LPS, mm.
    tolerance_mm : float
        How far it may reach beyond.
    """
    least, greatest = bounds
    return all(
        least[axis] - tolerance_mm <= extent[0][axis] and extent[1][axis] <= greatest[axis] + tolerance_mm
        for axis in range(3)
    )


def slice_offsets_mm(header: Mapping[str, Any], normal: Sequence[float]) -> list[float]:
    """Return the slice positions of one instance along the normal, mm; empty where they are not known."""
    frames = header.get("FrameOffsets")  # Enhanced MR: computed where the frames are read
    if isinstance(frames, list) and frames:
        return [float(offset) for offset in frames]
    position = numbers_of(header.get("ImagePositionPatient"))
    # One position for an object of many frames is none: the other frames' places are not known.
    if len(position) != 3 or _number(header, "NumberOfFrames") > 1:
        return []
    return [_dot(normal, position)]


def _unreadable(headers: Sequence[Mapping[str, Any]]) -> list[Defect]:
    """Return defects for which the workers refuse a file before they read its pixels."""
    findings: list[Defect] = []
    sides = [_number(header, keyword) for header in headers for keyword in ("Rows", "Columns")]
    if not all(0 < side <= MAX_SIDE_PIXELS for side in sides):
        text = message("unreadable_instance.sides", greatest=MAX_SIDE_PIXELS, least=min(sides), most=max(sides))
        findings.append(("unreadable_instance", text))
    bits = {header["BitsAllocated"] for header in headers if header.get("BitsAllocated") is not None}
    if bits - {*BITS_ALLOCATED}:
        text = message("unreadable_instance.bits", bits=[f"{each:g}" for each in sorted(bits)])
        findings.append(("unreadable_instance", text))
    for header in headers:
        described, stated = len(header.get("FrameOffsets") or ()), _number(header, "NumberOfFrames")
        if described and stated and described != stated:
            text = message("unreadable_instance.frames", stated=stated, described=described)
            findings.append(("unreadable_instance", text))
            break
    return findings


def _differences(
    headers: Sequence[Mapping[str, Any]], orientations: Sequence[Sequence[float]], first: Sequence[float]
) -> list[Defect]:
    findings: list[Defect] = []
    total = len(headers)
    complete = [numbers for numbers in orientations if len(numbers) == 6]
    if len(complete) < total:
        text = message("inconsistent_geometry.orientation_missing", n=total - len(complete), total=total)
        findings.append(("inconsistent_geometry", text))
    turned = sum(not are_one_orientation([numbers, first]) for numbers in complete)
    turned += sum(1 for header in headers if header.get("FrameOrientations"))
    if turned or not are_one_orientation(complete):
        text = message("inconsistent_geometry.other_plane", n=max(turned, 1), total=total)
        findings.append(("inconsistent_geometry", text))
    for keyword, name in (("Rows", "rows"), ("Columns", "columns")):
        values = {str(header[keyword]) for header in headers if header.get(keyword) is not None}
        if len(values) > 1:
            findings.append(
                ("inconsistent_geometry", message(f"inconsistent_geometry.{name}", values=sorted(values)[:3]))
            )
    findings += _pixel_spacings(headers)
    # A slice without a frame of reference is in another one than the slices that name theirs.
    frames = {str(header.get("FrameOfReferenceUID") or "") for header in headers}
    if len(frames) > 1:
        findings.append(("inconsistent_geometry", message("inconsistent_geometry.frames_of_reference", n=len(frames))))
    return findings


def _pixel_spacings(headers: Sequence[Mapping[str, Any]]) -> list[Defect]:
    spacings = [numbers_of(header.get("PixelSpacing")) for header in headers]
    usable = [spacing for spacing in spacings if is_pixel_spacing(spacing)]
    if len(usable) < len(spacings):
        text = message("inconsistent_geometry.no_spacing", n=len(spacings) - len(usable), total=len(spacings))
        return [("inconsistent_geometry", text)]
    if not are_one_spacing(usable) or any(header.get("FramePixelSpacings") for header in headers):
        listed = ", ".join(sorted({f"{y:g} x {x:g} mm" for y, x in usable})[:3])
        return [("inconsistent_geometry", message("inconsistent_geometry.spacings", listed=listed))]
    return []


def _distinct(ordered: Sequence[float]) -> tuple[list[float], int]:
    distinct: list[float] = []
    repeated = 0
    for offset in ordered:
        if distinct and is_one_position(distinct[-1], offset):
            repeated += 1
        else:
            distinct.append(offset)
    return distinct, repeated


def _shear(headers: Sequence[Mapping[str, Any]], first: Sequence[float], normal: Point) -> list[Defect]:
    """Return a defect where slices are shifted within their plane against the first one."""
    shift = max((_number(header, "FrameShear") for header in headers), default=0.0)
    positions = [numbers_of(header.get("ImagePositionPatient")) for header in headers]
    positions = [position for position in positions if len(position) == 3]
    row = first[:3]
    column = _cross(normal, row)
    for axis in (row, column):
        along = [_dot(axis, position) for position in positions]
        shift = max(shift, max(along, default=0.0) - min(along, default=0.0))
    if shift <= SHEAR_TOLERANCE_MM:
        return []
    text = message("inconsistent_geometry.shifted", shift=shift)
    return [("inconsistent_geometry", text)]


def _steps(
    offsets: Sequence[float], spacing: SliceSpacing | None, stated_mm: float | None, thickness_mm: float | None
) -> list[Defect]:
    if spacing is None:
        if offsets and not (stated_mm or thickness_mm):
            return [("inconsistent_geometry", message("inconsistent_geometry.no_thickness"))]
        return []
    step = spacing.step_mm
    if not spacing.is_even:
        distances = [high - low for low, high in pairwise(offsets)]
        text = message("inconsistent_geometry.uneven", least=min(distances), most=max(distances))
        return [("inconsistent_geometry", text)]
    if spacing.gaps:
        places = [
            message("part.from_to_mm", low=offsets[at], high=offsets[at + 1]) for at, _ in spacing.gaps[:MAX_NAMED_GAPS]
        ]
        text = message("missing_slice.between", n=spacing.n_missing, places=places, step=step)
        return [("missing_slice", text)]
    expected = hidden_gap_mm(step, stated_mm, thickness_mm)
    if expected is None:
        return []
    text = message("missing_slice.hidden", expected=expected, step=step)
    return [("missing_slice", text)]


def _counts(headers: Sequence[Mapping[str, Any]], series_headers: Sequence[Mapping[str, Any]] | None) -> list[Defect]:
    """Return a defect where an acquisition contains more images than are there."""
    stated_distance = bool(_greatest(headers, "SpacingBetweenSlices") or _greatest(headers, "SliceThickness"))
    if series_headers is not None:
        # Of several volumes the count does not tell which one is incomplete; the slice distance does.
        if stated_distance:
            return []
        headers = series_headers
    images: Counter[str] = Counter()
    stated: dict[str, float] = {}
    for header in headers:
        acquisition = str(header.get("AcquisitionNumber") or "")
        images[acquisition] += max(1, int(_number(header, "NumberOfFrames")))
        if "ORIGINAL" in parts_of(header.get("ImageType")):
            stated[acquisition] = max(stated.get(acquisition, 0.0), _number(header, "ImagesInAcquisition"))
    return [
        ("missing_slice", message("missing_slice.count", n=images[number], expected=expected))
        for number, expected in stated.items()
        if images_missing(images[number], expected, stated_distance)
    ]


def _plane(normal: Point) -> tuple[Plane, float]:
    planes: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
    axis = max(range(3), key=lambda index: abs(normal[index]))
    return planes[axis], math.degrees(math.acos(min(1.0, abs(normal[2]))))


def _bounds(
    headers: Sequence[Mapping[str, Any]],
    orientation: Sequence[float],
    normal: Point,
    offsets: Sequence[float],
    step: float | None,
) -> tuple[Point, Point] | None:
    header = next((h for h in headers if len(numbers_of(h.get("ImagePositionPatient"))) == 3), None)
    if header is None or not offsets:
        return None
    position = numbers_of(header.get("ImagePositionPatient"))
    spacing = numbers_of(header.get("PixelSpacing"))
    size = numbers_of([header.get("Rows"), header.get("Columns")])
    if len(spacing) != 2 or len(size) != 2:
        return None
    own_offset = _dot(normal, position)
    half = (step or 0.0) / 2
    # PixelSpacing is row spacing, then column spacing (PS3.3 10.7.1.3): columns are spacing[1] apart along a row.
    along_row, along_column = (size[1] - 1) * spacing[1], (size[0] - 1) * spacing[0]
    corners = [
        tuple(
            position[axis] + right * orientation[axis] + down * orientation[3 + axis] + depth * normal[axis]
            for axis in range(3)
        )
        for right in (0.0, along_row)
        for down in (0.0, along_column)
        for depth in (offsets[0] - own_offset - half, offsets[-1] - own_offset + half)
    ]
    least = tuple(min(corner[axis] for corner in corners) for axis in range(3))
    greatest = tuple(max(corner[axis] for corner in corners) for axis in range(3))
    return (least[0], least[1], least[2]), (greatest[0], greatest[1], greatest[2])


def _greatest(headers: Iterable[Mapping[str, Any]], keyword: str) -> float | None:
    return max((_number(header, keyword) for header in headers), default=0.0) or None


def _number(header: Mapping[str, Any], keyword: str) -> float:
    """Return a number that is greater than 0, else 0."""
    numbers = numbers_of([header.get(keyword)])
    return max(numbers[0], 0.0) if numbers else 0.0


def unit_normal(orientation: Sequence[float]) -> Point | None:
    """Return the unit normal of six direction cosines, row direction x column direction; None where there is none."""
    return _unit(_cross(orientation[:3], orientation[3:]))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _cross(a: Sequence[float], b: Sequence[float]) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _unit(vector: Point) -> Point | None:
    length = math.sqrt(sum(part * part for part in vector))
    return (vector[0] / length, vector[1] / length, vector[2] / length) if length > 0 else None
