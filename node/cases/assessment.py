"""The assessment of a case: headers and facts to a state, its reasons, and the frozen inputs of a computation.

    headers -> series -> roles -> geometry --+
    structure sets -> contour by series -----+--> gaps --+
    facts -> eligibility --------------------------------+--> state, reasons, explanation, request

A pure function: the same inputs give the same assessment, and it is linear in the number of instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from config.decision_policy import DecisionPolicy
from config.indication.vocabulary import SeriesRole
from config.messages.message import message, sentences
from config.settings import Settings
from node.cases.case_inputs import CaseInputs, ComputeRequest, QuarantinedFile, StoredInstance, arrival_order
from node.cases.chosen_volumes import series_request, volume_findings
from node.cases.completion import Gap, contour_gaps, geometry_gaps, role_gaps
from node.cases.conditions_of_use import CheckedCase, conditions_of_use
from node.cases.confirmations import separate_confirmed
from node.cases.contour_choice import ContourObject, Contours, find_contours
from node.cases.eligibility import assess_eligibility
from node.cases.eligibility_answers import Eligibility, EligibilityFinding
from node.cases.encoding_warnings import encoding_warnings
from node.cases.fact_choice import study_day_of
from node.cases.identity import identity_conflict
from node.cases.quarantined_files import quarantine_gaps
from node.cases.series_context import classify_series
from node.cases.series_roles import ROLES, RoleDecision
from node.cases.series_summary import SeriesSummary, summarise_series
from node.cases.split_series import join_parts
from node.cases.study_purpose import MERGED, study_questions

__all__ = ["Assessment", "CaseInputs", "ComputeRequest", "QuarantinedFile", "StoredInstance", "assess_inputs"]

State = Literal["receiving", "incomplete", "held", "refused", "ready"]
NOT_IMAGES = frozenset({"RTSTRUCT", "SEG", "REG"})
MAX_LISTED_VOLUMES = 12  # of one series without a role: a functional or diffusion series has hundreds
THICK_SLICES_MM = 7.0  # distance of slices beyond which the report warns


@dataclass(frozen=True)
class Assessment:
    """The assessment of a case at one time.

    Attributes
    ----------
    state : {"receiving", "incomplete", "held", "refused", "ready"}
        Of the case; later states (queued, reported) follow from jobs and reports.
    reasons : tuple of {"code", "text"}
        Every reason against the computation, refusals first.
    series, contour, clinical, eligibility, quality, conditions
        The JSON-able parts of `studies explain`; `quality` are the warnings for the report, `conditions` the conditions
        of use.
    request : ComputeRequest or None
        For a ready case, and for a refused one that gets a report of the refusal.
    settled_request : ComputeRequest or None
        What `request` would be if nothing were arriving and no stored instance were questioned (`Gap.keeps_report`):
        a report of these inputs remains current.
    notices : tuple of {"code", "text"}
        The reasons that such a report keeps.
    reassess_at : datetime or None
        When the case must be assessed again although nothing arrives.
    missing : tuple of str
        What a PACS may still have (see `Gap.missing`).
    has_content_gaps : bool
        Whether images or contours are a reason against the computation, not the facts alone.
    refusals : tuple of {"code", "text"}
        Facts that refuse the study, whatever its images are.
    """

    state: State
    reasons: tuple[Mapping[str, str], ...]
    series: tuple[Mapping[str, Any], ...]
    contour: Mapping[str, Any]
    clinical: Mapping[str, Any]
    eligibility: Mapping[str, Any]
    quality: tuple[Mapping[str, str], ...] = ()
    conditions: tuple[Mapping[str, str], ...] = ()
    request: ComputeRequest | None = None
    settled_request: ComputeRequest | None = None
    notices: tuple[Mapping[str, str], ...] = ()
    reassess_at: datetime | None = None
    missing: tuple[str, ...] = ()
    has_content_gaps: bool = False
    refusals: tuple[Mapping[str, str], ...] = ()

    def explain_json(self) -> dict[str, Any]:
        """Return the part of `studies explain` that the rules know.

        Returns
        -------
        dict
            ``series``, ``contour``, ``clinical``, ``eligibility``, ``quality`` and ``conditions`` as JSON values.
        """
        return {
            "series": [dict(series) for series in self.series],
            "contour": dict(self.contour),
            "clinical": dict(self.clinical),
            "eligibility": dict(self.eligibility),
            "quality": [dict(warning) for warning in self.quality],
            "conditions": [dict(condition) for condition in self.conditions],
        }


@dataclass
class _Content:
    """The images and contours of a case, with roles, links and gaps."""

    series: dict[str, SeriesSummary]
    decisions: list[RoleDecision]
    chosen: dict[str, SeriesSummary]
    contours: Contours
    by_series: dict[str, ContourObject]
    header: Mapping[str, Any]
    headers: Sequence[Mapping[str, Any]] = ()
    encoding: Sequence[tuple[str, str]] = ()
    gaps: list[Gap] = field(default_factory=list)
    confirmed: list[tuple[str, str]] = field(default_factory=list)


def assess_inputs(
    inputs: CaseInputs, settings: Settings, policy: DecisionPolicy, now: datetime, open_associations: int = 0
) -> Assessment:
    """Assess one case.

    Parameters
    ----------
    inputs : CaseInputs
        Images, contours, facts and decisions about the study.
    settings : Settings
        Rules of the site.
    policy : DecisionPolicy
        Stage gate and EBV DNA threshold of the active bundle.
    now : datetime
        Aware.
    open_associations : int
        Associations that have sent objects of the study and are still open.

    Returns
    -------
    Assessment
        Equal inputs give equal assessments; the cost is linear in the number of instances.
    """
    content = _content(inputs, settings)
    eligibility = assess_eligibility(content.header, inputs.facts, settings, policy, content.headers)
    eligibility.findings, confirmed = separate_confirmed(eligibility.findings, inputs.confirmations)
    eligibility.warnings += confirmed
    if inputs.freeze is not None:
        eligibility.explain["frozen"] = inputs.freeze.sentence
    state, reassess_at = _state(inputs, settings, now, open_associations, content.gaps, eligibility)
    lasting_gaps = [gap for gap in content.gaps if not gap.keeps_report]
    settled_state, _ = _state(inputs, settings, now, 0, lasting_gaps, eligibility)
    is_refusal_report = settled_state == "refused" and settings.case.report_refusals and bool(content.header)
    is_computed = settled_state == "ready" or is_refusal_report
    conditions = _conditions(inputs, content, eligibility, policy)
    request = _request(inputs, policy, content, eligibility, conditions, now) if is_computed else None
    return Assessment(
        state=state,
        reasons=tuple(_reasons(content.gaps, eligibility)),
        series=tuple(_explained_series(content)),
        contour=_explained_contour(content),
        clinical=_clinical_json(eligibility),
        eligibility=dict(eligibility.explain),
        quality=tuple({"code": code, "text": text} for code, text in _quality(content, eligibility)),
        conditions=conditions,
        request=request if state == settled_state else None,
        settled_request=request,
        notices=tuple({"code": gap.code, "text": gap.text} for gap in content.gaps if gap.keeps_report),
        reassess_at=reassess_at,
        missing=tuple(dict.fromkeys(gap.missing for gap in content.gaps if gap.missing)),
        has_content_gaps=bool(content.gaps),
        refusals=tuple(_refusals(eligibility)),
    )


def _content(inputs: CaseInputs, settings: Settings) -> _Content:
    images = [instance for instance in inputs.images if not _is_contour_or_registration(instance)]
    inside = [instance for instance in inputs.images if _is_contour_or_registration(instance)]
    # By UID: contours inside the study are also found by its frame of reference.
    related = {instance.sop_instance_uid: instance for instance in (*inside, *inputs.related)}
    headers = [instance.header for instance in images]
    check_count = settings.case.series_rules.check_image_count
    # In order of arrival: of identical images the first is used, so that a repetition does not change the inputs.
    arrived = [image.header for image in sorted(images, key=arrival_order)]
    summaries = join_parts(
        summarise_series(arrived, inputs.pixel_digest_of, check_count), inputs.assignments.values(), check_count
    )
    # Any MR header serves: identity, study date and age are attributes of patient and study.
    header = next((h for h in headers if h.get("Modality") == "MR"), headers[0] if headers else {})
    # Contours before roles: that a contour was drawn on a series is an argument for its role.
    contours = find_contours(
        inputs.study_instance_uid, summaries, header, list(related.values()), settings.case.roi_names
    )
    best = contours.best
    # The extent is in the frame of reference of the contour; through a registration it cannot be compared with slices.
    same_frame = best is not None and all(link.by != "registration" for link in best.links.values())
    decisions = classify_series(
        summaries,
        settings.case.series_rules,
        referenced=frozenset().union(*(contour_object.explicit for contour_object in contours.usable)),
        extent_mm=best.roi.extent_mm if best and best.roi and same_frame else None,
        assigned=inputs.assignments,
    )
    by_uid = {summary.key: summary for summary in summaries}
    min_confidence = settings.case.series_rules.min_confidence
    chosen = {
        str(role): by_uid[decision.key]
        for role in ROLES
        for decision in decisions
        if decision.role == role and decision.confidence >= min_confidence
    }
    by_series = contours.for_series([summary.key for summary in chosen.values()])
    encoding = encoding_warnings(instance.header for instance in (*images, *related.values()))
    content = _Content(by_uid, decisions, chosen, contours, by_series, header, headers, encoding)
    content.gaps += role_gaps(decisions, by_uid, min_confidence)
    content.gaps += geometry_gaps(chosen)
    content.gaps += contour_gaps(contours, chosen, by_series)
    asked, content.confirmed = separate_confirmed(_questions(content, inputs), inputs.confirmations)
    content.gaps += asked
    conflict = identity_conflict(headers) or _issuer_conflict(inputs)
    if conflict:
        content.gaps.append(Gap("held", "identity_mismatch", conflict))
    is_incomplete = any(gap.outcome == "incomplete" for gap in content.gaps)
    content.gaps += quarantine_gaps(inputs, by_uid, is_incomplete)
    if inputs.hold:
        content.gaps.append(Gap("held", "administrator_hold", message("administrator_hold.by", because=inputs.hold)))
    return content


def _questions(content: _Content, inputs: CaseInputs) -> list[Gap]:
    """Questions about region, treatment before the MR, the day of the contour and a merge of the patient."""
    used = {each.instance.sop_instance_uid: each for each in content.by_series.values()}
    series_headers = [summary.header for summary in content.chosen.values()]
    questions = study_questions(
        content.headers, series_headers, [used[uid] for uid in sorted(used)], study_day_of(content.header)
    )
    if inputs.merge_question is not None:
        questions.append(Gap("held", MERGED, inputs.merge_question))
    return questions


def _issuer_conflict(inputs: CaseInputs) -> str | None:
    """Two issuers may have given one Patient ID to two persons; without an issuer in the images nothing tells which."""
    if inputs.issuer or len(inputs.facts.issuers) < 2:
        return None
    return message("identity_mismatch.issuers", issuers=inputs.facts.issuers)


def _quarantine_gaps(inputs: CaseInputs) -> list[Gap]:
    """Quarantined files after which the content of the study is not certain."""
    stored = {instance.sop_instance_uid for instance in inputs.images}
    # An unreadable file whose instance arrived later was replaced; a conflict remains whichever came first.
    return [
        Gap("held", file.code, file.text)
        for file in inputs.quarantined
        if not (file.code == "unreadable_instance" and file.sop_instance_uid in stored)
    ]


def _is_contour_or_registration(instance: StoredInstance) -> bool:
    return str(instance.header.get("Modality") or "MR") in NOT_IMAGES


def _state(
    inputs: CaseInputs,
    settings: Settings,
    now: datetime,
    open_associations: int,
    gaps: Sequence[Gap],
    eligibility: Eligibility,
) -> tuple[State, datetime | None]:
    """Refusals take precedence over missing content, and that over questions: a refusal cannot be cured by sending."""
    # Before everything else: what is missing may be on its way, and a refusal would be reported too early.
    if open_associations:
        return "receiving", None
    if any(finding.outcome == "refused" for finding in eligibility.findings):
        return "refused", None
    if any(gap.outcome == "incomplete" for gap in gaps):
        # Senders that use one association for each object leave pauses between them: "incomplete" only after a quiet
        # time.
        last = inputs.last_instance_at or max((image.received_at for image in inputs.images), default=now)
        deadline = last + timedelta(seconds=settings.case.stable_after_s)
        clock_went_back = now < last  # then the deadline may be hours away: the case is assessed as it is
        return ("receiving", deadline) if now < deadline and not clock_went_back else ("incomplete", None)
    if gaps or eligibility.findings:
        return "held", None
    return "ready", None


def _reasons(gaps: Sequence[Gap], eligibility: Eligibility) -> list[Mapping[str, str]]:
    findings: list[Gap | EligibilityFinding] = [*eligibility.findings, *gaps]
    order = {"refused": 0, "incomplete": 1, "held": 2}
    # A stable sort: within one outcome the questions keep their order, so equal cases have equal texts.
    ranked = sorted(findings, key=lambda finding: order[finding.outcome])
    return [{"code": finding.code, "text": finding.text} for finding in ranked]


def _refusals(eligibility: Eligibility) -> Iterator[dict[str, str]]:
    for finding in eligibility.findings:
        if finding.outcome == "refused":
            yield {"code": finding.code, "text": finding.text}


def _conditions(
    inputs: CaseInputs, content: _Content, eligibility: Eligibility, policy: DecisionPolicy
) -> tuple[Mapping[str, str], ...]:
    enhanced = content.chosen.get(SeriesRole.CE_T1W)
    reasons = {decision.key: decision.reason for decision in content.decisions}
    used = {contour.instance.sop_instance_uid: contour for contour in content.by_series.values()}
    case = CheckedCase(
        facts=inputs.facts,
        eligibility=eligibility,
        ce_t1w=enhanced.header if enhanced else None,
        ce_t1w_reason=reasons[enhanced.key] if enhanced else "",
        contours=list(used.values()),
        of_model=policy.conditions,
    )
    return tuple(conditions_of_use(case))


def _request(
    inputs: CaseInputs,
    policy: DecisionPolicy,
    content: _Content,
    eligibility: Eligibility,
    conditions: tuple[Mapping[str, str], ...],
    now: datetime,
) -> ComputeRequest:
    digests = {image.sop_instance_uid: image.digest for image in inputs.images}
    reasons = {decision.key: decision.reason for decision in content.decisions}
    contour_objects = {
        role: content.by_series[summary.key]
        for role, summary in content.chosen.items()
        if summary.key in content.by_series
    }
    contours = {role: _contour_json(contour_object) for role, contour_object in contour_objects.items()}
    return ComputeRequest(
        study_instance_uid=inputs.study_instance_uid,
        patient_id=inputs.patient_id or str(content.header.get("PatientID") or ""),
        issuer=inputs.issuer,
        series={
            role: series_request(summary, digests, reasons[summary.key]) for role, summary in content.chosen.items()
        },
        contour=next(iter(contours.values()), {}),
        contours=contours,
        registrations=_registrations(content, contour_objects),
        age_years=eligibility.age_years,
        age_source=eligibility.age_source,
        ebv=eligibility.ebv,
        stage=eligibility.stage,
        character_set=inputs.character_set,
        facts_until=(inputs.facts_until or now).isoformat(),
        decision=policy.to_json(),
        warnings=tuple({"code": code, "text": text} for code, text in _quality(content, eligibility)),
        refusals=tuple(_refusals(eligibility)),
        conditions=conditions,
    )


def _contour_json(contour_object: ContourObject) -> dict[str, Any]:
    header, roi = contour_object.instance.header, contour_object.roi
    reasons = [roi.reason] if roi else []
    approved = [message("contour.approved")] if contour_object.approved else []
    return {
        "kind": contour_object.kind,
        "sop_instance_uid": contour_object.instance.sop_instance_uid,
        "digest": contour_object.instance.digest,
        "series_instance_uid": str(header.get("SeriesInstanceUID") or ""),
        "study_instance_uid": str(header.get("StudyInstanceUID") or ""),
        "roi_number": roi.number if roi else None,
        "roi_name": roi.name if roi else None,
        "reason": sentences([*reasons, *approved]),
    }


def _registrations(content: _Content, contour_objects: Mapping[str, ContourObject]) -> dict[str, dict[str, Any]]:
    registrations = {}
    for role, contour_object in contour_objects.items():
        link = contour_object.links[content.chosen[role].key]
        if link.registration is not None:
            registrations[role] = {
                "sop_instance_uid": link.registration.sop_instance_uid,
                "digest": link.registration.digest,
                "from_frame_of_reference_uid": link.from_frame,
                "to_frame_of_reference_uid": link.to_frame,
            }
    return registrations


def _quality(content: _Content, eligibility: Eligibility) -> list[tuple[str, str]]:
    """Warnings for the report."""
    warnings = [*eligibility.warnings, *content.confirmed, *content.encoding]
    for role, summary in content.chosen.items():
        warnings += volume_findings(role, summary)
        contour_object = content.by_series.get(summary.key)
        link = contour_object.links.get(summary.key) if contour_object else None
        if link is not None and link.by == "registration":
            warnings.append(("contour_registered", message("contour_registered.role", role=role)))
        step_mm = summary.stack.step_mm or 0.0
        # 2D only: in a 3D acquisition the step follows from interpolation as well.
        if summary.header.get("MRAcquisitionType") == "2D" and step_mm > THICK_SLICES_MM:
            warnings.append(("thick_slices", message("thick_slices.distance", role=role, step=step_mm)))
    used = {contour_object.instance.sop_instance_uid for contour_object in content.by_series.values()}
    if len(used) > 1:
        warnings.append(("several_structure_sets", message("several_structure_sets.own")))
    best = content.contours.best
    if best is not None and not best.approved and best.kind == "RTSTRUCT":
        warnings.append(("contour_not_approved", message("contour_not_approved.name", contour=best.name)))
    if content.contours.newer:
        warnings.append(("newer_contour", content.contours.newer))
    return warnings


def _explained_series(content: _Content) -> list[dict[str, Any]]:
    """Return an entry for each series or volume; many volumes without a role in one series have one together."""
    entries: list[dict[str, Any]] = []
    together: dict[str, dict[str, Any]] = {}
    for decision in content.decisions:
        summary = content.series[decision.key]
        first = together.get(summary.series_instance_uid)
        if decision.role != "other" or len(summary.volume_names) <= MAX_LISTED_VOLUMES:
            entries.append(_series_json(content, decision))
        elif first is None:
            entries.append(_series_json(content, decision))
            together[summary.series_instance_uid] = entries[-1]
        else:
            first["n_volumes"] = first.get("n_volumes", 1) + 1
    for entry in together.values():
        entry["reason"] = message("series.same_for_volumes", reason=entry["reason"], n=entry.get("n_volumes", 1) - 1)
    return entries


def _series_json(content: _Content, decision: RoleDecision) -> dict[str, Any]:
    summary = content.series[decision.key]
    return {
        **decision.to_json(),
        "key": summary.key,
        "n_instances": summary.n_instances,
        "n_slices": summary.n_slices,
        "description": str(summary.header.get("SeriesDescription") or ""),
        "series_number": summary.header.get("SeriesNumber"),
        "plane": summary.stack.plane,
        "findings": [text for _, text in summary.stack.findings],
        **({"other_part": decision.other_part} if decision.other_part else {}),
    }


def _explained_contour(content: _Content) -> dict[str, Any]:
    best = content.contours.best
    notes = list(content.contours.notes)
    if best is None:
        return {"notes": notes}
    reached = {
        role: content.by_series[summary.key].links[summary.key].by
        for role, summary in content.chosen.items()
        if summary.key in content.by_series
    }
    return {
        **_contour_json(best), "label": best.name, "approved": best.approved, "reaches": reached, "notes": notes,
    }  # fmt: skip


def _clinical_json(eligibility: Eligibility) -> dict[str, Any]:
    return {
        "age_years": eligibility.age_years,
        "age_source": eligibility.age_source,
        "diagnosis": eligibility.diagnosis or None,
        "ebv_dna": eligibility.ebv,
        "stage": eligibility.stage,
        "treatment_start": eligibility.treatment_start,
        "later_facts": [later.to_json() for later in eligibility.later],
    }
