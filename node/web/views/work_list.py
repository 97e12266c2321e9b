"""The work list: cases with state, reason and age; filtered, searched, a page at a time."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from node.ledger.browsing import current_reports_of, find_cases
from node.ledger.cases import STATES, count_by_state
from node.web.answer_texts import answer_of
from node.web.page_request import PageRequest
from node.web.pages import render_page


def home(request: PageRequest) -> Response:
    """Redirect to the work list."""
    return RedirectResponse("/cases", status_code=303)


def work_list(request: PageRequest) -> Response:
    """Render the work list. Query: state (repeatable), q (part of a study UID or Patient ID), page (from 1)."""
    # Unknown states are left out: an old bookmark still shows a list.
    states = [state for state in request.http.query_params.getlist("state") if state in STATES]
    # 64 characters: the longest UID.
    text, page_number = request.query_value("q")[:64], request.query_value("page", "1")
    with request.context.ledger.read() as session:
        page = find_cases(
            session, states, text, int(page_number) if page_number.isdigit() and len(page_number) < 7 else 1
        )
        reports = current_reports_of(session, page.cases)
        counts = count_by_state(session)
    language = request.translations.language
    rows = [
        {"case": case, "answer": answer_of(reports[case.study_instance_uid].result, language)}
        if case.study_instance_uid in reports
        else {"case": case, "answer": None}
        for case in page.cases
    ]

    def link(**changes: object) -> str:
        """Return the address of this list with some parameters changed; without `page`, of its first page."""
        values = {"state": states, "q": text, **changes}
        query = {name: value for name, value in values.items() if value}
        return "/cases" + (f"?{urlencode(query, doseq=True)}" if query else "")

    return render_page(
        request, "work_list.html", rows=rows, page=page, counts=counts, states=states, text=text, link=link,
        node=request.context.settings.node,
    )  # fmt: skip
