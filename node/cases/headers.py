"""The header of an instance: the attributes that the rules of a case use, as a small JSON-able dict of keywords.

`header_of` runs once for every received instance, on a data set read without pixels. It never raises for a damaged
value: an element that cannot be decoded is left out, because a wrong value that no rule needs must not stop the
reception, and a rule that needs it reports it as missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_sr.header.characters import decode_code_extensions
from node.cases.contour_headers import ContourItem, registration_header, segmentation_header, structure_set_header
from node.cases.enhanced_mr import frame_header
from node.cases.frame_values import frame_values
from node.cases.slice_rules import has_shared_places

RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"

# Exceptions of pydicom for damaged values; ArithmeticError covers decimal.InvalidOperation.
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
    "BurnedInAnnotation", "SeriesType", "AdmittingDiagnosesDescription", "ReasonForStudy",
    "ReasonForTheRequestedProcedure", "RequestedProcedureDescription", "PerformedProcedureStepDescription",
)  # fmt: skip
LIST_KEYWORDS = ("ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions")
NUMBER_KEYWORDS = (
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "MagneticFieldStrength",
    "SliceThickness", "SpacingBetweenSlices", "SliceLocation", "ContrastBolusVolume", "DiffusionBValue",
    "TriggerTime", "NumberOfTemporalPositions", "TemporalPositionIdentifier", "EchoNumbers", "InstanceNumber",
    "SeriesNumber", "AcquisitionNumber", "ImagesInAcquisition", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
)  # fmt: skip
VECTOR_KEYWORDS = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
AGENT_KEYWORDS = ("ContrastBolusAgentSequence",)
CODED_TEXT_KEYWORDS = (
    "AdmittingDiagnosesCodeSequence", "ReasonForRequestedProcedureCodeSequence", "RequestedProcedureCodeSequence",
    "ProcedureCodeSequence", "AnatomicRegionSequence",
)  # fmt: skip
REQUEST_KEYWORDS = ("RequestAttributesSequence",)
CODE_KEYWORDS = (*AGENT_KEYWORDS, *CODED_TEXT_KEYWORDS, *REQUEST_KEYWORDS)


def header_of(ds: Dataset, contour_items: Mapping[int, Sequence[ContourItem]] | None = None) -> dict[str, Any]:
    """Read the header of one instance.

    Parameters
    ----------
    ds : Dataset
        Without pixels; of RTSTRUCT, SEG and Spatial Registration with all sequences.
    contour_items : mapping, optional
        The contours of an RTSTRUCT, where they were read before; see `structure_set_header`.

    Returns
    -------
    dict of keyword to value
        Text as str, multi-valued text as list, numbers as int or float in the units of the data set (mm, ms, degrees).
        Absent and undecodable elements are left out. Enhanced MR adds the values of its functional groups (see
        `enhanced_mr` and `frame_values`), contours and registrations their references (see `contour_headers`).
        ``HeaderProblem`` says that these could not be read.
    """
    # By the decoder that the report uses: a name on a page must be the name in the report.
    with contextlib.suppress(*UNREADABLE):
        decode_code_extensions(ds)
    header: dict[str, Any] = {}
    _collect(header, ds, TEXT_KEYWORDS, _text)
    _collect(header, ds, LIST_KEYWORDS, _texts)
    _collect(header, ds, NUMBER_KEYWORDS, _number)
    _collect(header, ds, VECTOR_KEYWORDS, _vector)
    _collect(header, ds, AGENT_KEYWORDS, _code_meanings)
    _collect(header, ds, CODED_TEXT_KEYWORDS, _coded_texts)
    _collect(header, ds, REQUEST_KEYWORDS, _requested)
    sop_class = header.get("SOPClassUID", "")
    if sop_class == RT_STRUCTURE_SET and contour_items is not None:
        header.update(_guarded(partial(structure_set_header, contour_items=contour_items), ds))
    elif sop_class in _CONTOUR_READERS:
        header.update(_guarded(_CONTOUR_READERS[sop_class], ds))
    if "PerFrameFunctionalGroupsSequence" in ds or "SharedFunctionalGroupsSequence" in ds:
        header = {**_guarded(frame_header, ds), **header}
        # Read only where the frames are no single stack: it costs as much as everything else of an Enhanced header.
        if header.get("FramePlanes") or has_shared_places(header.get("FrameOffsets") or ()):
            header.update(_guarded(frame_values, ds))
    return header


def with_character_set(header: Mapping[str, Any], character_set: str | None) -> Mapping[str, Any]:
    """Decode the text of a header again, for a sender that labels its text wrongly.

    Parameters
    ----------
    header : mapping
        As `header_of` returns it, decoded by Specific Character Set (0008,0005).
    character_set : str or None
        Defined term of the character set that the sender writes, for example ``GB18030`` (PS3.3 C.12.1.1.2); None
        trusts (0008,0005).

    Returns
    -------
    mapping
        The header with decoded text; text that is none in that character set stays as it is.
    """
    if character_set is None:
        return header
    labels = str(header.get("SpecificCharacterSet") or "ISO_IR 6").split("\\")
    claimed, actual = (convert_encodings(term)[0] for term in (labels[0] or "ISO_IR 6", character_set))
    decoded: Mapping[str, Any] = _decoded_again(header, claimed, actual)
    return decoded


def _decoded_again(value: Any, claimed: str, actual: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _decoded_again(part, claimed, actual) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_decoded_again(part, claimed, actual) for part in value]
    # ASCII has the same bytes in every character set of DICOM but ISO-IR 14, where two characters differ.
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return value.encode(claimed).decode(actual)
    except UnicodeError:
        return value


_CONTOUR_READERS: Mapping[str, Callable[[Dataset], dict[str, Any]]] = {
    RT_STRUCTURE_SET: structure_set_header,
    SEGMENTATION: segmentation_header,
    SPATIAL_REGISTRATION: registration_header,
}


def _guarded(reader: Callable[[Dataset], dict[str, Any]], ds: Dataset) -> dict[str, Any]:
    try:
        return reader(ds)
    except UNREADABLE as error:
        name = getattr(reader, "func", reader).__name__.replace("_", " ")
        return {"HeaderProblem": f"{name} unreadable ({type(error).__name__})"}


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
    # NaN and infinity are no JSON, and no rule can compare with them.
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return int(number) if number.is_integer() else number


def _vector(value: Any) -> list[float] | None:
    if value is None or value == "" or not isinstance(value, MultiValue | list | tuple):
        return None
    numbers = [float(part) for part in value]
    # Positions of kilometres are damage; they would make boxes and offsets meaningless.
    return numbers if all(abs(number) < 1e9 for number in numbers) else None


def _code_meanings(items: Any) -> list[str] | None:
    """Code meanings of a code sequence; an item without one is an item all the same: an agent was given."""
    if not items:
        return None
    return [str(item.get("CodeMeaning", "") or item.get("CodeValue", "") or "unnamed") for item in items]


def _coded_texts(items: Any) -> list[str] | None:
    """Return code values with their meanings: of a diagnosis both count."""
    texts = [f"{item.get('CodeValue', '')} {item.get('CodeMeaning', '')}".strip() for item in items or ()]
    return [text for text in texts if text] or None


def _requested(items: Any) -> list[str] | None:
    """Return the descriptions of requested procedure and scheduled step (PS3.3 table 10-9)."""
    keywords = ("RequestedProcedureDescription", "ScheduledProcedureStepDescription")
    return [str(item.get(keyword)) for item in items or () for keyword in keywords if item.get(keyword)] or None
