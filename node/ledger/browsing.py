"""Cases for the work list of the pages: filtered, searched, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from node.ledger.cases import STATES
from node.ledger.delivery_machine import OPEN_STATES
from node.ledger.jobs import ACTIVE
from node.ledger.tables import Case, CaseEvent, Delivery, Job, Report, StateCount

PAGE_LENGTH = 25


@dataclass(frozen=True)
class CasePage:
    """One page of cases, the newest first.

    Attributes
    ----------
    cases : list of Case
        At most `PAGE_LENGTH`.
    number, n_pages : int
        This page and the number of pages, both from 1.
    n_cases : int
        Cases on all pages.
    """

    cases: list[Case]
    number: int
    n_pages: int
    n_cases: int


def find_cases(session: Session, states: Collection[str] = (), text: str = "", page: int = 1) -> CasePage:
    """Return one page of the cases in these states whose Study Instance UID or Patient ID contains a text.

    Parameters
    ----------
    states : collection of str
        Empty: all states.
    text : str
        Searched as it is: ``%`` and ``_`` are no wildcards, and upper and lower case are the same.
    page : int
        From 1; a number outside the pages gives the nearest one.
    """
    query = select(Case)
    if states:
        query = query.where(Case.state.in_(tuple(states)))
    if wanted := text.strip():
        query = query.where(
            or_(
                # UIDs have no letters, so they need no lower case.
                Case.study_instance_uid.contains(wanted, autoescape=True),
                func.lower(Case.patient_id).contains(wanted.lower(), autoescape=True),
            )
        )
    n_cases = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    n_pages = max(1, -(-n_cases // PAGE_LENGTH))
    number = min(max(1, page), n_pages)
    # The UID makes the order total: two studies of one moment would otherwise appear on both pages, or on none.
    ordered = query.order_by(Case.received_at.desc(), Case.study_instance_uid)
    cases = list(session.scalars(ordered.offset((number - 1) * PAGE_LENGTH).limit(PAGE_LENGTH)))
    return CasePage(cases, number, n_pages, n_cases)


def current_reports_of(session: Session, cases: Collection[Case]) -> dict[str, Report]:
    """Return the current reports of cases.

    Returns
    -------
    dict of str to Report
        By Study Instance UID; cases without a report are missing.
    """
    ids = [case.current_report_id for case in cases if case.current_report_id is not None]
    reports = session.scalars(select(Report).where(Report.id.in_(ids)))
    return {report.study_instance_uid: report for report in reports}


def last_change(session: Session) -> tuple[int, str]:
    """Return a value that differs after anything that a page shows has changed.

    Live updates compare it once a second, so each part of it is found by an index or reads only rows of work in
    progress: its cost does not grow with the number of studies.

    Returns
    -------
    (int, str)
        Number of the newest line of history, and what else changes, as text.
    """
    newest = session.scalar(select(func.max(CaseEvent.id))) or 0
    parts = [
        # A row for each change of the state of a case, a job or a delivery.
        session.scalar(select(func.max(StateCount.id))),
        # An image more, a step further, an attempt more: these change no state.
        session.scalar(select(func.max(Case.last_instance_at)).where(Case.state == "receiving")),
        session.scalar(select(func.max(Job.updated_at)).where(Job.state.in_(ACTIVE))),
        session.scalar(select(func.sum(Delivery.attempts)).where(Delivery.state.in_(OPEN_STATES))),
        *(session.scalar(_newest_change(state)) for state in STATES),
    ]
    return newest, "|".join("" if part is None else str(part) for part in parts)


def _newest_change(state: str) -> Select[datetime]:
    return select(Case.updated_at).where(Case.state == state).order_by(Case.updated_at.desc()).limit(1)
