"""The pages as one ASGI application: the table of routes, and the middleware before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from node.web.context import WebContext
from node.web.endpoint import View, page_endpoint
from node.web.fhir_endpoint import fhir_endpoint
from node.web.live_updates import LiveUpdates
from node.web.page_request import ANONYMOUS, anonymous_request
from node.web.pages import render_problem
from node.web.protection import KnownHosts, LimitedBody, ResponseHeaders
from node.web.views import calculator, case, decisions, deliveries, health, model, users, work_list

STATIC = Path(__file__).parent / "static"

# path, method, view, role
PAGES: tuple[tuple[str, str, View, str], ...] = (
    ("/", "GET", work_list.home, "read"),
    ("/cases", "GET", work_list.work_list, "read"),
    ("/cases/{study}", "GET", case.case_page, "read"),
    ("/cases/{study}/series/{series}", "GET", case.series_page, "read"),
    ("/cases/{study}/series/{series}/picture", "GET", case.series_picture, "read"),
    ("/cases/{study}/reports/{revision}/page.png", "GET", case.report_page, "read"),
    ("/cases/{study}/reports/{revision}/nomogram.svg", "GET", case.case_nomogram, "read"),
    ("/cases/{study}/assign", "POST", decisions.assign, "operate"),
    ("/cases/{study}/issuer", "POST", decisions.assign_issuer, "operate"),
    ("/cases/{study}/facts", "POST", decisions.set_facts, "operate"),
    ("/cases/{study}/confirm", "POST", decisions.confirm, "operate"),
    ("/cases/{study}/hold", "POST", decisions.hold, "operate"),
    ("/cases/{study}/release", "POST", decisions.release, "operate"),
    ("/cases/{study}/withdraw", "POST", decisions.withdraw, "operate"),
    ("/cases/{study}/dismiss", "POST", decisions.dismiss_quarantined, "operate"),
    ("/cases/{study}/reprocess", "POST", decisions.reprocess, "operate"),
    ("/jobs/{job}/retry", "POST", decisions.retry_job, "operate"),
    ("/deliveries", "GET", deliveries.deliveries, "read"),
    ("/deliveries/{delivery:int}/retry", "POST", decisions.retry_delivery, "operate"),
    ("/calculator", "GET", calculator.calculator, "read"),
    ("/calculator/answer", "GET", calculator.calculator_answer, "read"),
    ("/calculator/nomogram.svg", "GET", calculator.calculator_nomogram, "read"),
    ("/model", "GET", model.model, "read"),
    ("/status", "GET", health.health, "read"),
    ("/status", "POST", health.check, "operate"),
    ("/users", "GET", users.users, "admin"),
    ("/users", "POST", users.add_user, "admin"),
    ("/users/{name}", "POST", users.change_user, "admin"),
    ("/users/{name}/remove", "POST", users.remove_user, "admin"),
    ("/account", "GET", users.account, "read"),
    ("/account", "POST", users.change_password, "read"),
    ("/log-in", "GET", users.log_in_form, ANONYMOUS),
    ("/log-in", "POST", users.log_in, ANONYMOUS),
    ("/log-out", "POST", users.log_out, "read"),
    ("/preferences", "POST", users.preferences, ANONYMOUS),
)


def create_app(
    context: WebContext, more_routes: Sequence[BaseRoute] = (), large_bodies: str = ""
) -> Starlette:  # fmt: skip
    """Return the application.

    Parameters
    ----------
    context : WebContext
        What all requests share.
    more_routes : sequence of routes, optional
        Routes for programs (metrics, health, DICOMweb), which need no log-in.
    large_bodies : str, optional
        Beginning of the paths among them whose endpoint limits the size of its requests itself.

    Returns
    -------
    Starlette
        Pages, live updates, static files and, with `[fhir] receive`, the FHIR endpoint.
    """
    routes: list[BaseRoute] = [
        Route(path, page_endpoint(context, view, role), methods=[method]) for path, method, view, role in PAGES
    ]
    routes.append(Route("/events", LiveUpdates(context).endpoint, methods=["GET"]))
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    if context.settings.fhir.receive:
        post = fhir_endpoint(context)
        routes += [Route("/fhir", post, methods=["POST"]), Route("/fhir/{kind}", post, methods=["POST"])]
    middleware = [
        # In this order: refusals of the two below get the headers, too.
        Middleware(ResponseHeaders, secure=context.secure),
        Middleware(KnownHosts, web=context.settings.web),
        Middleware(LimitedBody, without_limit=large_bodies),
    ]
    return Starlette(
        routes=[*routes, *more_routes], middleware=middleware, exception_handlers={HTTPException: _unknown(context)}
    )


def _unknown(context: WebContext) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return the handler of requests for a page that does not exist, or not by this method."""

    async def respond(http: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        request = anonymous_request(context, http, FormData())
        return render_problem(request, status, request.translations("not_found") if status == 404 else str(error))

    return respond
