"""Middleware before every page: host names, sizes of requests, response headers.

It is plain ASGI: Starlette's BaseHTTPMiddleware would buffer the streams of live updates.

References
----------
OWASP HTTP Headers and CSRF Prevention cheat sheets; RFC 9110.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.addresses import is_loopback
from config.settings import WebSettings

MAX_BODY_BYTES = 1 << 20
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

# No inline script or style, nothing from elsewhere, no frame around the pages.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
# "same-origin": with "no-referrer" browsers send `Origin: null` with our own forms, too.
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}


class ResponseHeaders:
    """Adds headers to every response; by default no browser and no proxy may store it, since it may have patient data.

    Parameters
    ----------
    app : ASGI application
        What comes next.
    secure : bool
        Whether the pages are served by TLS; browsers then use TLS for a year (HSTS).
    """

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers: Mapping[str, str] = {**HEADERS, **(STRICT_TRANSPORT if secure else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI calls it."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                # A default only: a response that may be stored says so itself.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class KnownHosts:
    """Refuses requests for other host names than those of the pages (421).

    Without it a web site could make its own name resolve to 127.0.0.1, and read the pages through the browser of a user
    (DNS rebinding).

    Parameters
    ----------
    app : ASGI application
        What comes next.
    web : WebSettings
        `bind` and `hosts`.
    """

    def __init__(self, app: ASGIApp, web: WebSettings) -> None:
        self._app, self._web = app, web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI calls it."""
        if scope["type"] == "http" and not host_is_known(Headers(scope=scope).get("host", ""), self._web):
            refusal = PlainTextResponse("This host name is not one of [web] hosts.\n", status_code=421)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def host_is_known(host: str, web: WebSettings) -> bool:
    """Return whether a request for a host name may be answered.

    Parameters
    ----------
    host : str
        Value of the Host header, with or without a port.
    web : WebSettings
        `bind` and `hosts`.

    Returns
    -------
    bool
        True for `bind`, the names of `hosts`, loopback names when the pages listen there, and any IP address when they
        listen elsewhere: a browser with a bare address was not led here by the name of another site.
    """
    # An IPv6 address in a Host header is in brackets, so a colon before digits at the end is the port.
    name = host.rsplit(":", 1)[0] if host.rsplit(":", 1)[-1].isdigit() else host
    name = name.removeprefix("[").removesuffix("]").lower().rstrip(".")
    if name in {known.lower() for known in web.hosts} or name == web.bind.lower():
        return True
    if is_loopback(name):
        return is_loopback(web.bind) or web.bind in ("0.0.0.0", "::")  # noqa: S104 - only compared
    try:
        ip_address(name)
    except ValueError:
        return False
    return not is_loopback(web.bind)


class LimitedBody:
    """Refuses requests that are too large (413), by their Content-Length or, without one, while they are read.

    Parameters
    ----------
    app : ASGI application
        What comes next.
    limit : int
        Largest body in bytes.
    without_limit : str
        Beginning of the paths whose endpoint has limits of its own; empty: none.
    """

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES, without_limit: str = "") -> None:
        self._app, self._limit, self._without_limit = app, limit, without_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI calls it."""
        is_exempt = self._without_limit and scope.get("path", "").startswith(self._without_limit)
        if scope["type"] != "http" or is_exempt:
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        # Refused before the body is read.
        if not announced.isdigit() or int(announced) > self._limit:
            await PlainTextResponse("The request is too large.\n", status_code=413)(scope, receive, send)
            return
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._limit:
                raise BodyTooLargeError
            return message

        try:
            await self._app(scope, counted, send)
        except BodyTooLargeError:
            await PlainTextResponse("The request is too large.\n", status_code=413)(scope, receive, send)


class BodyTooLargeError(Exception):
    """The body is larger than the limit, although its Content-Length was not."""
