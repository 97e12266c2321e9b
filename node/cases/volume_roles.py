"""Decisions about several volumes of one series, and about one acquisition in several series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from config.messages.message import message
from node.cases.series_roles import ROLES, Role, RoleDecision
from node.cases.series_summary import JOINED, SeriesSummary
from node.cases.volume_attributes import TIME_KEYWORDS

QUESTION = 0.5  # confidence of what only a user can decide
MAX_NAMED_VOLUMES = 6


def named(decision: RoleDecision, summary: SeriesSummary) -> RoleDecision:
    """Return the decision with the name of what it is about; a chosen volume or joined series says so in its reason."""
    reason = decision.reason
    if decision.role in ROLES and summary.volume_names:
        reason = message(
            "series.volume_reason",
            name=summary.volume.name,
            text=summary.volume.text,
            n=len(summary.volume_names),
            volumes=volume_list(summary),
            reason=reason,
        )
    if summary.joined:
        reason = message("series.joined_reason", reason=reason, n=len(summary.joined), uids=summary.series_uids)
    uid, volume_name = summary.series_instance_uid, summary.volume.name
    return replace(decision, series_instance_uid=uid, key=summary.key, volume=volume_name, reason=reason)


def volume_list(summary: SeriesSummary) -> str:
    """Return the names of all volumes of its series for a sentence, at most six of them."""
    names = summary.volume_names
    if len(names) > MAX_NAMED_VOLUMES:
        return message("volumes.and_more", names=names[:MAX_NAMED_VOLUMES], n=len(names) - MAX_NAMED_VOLUMES)
    return message("volumes.listed", names=names)


def assigned_decisions(
    role: Role, target: str, by_uid: Mapping[str, SeriesSummary], decisions: Mapping[str, RoleDecision]
) -> dict[str, RoleDecision]:
    """Return the decisions that follow from one assignment; one to a series that is not stored has no effect."""
    parts = set(target.split(JOINED))
    exact = [uid for uid, summary in by_uid.items() if uid == target or set(summary.joined) == parts]
    # A part that was joined: the whole has the role.
    exact = exact or [uid for uid, summary in by_uid.items() if target in summary.joined]
    volumes = [uid for uid, summary in by_uid.items() if summary.series_instance_uid == target]
    # Of a series with several volumes: those that may have a role. What nothing tells apart stays a question.
    usable = [uid for uid in volumes if decisions[uid].role != "other"] or volumes
    return {
        uid: replace(decisions[uid], possible_role=role)
        if uid not in exact and decisions[uid].role == "ambiguous" and _is_question_of_volumes(by_uid[uid])
        else RoleDecision(uid, role, 1.0, message("series.assigned", role=role, before=decisions[uid].role))
        for uid in exact or usable
    }


def _is_question_of_volumes(summary: SeriesSummary) -> bool:
    """Return whether the volume differs from others of its series by its time only, or by nothing that is stated."""
    return bool(summary.volume_names) and (
        not summary.volume.is_certain or bool(summary.volume.keywords & TIME_KEYWORDS)
    )


def questions_between_volumes(
    by_uid: Mapping[str, SeriesSummary], decisions: Mapping[str, RoleDecision]
) -> dict[str, RoleDecision]:
    """Return questions for several usable volumes of one series that differ in time only, or in nothing stated."""
    groups: dict[tuple[str, Role], list[str]] = {}
    for uid, decision in decisions.items():
        role = decision.possible_role or decision.role
        if role in ROLES and _is_question_of_volumes(by_uid[uid]):
            groups.setdefault((by_uid[uid].series_instance_uid, role), []).append(uid)
    questions = {}
    for (_, role), uids in groups.items():
        for uid in uids if len(uids) > 1 else ():
            summary = by_uid[uid]
            kind = "same_time" if summary.volume.is_certain else "indistinct"
            reason = message(
                f"role.{kind}_question",
                volume=summary.volume.text,
                n=len(summary.volume_names),
                role=role,
                uid=uid,
            )
            questions[uid] = question(role, reason)
    return questions


def acquisitions_of(series: Sequence[SeriesSummary]) -> list[list[SeriesSummary]]:
    """Group volumes of one acquisition (Dixon images, echoes), in order of time, those of unknown time first."""
    groups: dict[str, list[SeriesSummary]] = {}
    for summary in by_time(series):
        is_alone = not summary.volume_names or _is_question_of_volumes(summary)
        groups.setdefault(summary.key if is_alone else summary.series_instance_uid, []).append(summary)
    return list(groups.values())


def by_time(series: Sequence[SeriesSummary]) -> list[SeriesSummary]:
    """Return series in order of acquisition, those of unknown time first."""
    return sorted(series, key=lambda summary: summary.acquired_at or datetime.min)


def question(possible_role: Role, reason: str) -> RoleDecision:
    """Return a decision that only a user can make, for a candidate for this role."""
    return RoleDecision("", "ambiguous", QUESTION, reason, possible_role)


def question_of_parts(
    role: Role, candidates: Mapping[str, SeriesSummary], parts: tuple[SeriesSummary, SeriesSummary]
) -> dict[str, RoleDecision]:
    """Return questions that name two possible halves of one acquisition, and how to use both."""
    first, second = parts
    both = JOINED.join(sorted((first.key, second.key)))
    reason = message("role.two_parts", first=first.name, second=second.name, role=role, both=both)
    return {
        uid: replace(question(role, reason), other_part=both)
        if summary in parts
        else RoleDecision(uid, "other", 0.9, message("role.others_preferred_plain", role=role))
        for uid, summary in candidates.items()
    }
