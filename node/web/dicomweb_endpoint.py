"""The endpoint of `[dicomweb] receive`: STOW-RS (PS3.18 10.5), which `node.dicom.dicomweb` reads.

    POST /dicomweb/studies            DICOM files as multipart/related, of any studies
    POST /dicomweb/studies/{study}    the same, of one study

The response names every object: 200 all stored, 202 some, 409 none; 503 for lack of room, places or the ledger. A
request that is not taken, or not to its end, is answered by 400, 401, 403, 408, 413, 415 or 429; the body of that
answer names what had arrived as a whole before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from node.dicom.dicomweb.multipart import MediaTypeError, MultipartError, related_boundary
from node.dicom.dicomweb.reception import Reception, StowMessage, StowRefusedError
from node.dicom.dicomweb.store_responses import accepted_media_type, first_reason, http_status, response_body
from node.dicom.network.protocol_errors import ProtocolError
from node.dicom.scp.receive import MIN_BYTES_PER_S
from node.store.names import is_uid
from node.web.protection import FORWARDED

STUDIES = "/dicomweb/studies"
RETRY_AFTER_S = 30  # what a sender is told to wait where another moment will do
# Read of a body that is not taken: a client that does not wait for "100 Continue" reads the answer only behind it, and
# would otherwise find a closed connection.
DRAINED_BYTES = 16 * 1024 * 1024
DRAINED_S = 5.0
DRAINED_UNKNOWN_BYTES = 1 << 20  # of a sender that has shown no token

log = structlog.get_logger("cptdn.dicomweb")


def dicomweb_endpoint(reception: Reception) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of both paths.

    It has no form token: a web site cannot send multipart/related from the browser of a user without a preflight
    request, and none is answered.

    Parameters
    ----------
    reception : Reception
        Takes the messages.

    Returns
    -------
    callable
        An endpoint for Starlette.
    """
    # Threads of their own: a page must not wait for those that are forcing objects to the disk.
    threads = CapacityLimiter(reception.settings.dicomweb.max_requests)

    async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(partial(function, *arguments), limiter=threads)

    async def endpoint(request: Request) -> Response:
        drained, body = DRAINED_UNKNOWN_BYTES, _Body(request)
        try:
            address = request.client.host if request.client else ""
            through_proxy = any(name in request.headers for name in FORWARDED)
            authorization = request.headers.get("authorization", "")
            sender = await in_thread(reception.admit, authorization, address, through_proxy)
            drained = DRAINED_BYTES
            message = reception.begin(sender, address, *_requested(request, reception))
        except StowRefusedError as refusal:
            await body.drain(drained)
            return _response(request, refusal.status, str(refusal), None)
        try:
            status, problem = await _receive(body, message, reception, in_thread)
            return _response(request, status, problem, message)
        except ClientDisconnect:
            log.warning("stow_aborted", peer=address, n_whole=len(message.outcomes))
            return Response(status_code=400)  # the client is gone
        finally:
            await in_thread(message.end)

    return endpoint


def _requested(request: Request, reception: Reception) -> tuple[str, str]:
    """Return the boundary and the study of a request. Raises StowRefusedError."""
    study = request.path_params.get("study", "")
    if study and not is_uid(study):
        raise StowRefusedError(HTTPStatus.BAD_REQUEST, "expected a Study Instance UID in the path")
    announced = request.headers.get("content-length", "0")
    limit = reception.settings.dicomweb.max_request_mb
    if not announced.isdigit() or int(announced) > limit * 1_000_000:
        raise StowRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {limit} MB in one request")
    if encoding := request.headers.get("content-encoding", ""):
        raise StowRefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected a body without Content-Encoding, found {encoding}"
        )
    try:
        return related_boundary(request.headers.get("content-type", "")), study
    except MediaTypeError as error:
        raise StowRefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
    except MultipartError as error:
        raise StowRefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error


class _Body:
    """The body of a request, piece by piece; knows whether anything of it may still come."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.has_ended = False

    async def read(self, within_s: float) -> bytes:
        """Return the next piece, which may be empty. Raises TimeoutError, and ClientDisconnect."""
        async with asyncio.timeout(within_s):
            event = await self._request.receive()
        if event["type"] == "http.disconnect":
            raise ClientDisconnect
        self.has_ended = not event.get("more_body", False)
        return cast(bytes, event.get("body", b""))

    async def drain(self, most_bytes: int) -> None:
        """Read and drop what follows, up to a number of bytes and for `DRAINED_S` at most."""
        until = time.monotonic() + DRAINED_S
        try:
            while not self.has_ended and most_bytes > 0 and (left_s := until - time.monotonic()) > 0:
                most_bytes -= len(await self.read(left_s))
        except (TimeoutError, ClientDisconnect):
            return


async def _receive(
    body: _Body, message: StowMessage, reception: Reception, in_thread: Callable[..., Awaitable[Any]]
) -> tuple[int, str]:
    """Read the body into the intake; return the status of the response, and why the body was not read to its end."""
    try:
        await _read(body, message, reception, in_thread)
    except StowRefusedError as refusal:
        if refusal.status != HTTPStatus.REQUEST_TIMEOUT:
            await body.drain(DRAINED_BYTES)
        return refusal.status, str(refusal)
    except ProtocolError as error:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)
    except (MultipartError, MediaTypeError) as error:
        await body.drain(DRAINED_BYTES)
        is_type = isinstance(error, MediaTypeError)
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE if is_type else HTTPStatus.BAD_REQUEST, str(error)
    if not message.is_complete:
        return HTTPStatus.BAD_REQUEST, "the message ended before its last delimiter"
    problem = "" if message.outcomes else "expected at least one DICOM file, found none"
    return http_status(message.outcomes), problem


async def _read(
    body: _Body, message: StowMessage, reception: Reception, in_thread: Callable[..., Awaitable[Any]]
) -> None:
    node = reception.settings.node
    begun, n_bytes = time.monotonic(), 0
    while not body.has_ended:
        try:
            piece = await body.read(node.network_timeout_s)
        except TimeoutError as error:
            text = f"nothing came for {node.network_timeout_s:g} s"
            raise StowRefusedError(HTTPStatus.REQUEST_TIMEOUT, text) from error
        if piece:
            n_bytes += len(piece)
            await in_thread(message.feed, piece)
        seconds = time.monotonic() - begun
        if seconds > node.max_association_s:
            raise StowRefusedError(HTTPStatus.REQUEST_TIMEOUT, f"longer than {node.max_association_s:g} s")
        # As by C-STORE: a sender that sends a byte now and then is never silent.
        if seconds > node.network_timeout_s and n_bytes < seconds * MIN_BYTES_PER_S:
            raise StowRefusedError(HTTPStatus.REQUEST_TIMEOUT, f"{n_bytes} bytes in {seconds:.0f} s are too few")


def _response(request: Request, status: int, problem: str, message: StowMessage | None) -> Response:
    headers = {}
    outcomes = message.outcomes if message is not None else []
    if reason := problem or first_reason(outcomes):
        # PS3.18 section 10.5.3 leaves sentences to the Warning header: the response has codes only.
        printable = "".join(each if " " <= each <= "~" and each not in '"\\' else "?" for each in reason)
        headers["Warning"] = f'299 cptdn "{printable}"'
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if not outcomes:
        return Response(f"{problem}\n", status, headers, media_type="text/plain")
    media_type = accepted_media_type(request.headers.get("accept", ""))
    return Response(response_body(outcomes, media_type), status, headers, media_type=media_type)
