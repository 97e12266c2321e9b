"""Roles of single headers: T1w, T2w or CE-T1w by physics first and names second, and ambiguous instead of a guess.

`classify_header` classifies one header by itself: weighting and contrast, in any plane. What depends on the study
(plane, number of slices, one of several series, a second T1w after contrast) is in `series_context`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from config.indication.nasopharynx import NASOPHARYNX
from config.messages.message import message
from config.settings import SeriesRules
from node.cases.physics import Physics, numbers_of, physics_of, pixel_spacing_mm
from node.cases.series_names import Naming, naming_of
from node.cases.weighting import Weighting, weighting_of

Role = Literal["T1w", "T2w", "CE-T1w", "other", "ambiguous"]
ROLES: tuple[Role, ...] = tuple(role.value for role in NASOPHARYNX.series_roles)

# Confidences, against the least one of a role (0.7 by default). A name that agrees adds to the strength of the physics,
# more where that is weak; without usable physics, two independent names are enough and one is not.
GAIN_STRONG, GAIN_FAIR, GAIN_WEAK = 0.1, 0.2, 0.3
TWO_WITNESSES, ONE_WITNESS, CONTRADICTION, NOTHING = 0.75, 0.6, 0.4, 0.3
MAX_CONFIDENCE = 0.97
NAMES_DISAGREE = 0.72
DERIVED = 0.72  # derived and secondary without a stated reason: exports of workstations and PACS, and resampled series
EXCLUDED_BY_HEADER, EXCLUDED_BY_NAME = 0.95, 0.9


@dataclass(frozen=True)
class RoleDecision:
    """The role of one series.

    Attributes
    ----------
    series_instance_uid : str
        The series; empty for a header without one.
    role : {"T1w", "T2w", "CE-T1w", "other", "ambiguous"}
        Its role.
    confidence : float
        In [0, 1].
    reason : str
        One sentence or more for `explain`.
    possible_role : Role or None
        The role that an ambiguous series most likely has; None where it may be any.
    key, volume : str
        Of the summary that it is about; `volume` is empty where the series is one volume.
    other_part : str
        Key of this series joined with another one that may be the rest of its acquisition.
    """

    series_instance_uid: str
    role: Role
    confidence: float
    reason: str
    possible_role: Role | None = None
    key: str = ""
    volume: str = ""
    other_part: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `cptdn classify --json` and `studies explain --json`."""
        return {
            "series_instance_uid": self.series_instance_uid,
            "volume": self.volume,
            "role": self.role,
            "confidence": round(self.confidence, 2),
            "reason": self.reason,
        }


def classify_header(header: Mapping[str, Any], rules: SeriesRules) -> RoleDecision:
    """Classify one header by itself.

    Parameters
    ----------
    header : mapping of DICOM keyword to value
        As `header_of` or any converter writes it; unknown keys are ignored.
    rules : SeriesRules
        Thresholds of the site.

    Returns
    -------
    RoleDecision
        "ambiguous" where the confidence is below `rules.min_confidence`; its reason names the possible role.
    """
    uid = str(header.get("SeriesInstanceUID") or "")
    naming, physics = naming_of(header), physics_of(header)
    decision = _excluded(header, naming, physics, rules) or _classify(naming, physics, rules)
    if decision.role in ROLES and decision.confidence < rules.min_confidence:
        possible = decision.role
        reason = message("role.perhaps", reason=decision.reason, role=possible)
        decision = replace(decision, role="ambiguous", possible_role=possible, reason=reason)
    return replace(decision, series_instance_uid=uid)


def _excluded(header: Mapping[str, Any], naming: Naming, physics: Physics, rules: SeriesRules) -> RoleDecision | None:
    if naming.not_a_role:
        by_name = "(named" in naming.not_a_role
        return _other(
            message("role.it_is", what=naming.not_a_role), EXCLUDED_BY_NAME if by_name else EXCLUDED_BY_HEADER
        )
    # GRASE combines spin echoes with short EPI trains and has spin-echo contrast.
    if physics.echo_planar and "grase" not in naming.text:
        return _other(message("role.echo_planar"), EXCLUDED_BY_HEADER)
    if _number(header, "DiffusionBValue") > 0:
        return _other(message("role.diffusion"), EXCLUDED_BY_HEADER)
    # The phases of a dynamic series differ in contrast; which of them would be the CE-T1w is not stated.
    if _number(header, "NumberOfTemporalPositions") > 1:
        return _other(message("role.dynamic"), EXCLUDED_BY_NAME)
    spacing = pixel_spacing_mm(header)
    if spacing is not None and spacing >= rules.max_pixel_spacing_mm:
        return _other(message("role.coarse_pixels", spacing=spacing), 0.8)
    if _is_flair(naming, physics, rules):
        return _other(message("role.flair"), EXCLUDED_BY_NAME)
    return None


