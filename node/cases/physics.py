"""Acquisition physics of a header, before any name is read: one form for all vendors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from node.cases import vocabulary

Family = Literal["SE", "GR", "unknown"]

EPI_FINEST_PIXEL_MM = 0.4
_EPI_NAME = re.compile(r"^\*?(?:ep(?!fse)|seepi|feepi|mbep|se_?epi|fe_?epi|epi)")
_SPLIT = re.compile(r"[\\_,;\s/+]+")


@dataclass(frozen=True)
class Physics:
    """The acquisition as a header states it, in one form for all vendors; None where absent or impossible.

    Attributes
    ----------
    family : {"SE", "GR", "unknown"}
        Spin echo or gradient echo.
    echo_planar : bool
        Whether echo-planar imaging is stated.
    inverted : bool
        Whether an inversion pulse is stated (IR), or an inversion time is given.
    prepared : bool
        Whether it is a magnetisation-prepared gradient echo.
    three_d, spoiled : bool or None
        MR Acquisition Type, and whether transverse magnetisation is spoiled.
    repetition_time_ms, echo_time_ms, inversion_time_ms : float or None
        Greater than 0.
    flip_angle_deg : float or None
        Greater than 0.
    echo_train_length : int
        0 where it is not given.
    maybe_epi : bool
        Segmented k-space without anything that tells a turbo spin echo from an echo-planar sequence.
    sequence_words : str
        Plain text of the sequence names.
    """

    family: Family
    echo_planar: bool
    inverted: bool
    prepared: bool
    three_d: bool | None
    spoiled: bool | None
    repetition_time_ms: float | None
    echo_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    echo_train_length: int
    maybe_epi: bool
    sequence_words: str


def physics_of(header: Mapping[str, Any]) -> Physics:
    """Read the acquisition of one header.

    Parameters
    ----------
    header : mapping of DICOM keyword to value
        As `header_of` or any converter writes it; values may be lists, joined text or numbers as text.

    Returns
    -------
    Physics
        Values that contradict each other or are not greater than 0 are None.

    References
    ----------
    PS3.3 C.8.3.1 (MR Image), C.8.13 (Enhanced MR).
    """
    scanning = {part.upper() for part in parts_of(header.get("ScanningSequence"))}
    variant = {part.upper() for part in parts_of(header.get("SequenceVariant"))}
    options = {part.upper() for part in parts_of(header.get("ScanOptions"))}
    image_type = {part.upper() for part in parts_of(header.get("ImageType"))}
    words = vocabulary.plain_text(header.get("SequenceName"), header.get("PulseSequenceName"), *scanning)
    repetition = _positive(header, "RepetitionTime")
    inversion = _positive(header, "InversionTime")
    if inversion is not None and repetition is not None and inversion > repetition and "GR" not in scanning:
        inversion = None  # impossible for a spin echo: TI is a part of TR
    acquisition = str(header.get("MRAcquisitionType") or "").upper()
    echo_train = _positive(header, "EchoTrainLength")
    return Physics(
        family=_family(header, scanning, image_type, words),
        echo_planar=_echo_planar(header, scanning),
        inverted="IR" in scanning | options or inversion is not None or header.get("InversionRecovery") == "YES",
        prepared="MP" in variant or bool(re.search(r"\btfl|rage|tfe", words)),
        three_d={"3D": True, "2D": False}.get(acquisition),
        spoiled=_spoiled(header, variant),
        repetition_time_ms=repetition,
        echo_time_ms=_positive(header, "EchoTime"),
        inversion_time_ms=inversion,
        flip_angle_deg=_positive(header, "FlipAngle"),
        echo_train_length=int(echo_train or 0),
        maybe_epi=variant == {"SK"} and echo_train is None and not _names_turbo(words) and not _finer_than_epi(header),
        sequence_words=words,
    )  # fmt: skip


def parts_of(value: Any) -> list[str]:
    r"""Split the values of a multi-valued keyword at any separator of a converter ("GR\IR", "SK_SP", a list)."""
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [part for one in values for part in _SPLIT.split(str(one)) if part]


def pixel_spacing_mm(header: Mapping[str, Any]) -> float | None:
    """Return the coarser of the two in-plane pixel spacings in mm, or None."""
    numbers = numbers_of(header.get("PixelSpacing"))
    return max(numbers) if len(numbers) == 2 and min(numbers) > 0 else None


def numbers_of(value: Any) -> list[float]:
    """Read the numbers of a header value.

    Parameters
    ----------
    value : Any
        A number, text with backslashes, a list, or None.

    Returns
    -------
    list of float
        Empty when any part is not a finite number: half of a vector is no vector.
    """
    values = value if isinstance(value, list | tuple) else [] if value is None else str(value).split("\\")
    try:
        numbers = [float(part) for part in values]
    except (TypeError, ValueError):
        return []
    return numbers if all(math.isfinite(number) for number in numbers) else []


def _positive(header: Mapping[str, Any], keyword: str) -> float | None:
    numbers = numbers_of(header[keyword] if isinstance(header.get(keyword), list) else [header.get(keyword)])
    return numbers[0] if numbers and numbers[0] > 0 else None


def _family(header: Mapping[str, Any], scanning: set[str], image_type: set[str], words: str) -> Family:
    echo = str(header.get("EchoPulseSequence") or "").upper()
    # Spin echo first: GRASE and other hybrids state both and have spin-echo contrast.
    if "SE" in scanning or echo in ("SPIN", "BOTH") or "SE" in image_type:
        return "SE"
    if "GR" in scanning or echo == "GRADIENT" or "FFE" in image_type or "FFE" in scanning:
        return "GR"
    if re.search(r"\b(?:t1 tfe|tfe|ffe|t1tfe|t1ffe)\b", words) or vocabulary.GRADIENT_ECHO_SEQUENCE.search(words):
        return "GR"
    # IR alone: inversion recovery is read out by spin echoes unless a gradient echo is stated.
    if vocabulary.SPIN_ECHO_SEQUENCE.search(words) or "IR" in scanning:
        return "SE"
    return "unknown"


def _echo_planar(header: Mapping[str, Any], scanning: set[str]) -> bool:
    names = (str(header.get("SequenceName") or "").lower(), str(header.get("PulseSequenceName") or "").lower())
    stated = "EP" in scanning or str(header.get("EchoPlanarPulseSequence") or "").upper() == "YES"
    return stated or any(_EPI_NAME.match(name) for name in names)


def _spoiled(header: Mapping[str, Any], variant: set[str]) -> bool | None:
    if "SP" in variant or "MP" in variant or "RF" in str(header.get("Spoiling") or "").upper():
        return True
    if str(header.get("SteadyStatePulseSequence") or "").upper() in ("FREE_PRECESSION", "TRANSVERSE", "TIME_REVERSED"):
        return False
    # Steady state without spoiling; without either term the vendor has not said it.
    return False if "SS" in variant else None


def _finer_than_epi(header: Mapping[str, Any]) -> bool:
    """Return whether the pixels are too fine for EPI: acquired at 1.5 mm or coarser, interpolated at most fourfold."""
    spacing = pixel_spacing_mm(header)
    return spacing is not None and spacing <= EPI_FINEST_PIXEL_MM


def _names_turbo(words: str) -> bool:
    return bool(re.search(r"tse|fse|spc|haste|grase|cube|vista", words))
