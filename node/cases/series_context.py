"""Roles within a study: plane, slices, contrast by order of acquisition, and one series for each role.

A role is given to the only candidate, to the one that an administrator assigned, or to the one that the rules of
preference single out. Two equal candidates are ambiguous, and both are named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from config.settings import SeriesRules
from node.cases import vocabulary
from node.cases.geometry import box_contains
from node.cases.series_names import naming_of
from node.cases.series_roles import ROLES, Role, RoleDecision, classify_header
from node.cases.series_summary import SeriesSummary

QUESTION = 0.5  # confidence of what only a user can decide
COVERAGE_TOLERANCE_MM = 5.0

Candidates = dict[str, SeriesSummary]


def classify_series(
    series: Sequence[SeriesSummary],
    rules: SeriesRules,
    referenced: Collection[str] = (),
    extent_mm: Sequence[Sequence[float]] | None = None,
    assigned: Mapping[str, str] | None = None,
) -> list[RoleDecision]:
    """Classify the series of one study.

    Parameters
    ----------
    series : sequence of SeriesSummary
        All image series of the study.
    rules : SeriesRules
        Thresholds of the site.
    referenced : collection of str
        Series Instance UIDs that the contour was drawn on.
    extent_mm : [[x, y, z], [x, y, z]], optional
        Least and greatest corner of the box around the contour, LPS, mm.
    assigned : mapping of role to Series Instance UID, optional
        Decisions of an administrator.

    Returns
    -------
    list of RoleDecision
        In the order of `series`; at most one series has each of the three roles.
    """
    assigned = assigned or {}
    decisions = {
        summary.series_instance_uid: _check_usable(summary, classify_header(summary.header, rules), rules)
        for summary in series
    }
    by_uid = {summary.series_instance_uid: summary for summary in series}
    decisions.update(_agent_in_all(by_uid, decisions))
    # Before the choice of one series for each role: both would be candidates for T1w otherwise.
    decisions.update(_second_t1w(by_uid, decisions))
    for role, uid in assigned.items():
        # An assignment to a series that is not stored has no effect.
        if uid in decisions and role in ROLES:
            reason = f"An administrator assigned {role} to it (the rules said {decisions[uid].role})."
            decisions[uid] = RoleDecision(uid, role, 1.0, reason)
    for role in ROLES:
        decisions.update(_choose_one(role, by_uid, decisions, referenced, extent_mm, assigned.get(role)))
    return [replace(decisions[s.series_instance_uid], series_instance_uid=s.series_instance_uid) for s in series]


def _check_usable(summary: SeriesSummary, decision: RoleDecision, rules: SeriesRules) -> RoleDecision:
    """Return `other` with the reason for a series of the right weighting that cannot be used."""
    role = decision.possible_role or decision.role
    if role not in ROLES:
        return decision
    stack = summary.stack
    if rules.axial_only and stack.oblique_degrees is not None and stack.oblique_degrees > rules.max_oblique_degrees:
        return _unused(decision, f"{role}, but {stack.plane}: an axial series is needed.")
    if summary.n_slices < rules.min_slices:
        return _unused(decision, f"{role}, but only {summary.n_slices} slices, fewer than a volume.")
    body_part = vocabulary.plain_text(summary.header.get("BodyPartExamined"))
    if vocabulary.NOT_HEAD_NECK.search(body_part):
        return _unused(decision, f"{role}, but of another body part ({body_part.strip()}).")
    # A dual-echo series: its first echo is proton-density-weighted, so one weighting for all images would be wrong.
    if len(summary.echo_times_ms) > 1:
        times = ", ".join(f"{time:g}" for time in summary.echo_times_ms[:4])
        text = f"Several echo times in one series ({times} ms); perhaps {role}."
        return replace(decision, role="ambiguous", possible_role=role, confidence=0.5, reason=text)
    return decision


def _unused(decision: RoleDecision, reason: str) -> RoleDecision:
    return replace(decision, role="other", possible_role=None, confidence=0.9, reason=reason)


def _second_t1w(by_uid: Mapping[str, SeriesSummary], decisions: Mapping[str, RoleDecision]) -> dict[str, RoleDecision]:
    """Return a question for a second T1w of the same geometry, acquired later, where no agent is recorded at all.

    It may be after contrast; it may also be the same with fat suppression. Images of the wrong kind would be scored
    without a sign of it, so the order of acquisition names the candidate but does not decide.
    """
    # Only where nothing else claims the role: this is the weakest of all arguments.
    if any("CE-T1w" in (decision.role, decision.possible_role) for decision in decisions.values()):
        return {}
    t1w = [by_uid[uid] for uid, decision in decisions.items() if decision.role == "T1w"]
    if len(t1w) != 2 or not _same_geometry(*t1w):
        return {}
    first, second = _by_time(t1w)
    if first.acquired_at is None or second.acquired_at is None or first.acquired_at == second.acquired_at:
        return {}
    if naming_of(second.header).contrast == "denied" or _same_name(first, second):
        return {}
    reason = (
        f"A second T1w of the same geometry, acquired after {first.name}, without a record of a contrast agent: "
        "assign CE-T1w to it if it was acquired after contrast."
    )
    return {second.series_instance_uid: _question("CE-T1w", reason)}


def _agent_in_all(
    by_uid: Mapping[str, SeriesSummary], decisions: Mapping[str, RoleDecision]
) -> dict[str, RoleDecision]:
    """Return questions where an agent is recorded in every T1-weighted series: the record then tells nothing.

    Scanners keep the agent of the first entry for the whole examination. Series whose names state contrast keep their
    role; the others are probably before contrast, or where no name does, all but the last.
    """
    enhanced = [by_uid[uid] for uid, decision in decisions.items() if decision.role == "CE-T1w"]
    if len(enhanced) < 2 or any(decision.role == "T1w" for decision in decisions.values()):
        return {}
    recorded = [summary for summary in enhanced if not naming_of(summary.header).contrast_named]
    if not recorded or not any(_same_geometry(summary, other) for summary in recorded for other in enhanced
                               if other is not summary):  # fmt: skip
        return {}
    ordered = _by_time(recorded)
    last = ordered[-1] if len(recorded) == len(enhanced) else None
    reason = "A contrast agent is recorded in every T1-weighted series, also in those before contrast: assign"
    return {
        summary.series_instance_uid: _question("CE-T1w", f"{reason} CE-T1w to it if it was acquired after contrast.")
        if summary is last
        else _question("T1w", f"{reason} T1w to it if it was acquired before contrast.")
        for summary in ordered
    }


def _by_time(series: Sequence[SeriesSummary]) -> list[SeriesSummary]:
    """Return series in order of acquisition, those of unknown time first."""
    return sorted(series, key=lambda summary: summary.acquired_at or datetime.min)


def _question(possible_role: Role, reason: str) -> RoleDecision:
    return RoleDecision("", "ambiguous", QUESTION, reason, possible_role)


def _same_name(first: SeriesSummary, second: SeriesSummary) -> bool:
    """Return whether both have one name: that is rather a repetition than before and after contrast."""
    names = [str(summary.header.get("SeriesDescription") or "").strip().lower() for summary in (first, second)]
    return bool(names[0]) and names[0] == names[1] and naming_of(first.header).contrast != "denied"


def _same_geometry(first: SeriesSummary, second: SeriesSummary) -> bool:
    a, b = first.stack, second.stack
    if a.normal is None or b.normal is None or a.bounds_mm is None or b.bounds_mm is None:
        return False
    parallel = abs(sum(x * y for x, y in zip(a.normal, b.normal, strict=True))) > 0.99
    same_frame = bool(first.frames_of_reference & second.frames_of_reference)
    tolerance = 2 * max(a.step_mm or 0.0, b.step_mm or 0.0) + COVERAGE_TOLERANCE_MM
    return parallel and same_frame and box_contains(a.bounds_mm, b.bounds_mm, tolerance)


def _choose_one(
    role: Role,
    by_uid: Mapping[str, SeriesSummary],
    decisions: Mapping[str, RoleDecision],
    referenced: Collection[str],
    extent_mm: Sequence[Sequence[float]] | None,
    assigned: str | None,
) -> dict[str, RoleDecision]:
    """Return the candidates' new decisions: one keeps the role, the others say why not; on a tie all are ambiguous."""
    candidates = {uid: by_uid[uid] for uid, decision in decisions.items() if decision.role == role}
    if len(candidates) < 2:
        return _drop_lesser(role, by_uid, decisions, candidates)
    remaining, because = candidates, ""
    # A later rule decides only among the candidates that the earlier ones left.
    for reason, preferred_of in _preferences(role, referenced, extent_mm, assigned):
        preferred = preferred_of(remaining)
        if preferred and len(preferred) < len(remaining):
            remaining, because = preferred, reason
        if len(remaining) == 1:
            break
    if len(remaining) == 1:
        uid, chosen = next(iter(remaining.items()))
        others = {
            other: replace(
                decisions[other], role="other", reason=f"{role} as well, but {chosen.name} was chosen: {because}."
            )
            for other in candidates
            if other != uid
        }
        return {uid: replace(decisions[uid], reason=f"{decisions[uid].reason} Chosen: {because}."), **others}
    names = " and ".join(summary.name for summary in remaining.values())
    tied = {
        uid: replace(
            decisions[uid],
            role="ambiguous",
            possible_role=role,
            confidence=min(0.5, decisions[uid].confidence),
            reason=f"{names} are equally good for {role}; assign one.",
        )
        for uid in remaining
    }
    others = {
        uid: replace(decisions[uid], role="other", reason=f"{role} as well, but others are preferred: {because}.")
        for uid in candidates
        if uid not in remaining
    }
    return {**tied, **others}


