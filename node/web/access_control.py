"""Access control: who makes a request, what the role allows, and whether a form comes from a page of ours.

    read     sees everything but users
    operate  also decides: retry, compute again, assign roles, enter facts, hold
    admin    also changes users

While there is no user, the requests of this machine are those of `local`, who may do everything. That applies on
loopback only, and not to requests that came through a proxy, whose clients are elsewhere.
"""

from __future__ import annotations

import hmac
from urllib.parse import quote, urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from config.errors import CptdnError
from node.ledger.accounts import has_users, user_of_session
from node.web.context import WebContext
from node.web.page_request import (
    ANONYMOUS,
    LIVE_HEADER,
    NEXT,
    PageRequest,
    anonymous_request,
    set_session_cookie,
)
from node.web.protection import FORWARDED
from node.web.translations import LANGUAGES, translations_of

LOCAL = "local"


class DeniedError(CptdnError):
    """The user may not do this."""


def identify(context: WebContext, http: Request, form: FormData) -> PageRequest:
    """Find out who makes a request.

    Parameters
    ----------
    context : WebContext
        Ledger with users and sessions.
    http : starlette Request
        The request. A live update does not extend the session, so that an open page alone does not keep it.
    form : FormData
        Its fields; empty for a GET.

    Returns
    -------
    PageRequest
        With user and role; anonymous when there is no session.

    Raises
    ------
    DeniedError
        When there is no user yet and the pages are not open to this machine only.
    """
    request = anonymous_request(context, http, form)
    is_live_update = LIVE_HEADER in http.headers
    with context.ledger.begin() as session:
        user = user_of_session(session, request.token, context.idle, context.longest, seen=not is_live_update)
        # Asked only without a session: with one, the number of users does not matter.
        without_users = user is None and not has_users(session)
    if user is not None:
        request.user, request.role, request.logged_in = user.name, user.role, True
        if user.language in LANGUAGES and "language" not in http.cookies:
            request.translations = translations_of(user.language)
    elif without_users:
        # Behind a proxy on this machine every client seems to be 127.0.0.1, wherever it is.
        if not context.on_loopback or any(name in http.headers for name in FORWARDED):
            raise DeniedError(request.translations("no_user_yet"))
        request.user, request.role = LOCAL, "admin"
    return request


def refuse_role(request: PageRequest, role: str) -> Response:
    """Answer a request whose role is too low: anonymous users are sent to the log-in.

    Raises
    ------
    DeniedError
        When the user is logged in; it names the role that is needed.
    """
    if request.role != ANONYMOUS:
        needed = request.translations(f"role_{role}")
        raise DeniedError(request.translations("role_needed", role=needed))
    # A redirect would give the log-in page to a script, or lose the form that was sent.
    if LIVE_HEADER in request.http.headers or request.http.method != "GET":
        return Response(status_code=401)
    url = request.http.url
    here = url.path + (f"?{url.query}" if url.query else "")
    response: Response = RedirectResponse(f"/log-in?{NEXT}={quote(here, safe='')}", status_code=303)
    set_session_cookie(request.context, response, request.token)
    return response


def check_form_origin(request: PageRequest) -> None:
    """Check that a form was sent from one of these pages: by its token and, where the browser names it, its origin.

    Raises
    ------
    DeniedError
        When the form is of another session or another site.

    References
    ----------
    OWASP Cross-Site Request Forgery Prevention Cheat Sheet; Fetch Metadata (`Sec-Fetch-Site`).
    """
    # In constant time: the time of a comparison by "==" tells how many digits are right.
    is_fresh = hmac.compare_digest(request.form_value("csrf").encode(), request.csrf.encode())
    headers = request.http.headers
    origin = headers.get("origin")
    # Old browsers send no Origin with forms; the token protects those.
    is_ours = origin is None or (origin != "null" and urlsplit(origin).netloc == headers.get("host"))
    if not is_fresh or not is_ours or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise DeniedError(request.translations("form_out_of_date"))
