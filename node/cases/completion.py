"""Whether the content of a case is complete: three roles, their slices, and a contour that reaches all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from node.cases.contour_choice import Contours, Structure, outside
from node.cases.series_roles import ROLES, RoleDecision
from node.cases.series_summary import SeriesSummary

Outcome = Literal["incomplete", "held"]
CONTOUR, REGISTRATION = "contour", "registration"


@dataclass(frozen=True)
class Gap:
    """Something that the content lacks (incomplete) or leaves open (held).

    lacks : what a PACS may still have: a role, CONTOUR, REGISTRATION, or the UID of a series that has a gap.
    """

    outcome: Outcome
    code: str
    text: str
    lacks: str = ""


def role_gaps(
    decisions: Sequence[RoleDecision], series: Mapping[str, SeriesSummary], min_confidence: float
) -> list[Gap]:
    """Roles that no series holds, or that are an open question."""
    gaps = []
    for role in ROLES:
        if any(one.role == role and one.confidence >= min_confidence for one in decisions):
            continue
        leaning = [one for one in decisions if one.role == "ambiguous" and one.leaning == role]
        unsure = [one for one in decisions if one.role == role]
        if leaning or unsure:
            named = "; ".join(f"{series[one.series_instance_uid].name}: {one.reason}" for one in [*unsure, *leaning])
            gaps.append(Gap("held", "ambiguous_series", f"Which series is the {role} needs a decision. {named}"))
            continue
        rejected = [one for one in decisions if one.role == "other" and one.reason.startswith(f"{role}, but")]
        hint = "".join(f" {series[one.series_instance_uid].name} is {one.reason}" for one in rejected[:3])
        open_ones = [one for one in decisions if one.role == "ambiguous" and one.leaning is None]
        if not hint and open_ones:
            hint = "".join(f" It may be {series[one.series_instance_uid].name}: {one.reason}" for one in open_ones[:2])
        gaps.append(Gap("incomplete", "missing_series", f"The {role} series is missing.{hint}", role))
    return gaps


def geometry_gaps(chosen: Mapping[str, SeriesSummary]) -> list[Gap]:
    """Defects of the stacks that would be used."""
    gaps = []
    for role, summary in chosen.items():
        for code, text in summary.stack.findings:
            missing = code == "missing_slice"
            lacks = summary.series_instance_uid if missing else ""
            gaps.append(Gap("incomplete" if missing else "held", code, f"{role} {summary.name}: {text}.", lacks))
    return gaps


def contour_gaps(
    contours: Contours, chosen: Mapping[str, SeriesSummary], by_series: Mapping[str, Structure]
) -> list[Gap]:
    """Why a contour is missing, unclear, elsewhere or too short."""
    mismatch = "frame_of_reference_mismatch"
    gaps = [Gap("held", code, text, REGISTRATION if code == mismatch else "") for code, text in contours.findings]
    if contours.best is None:
        if not gaps:
            note = "".join(f" {text}" for text in contours.notes)
            gaps.append(
                Gap("incomplete", "missing_contour", f"The contour of the primary tumour is missing.{note}", CONTOUR)
            )
        return gaps
    for role, summary in chosen.items():
        structure = by_series.get(summary.series_instance_uid)
        if structure is None:
            text = (
                f"{contours.best.name} is not in the frame of reference of the {role} {summary.name}, "
                "and no rigid registration joins them."
            )
            gaps.append(Gap("held", mismatch, text, REGISTRATION))
        elif (sentence := outside(structure, summary)) is not None:
            gaps.append(Gap("held", "contour_not_covered", sentence))
    return gaps
