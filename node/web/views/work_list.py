"""The work list: cases with state, reason and age; filtered, searched, a page at a time."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from node.ledger.browsing import current_reports_of, find_cases
from node.ledger.cases import STATES, count_by_state
from node.web.page_request import Visit
from node.web.pages import show


def home(visit: Visit) -> Response:
    return RedirectResponse("/cases", status_code=303)


def work_list(visit: Visit) -> Response:
    """Query: state (may be given again), q (part of a study UID or Patient ID), page."""
    states = [state for state in visit.request.query_params.getlist("state") if state in STATES]
    text, number = visit.asked("q")[:64], visit.asked("page", "1")
    with visit.context.ledger.begin() as session:
        page = find_cases(session, states, text, int(number) if number.isdigit() and len(number) < 7 else 1)
        reports = current_reports_of(session, page.cases)
        counts = count_by_state(session)
    rows = [
        {"case": case, "result": result_of(reports[case.study_instance_uid].result)}
        if case.study_instance_uid in reports
        else {"case": case, "result": None}
        for case in page.cases
    ]

    def link(**changes: object) -> str:
        """This list with something changed, from its first page."""
        values = {"state": states, "q": text, **changes}
        kept = {name: value for name, value in values.items() if value}
        return "/cases" + (f"?{urlencode(kept, doseq=True)}" if kept else "")

    return show(
        visit, "work_list.html", rows=rows, page=page, counts=counts, states=states, text=text, link=link,
        node=visit.context.settings.node,
    )  # fmt: skip


def result_of(report: dict[str, object]) -> str | None:
    """The regimen that every scenario of a report recommends; "" where they differ, None where nothing was computed."""
    scenarios = report.get("scenarios")
    if not isinstance(scenarios, list) or not scenarios:
        return None
    found = {scenario["recommendation"] for scenario in scenarios}
    return found.pop() if len(found) == 1 else ""
