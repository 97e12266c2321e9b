"""Enhanced MR: values of the functional groups under the keywords of classic MR (PS3.3 C.7.6.16, C.8.13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from node.cases.slice_rules import are_one_orientation, are_one_spacing, is_pixel_spacing

# Macro sequence, keyword inside it, keyword of classic MR.
NUMBER_VALUES = (
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
    ("MRTimingAndRelatedParametersSequence", "EchoTrainLength", "EchoTrainLength"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("PixelMeasuresSequence", "SpacingBetweenSlices", "SpacingBetweenSlices"),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
)
TEXT_VALUES = (
    ("MRImageFrameTypeSequence", "AcquisitionContrast"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("MRModifierSequence", "InversionRecovery"),
    ("MRModifierSequence", "SpatialPresaturation"),
    ("MRModifierSequence", "Spoiling"),
    ("FrameContentSequence", "FrameAcquisitionDateTime"),
)
OFFSET_DECIMALS = 3  # of millimetres
LEAST_SHEAR_MM = 0.01  # a smaller shift of the frames within their plane is noise of floating point and not kept
MAX_ECHO_TIMES = 16


def frame_header(ds: Dataset) -> dict[str, Any]:
    """Read the functional groups of an Enhanced object.

    Parameters
    ----------
    ds : Dataset
        With SharedFunctionalGroupsSequence, PerFrameFunctionalGroupsSequence, or both.

    Returns
    -------
    dict
        Classic keywords with the value of the shared group, else of the first frame. Besides:
        ``FrameOffsets``, one float per frame, mm along the slice normal of the first frame; absent unless every frame
        has a position and an orientation;
        ``FrameOrientations``, the number of different orientations when there is more than one (the offsets are then
        no slice positions), and ``FramePlanes``: their ``orientations``, the first ``positions`` and ``shears`` in
        each, the index ``of`` each frame among them and its ``offsets`` along the normal of its own plane;
        ``FramePixelSpacings``, the number of different pixel spacings when there is more than one;
        ``FrameShear``, the greatest shift of the frames against each other within their plane, mm, where there is one;
        ``FrameEchoTimes``, the different effective echo times in ms when there is more than one.

    References
    ----------
    PS3.3 C.7.6.16.1 (a macro is either shared or per frame).
    """
    shared = _first(ds.get("SharedFunctionalGroupsSequence"))
    frames: Sequence[Dataset] = ds.get("PerFrameFunctionalGroupsSequence") or ()
    # A macro is in the shared group or in each frame, never in both (PS3.3 C.7.6.16.1).
    groups = [group for group in (shared, _first(frames)) if group is not None]
    header: dict[str, Any] = {}
    # Under the keywords of classic MR, so that the rules know one form; EffectiveEchoTime is the Echo Time of a frame.
    for macro, keyword, classic in NUMBER_VALUES:
        value = _value(groups, macro, keyword)
        if value is not None:
            header[classic] = float(value)
    for macro, keyword in TEXT_VALUES:
        value = _value(groups, macro, keyword)
        if value:
            header["AcquisitionDateTime" if keyword == "FrameAcquisitionDateTime" else keyword] = str(value)
    times = _value(groups, "MRModifierSequence", "InversionTimes")
    if times is not None:
        # Inversion Times (0018,9079) has one value for each inversion pulse; classic MR has a single one.
        header["InversionTime"] = float(times[0] if isinstance(times, Sequence) else times)
    header.update(_spacings(shared, frames))
    header.update(_positions(shared, frames))
    return header


def _spacings(shared: Dataset | None, frames: Sequence[Dataset]) -> dict[str, Any]:
    """Return the pixel spacing of all frames; nothing where a frame has no usable one."""
    common = _vector(shared, "PixelMeasuresSequence", "PixelSpacing")
    spacings = [_vector(frame, "PixelMeasuresSequence", "PixelSpacing") or common for frame in frames] or [common]
    usable = [spacing for spacing in spacings if spacing is not None and is_pixel_spacing(spacing)]
    if len(usable) < len(spacings):
        return {}
    header: dict[str, Any] = {"PixelSpacing": usable[0]}
    if not are_one_spacing(usable):
        header["FramePixelSpacings"] = len({tuple(spacing) for spacing in usable})
    return header


def _positions(shared: Dataset | None, frames: Sequence[Dataset]) -> dict[str, Any]:
    position = _vector(shared, "PlanePositionSequence", "ImagePositionPatient")
    common = _vector(shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    positions = [_vector(frame, "PlanePositionSequence", "ImagePositionPatient") or position for frame in frames]
    by_frame = [_vector(frame, "PlaneOrientationSequence", "ImageOrientationPatient") or common for frame in frames]
    orientations = [cosines for cosines in by_frame if cosines is not None and len(cosines) == 6]
    header: dict[str, Any] = {}
    orientation = orientations[0] if orientations else common
    if orientation is not None and len(orientation) == 6:
        header["ImageOrientationPatient"] = orientation
    placed = [point for point in positions if point is not None and len(point) == 3]
    if placed:
        header["ImagePositionPatient"] = placed[0]
    # All or nothing: with positions of some frames only, gaps between them would mean nothing.
    if orientations and len(orientations) == len(placed) == len(frames):
        # Along the normal of the first frame: the z coordinate is no slice position in an oblique stack.
        header["FrameOffsets"], shear = _along(orientations[0], placed)
        if shear > LEAST_SHEAR_MM:
            header["FrameShear"] = round(shear, OFFSET_DECIMALS)
        planes = _planes(orientations, placed)
        if len(planes["orientations"]) > 1:
            header["FramePlanes"] = planes
    if not are_one_orientation(orientations):
        header["FrameOrientations"] = len({tuple(round(value, 4) for value in cosines) for cosines in orientations})
    echo_times = sorted({float(value) for frame in frames if (value := _value([frame], *_ECHO_TIME)) is not None})
    if len(echo_times) > 1:
        header["FrameEchoTimes"] = echo_times[:MAX_ECHO_TIMES]
    return header


def _along(orientation: Sequence[float], points: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """Return the offsets of points along the normal, and their greatest shift within the plane, mm."""
    row, column = orientation[:3], orientation[3:]
    normal = _cross(row, column)
    offsets = [round(_dot(normal, point), OFFSET_DECIMALS) for point in points]
    along = [[_dot(axis, point) for point in points] for axis in (row, column)]
    return offsets, max(max(values) - min(values) for values in along)


def _planes(orientations: Sequence[list[float]], points: Sequence[Sequence[float]]) -> dict[str, list[Any]]:
    """Return the different planes of the frames (see ``FramePlanes`` in `frame_header`)."""
    planes: list[list[float]] = []
    of = []
    for cosines in orientations:
        at = next((at for at, plane in enumerate(planes) if are_one_orientation([plane, cosines])), len(planes))
        if at == len(planes):
            planes.append(cosines)
        of.append(at)
    offsets, positions, shears = [0.0] * len(of), [], []
    for number, plane in enumerate(planes):
        members = [at for at, each in enumerate(of) if each == number]
        along, shear = _along(plane, [points[at] for at in members])
        for at, offset in zip(members, along, strict=True):
            offsets[at] = offset
        positions.append(list(points[members[0]]))
        shears.append(round(shear, OFFSET_DECIMALS))
    return {"orientations": planes, "of": of, "offsets": offsets, "positions": positions, "shears": shears}


_ECHO_TIME = ("MREchoSequence", "EffectiveEchoTime")


def _first(items: Sequence[Dataset] | None) -> Dataset | None:
    return items[0] if items else None


def _value(groups: Sequence[Dataset], macro: str, keyword: str) -> Any:
    for group in groups:
        item = _first(group.get(macro))
        if item is not None and (value := item.get(keyword)) is not None:
            return value
    return None


def _vector(group: Dataset | None, macro: str, keyword: str) -> list[float] | None:
    value = _value([group], macro, keyword) if group is not None else None
    return [float(part) for part in value] if value else None


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
