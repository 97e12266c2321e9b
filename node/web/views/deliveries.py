"""Deliveries: those that were given up, failed computations, and the newest deliveries."""

from __future__ import annotations

from sqlalchemy import select
from starlette.responses import Response

from node.ledger.deliveries import list_deliveries
from node.ledger.jobs import list_jobs
from node.ledger.tables import Report
from node.web.page_request import PageRequest
from node.web.pages import render_page

MAX_ROWS = 100


def deliveries(request: PageRequest) -> Response:
    """Render the page of deliveries, at most `MAX_ROWS` of each kind."""
    with request.context.ledger.read() as session:
        dead = list_deliveries(session, ("dead",), MAX_ROWS)
        newest = list_deliveries(session, (), MAX_ROWS)
        failed = list_jobs(session, ("failed",), MAX_ROWS)
        ids = {delivery.report_id for delivery in (*dead, *newest)}
        reports = {report.id: report for report in session.scalars(select(Report).where(Report.id.in_(ids)))}
    return render_page(request, "deliveries.html", dead=dead, newest=newest, failed=failed, reports=reports)
