"""Enhanced MR: values of the functional groups under the keywords of classic MR (PS3.3 C.7.6.16, C.8.13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

# Macro sequence, keyword inside it, keyword of classic MR.
NUMBER_VALUES = (
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
    ("MRTimingAndRelatedParametersSequence", "EchoTrainLength", "EchoTrainLength"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("PixelMeasuresSequence", "SpacingBetweenSlices", "SpacingBetweenSlices"),
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
        ``FrameOffsets``, one float per frame, mm along the slice normal of the first frame;
        ``FrameOrientations``, the number of different orientations when there is more than one (the offsets are then
        no slice positions);
        ``FrameEchoTimes``, the different effective echo times in ms when there is more than one.

    References
    ----------
    PS3.3 C.7.6.16.1 (a macro is either shared or per frame).
    """
    shared = _first(ds.get("SharedFunctionalGroupsSequence"))
    frames: Sequence[Dataset] = ds.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [group for group in (shared, _first(frames)) if group is not None]
    header: dict[str, Any] = {}
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
        header["InversionTime"] = float(times[0] if isinstance(times, Sequence) else times)
    spacing = _value(groups, "PixelMeasuresSequence", "PixelSpacing")
    if spacing:
        header["PixelSpacing"] = [float(value) for value in spacing]
    header.update(_positions(shared, frames))
    return header


def _positions(shared: Dataset | None, frames: Sequence[Dataset]) -> dict[str, Any]:
    position = _vector(shared, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _vector(shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    positions = [_vector(frame, "PlanePositionSequence", "ImagePositionPatient") or position for frame in frames]
    orientations = {
        tuple(round(value, 4) for value in cosines)
        for frame in frames
        if (cosines := _vector(frame, "PlaneOrientationSequence", "ImageOrientationPatient"))
    }
    if orientation is None and frames:
        orientation = _vector(frames[0], "PlaneOrientationSequence", "ImageOrientationPatient")
    header: dict[str, Any] = {}
    if orientation is not None and len(orientation) == 6:
        header["ImageOrientationPatient"] = orientation
    placed = [point for point in positions if point is not None and len(point) == 3]
    if placed:
        header["ImagePositionPatient"] = placed[0]
    if orientation is not None and len(orientation) == 6 and placed and len(placed) == len(frames):
        normal = _cross(orientation[:3], orientation[3:])
        header["FrameOffsets"] = [
            round(sum(n * p for n, p in zip(normal, point, strict=True)), OFFSET_DECIMALS) for point in placed
        ]
    if len(orientations) > 1:
        header["FrameOrientations"] = len(orientations)
    echo_times = sorted({float(value) for frame in frames if (value := _value([frame], *_ECHO_TIME)) is not None})
    if len(echo_times) > 1:
        header["FrameEchoTimes"] = echo_times[:MAX_ECHO_TIMES]
    return header


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


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
