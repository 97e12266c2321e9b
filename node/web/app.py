"""The pages as one ASGI application: the table of routes, and what stands in front of them."""

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
from node.web.events import Changes
from node.web.page_request import View, nobody, page
from node.web.pages import problem
from node.web.protection import KnownHosts, LimitedBody, ResponseHeaders
from node.web.receiving import fhir_endpoint
from node.web.views import calculator, decisions, model, one_case, state, users, work_list

STATIC = Path(__file__).parent / "static"

# path, method, view, role
PAGES: tuple[tuple[str, str, View, str], ...] = (
    ("/", "GET", work_list.home, "read"),
    ("/cases", "GET", work_list.work_list, "read"),
    ("/cases/{study}", "GET", one_case.one_case, "read"),
    ("/cases/{study}/series/{series}", "GET", one_case.one_series, "read"),
    ("/cases/{study}/series/{series}/picture", "GET", one_case.series_picture, "read"),
    ("/cases/{study}/reports/{revision}/page.png", "GET", one_case.report_page, "read"),
    ("/cases/{study}/reports/{revision}/nomogram.svg", "GET", one_case.case_nomogram, "read"),
    ("/cases/{study}/assign", "POST", decisions.assign, "operate"),
    ("/cases/{study}/facts", "POST", decisions.set_facts, "operate"),
    ("/cases/{study}/hold", "POST", decisions.hold, "operate"),
    ("/cases/{study}/release", "POST", decisions.release, "operate"),
    ("/cases/{study}/reprocess", "POST", decisions.reprocess, "operate"),
    ("/jobs/{job}/retry", "POST", decisions.retry_job, "operate"),
    ("/deliveries", "GET", state.deliveries, "read"),
    ("/deliveries/{delivery:int}/retry", "POST", decisions.retry_delivery, "operate"),
    ("/calculator", "GET", calculator.calculator, "read"),
    ("/calculator/answer", "GET", calculator.calculator_answer, "read"),
    ("/calculator/nomogram.svg", "GET", calculator.calculator_nomogram, "read"),
    ("/model", "GET", model.model, "read"),
    ("/status", "GET", state.health, "read"),
    ("/status", "POST", state.check, "operate"),
    ("/users", "GET", users.users, "admin"),
    ("/users", "POST", users.add_user, "admin"),
    ("/users/{name}", "POST", users.change_user, "admin"),
    ("/users/{name}/remove", "POST", users.remove_user, "admin"),
    ("/account", "GET", users.account, "read"),
    ("/account", "POST", users.change_password, "read"),
    ("/log-in", "GET", users.log_in_form, "nobody"),
    ("/log-in", "POST", users.log_in, "nobody"),
    ("/log-out", "POST", users.log_out, "read"),
    ("/preferences", "POST", users.preferences, "nobody"),
)


def create_app(context: WebContext, more_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application. more_routes : for programs rather than people (metrics, health), without log-in."""
    routes: list[BaseRoute] = [
        Route(path, page(context, view, role), methods=[method]) for path, method, view, role in PAGES
    ]
    routes.append(Route("/events", Changes(context).stream, methods=["GET"]))
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    if context.settings.fhir.receive:
        take = fhir_endpoint(context)
        routes += [Route("/fhir", take, methods=["POST"]), Route("/fhir/{kind}", take, methods=["POST"])]
    middleware = [
        Middleware(ResponseHeaders, secure=context.secure),
        Middleware(KnownHosts, web=context.settings.web),
        Middleware(LimitedBody),
    ]
    return Starlette(
        routes=[*routes, *more_routes], middleware=middleware, exception_handlers={HTTPException: _unknown(context)}
    )


def _unknown(context: WebContext) -> Callable[[Request, Exception], Awaitable[Response]]:
    """No such page, or not by this method."""

    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        visit = nobody(context, request, FormData())
        return problem(visit, status, visit.words("not_found") if status == 404 else str(error))

    return answer
