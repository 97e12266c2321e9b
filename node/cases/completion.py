"""Whether the content of a case is complete: three roles, their slices, and a contour that reaches all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from config.messages.message import message, pieces, sentences
from node.cases.contour_choice import ContourObject, Contours, sentence_if_not_covered
from node.cases.series_roles import ROLES, RoleDecision
from node.cases.series_summary import SeriesSummary

Outcome = Literal["incomplete", "held"]
CONTOUR, REGISTRATION = "contour", "registration"
MAX_NAMED_SERIES = 3  # a sentence that names every rejected series of a long study is not read
MAX_NAMED_QUESTIONS = 8


@dataclass(frozen=True)
class Gap:
    """Content that is missing (incomplete) or needs a decision (held).

    Attributes
    ----------
    outcome : {"incomplete", "held"}
        The state that the gap puts the case into.
    code : str
        Reason code of the contract, for example ``missing_series``.
    text : str
        One sentence or more for the administrator.
    missing : str
        What a PACS may still have: a role, `CONTOUR`, `REGISTRATION`, or the Series Instance UID of a series with
        missing slices; empty where a retrieval cannot help.
    keeps_report : bool
        Whether a report of the same inputs stays the case's answer: the gap questions the inputs and does not change
        them.
    """

    outcome: Outcome
    code: str
    text: str
    missing: str = ""
    keeps_report: bool = False


def role_gaps(
    decisions: Sequence[RoleDecision], series: Mapping[str, SeriesSummary], min_confidence: float
) -> list[Gap]:
    """Return one gap for each role that no series has with enough confidence.

    Parameters
    ----------
    decisions : sequence of RoleDecision
        One for each series, or volume of a series, of the study.
    series : mapping of key to SeriesSummary
        The same series; their names are used in the sentences.
    min_confidence : float
        In [0, 1]; a role with less is a question to the administrator.

    Returns
    -------
    list of Gap
        ``ambiguous_series`` (held) where candidates exist, ``missing_series`` (incomplete) where none does.
    """
    gaps = []
    for role in ROLES:
        if any(decision.role == role and decision.confidence >= min_confidence for decision in decisions):
            continue
        unsure = [decision for decision in decisions if decision.role == role]
        possible = [d for d in decisions if d.role == "ambiguous" and d.possible_role == role]
        if unsure or possible:
            questions = [*unsure, *possible]
            # One sentence may be about several of them: it is said once.
            names_of: dict[str, list[str]] = {}
            for d in questions[:MAX_NAMED_QUESTIONS]:
                names_of.setdefault(d.reason, []).append(series[d.key].name)
            named: list[str] = [
                message("ambiguous_series.question", names=names, reason=reason) for reason, names in names_of.items()
            ]
            if len(questions) > MAX_NAMED_QUESTIONS:
                named.append(message("ambiguous_series.more", n=len(questions) - MAX_NAMED_QUESTIONS))
            text = message("ambiguous_series.which", role=role, questions=named)
            gaps.append(Gap("held", "ambiguous_series", text))
        else:
            hint = _nearest_candidates(role, decisions, series)
            text = message("missing_series.none", role=role, hint=hint)
            gaps.append(Gap("incomplete", "missing_series", text, role))
    return gaps


def geometry_gaps(chosen: Mapping[str, SeriesSummary]) -> list[Gap]:
    """Return the defects of the slice stacks that the computation would use.

    Parameters
    ----------
    chosen : mapping of role to SeriesSummary
        The series that have the roles; other series of the study may have defects without consequence.

    Returns
    -------
    list of Gap
        Missing slices are incomplete, because they can be sent again; every other defect is held.
    """
    gaps = []
    for role, summary in chosen.items():
        for code, text in summary.stack.findings:
            sentence = message("stack.defect", role=role, series=summary.name, defect=text)
            # Lost on the way, most likely: a PACS may have them. The other defects are in the images themselves.
            if code == "missing_slice":
                gaps.append(Gap("incomplete", code, sentence, summary.series_instance_uid))
            else:
                gaps.append(Gap("held", code, sentence))
    return gaps


def contour_gaps(
    contours: Contours, chosen: Mapping[str, SeriesSummary], by_series: Mapping[str, ContourObject]
) -> list[Gap]:
    """Return why the contour is missing, unclear, in another frame of reference, or beyond the slices.

    Parameters
    ----------
    contours : Contours
        All contour objects of the study, the preferred one first.
    chosen : mapping of role to SeriesSummary
        The series that have the roles.
    by_series : mapping of key to ContourObject
        The contour object for each of these series; a series that none reaches is absent.

    Returns
    -------
    list of Gap
        Empty when one contour reaches and is covered by every chosen series.
    """
    mismatch = "frame_of_reference_mismatch"
    gaps = [Gap("held", code, text, REGISTRATION if code == mismatch else "") for code, text in contours.findings]
    if contours.best is None:
        if not gaps:
            sentence = sentences([message("missing_contour.none"), *contours.notes])
            gaps.append(Gap("incomplete", "missing_contour", sentence, CONTOUR))
        return gaps
    for role, summary in chosen.items():
        contour_object = by_series.get(summary.key)
        if contour_object is None:
            sentence = message(
                "frame_of_reference_mismatch.role", contour=contours.best.name, role=role, series=summary.name
            )
            gaps.append(Gap("held", mismatch, sentence, REGISTRATION))
        elif (not_covered := sentence_if_not_covered(contour_object, summary)) is not None:
            gaps.append(Gap("held", "contour_not_covered", not_covered))
    return gaps


def _nearest_candidates(role: str, decisions: Sequence[RoleDecision], series: Mapping[str, SeriesSummary]) -> str:
    """Sentences about series of the right weighting that cannot be used, else about series of unknown weighting."""
    rejected = [d for d in decisions if d.role == "other" and d.reason.startswith(f"{role}, but")]
    if rejected:
        return pieces(
            message("missing_series.rejected", series=series[d.key].name, reason=d.reason)
            for d in rejected[:MAX_NAMED_SERIES]
        )
    undecided = [d for d in decisions if d.role == "ambiguous" and d.possible_role is None]
    return pieces(message("missing_series.possible", series=series[d.key].name, reason=d.reason) for d in undecided[:2])
