"""The stack of slices of one series: plane, step, gaps, duplicates and bounds, from headers alone.

Linear in the number of instances but for one sort: it runs for every assessment of a case.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from node.cases.physics import numbers_of

Plane = Literal["axial", "coronal", "sagittal", "unknown"]
Point = tuple[float, float, float]

SAME_POSITION_MM = 0.01  # DS values of one position differ by rounding only
GAP_FACTOR = 1.5  # a distance of more than this many steps is a gap
UNEVEN_FRACTION = 0.15  # of the step; positions rounded to 0.1 mm differ by up to 10 % of a step of 1 mm
SAME_DIRECTION = 0.002  # difference of direction cosines, 0.1 degrees
MAX_NAMED_GAPS = 3
MIN_NORMAL_LENGTH = 0.5  # of the cross product of the direction cosines, which is 1 for perpendicular ones


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
        The most frequent distance of neighbouring slices, else their median; None for fewer than two slices.
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


def stack_of(headers: Sequence[Mapping[str, Any]]) -> Stack:
    """Compute the stack that the instances of one series form.

    Parameters
    ----------
    headers : sequence of mapping
        Headers of all instances, classic (one slice each) or Enhanced (``FrameOffsets``, mm along the normal).

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
        return Stack(findings=(("inconsistent_geometry", "no slice orientation is given"),))
    normal = _unit(_cross(first[:3], first[3:]))
    if normal is None:
        return Stack(findings=(("inconsistent_geometry", "the slice orientation is not two directions"),))
    findings = _differences(headers, orientations, first)
    offsets = [offset for header in headers for offset in _offsets(header, normal)]
    missing = sum(1 for header in headers if not _offsets(header, normal))
    if missing:
        findings.append(("inconsistent_geometry", f"{missing} of {len(headers)} instances give no slice position"))
    distinct, duplicates = _distinct(sorted(offsets))
    if duplicates:
        findings.append(("inconsistent_geometry", f"{duplicates} slice positions are there more than once"))
    step = _step([b - a for a, b in pairwise(distinct)])
    findings += _steps(distinct, step)
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


def _offsets(header: Mapping[str, Any], normal: Point) -> list[float]:
    frames = header.get("FrameOffsets")  # Enhanced MR: computed where the frames are read
    if isinstance(frames, list) and frames:
        return [float(offset) for offset in frames]
    position = numbers_of(header.get("ImagePositionPatient"))
    if len(position) != 3:
        return []
    return [sum(n * p for n, p in zip(normal, position, strict=True))]


def _differences(
    headers: Sequence[Mapping[str, Any]], orientations: Sequence[Sequence[float]], first: Sequence[float]
) -> list[tuple[str, str]]:
    findings = []
    turned = sum(
        1
        for numbers in orientations
        if len(numbers) == 6 and max(abs(a - b) for a, b in zip(numbers, first, strict=True)) > SAME_DIRECTION
    )
    turned += sum(1 for header in headers if header.get("FrameOrientations"))
    if turned:
        findings.append(("inconsistent_geometry", f"{turned} of {len(headers)} instances are in another plane"))
    for keyword, name in (("Rows", "rows"), ("Columns", "columns"), ("PixelSpacing", "pixel spacings")):
        values = {str(header[keyword]) for header in headers if header.get(keyword) is not None}
        if len(values) > 1:
            findings.append(
                ("inconsistent_geometry", f"the slices have different {name}: {', '.join(sorted(values)[:3])}")
            )
    frames = {header["FrameOfReferenceUID"] for header in headers if header.get("FrameOfReferenceUID")}
    if len(frames) > 1:
        findings.append(("inconsistent_geometry", f"the slices are in {len(frames)} frames of reference"))
    return findings


def _distinct(ordered: Sequence[float]) -> tuple[list[float], int]:
    distinct: list[float] = []
    repeated = 0
    for offset in ordered:
        if distinct and offset - distinct[-1] <= SAME_POSITION_MM:
            repeated += 1
        else:
            distinct.append(offset)
    return distinct, repeated


def _steps(offsets: Sequence[float], step: float | None) -> list[tuple[str, str]]:
    if step is None:
        return []
    gaps, uneven = [], 0
    for low, high in pairwise(offsets):
        distance = high - low
        if distance > GAP_FACTOR * step:
            gaps.append((low, high, max(1, round(distance / step) - 1)))
        elif abs(distance - step) > UNEVEN_FRACTION * step:
            uneven += 1
    findings = []
    if gaps:
        places = ", ".join(f"{low:.1f} and {high:.1f} mm" for low, high, _ in gaps[:MAX_NAMED_GAPS])
        total = sum(count for *_, count in gaps)
        noun = "slice is" if total == 1 else "slices are"
        findings.append(("missing_slice", f"{total} {noun} missing between {places} (step {step:.2f} mm)"))
    if uneven:
        findings.append(("inconsistent_geometry", f"{uneven} slice distances differ from the step of {step:.2f} mm"))
    return findings


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
    own_offset = sum(n * p for n, p in zip(normal, position, strict=True))
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


def _step(values: Sequence[float]) -> float | None:
    """Return the distance on which more than half of the neighbours agree to 0.01 mm, else the median."""
    if not values:
        return None
    counted = Counter(round(value, 2) for value in values)
    common, times = counted.most_common(1)[0]
    if times * 2 > len(values) and common > 0:
        return common
    return sorted(values)[len(values) // 2]


def _cross(a: Sequence[float], b: Sequence[float]) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _unit(vector: Point) -> Point | None:
    length = math.sqrt(sum(part * part for part in vector))
    return (vector[0] / length, vector[1] / length, vector[2] / length) if length > MIN_NORMAL_LENGTH else None