def _is_flair(naming: Naming, physics: Physics, rules: SeriesRules) -> bool:
    """Return whether it is a T2 FLAIR; a "T1 FLAIR" is a T1w series with an inversion pulse and a short echo."""
    short_echo = physics.echo_time_ms is not None and physics.echo_time_ms <= rules.t1_max_echo_time_ms + 10
    return naming.flair and not (naming.weightings == {"T1"} or short_echo)


def _classify(naming: Naming, physics: Physics, rules: SeriesRules) -> RoleDecision:
    weighting = weighting_of(physics, rules)
    if naming.stir and weighting.kind in ("T2", "none"):
        nulls_fat = physics.inversion_time_ms is None or physics.inversion_time_ms <= rules.stir_max_inversion_time_ms
        weighting = (
            Weighting("STIR", 0.85, message("role.named_stir", because=weighting.because)) if nulls_fat else weighting
        )
    if weighting.kind == "STIR":
        return _stir(weighting, rules)
    if weighting.kind == "other":
        # Physics that is not beyond doubt does not override a name: a person decides.
        if naming.weightings and weighting.strength < EXCLUDED_BY_NAME:
            return _unsure(
                message("role.although_named", because=weighting.because, named=sorted(naming.weightings)),
                CONTRADICTION,
            )
        return _other(message("role.none_of_three", because=weighting.because), weighting.strength)
    kind, confidence, because = _agree(weighting, naming)
    if kind is None:
        return _unsure(because, confidence)
    # Below the least confidence of a role: a question where no original has the role.
    if naming.part_of:
        confidence, because = (
            min(confidence, ONE_WITNESS),
            message("role.original_wanted", because=because, what=naming.part_of),
        )
    if naming.derived and confidence > DERIVED:
        confidence, because = DERIVED, message("role.derived", because=because)
    if kind == "T2":
        return RoleDecision("", "T2w", confidence, message("role.t2", because=because))
    return _t1(naming, confidence, because)


def _agree(weighting: Weighting, naming: Naming) -> tuple[str | None, float, str]:
    """Return one kind from physics and names, or None when they contradict each other or state nothing."""
    named = naming.weightings
    # Physics decides, with less confidence than without the contradiction.
    if len(named) > 1:
        because = message("role.both_named", because=weighting.because)
        if weighting.kind == "none":
            return None, NOTHING, because
        return weighting.kind, min(weighting.strength, NAMES_DISAGREE), because
    name = next(iter(named), None)
    if weighting.kind == "none":
        if name is None:
            return None, NOTHING, message("role.not_named", because=weighting.because)
        if weighting.because.startswith("TR and TE"):  # neither is given: the names are all there is
            strength = TWO_WITNESSES if naming.witnesses > 1 else ONE_WITNESS
            return name, strength, message("role.named_but", name=name, because=weighting.because)
        return None, CONTRADICTION, message("role.named_but", name=name, because=weighting.because)
    if name is None:
        return weighting.kind, weighting.strength, weighting.because
    if name != weighting.kind:
        # No vote between name and physics: a wrong series gives a wrong prognosis, a question only costs time.
        return (
            None,
            CONTRADICTION,
            message("role.named_but_indicates", name=name, because=weighting.because, kind=weighting.kind),
        )
    gain = GAIN_WEAK if weighting.strength < 0.5 else GAIN_STRONG if weighting.strength > 0.7 else GAIN_FAIR
    return (
        name,
        min(MAX_CONFIDENCE, weighting.strength + gain),
        message("role.and_named", because=weighting.because, name=name),
    )


def _t1(naming: Naming, confidence: float, because: str) -> RoleDecision:
    if naming.contrast == "given":
        return RoleDecision(
            "", "CE-T1w", confidence, message("role.t1", because=because, contrast=naming.contrast_because)
        )
    # A header that contradicts itself about the contrast agent is not resolved here: a person decides.
    if naming.contrast == "contradictory":
        text = message("role.t1", because=because, contrast=naming.contrast_because)
        return RoleDecision("", "ambiguous", CONTRADICTION, text, "CE-T1w")
    return RoleDecision("", "T1w", confidence, message("role.t1", because=because, contrast=naming.contrast_because))


def _stir(weighting: Weighting, rules: SeriesRules) -> RoleDecision:
    if rules.stir_as_t2w:
        return RoleDecision("", "T2w", weighting.strength, message("role.stir_taken", because=weighting.because))
    text = message("role.stir_not_taken", because=weighting.because)
    return RoleDecision("", "ambiguous", 0.5, message("role.sentence", text=text), "T2w")


def _other(text: str, confidence: float) -> RoleDecision:
    return RoleDecision("", "other", confidence, text)


def _unsure(because: str, confidence: float) -> RoleDecision:
    return RoleDecision("", "ambiguous", confidence, f"{because[:1].upper()}{because[1:]}.")


def _number(header: Mapping[str, Any], keyword: str) -> float:
    numbers = numbers_of([header.get(keyword)] if not isinstance(header.get(keyword), list) else header[keyword])
    return numbers[0] if numbers else 0.0
