"""Live updates: one look at the ledger a second for all open pages, and a line to each when something has changed.

Server-sent events (HTML standard, 9.2). The page then fetches itself again, so a browser without them, or without
scripts, shows the same by reloading.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from node.ledger.browsing import last_change
from node.web.context import WebContext
from node.web.page_request import identify

LOOK_EVERY_S = 1.0
BEAT_S = 15.0  # a comment line, so that a dead connection is noticed
MOST_LISTENERS = 200


class Changes:
    """Tells listeners that the ledger has changed; looks at it only while somebody listens."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._listeners: set[asyncio.Queue[str]] = set()
        self._watching: asyncio.Task[None] | None = None

    async def stream(self, request: Request) -> Response:
        """The endpoint. 401 where nobody is logged in, 503 where too many listen already."""
        visit = await run_in_threadpool(identify, self._context, request, await request.form())
        if not visit.may("read"):
            return Response(status_code=401)
        if len(self._listeners) >= MOST_LISTENERS:
            return Response(status_code=503)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._lines(request), media_type="text/event-stream", headers=headers)

    async def _lines(self, request: Request) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._listeners.add(queue)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            yield "retry: 3000\n\n"
            while not await request.is_disconnected():
                try:
                    yield f"event: change\ndata: {await asyncio.wait_for(queue.get(), BEAT_S)}\n\n"
                except TimeoutError:
                    visit = await run_in_threadpool(identify, self._context, request, await request.form())
                    if not visit.may("read"):
                        return  # the log-in has ended meanwhile
                    yield ": beat\n\n"
        finally:
            self._listeners.discard(queue)

    async def _watch(self) -> None:
        seen: tuple[int, str] | None = None
        while self._listeners:
            try:
                now = await run_in_threadpool(self._look)
            except SQLAlchemyError:  # a ledger that is away for a moment: the next look tries again
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            if seen not in (None, now):
                for queue in self._listeners:
                    if not queue.full():
                        queue.put_nowait(str(now[0]))
            seen = now
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> tuple[int, str]:
        with self._context.ledger.begin() as session:
            return last_change(session)
