"""A visit: one request with who makes it, and the rules that hold for every page.

    read     sees everything but users
    operate  also decides: retries, reprocesses, assigns roles, enters facts, holds
    admin    also keeps users

While there is no user, who sits at this machine is `local` and may do everything; that holds on loopback only, and not
for requests that came through a proxy.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from config.errors import CptdnError
from node.ledger.accounts import has_users, user_of_session
from node.messaging.questions import NoAnswerError
from node.web.context import WebContext, WebEvent
from node.web.protection import FORWARDED
from node.web.translations import LANGUAGES, Words, words_of

log = structlog.get_logger("cptdn.web")

RANKS = {"nobody": 0, "read": 1, "operate": 2, "admin": 3}
LOCAL = "local"
THEMES = ("auto", "light", "dark")
NEXT = "next"
LIVE_HEADER = "x-live"  # set by static/live.js: no person made this request
YEAR_S = 365 * 24 * 3600


class DeniedError(CptdnError):
    """Who asked may not do this."""


@dataclass
class Visit:
    """One request. `said` are sentences to show on the page that answers."""

    context: WebContext
    request: Request
    token: str
    user: str
    role: str
    logged_in: bool
    words: Words
    theme: str
    form: FormData = field(default_factory=FormData)

    @property
    def csrf(self) -> str:
        return csrf_of(self.token)

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    @property
    def path(self) -> Mapping[str, str]:
        return self.request.path_params

    def may(self, role: str) -> bool:
        return RANKS[self.role] >= RANKS[role]

    def given(self, name: str) -> str:
        """A field of the form, without blanks at its ends; empty when it is absent."""
        value = self.form.get(name)
        return value.strip() if isinstance(value, str) else ""

    def asked(self, name: str, otherwise: str = "") -> str:
        return self.request.query_params.get(name, otherwise).strip()

    def audit(self, action: str, *, success: bool = True, study: str = "", detail: str = "") -> None:
        self.context.audit(WebEvent(action, self.user, self.address, success, study, detail))


View = Callable[[Visit], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def csrf_of(token: str) -> str:
    """What forms must bring back. Only who has the cookie can know it, and it does not give the cookie away."""
    return hashlib.sha256(f"csrf/{token}".encode()).hexdigest()


def cookie_name(context: WebContext) -> str:
    """With TLS the prefix keeps neighbours under the same domain from setting it (RFC 6265bis)."""
    return "__Host-cptdn" if context.secure else "cptdn"


def set_cookie(context: WebContext, response: Response, token: str) -> None:
    response.set_cookie(
        cookie_name(context), token, path="/", secure=context.secure, httponly=True, samesite="strict"
    )  # fmt: skip


def set_preference(context: WebContext, response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=YEAR_S, path="/", secure=context.secure, httponly=True, samesite="strict"
    )  # fmt: skip


def page(context: WebContext, view: View, role: str = "read") -> Endpoint:
    """The endpoint of one page: identify, check role and form, run the view in a thread, answer errors readably."""

    async def endpoint(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=50) if request.method == "POST" else FormData()
        return await run_in_threadpool(_answer, context, request, form, view, role)

    endpoint.__name__ = view.__name__
    return endpoint


def _answer(context: WebContext, request: Request, form: FormData, view: View, role: str) -> Response:
    from node.web.pages import problem

    visit = nobody(context, request, form)
    try:
        visit = identify(context, request, form)
        if not visit.may(role):
            return _not_allowed(visit, role)
        if request.method == "POST":
            _check_form(visit)
        response = view(visit)
    except DeniedError as error:
        visit.audit("denied", success=False)
        response = problem(visit, 403, str(error))
    except HTTPException as error:
        response = problem(visit, error.status_code, error.detail)
    except NoAnswerError as error:
        response = problem(visit, 503, f"{visit.words('no_worker')} {error}")
    except CptdnError as error:
        response = problem(visit, 400, str(error))
    except SQLAlchemyError as error:
        log.error("the ledger does not answer", error=type(error).__name__)
        response = problem(visit, 503, visit.words("ledger_away"))
    except Exception:  # the last door: a person gets a sentence, the log the rest
        log.exception("a page failed", page=view.__name__)
        response = problem(visit, 500, visit.words("page_failed"))
    if cookie_name(context) not in request.cookies and "set-cookie" not in response.headers:
        set_cookie(context, response, visit.token)
    return response


def nobody(context: WebContext, request: Request, form: FormData) -> Visit:
    """The visit before it is known whose it is; the token makes forms work before a log-in, too."""
    token = request.cookies.get(cookie_name(context)) or secrets.token_urlsafe(32)
    theme = request.cookies.get("theme", "auto")
    return Visit(
        context, request, token, "", "nobody", False, words_of(language_of(request)),
        theme if theme in THEMES else "auto", form,
    )  # fmt: skip


def identify(context: WebContext, request: Request, form: FormData) -> Visit:
    """Whose visit this is. Raises DeniedError where the pages must not be open and there is no user yet."""
    visit = nobody(context, request, form)
    live = LIVE_HEADER in request.headers
    with context.ledger.begin() as session:
        user = user_of_session(session, visit.token, context.idle, context.longest, seen=not live)
        open_to_all = user is None and not has_users(session)
    if user is not None:
        visit.user, visit.role, visit.logged_in = user.name, user.role, True
        if user.language in LANGUAGES and "language" not in request.cookies:
            visit.words = words_of(user.language)
    elif open_to_all:
        if not context.on_loopback or any(name in request.headers for name in FORWARDED):
            raise DeniedError(visit.words("no_user_yet"))
        visit.user, visit.role = LOCAL, "admin"
    return visit


def language_of(request: Request) -> str:
    """The language of the cookie, else the first that the browser asks for and we have."""
    chosen = request.cookies.get("language", "")
    if chosen in LANGUAGES:
        return chosen
    for part in request.headers.get("accept-language", "").split(","):
        wanted = part.split(";")[0].strip().lower()[:2]
        if wanted in LANGUAGES:
            return wanted
    return "en"


def _not_allowed(visit: Visit, role: str) -> Response:
    """To the log-in for who is nobody yet, else a refusal that names the role."""
    if visit.role == "nobody":
        if LIVE_HEADER in visit.request.headers or visit.request.method != "GET":
            return Response(status_code=401)
        where = visit.request.url.path + (f"?{visit.request.url.query}" if visit.request.url.query else "")
        response: Response = RedirectResponse(f"/log-in?{NEXT}={quote(where, safe='')}", status_code=303)
        set_cookie(visit.context, response, visit.token)
        return response
    raise DeniedError(visit.words("role_needed", role=visit.words(f"role_{role}")))


def _check_form(visit: Visit) -> None:
    """A form must come from our own page: the token, and where the browser says so, the origin. Raises DeniedError."""
    fresh = hmac.compare_digest(visit.given("csrf").encode(), visit.csrf.encode())
    headers = visit.request.headers
    origin = headers.get("origin")
    ours = origin is None or (origin != "null" and urlsplit(origin).netloc == headers.get("host"))
    if not fresh or not ours or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise DeniedError(visit.words("form_out_of_date"))


def safe_target(where: str) -> str:
    """Where to go after a form: a path of ours, never another site."""
    parts = urlsplit(where)
    inside = where.startswith("/") and not where.startswith("//") and "\\" not in where
    clean = where.isprintable() and not parts.scheme and not parts.netloc
    return where if inside and clean else "/cases"


def back(visit: Visit, where: str, said: str = "") -> Response:
    """Go on to a page after a form has been dealt with; `said` stands on it."""
    target = safe_target(where)
    response: Response = RedirectResponse(target, status_code=303)
    if said:
        response.set_cookie(
            "said", quote(said), max_age=30, path="/", secure=visit.context.secure, httponly=True, samesite="strict"
        )  # fmt: skip
    return response
