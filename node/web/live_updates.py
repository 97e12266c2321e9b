"""Live updates: server-sent events that tell open pages that the ledger has changed.

One query a second serves all open pages. A page that gets an event fetches itself again, so a browser without events or
scripts shows the same after reloading.

References
----------
HTML standard, section 9.2 (Server-sent events).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from node.ledger.browsing import last_change
from node.web.access_control import identify
from node.web.context import WebContext

POLL_EVERY_S = 1.0
COMMENT_EVERY_S = 15.0  # a comment line in a quiet stream, so that a dead connection is noticed
MAX_STREAMS = 200


class LiveUpdates:
    """Streams of events to open pages; the ledger is polled only while there are streams.

    Parameters
    ----------
    context : WebContext
        What all requests share.
    """

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._streams: set[asyncio.Queue[str]] = set()
        self._polling: asyncio.Task[None] | None = None

    async def endpoint(self, http: Request) -> Response:
        """Answer by a stream of events; 401 for anonymous requests, 503 when there are `MAX_STREAMS` already."""
        if not await self._may_read(http):
            return Response(status_code=401)
        if len(self._streams) >= MAX_STREAMS:
            return Response(status_code=503)
        # nginx would collect the events otherwise, and send them together minutes later.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._lines(http), media_type="text/event-stream", headers=headers)

    async def _may_read(self, http: Request) -> bool:
        request = await run_in_threadpool(identify, self._context, http, await http.form())
        return request.may("read")

    async def _lines(self, http: Request) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._streams.add(queue)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            # The browser connects again after 3 s, for example after a restart of the pages.
            yield "retry: 3000\n\n"
            while not await http.is_disconnected():
                try:
                    yield f"event: change\ndata: {await asyncio.wait_for(queue.get(), COMMENT_EVERY_S)}\n\n"
                except TimeoutError:
                    if not await self._may_read(http):
                        return  # the session has ended since the stream began
                    yield ": no change\n\n"
        finally:
            self._streams.discard(queue)

    async def _poll(self) -> None:
        previous: tuple[int, str] | None = None
        while self._streams:
            try:
                current = await run_in_threadpool(self._last_change)
            except SQLAlchemyError:  # a ledger that does not answer for a moment must not end the streams
                await asyncio.sleep(POLL_EVERY_S)
                continue
            if previous not in (None, current):
                for queue in self._streams:
                    if not queue.full():  # one waiting event is enough: the page shows the state at the time it fetches
                        queue.put_nowait(str(current[0]))
            previous = current
            await asyncio.sleep(POLL_EVERY_S)

    def _last_change(self) -> tuple[int, str]:
        with self._context.ledger.read() as session:
            return last_change(session)
