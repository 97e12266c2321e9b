"""Health: processes, queues and counts as `cptdn status`, and on request every check of `cptdn doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from node.ledger.instances import count_quarantined
from node.runtime.health import Finding, check_parts
from node.runtime.overview import overview
from node.web.page_request import PageRequest
from node.web.pages import render_page


def health(request: PageRequest) -> Response:
    """Render the health page without checks."""
    return _render(request, None)


def check(request: PageRequest) -> Response:
    """Check every part now, and render the health page with the findings."""
    return _render(request, list(check_parts(request.context.settings)))


def _render(request: PageRequest, findings: Sequence[Finding] | None) -> Response:
    context = request.context
    with context.ledger.read() as session:
        n_quarantined = count_quarantined(session)
    document = overview(context.settings, context.ledger)
    return render_page(request, "health.html", found=document, quarantined=n_quarantined, findings=findings)
