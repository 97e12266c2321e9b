"""What may tell the volumes of one series apart: attributes of images, from general ones to times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.messages.message import message
from node.cases.dates import dicom_moment
from node.cases.physics import numbers_of
from node.cases.slice_rules import complex_component

Header = Mapping[str, Any]

TIME_KEYWORDS = frozenset(
    {"TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber", "AcquisitionTime", "ContentTime"}
)
"""What tells volumes of different times apart; volumes that differ otherwise are images of one acquisition."""

# Values of Image Type and Frame Type of Dixon acquisitions, as scanners and PS3.3 C.8.13.3.1.1 have them.
MEANINGS: Mapping[str, str] = {
    "W": "water", "WATER": "water", "IP": "in-phase", "IN": "in-phase", "IN_PHASE": "in-phase", "INPHASE": "in-phase",
    "OP": "opposed-phase", "OPP": "opposed-phase", "OUT": "opposed-phase", "OUT_PHASE": "opposed-phase",
    "OPP_PHASE": "opposed-phase", "OUT_OF_PHASE": "opposed-phase", "OPPOSED_PHASE": "opposed-phase",
    "OUTPHASE": "opposed-phase", "F": "fat", "FAT": "fat", "FF": "fat fraction", "FAT_FRACTION": "fat fraction",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Image:
    """One image: an instance, or a frame of one.

    Attributes
    ----------
    header : mapping
        Of its object.
    frame : int
        Frame number from 1; 0 for an instance of a single image.
    offset_mm : float
        Place along the normal of its stack.
    stack : int
        Number of the stack: images of one plane, size, pixel spacing and frame of reference.
    """

    header: Header
    frame: int
    offset_mm: float
    stack: int

    def value(self, keyword: str) -> Any:
        """Return the value of a keyword of classic MR: of its frame, else of the object."""
        column = self.header.get("FrameValues", {}).get(keyword) if self.frame else None
        return self.header.get(keyword) if column is None else column["values"][column["of"][self.frame - 1]]

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID of its object."""
        return str(self.header.get("SOPInstanceUID") or "")


def component_of(image: Image) -> str:
    """Return which part of the complex signal the image shows (see `complex_component`)."""
    image_type = image.value("ImageType") or ()
    component = image.value("ComplexImageComponent")
    return complex_component(image_type if isinstance(image_type, list | tuple) else (), component)


@dataclass(frozen=True)
class Attribute:
    """What may tell volumes apart.

    Attributes
    ----------
    keyword : str
        Keyword of classic MR.
    of : callable
        Image -> a value that can be hashed and sorted, or None.
    name, text : callable
        Value -> a short name, and words for a sentence.
    """

    keyword: str
    of: Callable[[Image], Any]
    name: Callable[[Any], str]
    text: Callable[[Any], str]


DIMENSION = "Dimension"  # and its number: indices of the dimensions of Enhanced objects


def _number(keyword: str, prefix: str, decimals: int = 2) -> Attribute:
    def of(image: Image) -> float | None:
        numbers = numbers_of([image.value(keyword)])
        return round(numbers[0], decimals) if numbers else None

    def shown(value: float | None) -> str:
        return "none" if value is None else f"{value:g}"

    # Enhanced objects have up to nine dimensions.
    numbered = {"number": keyword.removeprefix(DIMENSION)} if keyword.startswith(DIMENSION) else {}
    key = f"volume.{DIMENSION if numbered else keyword}"

    def text(value: float | None) -> str:
        return message(key, value=message("volume.none") if value is None else f"{value:g}", **numbered)

    return Attribute(keyword, of, lambda v: f"{prefix}-{shown(v)}", text)


def _image_type() -> Attribute:
    plain = _texts("ImageType")

    def text(value: tuple[str, ...] | None) -> str:
        meanings = dict.fromkeys(MEANINGS[part.upper()] for part in value or () if part.upper() in MEANINGS)
        if not meanings:
            return plain.text(value)
        return message("volume.image_type_meaning", value="\\".join(value or ()), meaning=" ".join(meanings))

    return Attribute(plain.keyword, plain.of, plain.name, text)


def _texts(keyword: str) -> Attribute:
    def of(image: Image) -> tuple[str, ...] | None:
        value = image.value(keyword)
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(str(each) for each in values if each not in (None, "")) or None

    def name(value: tuple[str, ...] | None) -> str:
        return "-".join(value) if value else "none"

    return Attribute(
        keyword, of, name, lambda v: message(f"volume.{keyword}", value="\\".join(v) if v else message("volume.none"))
    )


def _moment(keyword: str, of: Callable[[Image], Any], prefix: str) -> Attribute:
    # Never called for None: images without a time are not in an order of time.
    return Attribute(
        keyword, of, lambda v: f"{prefix}-{v:%H%M%S}", lambda v: message(f"volume.{prefix}", time=f"{v:%H:%M:%S}")
    )


def _acquired(image: Image) -> Any:
    header = image.header
    day = header.get("AcquisitionDate") or header.get("SeriesDate")
    return dicom_moment(image.value("AcquisitionDateTime"), day, header.get("AcquisitionTime"), _study(header))


def _created(image: Image) -> Any:
    header = image.header
    return dicom_moment(None, header.get("ContentDate"), header.get("ContentTime"), _study(header))


def _study(header: Header) -> tuple[Any, Any]:
    return header.get("StudyDate"), header.get("StudyTime")


VALUES = (
    _image_type(),
    _number("EchoTime", "te", 1),
    _number("EchoNumbers", "echo"),
    _number("DiffusionBValue", "b"),
    _number("InversionTime", "ti", 0),
    _number("FlipAngle", "fa"),
    _texts("ContrastBolusAgent"),
    _texts("ScanOptions"),
    _texts("SequenceName"),
    _texts("SeriesDescription"),
    _number("TemporalPositionIdentifier", "time"),
    _texts("StackID"),
    _number("RepetitionTime", "tr", 0),
    *(_number(f"{DIMENSION}{number}", f"dimension{number}") for number in range(1, 9)),
)
TIMES = (
    _number("TriggerTime", "trigger", 1),
    _number("AcquisitionNumber", "acquisition"),
    _moment("AcquisitionTime", _acquired, "acquired"),
)
# After the comparison of pixels: an image that is written again has another time of its own.
CONTENT_TIME = _moment("ContentTime", _created, "created")

INSTANCE_NUMBER = _number("InstanceNumber", "instance")
