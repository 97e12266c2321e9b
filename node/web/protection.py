"""What protects the pages before any of them runs: host names, sizes, response headers.

Pure ASGI, so that streams pass through. Sources: OWASP HTTP Headers and CSRF Prevention cheat sheets; RFC 9110.
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
    """Adds the headers to every response; what carries a patient's data is never kept by a browser or a proxy."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers: Mapping[str, str] = {**HEADERS, **(STRICT_TRANSPORT if secure else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class KnownHosts:
    """Refuses requests for other names than ours.

    Without it any web site could have its name resolve to 127.0.0.1 and read the pages through a visitor's browser.
    """

    def __init__(self, app: ASGIApp, web: WebSettings) -> None:
        self._app, self._web = app, web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not host_is_known(Headers(scope=scope).get("host", ""), self._web):
            refusal = PlainTextResponse("This name is not one of ours; [web] hosts lists them.\n", status_code=421)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def host_is_known(host: str, web: WebSettings) -> bool:
    """host : of the Host header, with or without a port."""
    name = host.rsplit(":", 1)[0] if host.rsplit(":", 1)[-1].isdigit() else host
    name = name.removeprefix("[").removesuffix("]").lower().rstrip(".")
    if name in {one.lower() for one in web.hosts} or name == web.bind.lower():
        return True
    if is_loopback(name):
        return is_loopback(web.bind) or web.bind in ("0.0.0.0", "::")  # noqa: S104 - only compared
    try:
        ip_address(name)  # a browser that was given a bare address was not led here by a foreign name
    except ValueError:
        return False
    return not is_loopback(web.bind)


class LimitedBody:
    """Refuses requests larger than `limit` bytes, announced or not."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdigit() or int(announced) > self._limit:
            await PlainTextResponse("The request is too large.\n", status_code=413)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise BodyTooLargeError
            return message

        try:
            await self._app(scope, counted, send)
        except BodyTooLargeError:
            await PlainTextResponse("The request is too large.\n", status_code=413)(scope, receive, send)


class BodyTooLargeError(Exception):
    """More came than was announced."""
