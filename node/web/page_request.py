"""One request for a page: its context, who makes it, its form and query, its language, and the cookies."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.web.context import WebContext, WebEvent
from node.web.translations import LANGUAGES, Translations, translations_of

ANONYMOUS = "anonymous"  # the role before a log-in
ROLE_RANKS = {ANONYMOUS: 0, "read": 1, "operate": 2, "admin": 3}
THEMES = ("auto", "light", "dark")
NEXT = "next"
FLASH = "flash"
FLASH_S = 30
LIVE_HEADER = "x-live"  # set by static/live.js: a live update, not an action of the user
YEAR_S = 365 * 24 * 3600


@dataclass
class PageRequest:
    """One request for a page.

    Attributes
    ----------
    context : WebContext
        What all requests share.
    http : starlette Request
        The HTTP request.
    token : str
        Value of the session cookie, or a new one; before a log-in it protects the log-in form, too.
    user, role : str
        Name and role of the user; empty and `ANONYMOUS` before a log-in.
    logged_in : bool
        False also for the local user of an installation without users.
    translations : Translations
        The language of the page.
    theme : str
        auto, light or dark.
    form : FormData
        Fields of a POST.
    """

    context: WebContext
    http: Request
    token: str
    user: str
    role: str
    logged_in: bool
    translations: Translations
    theme: str
    form: FormData = field(default_factory=FormData)

    @property
    def csrf(self) -> str:
        """The token that a form of this page must send back."""
        return csrf_token(self.token)

    @property
    def address(self) -> str:
        """IP address of the client; empty where the server does not know it."""
        return self.http.client.host if self.http.client else ""

    @property
    def path(self) -> Mapping[str, str]:
        """Parameters of the path, such as `study`."""
        return self.http.path_params

    @property
    def flash(self) -> str:
        """The message of the form that was sent before; empty when there is none."""
        return unquote(self.http.cookies.get(FLASH, ""))

    def may(self, role: str) -> bool:
        """Return whether the user has a role.

        Parameters
        ----------
        role : str
            One of `ROLE_RANKS`.

        Returns
        -------
        bool
            True for this role and every higher one.
        """
        return ROLE_RANKS[self.role] >= ROLE_RANKS[role]

    def form_value(self, name: str) -> str:
        """Return a field of the form.

        Parameters
        ----------
        name : str
            Name of the field.

        Returns
        -------
        str
            Its value without blanks at its ends; empty when it is absent or a file.
        """
        value = self.form.get(name)
        return value.strip() if isinstance(value, str) else ""

    def query_value(self, name: str, default: str = "") -> str:
        """Return a parameter of the query.

        Parameters
        ----------
        name : str
            Name of the parameter.
        default : str
            Value when it is absent.

        Returns
        -------
        str
            Its first value without blanks at its ends.
        """
        return self.http.query_params.get(name, default).strip()

    def audit(self, action: str, *, success: bool = True, study: str = "", detail: str = "") -> None:
        """Report an action of the user to the audit trail.

        Parameters
        ----------
        action : str
            One of the actions of `WebEvent`.
        success : bool
            Whether it was carried out.
        study : str
            Study Instance UID; empty when it concerns no study.
        detail : str
            Further information; nothing about a patient.
        """
        self.context.audit(WebEvent(action, self.user, self.address, success, study, detail))


def anonymous_request(context: WebContext, http: Request, form: FormData) -> PageRequest:
    """Return a request before its user is known.

    Parameters
    ----------
    context : WebContext
        What all requests share.
    http : starlette Request
        The HTTP request.
    form : FormData
        Its fields; empty for a GET.

    Returns
    -------
    PageRequest
        Role `ANONYMOUS`; language and theme by cookies and browser. Without a session cookie it has a new token, which
        protects the log-in form, too.
    """
    token = http.cookies.get(session_cookie_name(context)) or secrets.token_urlsafe(32)
    theme = http.cookies.get("theme", "auto")
    return PageRequest(
        context, http, token, "", ANONYMOUS, False, translations_of(language_of(http)),
        theme if theme in THEMES else "auto", form,
    )  # fmt: skip


def language_of(http: Request) -> str:
    """Return the language of a request.

    Parameters
    ----------
    http : starlette Request
        Its cookie `language` counts first, then `Accept-Language` in its order.

    Returns
    -------
    str
        One of `LANGUAGES`; English when the browser wants none of them.
    """
    chosen = http.cookies.get("language", "")
    if chosen in LANGUAGES:
        return chosen
    # In the order of the header; weights are not read, because browsers write them in descending order.
    for part in http.headers.get("accept-language", "").split(","):
        language = part.split(";")[0].strip().lower()[:2]
        if language in LANGUAGES:
            return language
    return "en"


def csrf_token(session_token: str) -> str:
    """Return the token of the forms of a session.

    Parameters
    ----------
    session_token : str
        Value of the session cookie.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256. It is in every page, and the cookie cannot be computed from it.
    """
    return hashlib.sha256(f"csrf/{session_token}".encode()).hexdigest()


def session_cookie_name(context: WebContext) -> str:
    """Return the name of the session cookie; with TLS its prefix keeps other hosts of the domain from setting it.

    References
    ----------
    RFC 6265bis, section 4.1.3.2 (`__Host-`).
    """
    return "__Host-cptdn" if context.secure else "cptdn"


def set_session_cookie(context: WebContext, response: Response, token: str) -> None:
    """Set the session cookie; it ends with the browser.

    Parameters
    ----------
    context : WebContext
        Whether the pages are served by TLS.
    response : Response
        Gets the cookie.
    token : str
        Of the session, or the token of a form before a log-in.
    """
    _set_cookie(context, response, session_cookie_name(context), token, None)


def set_preference(context: WebContext, response: Response, name: str, value: str) -> None:
    """Set the cookie of a preference (language, theme) for a year.

    Parameters
    ----------
    context : WebContext
        Whether the pages are served by TLS.
    response : Response
        Gets the cookie.
    name, value : str
        Not secret; the reader checks the value against the known ones.
    """
    _set_cookie(context, response, name, value, YEAR_S)


def _set_cookie(context: WebContext, response: Response, name: str, value: str, max_age_s: int | None) -> None:
    response.set_cookie(
        # "strict" and HttpOnly: no other site can send the cookie, and no script can read it.
        name, value, max_age=max_age_s, path="/", secure=context.secure, httponly=True, samesite="strict"
    )  # fmt: skip


def delete_flash(context: WebContext, response: Response) -> None:
    """Delete the flash message, which a page has shown."""
    response.delete_cookie(FLASH, path="/", httponly=True, samesite="strict", secure=context.secure)


def local_path(target: str) -> str:
    """Return the target of a redirect as a path of these pages.

    Parameters
    ----------
    target : str
        What a form or a query asks for; not trusted.

    Returns
    -------
    str
        The target when it is a path, `/cases` when it is the address of another site or not printable.
    """
    parts = urlsplit(target)
    # Browsers read "//host" and "/\host" as addresses of another site.
    inside = target.startswith("/") and not target.startswith("//") and "\\" not in target
    clean = target.isprintable() and not parts.scheme and not parts.netloc
    return target if inside and clean else "/cases"


def redirect(request: PageRequest, target: str, flash: str = "") -> Response:
    """Return the redirect after a form.

    Parameters
    ----------
    request : PageRequest
        The request that brought the form.
    target : str
        Path of the next page; an address of another site leads to the work list instead.
    flash : str, optional
        Message that the next page shows once.

    Returns
    -------
    Response
        Status 303, so that reloading the next page does not send the form again.
    """
    response: Response = RedirectResponse(local_path(target), status_code=303)
    if flash:
        _set_cookie(request.context, response, FLASH, quote(flash), FLASH_S)
    return response
