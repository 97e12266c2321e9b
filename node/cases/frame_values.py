"""What differs between the frames of an Enhanced object whose positions repeat: it may contain several volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

# Keyword of classic MR -> where a frame states it: macro sequence and keyword, the nearest to the standard first.
_CONVERTED = "UnassignedPerFrameConvertedAttributesSequence"  # Legacy Converted Enhanced MR (PS3.3 A.71)
PLACES_OF: dict[str, tuple[tuple[str, str], ...]] = {
    "ComplexImageComponent": (("MRImageFrameTypeSequence", "ComplexImageComponent"),),
    "ImageType": (("MRImageFrameTypeSequence", "FrameType"), (_CONVERTED, "ImageType")),
    "AcquisitionContrast": (("MRImageFrameTypeSequence", "AcquisitionContrast"),),
    "EchoTime": (("MREchoSequence", "EffectiveEchoTime"), (_CONVERTED, "EchoTime")),
    "EchoNumbers": ((_CONVERTED, "EchoNumbers"),),
    "DiffusionBValue": (("MRDiffusionSequence", "DiffusionBValue"), (_CONVERTED, "DiffusionBValue")),
    "InversionTime": (("MRModifierSequence", "InversionTimes"), (_CONVERTED, "InversionTime")),
    "FlipAngle": (("MRTimingAndRelatedParametersSequence", "FlipAngle"), (_CONVERTED, "FlipAngle")),
    "RepetitionTime": (("MRTimingAndRelatedParametersSequence", "RepetitionTime"), (_CONVERTED, "RepetitionTime")),
    "TemporalPositionIdentifier": (
        ("FrameContentSequence", "TemporalPositionIndex"), (_CONVERTED, "TemporalPositionIdentifier"),
    ),
    "TriggerTime": (
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
        ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
        (_CONVERTED, "TriggerTime"),
    ),
    "StackID": (("FrameContentSequence", "StackID"),),
    "AcquisitionNumber": (("FrameContentSequence", "FrameAcquisitionNumber"), (_CONVERTED, "AcquisitionNumber")),
    "AcquisitionDateTime": (("FrameContentSequence", "FrameAcquisitionDateTime"),),
}  # fmt: skip
# Dimensions (PS3.3 C.7.6.17) that are places in a volume.
PLACES = frozenset({"StackID", "InStackPositionNumber", "ImagePositionPatient", "ImageOrientationPatient"})


def frame_values(ds: Dataset) -> dict[str, Any]:
    """Read what may tell the volumes of an Enhanced object apart.

    Parameters
    ----------
    ds : Dataset
        With PerFrameFunctionalGroupsSequence.

    Returns
    -------
    dict
        ``FrameValues``: for each keyword of classic MR whose value differs between frames the different ``values``, and
        the index ``of`` each frame among them; besides ``Dimension<n>`` for each dimension that is no place. Empty
        where nothing differs.

    References
    ----------
    PS3.3 C.7.6.16 (functional groups), C.7.6.17 (dimensions).
    """
    frames: Sequence[Dataset] = ds.get("PerFrameFunctionalGroupsSequence") or ()
    if len(frames) < 2:
        return {}
    # The first frame tells which macros are per frame: an object may have thousands of frames.
    present = {element.keyword for element in frames[0] if element.VR == "SQ"}
    differing: dict[str, Any] = {}
    for classic, places in PLACES_OF.items():
        used = [place for place in places if place[0] in present]
        if used:
            _add(differing, classic, [_value(frame, used) for frame in frames], len(frames) + 1)
    if "FrameContentSequence" in present:
        for number, column in _dimensions(ds, frames):
            # A dimension that numbers every frame tells no volumes apart.
            _add(differing, f"Dimension{number}", column, len(frames))
    return {"FrameValues": differing} if differing else {}


def _add(differing: dict[str, Any], keyword: str, column: Sequence[Any], fewer_than: int) -> None:
    places: dict[str, int] = {}
    values: list[Any] = []
    of = []
    for value in column:
        key = repr(value)
        if key not in places:
            places[key] = len(values)
            values.append(value)
        of.append(places[key])
    if 1 < len(values) < fewer_than:
        differing[keyword] = {"values": values, "of": of}


def _value(frame: Dataset, places: Sequence[tuple[str, str]]) -> Any:
    for macro, keyword in places:
        item = next(iter(frame.get(macro) or ()), None)
        value = item.get(keyword) if item is not None else None
        if value is not None and value != "":
            return _plain(value)
    return None


def _plain(value: Any) -> Any:
    """Return a value of JSON: a number, a text, or a list of texts."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return value.strip("\0 ")
    parts = list(value)
    # Inversion Times has a value for each pulse; classic MR has a single one.
    return float(parts[0]) if isinstance(parts[0], int | float) else [str(part) for part in parts]


def _dimensions(ds: Dataset, frames: Sequence[Dataset]) -> Iterator[tuple[int, list[Any]]]:
    """Yield number and index values of each dimension that is no place in a volume."""
    vectors = [_index_values(frame) for frame in frames]
    for number, item in enumerate(ds.get("DimensionIndexSequence") or ()):
        pointer = item.get("DimensionIndexPointer")
        if pointer is None or keyword_for_tag(pointer) in PLACES:
            continue
        if all(len(vector) > number for vector in vectors):
            yield number + 1, [vector[number] for vector in vectors]


def _index_values(frame: Dataset) -> list[int]:
    item = next(iter(frame.get("FrameContentSequence") or ()), None)
    value = item.get("DimensionIndexValues") if item is not None else None
    if value is None:
        return []
    return [int(value)] if isinstance(value, int) else [int(part) for part in value]