def _drop_lesser(
    role: Role,
    by_uid: Mapping[str, SeriesSummary],
    decisions: Mapping[str, RoleDecision],
    candidates: Mapping[str, SeriesSummary],
) -> dict[str, RoleDecision]:
    """Return `other` for a STIR or a reformat that was possible for a role which another series has."""
    if not candidates:
        return {}
    chosen = next(iter(candidates.values()))
    # A name that says both with and without contrast may be the T1w that is missing: that stays a question.
    is_question = role == "CE-T1w" and not any(decision.role == "T1w" for decision in decisions.values())
    new_role: Role
    possible_role: Role | None
    new_role, possible_role = ("ambiguous", "T1w") if is_question else ("other", None)
    return {
        uid: replace(
            decision,
            role=new_role,
            possible_role=possible_role,
            reason=f"{decision.reason} {chosen.name} is the {role}.",
        )
        for uid, decision in decisions.items()
        if decision.role == "ambiguous" and decision.possible_role == role and by_uid[uid] is not chosen
    }


Preference = tuple[str, Callable[[Candidates], Candidates]]  # reason, and the preferred ones of some candidates


def _preferences(
    role: Role,
    referenced: Collection[str],
    extent_mm: Sequence[Sequence[float]] | None,
    assigned: str | None,
) -> list[Preference]:
    """Return the rules of preference in order; a rule that no candidate satisfies is skipped."""
    prefers_in_phase = role != "CE-T1w"
    phase = (
        "its Dixon in-phase image shows the usual contrast" if prefers_in_phase else "its Dixon water image is better"
    )
    return [
        ("an administrator assigned it", lambda c: {u: s for u, s in c.items() if u == assigned}),
        ("the contour was drawn on it", lambda c: {u: s for u, s in c.items() if u in referenced}),
        ("it covers the contour", lambda c: _covering(c, extent_mm)),
        ("it is axial", lambda c: {u: s for u, s in c.items() if s.stack.plane == "axial"}),
        (phase, lambda c: _of_phase(c, prefers_in_phase)),
        ("it is an original image", lambda c: {u: s for u, s in c.items() if not naming_of(s.header).derived}),
        ("it has the most slices", lambda c: _greatest(c, lambda s: s.n_slices)),
        (
            "it is fat-suppressed",
            lambda c: {u: s for u, s in c.items() if naming_of(s.header).fat_suppressed} if role == "CE-T1w" else {},
        ),
    ]  # fmt: skip


def _of_phase(candidates: Candidates, in_phase: bool) -> Candidates:
    """Return the in-phase images or the others, where a Dixon acquisition is among the candidates."""
    if not any(_in_phase(summary) for summary in candidates.values()):
        return {}
    return {uid: summary for uid, summary in candidates.items() if _in_phase(summary) == in_phase}


def _in_phase(summary: SeriesSummary) -> bool:
    return naming_of(summary.header).dixon_in_phase


def _covering(candidates: Candidates, extent_mm: Sequence[Sequence[float]] | None) -> Candidates:
    if extent_mm is None:
        return {}
    return {
        uid: summary
        for uid, summary in candidates.items()
        if summary.stack.bounds_mm is not None
        and box_contains(summary.stack.bounds_mm, extent_mm, COVERAGE_TOLERANCE_MM)
    }


def _greatest(candidates: Candidates, measure: Callable[[SeriesSummary], float]) -> Candidates:
    greatest = max(measure(summary) for summary in candidates.values())
    return {uid: summary for uid, summary in candidates.items() if measure(summary) == greatest}
