"""Deliveries with what was given up, and the health of every part."""

from __future__ import annotations

from sqlalchemy import select
from starlette.responses import Response

from node.ledger.deliveries import list_deliveries
from node.ledger.instances import count_instances
from node.ledger.jobs import list_jobs
from node.ledger.tables import Report
from node.runtime.health import check_parts
from node.runtime.overview import overview
from node.web.page_request import Visit
from node.web.pages import show

SHOWN = 100


def deliveries(visit: Visit) -> Response:
    with visit.context.ledger.begin() as session:
        dead = list_deliveries(session, ("dead",), SHOWN)
        newest = list_deliveries(session, (), SHOWN)
        failed = list_jobs(session, ("failed",), SHOWN)
        ids = {one.report_id for one in (*dead, *newest)}
        reports = {report.id: report for report in session.scalars(select(Report).where(Report.id.in_(ids)))}
    return show(visit, "deliveries.html", dead=dead, newest=newest, failed=failed, reports=reports)


def health(visit: Visit) -> Response:
    return _health(visit, None)


def check(visit: Visit) -> Response:
    """What `cptdn doctor` finds now."""
    return _health(visit, list(check_parts(visit.context.settings)))


def _health(visit: Visit, findings: list[object] | None) -> Response:
    context = visit.context
    with context.ledger.begin() as session:
        stored = count_instances(session)
    return show(
        visit, "health.html", found=overview(context.settings, context.ledger), stored=stored, findings=findings
    )  # fmt: skip
