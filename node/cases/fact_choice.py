"""Choose the facts that count for one MR: by their day, never by the order in which they arrived.

MR - 60 ............ MR ............ MR + 14      draws of EBV DNA (settings), none after treatment began
........ MR .... start                stages: see `stage_eligibility`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from config.errors import InputError
from config.messages.message import message
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts, DateFact, EbvResult, LaterFact
from node.cases.dates import parse_date
from node.cases.ebv_dna import is_in_iu

# A first course (three cycles of induction, then seven weeks with radiotherapy) is over by then: what begins later is
# another course, such as the treatment of a recurrence.
COURSE_DAYS = 180


@dataclass(frozen=True)
class ChosenFacts:
    """The facts that count for one MR.

    Attributes
    ----------
    treatment_start : DateFact or None
        Of the course that follows the MR, or of one before it.
    ebv_dna : tuple of EbvResult
        Draws within the window, the last one first.
    outside : tuple of (EbvResult, str)
        Draws outside the window with half a sentence each, the last one first.
    later : tuple of LaterFact
        What is recorded and does not count: follow-ups and other courses.
    notes : tuple of (code, sentence)
        Contradictions that were resolved, for the report.
    """

    treatment_start: DateFact | None = None
    ebv_dna: tuple[EbvResult, ...] = ()
    outside: tuple[tuple[EbvResult, str], ...] = ()
    later: tuple[LaterFact, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def choose_facts(facts: ClinicalFacts, study_day: date | None, settings: Settings) -> ChosenFacts:
    """Choose the facts that count for one MR.

    Parameters
    ----------
    facts : ClinicalFacts
        All that is recorded about the patient.
    study_day : date or None
        Day of the MR; without it the windows around it are not applied.
    settings : Settings
        Windows in days.

    Returns
    -------
    ChosenFacts
        The same for every order in which facts of different days were recorded.
    """
    start, other_courses, notes = choose_start(facts, study_day)
    used, outside, follow_ups = _choose_draws(facts, start, study_day, settings)
    return ChosenFacts(
        treatment_start=start,
        ebv_dna=used,
        outside=outside,
        later=(*follow_ups, *other_courses, *facts.later),
        notes=notes,
    )


def choose_start(
    facts: ClinicalFacts, study_day: date | None
) -> tuple[DateFact | None, tuple[LaterFact, ...], tuple[tuple[str, str], ...]]:
    """Choose the start of treatment of the course to which an MR belongs.

    Parameters
    ----------
    facts : ClinicalFacts
        All statements about starts of treatment.
    study_day : date or None
        Day of the MR.

    Returns
    -------
    tuple of (DateFact or None, tuple of LaterFact, tuple of (code, sentence))
        The start: of days on which treatment was given the first, of statements the newest, and of both the earlier
        one; an ordered day only where nothing else is known. Then the starts of later courses, and a note where
        statements contradict each other.
    """
    statements = facts.treatment_starts or ((facts.treatment_start,) if facts.treatment_start else ())
    own = [each for each in statements if study_day is None or (each.day - study_day).days <= COURSE_DAYS]
    stated = [each for each in own if each.kind == "stated"][-1:]
    given = sorted((each for each in own if each.kind == "given"), key=lambda each: each.day)[:1]
    planned = sorted((each for each in own if each.kind == "planned"), key=lambda each: each.day)[:1]
    start = min([*stated, *given] or planned, key=lambda each: each.day, default=None)
    notes: tuple[tuple[str, str], ...] = ()
    if stated and given and stated[0].day != given[0].day and given[0].day < stated[0].day:
        text = message(
            "treatment_start_differs.earlier_used",
            stated=stated[0].day,
            given=given[0].day,
            source=given[0].provenance.said_source,
        )
        notes = (("treatment_start_differs", text),)
    others = [each for each in statements if each not in own]
    if start is None:
        # Only a person's statement about this patient: then the MR is too old, and the case says so.
        start = next((each for each in reversed(others) if each.kind == "stated"), None)
    why = message("later_fact.another_course", days=COURSE_DAYS)
    later = tuple(
        LaterFact("treatment_start", each.kind, each.day, why, each.provenance.said_source)
        for each in others
        if each is not start
    )
    return start, later, notes


def study_day_of(header: Mapping[str, Any]) -> date | None:
    """Return the day of an MR from one of its headers.

    Parameters
    ----------
    header : mapping of DICOM keyword to value
        Of any image of the study.

    Returns
    -------
    date or None
        Study Date; it is type 2 in every image, the others are optional (PS3.3 C.7.2.1, C.7.3.1, C.7.6.1).
    """
    for keyword in ("StudyDate", "AcquisitionDate", "SeriesDate"):
        text = str(header.get(keyword) or "")
        try:
            if text:
                return parse_date(text)
        except InputError:
            continue
    return None


def _choose_draws(
    facts: ClinicalFacts, start: DateFact | None, study_day: date | None, settings: Settings
) -> tuple[tuple[EbvResult, ...], tuple[tuple[EbvResult, str], ...], list[LaterFact]]:
    used, outside, later = [], [], []
    for result in _last_first(facts.ebv_dna):
        drawn = result.provenance.observed_on
        follow_up = _why_follow_up(result, start, study_day, settings)
        old = _why_too_old(result, study_day, settings)
        if follow_up or old:
            outside.append((result, _drawn(drawn, follow_up) if follow_up else old or ""))
        else:
            used.append(result)
        if follow_up:
            text = f"{result.text} {result.unit or ''}".strip()
            day, source = result.provenance.observed_on, result.provenance.said_source
            later.append(LaterFact("ebv_dna", text, day, message("later_fact.follow_up", when=follow_up), source))
    return tuple(used), tuple(outside), later


def _last_first(results: Sequence[EbvResult]) -> list[EbvResult]:
    # The ledger sorts by day; a list from elsewhere need not be sorted. Without a day: as of the recording. Of one draw
    # copies come before international units, which need a conversion.
    def rank(result: EbvResult) -> tuple[date, bool]:
        recorded = result.provenance.recorded_at
        day = result.provenance.observed_on or (recorded.date() if recorded else date.max)
        return day, not is_in_iu(result.text, result.unit)

    # The list is in order of recording: with equal ranks, what was recorded last comes first.
    return sorted(results, key=rank)[::-1]


def _why_follow_up(result: EbvResult, start: DateFact | None, study_day: date | None, settings: Settings) -> str | None:
    drawn = result.provenance.observed_on
    if drawn is None:
        return None
    # A draw on the first day of treatment counts: only days are known, and blood is drawn before the first fraction.
    if start is not None and drawn > start.day:
        return message("later_fact.after_treatment", start=start.day)
    days = settings.clinical.ebv_window_after_days
    if study_day is not None and (drawn - study_day).days > days:
        return message("later_fact.after_mr", days=days)
    return None


def _drawn(drawn: date | None, when: str) -> str:
    return message("later_fact.drawn", drawn=drawn, when=when)


def _why_too_old(result: EbvResult, study_day: date | None, settings: Settings) -> str | None:
    drawn, days = result.provenance.observed_on, settings.clinical.ebv_window_days
    if drawn is not None and study_day is not None and (study_day - drawn).days > days:
        return message("later_fact.drawn_before_mr", drawn=drawn, days=days)
    return None
