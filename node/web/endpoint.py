"""From a view to an endpoint: identify the user, check role and form, run the view, answer errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from config.errors import CptdnError
from node.messaging.questions import NoAnswerError
from node.web.access_control import DeniedError, check_form_origin, identify, refuse_role
from node.web.context import WebContext
from node.web.page_request import PageRequest, anonymous_request, session_cookie_name, set_session_cookie
from node.web.pages import render_problem

log = structlog.get_logger("cptdn.web")

View = Callable[[PageRequest], Response]
Endpoint = Callable[[Request], Awaitable[Response]]
MAX_FIELDS = 50


def page_endpoint(context: WebContext, view: View, role: str = "read") -> Endpoint:
    """Return the endpoint of one page.

    Parameters
    ----------
    context : WebContext
        What all requests share.
    view : callable
        Takes the request and returns the response; it runs in a thread, since it waits for the ledger.
    role : str
        The least role that may use it.

    Returns
    -------
    callable
        An endpoint for Starlette.
    """

    async def endpoint(http: Request) -> Response:
        # No page takes a file, and a form with thousands of fields is an attack on memory.
        form = await http.form(max_files=0, max_fields=MAX_FIELDS) if http.method == "POST" else FormData()
        return await run_in_threadpool(_respond, context, http, form, view, role)

    endpoint.__name__ = view.__name__
    return endpoint


def _respond(context: WebContext, http: Request, form: FormData, view: View, role: str) -> Response:
    request = anonymous_request(context, http, form)
    try:
        request = identify(context, http, form)
        # The role before the form's origin: an anonymous user is sent to the log-in and not told that a form is out of
        # date.
        if not request.may(role):
            return refuse_role(request, role)
        if http.method == "POST":
            check_form_origin(request)
        response = view(request)
    except DeniedError as error:
        request.audit("denied", success=False)
        response = render_problem(request, 403, request.translations.error(error))
    except HTTPException as error:
        response = render_problem(request, error.status_code, error.detail)
    except NoAnswerError as error:
        response = render_problem(request, 503, request.translations.no_worker(error))
    except CptdnError as error:
        response = render_problem(request, 400, request.translations.error(error))
    except SQLAlchemyError as error:
        log.error("ledger_failed", error=type(error).__name__)
        response = render_problem(request, 503, request.translations("ledger_away"))
    except Exception:  # the user gets a sentence without details, the log has the traceback
        log.exception("page_failed", page=view.__name__)
        response = render_problem(request, 500, request.translations("page_failed"))
    # The first page sets the cookie that the token of the log-in form belongs to.
    if session_cookie_name(context) not in http.cookies and "set-cookie" not in response.headers:
        set_session_cookie(context, response, request.token)
    return response
