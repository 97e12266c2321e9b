"""Roles within a study: plane, slices, contrast by order of acquisition, and one series for each role.

A role is given to the only candidate, to the one that an administrator assigned, or to the one that the rules of
preference single out. Two equal candidates are ambiguous, and both are named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from config.messages.message import message
from config.settings import SeriesRules
from node.cases import vocabulary
from node.cases.geometry import box_contains
from node.cases.series_names import naming_of
from node.cases.series_roles import ROLES, Role, RoleDecision, classify_header
from node.cases.series_summary import SeriesSummary
from node.cases.split_series import possible_parts
from node.cases.volume_roles import (
    acquisitions_of,
    assigned_decisions,
    named,
    question,
    question_of_parts,
    questions_between_volumes,
)

COVERAGE_TOLERANCE_MM = 5.0
MOST_SLICES = message("prefer.most_slices")

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
        All image series of the study, a series of several volumes once for each.
    rules : SeriesRules
        Thresholds of the site.
    referenced : collection of str
        Keys of the series or volumes that the contour was drawn on.
    extent_mm : [[x, y, z], [x, y, z]], optional
        Least and greatest corner of the box around the contour, LPS, mm.
    assigned : mapping of role to key, optional
        Decisions of an administrator (see `SeriesSummary.key`); the UID of a series means any of its volumes.

    Returns
    -------
    list of RoleDecision
        In the order of `series`; at most one series or volume has each of the three roles.
    """
    assigned = assigned or {}
    decisions = {
        summary.key: _check_usable(summary, classify_header(summary.header, rules), rules) for summary in series
    }
    by_uid = {summary.key: summary for summary in series}
    decisions.update(questions_between_volumes(by_uid, decisions))
    decisions.update(_agent_in_all(by_uid, decisions))
    # Before the choice of one series for each role: both would be candidates for T1w otherwise.
    decisions.update(_second_t1w(by_uid, decisions))
    for role, target in assigned.items():
        if role in ROLES:
            decisions.update(assigned_decisions(role, target, by_uid, decisions))
    for role in ROLES:
        decisions.update(_choose_one(role, by_uid, decisions, referenced, extent_mm, assigned.get(role)))
    return [named(decisions[summary.key], summary) for summary in series]


def _check_usable(summary: SeriesSummary, decision: RoleDecision, rules: SeriesRules) -> RoleDecision:
    """Return `other` with the reason for a series of the right weighting that cannot be used."""
    role = decision.possible_role or decision.role
    if role not in ROLES:
        return decision
    stack = summary.stack
    if rules.axial_only and stack.oblique_degrees is not None and stack.oblique_degrees > rules.max_oblique_degrees:
        return _unused(decision, message("role.not_axial", role=role, plane=message(f"plane.{stack.plane}")))
    if summary.n_slices < rules.min_slices:
        return _unused(decision, message("role.few_slices", role=role, n=summary.n_slices))
    body_part = vocabulary.plain_text(summary.header.get("BodyPartExamined"))
    if vocabulary.NOT_HEAD_NECK.search(body_part):
        return _unused(decision, message("role.other_body_part", role=role, part=body_part.strip()))
    # A dual-echo series: its first echo is proton-density-weighted, so one weighting for all images would be wrong.
    if len(summary.echo_times_ms) > 1:
        times = ", ".join(f"{time:g}" for time in summary.echo_times_ms[:4])
        text = message("role.several_echoes", times=times, role=role)
        return replace(decision, role="ambiguous", possible_role=role, confidence=0.5, reason=text)
    return decision


def _unused(decision: RoleDecision, reason: str) -> RoleDecision:
    return replace(decision, role="other", possible_role=None, confidence=0.9, reason=reason)


def _second_t1w(by_uid: Mapping[str, SeriesSummary], decisions: Mapping[str, RoleDecision]) -> dict[str, RoleDecision]:
    """Return questions for a second T1w of the same geometry, where no agent is recorded at all.

    The later one may be after contrast; it may also be the same with fat suppression. Images of the wrong kind would be
    scored without a sign of it, so the order of acquisition names the candidate but does not decide. Where times are
    equal or unreadable, both are named.
    """
    # Only where nothing else claims the role: this is the weakest of all arguments.
    if any("CE-T1w" in (decision.role, decision.possible_role) for decision in decisions.values()):
        return {}
    acquisitions = acquisitions_of([by_uid[uid] for uid, decision in decisions.items() if decision.role == "T1w"])
    if len(acquisitions) != 2 or not _same_geometry(acquisitions[0][0], acquisitions[1][0]):
        return {}
    (first, *_), (second, *_) = acquisitions
    if any(naming_of(summary.header).contrast == "denied" for summary in (first, second)) and not _is_ordered(
        first, second
    ):
        return {}
    if naming_of(second.header).contrast == "denied" or _same_name(first, second):
        return {}
    if not _is_ordered(first, second):
        reason = message("role.two_t1w", first=first.name, second=second.name)
        roles: tuple[Role, Role] = ("T1w", "CE-T1w")
        return {
            summary.key: question(role, reason)
            for role, summaries in zip(roles, acquisitions, strict=True)
            for summary in summaries
        }
    reason = message("role.second_t1w", first=first.name)
    return {summary.key: question("CE-T1w", reason) for summary in acquisitions[1]}


