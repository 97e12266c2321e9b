"""Header physics: from TR, TE, TI, flip angle and echo train to a weighting, before any name is read.

A weighting is judged by how the signal forms. Spin echo: short TR and TE give T1, long TR and TE give T2. Spoiled
gradient echo: a flip angle above the Ernst angle of tissue (arccos exp(-TR/T1)) with a short TE gives T1. After an
inversion, TI tells STIR (nulls fat) from T1 contrast and from FLAIR (nulls water).
Source of the thresholds: SeriesRules; of the relations: Bernstein, King, Zhou, Handbook of MRI Pulse Sequences, 2004.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.settings import SeriesRules
from node.cases import vocabulary

Family = Literal["SE", "GR", "unknown"]
Kind = Literal["T1", "T2", "STIR", "other", "none"]

TISSUE_T1_MS = 900.0  # white matter and muscle at 1.5-3 T; the Ernst angle depends only weakly on it
STRONG, FAIR, WEAK, PARTIAL = 0.85, 0.74, 0.6, 0.45
EPI_FINEST_PIXEL_MM = 0.4
SHORTEST_REPETITION_MS = 1.5  # shorter ones were written in seconds
SHORTEST_ECHO_MS = {"SE": 2.0, "GR": 0.3, "unknown": 0.3}
_EPI_NAME = re.compile(r"^\*?(?:ep(?!fse)|seepi|feepi|mbep|se_?epi|fe_?epi|epi)")
_SPLIT = re.compile(r"[\\_,;\s/+]+")


@dataclass(frozen=True)
class Physics:
    """What the header says about the acquisition. Times in ms, angles in degrees; None where absent or impossible."""

    family: Family
    echo_planar: bool
    inverted: bool  # an inversion pulse is stated (IR) or an inversion time is given
    prepared: bool  # magnetisation-prepared gradient echo
    three_d: bool | None
    spoiled: bool | None
    repetition_time_ms: float | None
    echo_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    echo_train_length: int
    maybe_epi: bool  # segmented k-space, and nothing that tells a turbo spin echo from an EPI
    sequence_words: str


@dataclass(frozen=True)
class Weighting:
    """A judgement: kind, strength in [0, 1], and the half sentence that explains it."""

    kind: Kind
    strength: float
    because: str


def physics_of(header: Mapping[str, Any]) -> Physics:
    """Read one header's physics; every vendor's way of writing the same thing ends in one form."""
    scanning = {part.upper() for part in parts_of(header.get("ScanningSequence"))}
    variant = {part.upper() for part in parts_of(header.get("SequenceVariant"))}
    options = {part.upper() for part in parts_of(header.get("ScanOptions"))}
    image_type = {part.upper() for part in parts_of(header.get("ImageType"))}
    words = vocabulary.plain_text(header.get("SequenceName"), header.get("PulseSequenceName"), *scanning)
    repetition = _positive(header, "RepetitionTime")
    inversion = _positive(header, "InversionTime")
    if inversion is not None and repetition is not None and inversion > repetition and "GR" not in scanning:
        inversion = None  # contradicts itself: a spin echo cannot wait longer for its pulse than it repeats
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


def weighting_of(physics: Physics, rules: SeriesRules) -> Weighting:
    """The weighting that physics alone supports; kind "none" where it says nothing."""
    if physics.repetition_time_ms is None or physics.echo_time_ms is None:
        return _partial(physics, rules)
    if physics.repetition_time_ms < SHORTEST_REPETITION_MS or physics.echo_time_ms < SHORTEST_ECHO_MS[physics.family]:
        return Weighting("none", 0.0, f"{_times(physics)} are no times in milliseconds for such a sequence")
    if physics.family == "GR":
        return _gradient_echo(physics, rules)
    if physics.inverted and physics.family == "SE":
        return _inversion_recovery(physics, rules)
    if physics.family == "SE":
        return _spin_echo(physics, rules)
    return _by_times_alone(physics, rules)


def parts_of(value: Any) -> list[str]:
    """Values of a multi-valued keyword, whatever separator a converter left in it ("GR\\IR", "SK_SP", a list)."""
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [part for one in values for part in _SPLIT.split(str(one)) if part]


def pixel_spacing_mm(header: Mapping[str, Any]) -> float | None:
    """The coarser of the two in-plane pixel spacings, mm."""
    numbers = numbers_of(header.get("PixelSpacing"))
    return max(numbers) if len(numbers) == 2 and min(numbers) > 0 else None


def numbers_of(value: Any) -> list[float]:
    """Finite numbers of a header value; empty when any part is not a number."""
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
    if "SE" in scanning or echo in ("SPIN", "BOTH") or "SE" in image_type:
        return "SE"
    if "GR" in scanning or echo == "GRADIENT" or "FFE" in image_type or "FFE" in scanning:
        return "GR"
    if re.search(r"\b(?:t1 tfe|tfe|ffe|t1tfe|t1ffe)\b", words) or vocabulary.GRADIENT_ECHO_SEQUENCE.search(words):
        return "GR"
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
    return False if "SS" in variant else None


def _finer_than_epi(header: Mapping[str, Any]) -> bool:
    """EPI is acquired at 1.5 mm or coarser and interpolated at most fourfold."""
    spacing = pixel_spacing_mm(header)
    return spacing is not None and spacing <= EPI_FINEST_PIXEL_MM


def _names_turbo(words: str) -> bool:
    return bool(re.search(r"tse|fse|spc|haste|grase|cube|vista", words))


def _times(physics: Physics) -> str:
    parts = [f"TR {physics.repetition_time_ms:.4g} ms"] if physics.repetition_time_ms is not None else []
    if physics.echo_time_ms is not None:
        parts.append(f"TE {physics.echo_time_ms:.3g} ms")
    if physics.inversion_time_ms is not None:
        parts.append(f"TI {physics.inversion_time_ms:.4g} ms")
    if physics.family == "GR" and physics.flip_angle_deg is not None:
        parts.append(f"flip angle {physics.flip_angle_deg:.3g} deg")
    return ", ".join(parts)


def _spin_echo(physics: Physics, rules: SeriesRules) -> Weighting:
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    said = f"spin echo, {_times(physics)}"
    train = physics.echo_train_length >= rules.t2_min_echo_train or physics.three_d is True
    if echo > rules.max_echo_time_ms:
        return Weighting("other", 0.9, f"{said}: hydrography")
    if echo >= rules.t2_min_echo_time_ms:
        if repetition >= rules.t2_min_repetition_time_ms:
            if physics.maybe_epi:
                return Weighting("T2", WEAK, f"{said}: may be an echo-planar sequence")
            return Weighting("T2", STRONG, said)
        if train and not (repetition <= rules.t1_max_repetition_time_ms and physics.echo_train_length < 20):
            return Weighting("T2", FAIR, f"{said}, echo train")
        if repetition > rules.t1_max_repetition_time_ms:
            return Weighting("T2", PARTIAL, f"{said}: TR near the limit")
        return Weighting("none", 0.0, f"{said}: short TR with long TE fits no weighting")
    if repetition <= rules.t1_max_repetition_time_ms and echo <= rules.t1_max_echo_time_ms:
        return Weighting("T1", STRONG if repetition >= 100 else FAIR, said)
    if echo >= 0.8 * rules.t2_min_echo_time_ms and repetition >= rules.t2_min_repetition_time_ms:
        return Weighting("T2", PARTIAL, f"{said}: TE near the limit")
    if repetition <= 1.5 * rules.t1_max_repetition_time_ms and echo <= rules.t1_max_echo_time_ms:
        return Weighting("T1", PARTIAL, f"{said}: TR near the limit")
    if repetition >= rules.t2_min_repetition_time_ms and echo <= rules.t1_max_echo_time_ms + 10:
        return Weighting("other", FAIR, f"{said}: long TR with short TE is proton-density weighting")
    return Weighting("none", 0.0, f"{said}: between the weightings")


def _inversion_recovery(physics: Physics, rules: SeriesRules) -> Weighting:
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    inversion = physics.inversion_time_ms
    said = f"inversion recovery, {_times(physics)}"
    if inversion is None:
        if echo >= rules.t2_min_echo_time_ms and repetition >= rules.t2_min_repetition_time_ms:
            return Weighting("none", 0.0, f"{said}: STIR or FLAIR, the inversion time is missing")
        return Weighting("T1" if echo <= rules.t1_max_echo_time_ms else "none", PARTIAL, said)
    if inversion <= rules.stir_max_inversion_time_ms and repetition > rules.t1_max_repetition_time_ms:
        return Weighting("STIR", STRONG, f"{said}: the inversion nulls fat")
    if echo > rules.t1_max_echo_time_ms + 10:
        if inversion >= rules.flair_min_inversion_time_ms:
            return Weighting("other", 0.9, f"{said}: FLAIR, the inversion nulls water")
        return Weighting("none", 0.0, f"{said}: fits no weighting")
    if inversion <= rules.t1_max_inversion_time_ms and inversion < 0.7 * repetition:
        fits = 2 * inversion <= repetition
        return Weighting("T1", FAIR if fits else PARTIAL, f"{said}: T1 inversion recovery")
    return Weighting("none", 0.0, f"{said}: a long inversion time with a short echo")


def _gradient_echo(physics: Physics, rules: SeriesRules) -> Weighting:
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    said = f"gradient echo, {_times(physics)}"
    if echo > rules.gr_t1_max_echo_time_ms:
        if echo <= 1.5 * rules.gr_t1_max_echo_time_ms and _above_ernst(physics, 1.2) and repetition < 100:
            return Weighting("T1", WEAK, f"{said}: TE long for T1")
        return Weighting("other", FAIR, f"{said}: a long TE gives T2* weighting")
    inverted = physics.inversion_time_ms is not None and physics.inversion_time_ms >= 300
    if (physics.prepared or inverted) and physics.three_d is not False:
        return Weighting("T1", STRONG, f"magnetisation-prepared {said}")
    if repetition > rules.gr_t1_max_repetition_time_ms:
        return Weighting("none", 0.0, f"{said}: TR too long for T1 weighting")
    if physics.flip_angle_deg is None:
        return Weighting("T1", PARTIAL, f"{said}, flip angle not given")
    if not _above_ernst(physics, 1.0):
        return Weighting("none", 0.0, f"{said}: below the Ernst angle, proton-density weighting")
    clear = _above_ernst(physics, 1.2) and physics.spoiled is not False and physics.three_d is not False
    if "FC" in physics.sequence_words.upper().split():
        clear = False
    return Weighting("T1", STRONG if clear else WEAK, f"{said}: above the Ernst angle")


def _above_ernst(physics: Physics, factor: float) -> bool:
    if physics.flip_angle_deg is None or physics.repetition_time_ms is None:
        return False
    ernst = math.degrees(math.acos(math.exp(-physics.repetition_time_ms / TISSUE_T1_MS)))
    return physics.flip_angle_deg >= factor * ernst


def _by_times_alone(physics: Physics, rules: SeriesRules) -> Weighting:
    """TR and TE without a stated sequence family: a diffusion, FLAIR or field-map series has such times too.

    So the times only support a name, never decide alone.
    """
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    said = f"{_times(physics)}, sequence type not stated"
    if physics.inverted and physics.inversion_time_ms is not None and physics.inversion_time_ms > 50:
        return _inversion_recovery(physics, rules) if echo > 12 else Weighting("T1", PARTIAL, said)
    if echo > rules.max_echo_time_ms and physics.three_d is not True:
        return Weighting("other", FAIR, f"{said}: hydrography")
    if echo >= rules.t2_min_echo_time_ms and repetition >= rules.t2_min_repetition_time_ms:
        flair_like = repetition >= rules.flair_min_repetition_time_ms and echo >= 100 and physics.echo_train_length < 2
        return Weighting("T2", PARTIAL if flair_like else WEAK, said)
    if 150 <= repetition <= rules.t1_max_repetition_time_ms and echo <= rules.t1_max_echo_time_ms:
        return Weighting("T1", WEAK, said)
    if repetition < 60 and echo <= rules.gr_t1_max_echo_time_ms:
        clear = _above_ernst(physics, 1.2) and physics.three_d is True
        return Weighting("T1", WEAK if clear else PARTIAL, f"{said}: gradient-echo times")
    return Weighting("none", 0.0, f"{said}: between the weightings")


def _partial(physics: Physics, rules: SeriesRules) -> Weighting:
    """One of TR and TE is missing: it can agree with a name, never decide."""
    repetition, echo = physics.repetition_time_ms, physics.echo_time_ms
    if repetition is None and echo is None:
        return Weighting("none", 0.0, "TR and TE are not given")
    said = f"{_times(physics)} ({'TE' if echo is None else 'TR'} not given)"
    if echo is not None:
        if echo > rules.max_echo_time_ms:
            return Weighting("none", 0.0, said)
        if echo >= rules.t2_min_echo_time_ms:
            return Weighting("T2", PARTIAL, said)
        return Weighting("T1" if echo <= rules.t1_max_echo_time_ms else "none", PARTIAL, said)
    if repetition is not None and repetition >= rules.t2_min_repetition_time_ms:
        return Weighting("T1" if physics.family == "GR" and physics.prepared else "T2", PARTIAL, said)
    return Weighting("T1", PARTIAL, said)
