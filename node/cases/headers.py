"""What the case rules read from a data set, as a small JSON-able dict of DICOM keywords.

`header_of` runs once for every received instance on data sets read without pixels. It never raises on odd values:
an element that cannot be decoded is left out, because a bad value in a keyword that no rule needs must not stop an
intake, and a rule that needs it says that it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from node.cases.contour_headers import registration_header, segmentation_header, structure_set_header
from node.cases.enhanced_mr import frame_header

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"

# What decoding a damaged value may raise in pydicom; ArithmeticError covers decimal.InvalidOperation.
UNREADABLE = (
    ValueError,
    TypeError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    OSError,
)

TEXT_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "SpecificCharacterSet", "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "PatientAge", "AccessionNumber", "StudyID", "StudyDate", "StudyTime", "SeriesDate", "SeriesTime",
    "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentDate", "ContentTime", "StudyDescription",
    "SeriesDescription", "ProtocolName", "BodyPartExamined", "PatientPosition", "Manufacturer",
    "ManufacturerModelName", "SequenceName", "PulseSequenceName", "MRAcquisitionType", "AngioFlag",
    "ContrastBolusAgent", "AcquisitionContrast", "ComplexImageComponent", "VolumetricProperties",
    "EchoPulseSequence", "EchoPlanarPulseSequence", "MultipleSpinEcho", "SteadyStatePulseSequence",
    "SpectrallySelectedSuppression", "TimeOfFlightContrast", "PhaseContrast", "PhotometricInterpretation",
    "BurnedInAnnotation", "SeriesType",
)  # fmt: skip
LIST_KEYWORDS = ("ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions")
NUMBER_KEYWORDS = (
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "MagneticFieldStrength",
    "SliceThickness", "SpacingBetweenSlices", "SliceLocation", "ContrastBolusVolume", "DiffusionBValue",
    "TriggerTime", "NumberOfTemporalPositions", "TemporalPositionIdentifier", "EchoNumbers", "InstanceNumber",
    "SeriesNumber", "AcquisitionNumber", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
)  # fmt: skip
VECTOR_KEYWORDS = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
CODE_KEYWORDS = ("ContrastBolusAgentSequence",)


def header_of(ds: Dataset) -> dict[str, Any]:
    """The keywords of one instance that the case rules read; absent and undecodable elements are left out.

    Lengths are mm, times ms, angles degrees, as in the data set. Enhanced MR: values that differ per frame come from
    the shared or the first per-frame functional group, and `FrameOffsets` holds one position per frame (mm along
    the slice normal). RTSTRUCT, SEG and Spatial Registration add what ties them to images (see `objects.py`).
    """
    header: dict[str, Any] = {}
    _collect(header, ds, TEXT_KEYWORDS, _text)
    _collect(header, ds, LIST_KEYWORDS, _texts)
    _collect(header, ds, NUMBER_KEYWORDS, _number)
    _collect(header, ds, VECTOR_KEYWORDS, _vector)
    _collect(header, ds, CODE_KEYWORDS, _code_meanings)
    sop_class = header.get("SOPClassUID", "")
    for part, reader in _SPECIAL.items():
        if sop_class == part:
            header.update(_guarded(reader, ds))
    if "PerFrameFunctionalGroupsSequence" in ds or "SharedFunctionalGroupsSequence" in ds:
        header = {**_guarded(frame_header, ds), **header}
    return header


def with_character_set(header: Mapping[str, Any], character_set: str | None) -> Mapping[str, Any]:
    """The header with its text read in the character set that its sender really uses.

    character_set : a defined term such as "GB18030" (PS3.3 C.12.1.1.2); None trusts (0008,0005). Text that is none in
    that character set stays as it is.
    """
    if character_set is None:
        return header
    labels = str(header.get("SpecificCharacterSet") or "ISO_IR 6").split("\\")
    claimed, actual = (convert_encodings(one)[0] for one in (labels[0] or "ISO_IR 6", character_set))
    found: Mapping[str, Any] = _reread(header, claimed, actual)
    return found


def _reread(value: Any, claimed: str, actual: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _reread(part, claimed, actual) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_reread(part, claimed, actual) for part in value]
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return value.encode(claimed).decode(actual)
    except UnicodeError:
        return value


_SPECIAL: Mapping[str, Callable[[Dataset], dict[str, Any]]] = {
    RT_STRUCTURE_SET: structure_set_header,
    SEGMENTATION: segmentation_header,
    SPATIAL_REGISTRATION: registration_header,
}


def _guarded(reader: Callable[[Dataset], dict[str, Any]], ds: Dataset) -> dict[str, Any]:
    try:
        return reader(ds)
    except UNREADABLE as error:
        return {"HeaderProblem": f"{reader.__name__.replace('_', ' ')} unreadable ({type(error).__name__})"}


def _collect(header: dict[str, Any], ds: Dataset, keywords: Iterable[str], convert: Callable[[Any], Any]) -> None:
    for keyword in keywords:
        if keyword not in ds:
            continue
        try:
            value = convert(ds[keyword].value)
        except UNREADABLE:
            continue
        if value is not None:
            header[keyword] = value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(part) for part in value)
    return str(value).strip("\0 ")


def _texts(value: Any) -> list[str] | None:
    if value is None:
        return None
    parts = value if isinstance(value, MultiValue | list | tuple) else str(value).split("\\")
    return [str(part).strip("\0 ") for part in parts]


def _number(value: Any) -> float | int | None:
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return int(number) if number.is_integer() else number


def _vector(value: Any) -> list[float] | None:
    if value is None or value == "" or not isinstance(value, MultiValue | list | tuple):
        return None
    numbers = [float(part) for part in value]
    return numbers if all(abs(number) < 1e9 for number in numbers) else None


def _code_meanings(items: Any) -> list[str] | None:
    """Code meanings of a code sequence; an item without one still counts as an item."""
    if not items:
        return None
    return [str(item.get("CodeMeaning", "") or item.get("CodeValue", "") or "unnamed") for item in items]
