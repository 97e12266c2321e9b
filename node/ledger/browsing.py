"""Cases for the work list of the pages: filtered, searched, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from node.ledger.tables import Case, CaseEvent, Delivery, Job, Report

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

    Live updates compare it once a second.

    Returns
    -------
    (int, str)
        Number of the newest line of history, and the newest times and numbers of deliveries as text.
    """
    newest = session.scalar(select(func.max(CaseEvent.id))) or 0
    # Aggregates instead of a change counter, which every writer would have to update.
    moments: list[datetime | None] = [
        session.scalar(select(func.max(Case.updated_at))),
        session.scalar(select(func.max(Case.last_instance_at))),
        session.scalar(select(func.max(Job.updated_at))),
        session.scalar(select(func.max(Delivery.sent_at))),
        session.scalar(select(func.max(Delivery.committed_at))),
        session.scalar(select(func.max(Delivery.not_before))),
    ]
    # The numbers by state, because a delivery that becomes dead changes none of the times above.
    states = session.execute(select(Delivery.state, func.count()).group_by(Delivery.state)).all()
    times = [moment.isoformat() if moment else "" for moment in moments]
    return newest, "|".join([*times, *(f"{state}{n}" for state, n in sorted(states))])
