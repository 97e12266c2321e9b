"""One look at a case: from headers and facts to a state, its reasons, and the frozen inputs when it is ready.

    headers -> series -> roles -> geometry --+
    structure sets -> contour by series -----+--> gaps ---+
    facts -> eligibility --------------------------------+--> state, reasons, explanation, request

A pure function: the same inputs give the same assessment, and it is linear in the number of instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from config.decision_policy import DecisionPolicy
from config.settings import Settings
from node.cases.case_inputs import CaseInputs, ComputeRequest, QuarantinedFile, StoredInstance
from node.cases.completion import Gap, contour_gaps, geometry_gaps, role_gaps
from node.cases.contour_choice import ContourObject, Contours, find_contours
from node.cases.eligibility import Eligibility, Judgement, judge
from node.cases.identity import identity_conflict
from node.cases.series_context import classify_series
from node.cases.series_roles import ROLES, RoleDecision
from node.cases.series_summary import SeriesSummary, summarise_series

__all__ = ["Assessment", "CaseInputs", "ComputeRequest", "QuarantinedFile", "StoredInstance", "assess_inputs"]

State = Literal["receiving", "incomplete", "held", "refused", "ready"]
NOT_SERIES = frozenset({"RTSTRUCT", "SEG", "REG"})


@dataclass(frozen=True)
class Assessment:
    """What the rules say about a case now.

    `request` is there when the state is ready, and when a refused case shall get a report that says so. `missing` names
    what a PACS may still have (see `Gap.missing`).
    """

    state: State
    reasons: tuple[Mapping[str, str], ...]
    series: tuple[Mapping[str, Any], ...]
    contour: Mapping[str, Any]
    clinical: Mapping[str, Any]
    eligibility: Mapping[str, Any]
    quality: tuple[Mapping[str, str], ...] = ()
    request: ComputeRequest | None = None
    reassess_at: datetime | None = None
    missing: tuple[str, ...] = ()

    def explain_json(self) -> dict[str, Any]:
        """The part of `studies explain` that the rules know."""
        return {
            "series": [dict(one) for one in self.series],
            "contour": dict(self.contour),
            "clinical": dict(self.clinical),
            "eligibility": dict(self.eligibility),
            "quality": [dict(one) for one in self.quality],
        }


@dataclass
class _Content:
    """The images and contours of a case, sorted out."""

    series: dict[str, SeriesSummary]
    decisions: list[RoleDecision]
    chosen: dict[str, SeriesSummary]
    contours: Contours
    by_series: dict[str, ContourObject]
    header: Mapping[str, Any]
    gaps: list[Gap] = field(default_factory=list)


def assess_inputs(
    inputs: CaseInputs, settings: Settings, policy: DecisionPolicy, now: datetime, open_associations: int = 0
) -> Assessment:
    """Look at one case.

    now : aware time. open_associations : associations that have touched the study and are not closed yet.
    """
    content = _content(inputs, settings)
    eligibility = judge(content.header, inputs.facts, settings, policy)
    state, reassess_at = _state(inputs, settings, now, open_associations, content.gaps, eligibility)
    wanted = state == "ready" or (state == "refused" and settings.case.report_refusals and bool(content.header))
    request = _request(inputs, policy, content, eligibility) if wanted else None
    return Assessment(
        state=state,
        reasons=tuple(_reasons(content.gaps, eligibility)),
        series=tuple(_series_json(content, decision) for decision in content.decisions),
        contour=_contour_json(content),
        clinical=_clinical_json(eligibility),
        eligibility=dict(eligibility.explain),
        quality=tuple({"code": code, "text": text} for code, text in _quality(content, eligibility)),
        request=request,
        reassess_at=reassess_at,
        missing=tuple(dict.fromkeys(gap.missing for gap in content.gaps if gap.missing)),
    )


def _content(inputs: CaseInputs, settings: Settings) -> _Content:
    images = [one for one in inputs.images if str(one.header.get("Modality") or "MR") not in NOT_SERIES]
    tied = [one for one in inputs.images if str(one.header.get("Modality") or "MR") in NOT_SERIES]
    related = {one.sop_instance_uid: one for one in (*tied, *inputs.related)}
    headers = [one.header for one in images]
    summaries = summarise_series(headers)
    header = next((h for h in headers if h.get("Modality") == "MR"), headers[0] if headers else {})
    series_of = {one.sop_instance_uid: str(one.header.get("SeriesInstanceUID") or "") for one in images}
    contours = find_contours(
        inputs.study_instance_uid, summaries, series_of, header, list(related.values()), settings.case.roi_names
    )
    best = contours.best
    same_frame = best is not None and all(link.by != "registration" for link in best.links.values())
    decisions = classify_series(
        summaries,
        settings.case.series_rules,
        referenced=frozenset().union(*(structure.explicit for structure in contours.usable)),
        extent_mm=best.roi.extent_mm if best and best.roi and same_frame else None,
        assigned=inputs.assignments,
    )
    by_uid = {one.series_instance_uid: one for one in summaries}
    least = settings.case.series_rules.min_confidence
    chosen = {
        str(role): by_uid[decision.series_instance_uid]
        for role in ROLES
        for decision in decisions
        if decision.role == role and decision.confidence >= least
    }
    by_series = contours.for_series([one.series_instance_uid for one in chosen.values()])
    content = _Content(by_uid, decisions, chosen, contours, by_series, header)
    content.gaps += role_gaps(decisions, by_uid, least)
    content.gaps += geometry_gaps(chosen)
    content.gaps += contour_gaps(contours, chosen, by_series)
    mixed = identity_conflict(headers)
    if mixed:
        content.gaps.append(Gap("held", "identity_mismatch", mixed))
    content.gaps += _quarantine_gaps(inputs)
    if inputs.hold:
        content.gaps.append(Gap("held", "administrator_hold", f"An administrator holds this case: {inputs.hold}"))
    return content


def _quarantine_gaps(inputs: CaseInputs) -> list[Gap]:
    """Files in quarantine that leave it open what this study contains."""
    stored = {one.sop_instance_uid for one in inputs.images}
    return [
        Gap("held", entry.code, entry.text)
        for entry in inputs.quarantined
        if not (entry.code == "unreadable_instance" and entry.sop_instance_uid in stored)
    ]


def _state(
    inputs: CaseInputs,
    settings: Settings,
    now: datetime,
    open_associations: int,
    gaps: Sequence[Gap],
    eligibility: Eligibility,
) -> tuple[State, datetime | None]:
    """Refusal first, then what is lacking, then open questions."""
    if open_associations:
        return "receiving", None
    if any(one.outcome == "refused" for one in eligibility.judgements):
        return "refused", None
    if any(one.outcome == "incomplete" for one in gaps):
        last = inputs.last_instance_at or max((one.received_at for one in inputs.images), default=now)
        deadline = last + timedelta(seconds=settings.case.stable_after_s)
        clock_went_back = now < last
        return ("receiving", deadline) if now < deadline and not clock_went_back else ("incomplete", None)
    if gaps or eligibility.judgements:
        return "held", None
    return "ready", None


def _reasons(gaps: Sequence[Gap], eligibility: Eligibility) -> list[Mapping[str, str]]:
    found: list[Gap | Judgement] = [*eligibility.judgements, *gaps]
    order = {"refused": 0, "incomplete": 1, "held": 2}
    ranked = sorted(found, key=lambda one: order[one.outcome])
    return [{"code": one.code, "text": one.text} for one in ranked]


def _request(inputs: CaseInputs, policy: DecisionPolicy, content: _Content, eligibility: Eligibility) -> ComputeRequest:
    instances: dict[str, list[list[str]]] = {}
    for one in inputs.images:
        instances.setdefault(str(one.header.get("SeriesInstanceUID") or ""), []).append(
            [one.sop_instance_uid, one.digest]
        )
    reasons = {one.series_instance_uid: one.reason for one in content.decisions}
    structures = {
        role: content.by_series[one.series_instance_uid]
        for role, one in content.chosen.items()
        if one.series_instance_uid in content.by_series
    }
    contours = {role: _contour_of(structure) for role, structure in structures.items()}
    return ComputeRequest(
        study_instance_uid=inputs.study_instance_uid,
        patient_id=inputs.patient_id or str(content.header.get("PatientID") or ""),
        issuer=inputs.issuer,
        series={
            role: {
                "series_instance_uid": one.series_instance_uid,
                "instances": sorted(instances[one.series_instance_uid]),
                "reason": reasons[one.series_instance_uid],
            }
            for role, one in content.chosen.items()
        },
        contour=next(iter(contours.values()), {}),
        contours=contours,
        registrations=_registrations(content, structures),
        age_years=eligibility.age_years,
        age_source=eligibility.age_source,
        ebv=eligibility.ebv,
        stage=eligibility.stage,
        character_set=inputs.character_set,
        decision=policy.to_json(),
        warnings=tuple({"code": code, "text": text} for code, text in _quality(content, eligibility)),
        refusals=tuple(
            {"code": one.code, "text": one.text} for one in eligibility.judgements if one.outcome == "refused"
        ),
    )


def _contour_of(structure: ContourObject) -> dict[str, Any]:
    header, roi = structure.instance.header, structure.roi
    approved = " It is approved." if structure.approved else ""
    return {
        "kind": structure.kind,
        "sop_instance_uid": structure.instance.sop_instance_uid,
        "digest": structure.instance.digest,
        "series_instance_uid": str(header.get("SeriesInstanceUID") or ""),
        "study_instance_uid": str(header.get("StudyInstanceUID") or ""),
        "roi_number": roi.number if roi else None,
        "roi_name": roi.name if roi else None,
        "reason": f"{roi.reason if roi else ''}{approved}",
    }


def _registrations(content: _Content, structures: Mapping[str, ContourObject]) -> dict[str, dict[str, Any]]:
    found = {}
    for role, structure in structures.items():
        link = structure.links[content.chosen[role].series_instance_uid]
        if link.registration is not None:
            found[role] = {
                "sop_instance_uid": link.registration.sop_instance_uid,
                "digest": link.registration.digest,
                "from_frame_of_reference_uid": link.from_frame,
                "to_frame_of_reference_uid": link.to_frame,
            }
    return found


def _quality(content: _Content, eligibility: Eligibility) -> list[tuple[str, str]]:
    """Warnings that go into the report."""
    found = list(eligibility.warnings)
    for role, summary in content.chosen.items():
        structure = content.by_series.get(summary.series_instance_uid)
        link = structure.links.get(summary.series_instance_uid) if structure else None
        if link is not None and link.by == "registration":
            found.append(("contour_registered", f"The contour reaches the {role} through a spatial registration."))
        if summary.header.get("MRAcquisitionType") == "2D" and (summary.stack.step_mm or 0) > 7:
            found.append(("thick_slices", f"The slices of the {role} are {summary.stack.step_mm:g} mm apart."))
    used = {structure.instance.sop_instance_uid for structure in content.by_series.values()}
    if len(used) > 1:
        found.append(("several_structure_sets", "The sequences have structure sets of their own."))
    if (
        content.contours.best is not None
        and not content.contours.best.approved
        and content.contours.best.kind == "RTSTRUCT"
    ):
        found.append(("contour_not_approved", f"{content.contours.best.name} is not approved."))
    return found


def _series_json(content: _Content, decision: RoleDecision) -> dict[str, Any]:
    summary = content.series[decision.series_instance_uid]
    return {
        **decision.to_json(),
        "n_instances": summary.n_instances,
        "n_slices": summary.n_slices,
        "description": str(summary.header.get("SeriesDescription") or ""),
        "series_number": summary.header.get("SeriesNumber"),
        "plane": summary.stack.plane,
        "findings": [text for _, text in summary.stack.findings],
    }


def _contour_json(content: _Content) -> dict[str, Any]:
    best = content.contours.best
    found: dict[str, Any] = {"notes": list(content.contours.notes)}
    if best is None:
        return found
    reached = {
        role: content.by_series[one.series_instance_uid].links[one.series_instance_uid].by
        for role, one in content.chosen.items()
        if one.series_instance_uid in content.by_series
    }
    return {**_contour_of(best), "label": best.name, "approved": best.approved, "reaches": reached, **found}


def _clinical_json(eligibility: Eligibility) -> dict[str, Any]:
    return {
        "age_years": eligibility.age_years,
        "age_source": eligibility.age_source,
        "ebv_dna": eligibility.ebv,
        "stage": eligibility.stage,
    }