def _is_ordered(first: SeriesSummary, second: SeriesSummary) -> bool:
    return None not in (first.acquired_at, second.acquired_at) and first.acquired_at != second.acquired_at


def _agent_in_all(
    by_uid: Mapping[str, SeriesSummary], decisions: Mapping[str, RoleDecision]
) -> dict[str, RoleDecision]:
    """Return questions where an agent is recorded in every T1-weighted series: the record then tells nothing.

    Scanners keep the agent of the first entry for the whole examination. Series whose names state contrast keep their
    role; the others are probably before contrast, or where no name does, all but the last.
    """
    enhanced = acquisitions_of([by_uid[uid] for uid, decision in decisions.items() if decision.role == "CE-T1w"])
    if len(enhanced) < 2 or any(decision.role == "T1w" for decision in decisions.values()):
        return {}
    recorded = [group for group in enhanced if not naming_of(group[0].header).contrast_named]
    if not any(_same_geometry(group[0], other[0]) for group in recorded for other in enhanced if other is not group):
        return {}
    last = recorded[-1] if len(recorded) == len(enhanced) else None
    return {
        summary.key: question("CE-T1w", message("role.agent_in_all_ce"))
        if group is last
        else question("T1w", message("role.agent_in_all_t1"))
        for group in recorded
        for summary in group
    }


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
        # More slices are no argument for one of two halves.
        parts = possible_parts(remaining.values()) if reason == MOST_SLICES else None
        if parts is not None:
            return question_of_parts(role, candidates, parts)
        preferred = preferred_of(remaining)
        if preferred and len(preferred) < len(remaining):
            remaining, because = preferred, reason
        if len(remaining) == 1:
            break
    if len(remaining) == 1:
        uid, chosen = next(iter(remaining.items()))
        others = {
            other: replace(
                decisions[other],
                role="other",
                reason=message("role.other_chosen", role=role, chosen=chosen.name, because=because),
            )
            for other in candidates
            if other != uid
        }
        return {
            uid: replace(decisions[uid], reason=message("role.chosen", reason=decisions[uid].reason, because=because)),
            **others,
        }
    names = [summary.name for summary in remaining.values()]
    tied = {
        uid: replace(
            decisions[uid],
            role="ambiguous",
            possible_role=role,
            confidence=min(0.5, decisions[uid].confidence),
            reason=message("role.equally_good", names=names, role=role),
        )
        for uid in remaining
    }
    others = {
        uid: replace(decisions[uid], role="other", reason=message("role.others_preferred", role=role, because=because))
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
            reason=message("role.another_is", reason=decision.reason, series=chosen.name, role=role),
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
    phase = message("prefer.in_phase") if prefers_in_phase else message("prefer.water")
    return [
        (message("prefer.assigned"), lambda c: _of_key(c, assigned)),
        (message("prefer.drawn_on"), lambda c: {u: s for u, s in c.items() if u in referenced}),
        (message("prefer.covers"), lambda c: _covering(c, extent_mm)),
        (message("prefer.axial"), lambda c: {u: s for u, s in c.items() if s.stack.plane == "axial"}),
        (phase, lambda c: _of_phase(c, prefers_in_phase)),
        (message("prefer.original"), lambda c: {u: s for u, s in c.items() if not naming_of(s.header).derived}),
        (MOST_SLICES, lambda c: _greatest(c, lambda s: s.n_slices)),
        (
            message("prefer.fat_suppressed"),
            lambda c: {u: s for u, s in c.items() if naming_of(s.header).fat_suppressed} if role == "CE-T1w" else {},
        ),
    ]  # fmt: skip


def _of_key(candidates: Candidates, assigned: str | None) -> Candidates:
    """Return the assigned candidate, or the volumes of the assigned series."""
    if assigned is None:
        return {}
    exact = {uid: summary for uid, summary in candidates.items() if uid == assigned}
    return exact or {uid: s for uid, s in candidates.items() if s.series_instance_uid == assigned}


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
